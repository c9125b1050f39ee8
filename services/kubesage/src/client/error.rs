//! Why the client could not do what was asked, and with which exit code it ends.

use std::{io, process::ExitCode, time::Duration};

use cluster_access::{AccessError, drain::DrainError};
use contracts::ErrorCode;
use thiserror::Error;
use web::{FieldError, ProblemDocument};

#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// Nothing says whom to ask.
    #[error("{0}")]
    Usage(String),
    #[error("the profiles in {path}: {problem}")]
    Profiles { path: String, problem: String },
    #[error("{url} cannot be reached: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("{} ({}; request {})", told(.0), .0.code, .0.request_id)]
    Problem(Box<ProblemDocument>),
    #[error("{url} answered {status}, not as Kubesage does")]
    NotKubesage { url: String, status: u16 },
    #[error("you have no cluster {0} with an agent; see: kubesage clusters")]
    NoSuchCluster(String),
    #[error("you have added no cluster {0} without an agent; see: kubesage clusters list --stored")]
    NoSuchStoredCluster(String),
    #[error("the cluster did not connect within {} s: {why}", .after.as_secs())]
    NotConnected { after: Duration, why: String },
    /// The others are done.
    #[error("{left} of {all} contexts could not be added")]
    Partly { left: usize, all: usize },
    #[error(transparent)]
    Drain(#[from] DrainError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What happened, and which values were not accepted: several are a line each.
fn told(problem: &ProblemDocument) -> String {
    let values = problem.errors.iter().map(|FieldError { field, message }| format!("{field}: {message}"));
    let values: Vec<String> = values.collect();
    match values.as_slice() {
        [] => problem.detail.clone(),
        [value] => value.clone(),
        _ => format!("{}\n  {}\n", problem.detail, values.join("\n  ")),
    }
}

impl ClientError {
    /// The codes of [`EXIT_CODES`](super::EXIT_CODES).
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) | Self::Profiles { .. } => 2,
            Self::NoSuchCluster(_) | Self::NoSuchStoredCluster(_) => 4,
            Self::Unreachable { .. } => 5,
            Self::NotConnected { .. } => 6,
            Self::NotKubesage { .. } | Self::Partly { .. } | Self::Io(_) => 1,
            Self::Drain(error) => match error {
                DrainError::NoSuchNode(_) => 4,
                DrainError::Access(
                    AccessError::Credentials(_) | AccessError::Refused { status: 400, .. },
                ) => 2,
                DrainError::Access(AccessError::Refused { status: 401 | 403, .. }) => 3,
                DrainError::Access(_) => 5,
                DrainError::Hopeless(_) => 1,
            },
            Self::Problem(problem) => match problem.code {
                ErrorCode::Unauthenticated | ErrorCode::Forbidden => 3,
                ErrorCode::Invalid => 2,
                ErrorCode::NotFound => 4,
                ErrorCode::RateLimited => 5,
                _ if problem.status >= 500 => 5,
                _ => 1,
            },
        })
    }
}
