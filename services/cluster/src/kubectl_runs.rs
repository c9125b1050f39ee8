//! The real `kubectl`, run for a user on one of the user's clusters.
//!
//! What it is to do was understood by a grammar, and is written anew for it; it is started without a shell, with an environment of its
//! own and a folder that only it can read and that is gone afterwards. Nothing secret is in its arguments or its environment.

mod process;

use std::{path::PathBuf, sync::Arc, time::Duration};

use ::kubectl::{Command, Permissions};
use cluster_access::{Limits, Route, kubeconfig};
use contracts::{ErrorCode, auth::UserData, events::EventType};
use secrecy::ExposeSecret;
use serde_json::json;
use thiserror::Error;
use tokio::sync::{Semaphore, TryAcquireError};
use uuid::Uuid;
use web::Problem;

pub(crate) use process::Output;

use crate::{
    store::StoredCluster,
    stored::{StoredClusters, StoredError},
};

/// When a place may be free.
const BUSY: Duration = Duration::from_secs(1);

/// Runs commands. Cheap to clone.
#[derive(Clone)]
pub(crate) struct KubectlRuns {
    pub(crate) clusters: StoredClusters,
    pub(crate) settings: Arc<Settings>,
    places: Arc<Semaphore>,
}

/// How commands are run.
pub(crate) struct Settings {
    /// The program.
    pub(crate) program: PathBuf,
    pub(crate) permissions: Permissions,
    /// A command that takes longer is killed.
    pub(crate) timeout: Duration,
    /// More of its output is not kept, in bytes.
    pub(crate) max_output: usize,
    pub(crate) limits: Limits,
}

/// Why a command was not run, or what became of it is not known.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Stored(#[from] StoredError),
    #[error("{0} cannot be started; it has to be installed where this service runs (setting KUBECTL)")]
    NoProgram(String),
    #[error("the cluster's server cannot be reached: {0}")]
    NoRoute(std::io::Error),
    #[error("as many commands are running as may; try again")]
    Busy,
    #[error("a command could not be run")]
    Failed(#[source] std::io::Error),
}

impl From<RunError> for Problem {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Stored(error) => error.into(),
            RunError::NoProgram(_) => Self::new(ErrorCode::Unavailable, error.to_string()),
            RunError::NoRoute(_) => Self::new(ErrorCode::ClusterUnreachable, error.to_string()),
            RunError::Busy => Self::new(ErrorCode::Unavailable, error.to_string()).retry_after(BUSY),
            RunError::Failed(_) => Self::internal(&error),
        }
    }
}

impl KubectlRuns {
    pub(crate) fn new(clusters: StoredClusters, settings: Settings, at_once: usize) -> Self {
        Self { clusters, settings: Arc::new(settings), places: Arc::new(Semaphore::new(at_once)) }
    }

    /// Runs a command to its end, also when nobody waits for that any more: what it has done is told as an event in any case. Of one
    /// that changes the cluster it is told before, too.
    pub(crate) async fn run(
        &self,
        user: &UserData,
        cluster_id: i64,
        line: &str,
        command: Command,
    ) -> Result<Output, RunError> {
        let cluster = self.clusters.get(user, cluster_id).await?;
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => return Err(RunError::Busy),
        };
        let (runs, user, line) = (self.clone(), user.clone(), line.to_owned());
        let running = tokio::spawn(async move {
            let _place = place;
            runs.run_and_tell(&user, &cluster, &line, &command).await
        });
        running.await.unwrap_or_else(|error| Err(RunError::Failed(std::io::Error::other(error))))
    }

    async fn run_and_tell(
        &self,
        user: &UserData,
        cluster: &StoredCluster,
        line: &str,
        command: &Command,
    ) -> Result<Output, RunError> {
        let run_id = Uuid::now_v7().to_string();
        let now = || self.clusters.database.now();
        if command.changes() {
            let data = json!({"run_id": run_id, "command": line});
            self.clusters.tell(user, cluster, EventType::ClusterKubectlStarted, data, now()).await?;
        }
        let output = self.run_process(cluster, command).await?;
        let data = json!({"run_id": run_id, "command": line, "exit_code": output.exit_code,
                          "duration_ms": output.duration_ms});
        self.clusters.tell(user, cluster, EventType::ClusterKubectlExecuted, data, now()).await?;
        Ok(output)
    }

    async fn run_process(&self, cluster: &StoredCluster, command: &Command) -> Result<Output, RunError> {
        let credentials = self.clusters.credentials(cluster)?;
        let route = Route::to(&credentials, self.settings.limits).await.map_err(RunError::NoRoute)?;
        let kubeconfig = kubeconfig::write(&credentials, &route.server, route.proxy.as_ref());
        let folder = process::Folder::new(kubeconfig.expose_secret()).map_err(RunError::Failed)?;
        let Settings { program, timeout, max_output, .. } = &*self.settings;
        process::run(program, &folder, command.arguments(), *timeout, *max_output).await.map_err(|error| {
            match error.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => {
                    RunError::NoProgram(program.display().to_string())
                }
                _ => RunError::Failed(error),
            }
        })
    }
}
