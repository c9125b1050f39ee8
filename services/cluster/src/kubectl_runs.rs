//! The real `kubectl`, run for a user on one of the user's clusters.
//!
//! What it is to do was understood by a grammar, and is written anew for it; it is started without a shell, with an environment of its
//! own and a folder that only it can read and that is gone afterwards. Nothing secret is in its arguments or its environment.

mod process;

use std::{io, path::PathBuf, sync::Arc};

use ::kubectl::{Command, Permissions};
use cluster_access::{Tunnel, kubeconfig};
use contracts::{ErrorCode, auth::UserData, events::EventType};
use secrecy::ExposeSecret;
use serde_json::json;
use thiserror::Error;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;
use web::{Problem, in_flight::InFlight};

pub use process::clear_leftovers;
pub(crate) use process::{Bounds, Output};

use crate::{
    store::StoredCluster,
    stored::{StoredClusters, StoredError},
};

/// Runs commands. Cheap to clone.
#[derive(Clone)]
pub(crate) struct KubectlRuns {
    clusters: StoredClusters,
    settings: Arc<Settings>,
    running: Arc<InFlight>,
    tasks: TaskTracker,
}

/// How commands are run.
pub(crate) struct Settings {
    /// The program.
    pub(crate) program: PathBuf,
    pub(crate) permissions: Permissions,
    pub(crate) bounds: Bounds,
}

/// Why a command was not run, or what became of it is not known.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Stored(#[from] StoredError),
    #[error("kubectl cannot be started; it has to be installed where this service runs (setting KUBECTL)")]
    NoProgram,
    #[error("a command could not be run")]
    Failed(#[from] io::Error),
}

impl From<RunError> for Problem {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Stored(error) => error.into(),
            RunError::NoProgram => Self::new(ErrorCode::Unavailable, error.to_string()),
            RunError::Failed(_) => Self::internal(&error),
        }
    }
}

impl KubectlRuns {
    pub(crate) fn new(clusters: StoredClusters, settings: Settings, running: Arc<InFlight>) -> Self {
        Self { clusters, settings: Arc::new(settings), running, tasks: TaskTracker::new() }
    }

    /// What commands may do.
    pub(crate) fn permissions(&self) -> &Permissions {
        &self.settings.permissions
    }

    /// Runs a command to its end, also when nobody waits for that any more: what it has done is told as an event in any case. Of one
    /// that changes the cluster it is told before, too.
    pub(crate) async fn run(
        &self,
        user: &UserData,
        cluster: &StoredCluster,
        command: Command,
    ) -> Result<Output, Problem> {
        let place = self.running.enter(&user.id)?;
        let (runs, user, cluster) = (self.clone(), user.clone(), cluster.clone());
        let running = self.tasks.spawn(async move {
            let _place = place;
            runs.run_and_tell(&user, &cluster, &command).await
        });
        let ended = running.await.unwrap_or_else(|error| Err(RunError::Failed(io::Error::other(error))));
        Ok(ended?)
    }

    /// Ends once the process is told to stop and no command runs any more.
    pub(crate) async fn end(self, shutdown: CancellationToken) {
        shutdown.cancelled().await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn run_and_tell(
        &self,
        user: &UserData,
        cluster: &StoredCluster,
        command: &Command,
    ) -> Result<Output, RunError> {
        let run_id = Uuid::now_v7().to_string();
        if command.changes() {
            let data = json!({"run_id": run_id, "command": command.recorded()});
            self.clusters.tell(user, cluster, EventType::ClusterKubectlStarted, data).await?;
        }
        let output = self.run_process(cluster, command).await;
        let mut data = json!({"run_id": run_id, "command": command.recorded(), "exit_code": null});
        match &output {
            Ok(output) => {
                data["exit_code"] = output.exit_code.into();
                data["duration_ms"] = output.duration_ms.into();
            }
            Err(error) => data["failure"] = error.to_string().into(),
        }
        let kind = EventType::ClusterKubectlExecuted;
        // It has been done: who asked is to know what came of it, also where the record fails.
        if let Err(error) = self.clusters.tell_of_past(user, cluster, kind, data).await {
            tracing::error!(run_id, cluster_id = cluster.id, %error, "a command is not in the audit log");
        }
        output
    }

    async fn run_process(&self, cluster: &StoredCluster, command: &Command) -> Result<Output, RunError> {
        let credentials = self.clusters.credentials(cluster)?;
        let tunnel = Tunnel::to(&credentials, self.clusters.clients.limits()).await?;
        let kubeconfig = kubeconfig::write(&credentials, &tunnel.proxy);
        let folder = process::Folder::new(kubeconfig.expose_secret())?;
        let Settings { program, bounds, .. } = &*self.settings;
        let ran = process::run(program, &folder, command.arguments(), bounds).await;
        ran.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
                tracing::error!(program = %program.display(), %error, "kubectl cannot be started");
                RunError::NoProgram
            }
            _ => RunError::Failed(error),
        })
    }
}
