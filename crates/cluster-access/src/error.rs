//! What went wrong between us and a cluster.

use std::{error::Error, time::Duration};

use thiserror::Error;

use crate::client::MAX_MESSAGE;

/// Why a cluster did not do what it was asked.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AccessError {
    /// There is no way to it, or it is not the one that it was taken for. It holds no secret.
    #[error("the cluster cannot be reached: {0}")]
    Unreachable(String),
    /// It did not answer in time.
    #[error("the cluster did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// It answered with an error.
    #[error("the cluster answered with {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said, shortened.
        message: String,
    },
    /// Its answer is none of a Kubernetes API server.
    #[error("the answer is not that of a Kubernetes API server: {0}")]
    Unreadable(String),
    /// Its answer is larger than is read.
    #[error("the cluster's answer is larger than is read ({} MiB)", crate::client::MAX_ANSWER >> 20)]
    TooLarge,
    /// As many requests as may be are under way to it.
    #[error("too many requests are under way to this cluster; try again")]
    Busy,
    /// The credentials cannot be used.
    #[error("the credentials cannot be used: {0}")]
    Credentials(String),
}

impl AccessError {
    /// What a cluster has said, shortened.
    pub(crate) fn refused(status: u16, message: &str) -> Self {
        Self::Refused { status, message: message.chars().take(MAX_MESSAGE).collect() }
    }

    /// What a call has ended with.
    pub(crate) fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::refused(status.code, &status.message),
            kube::Error::SerdeError(error) => Self::Unreadable(error.to_string()),
            other => crate::client::unreachable(other),
        }
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// What is at the bottom of an error.
pub(crate) fn root(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
