//! The simulated Kubernetes cluster, as a process of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config,
    api::{ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use testkit::eventually_within;

use crate::program::Program;

/// A large seed takes seconds.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// `kubesage sim`. The API server of a cluster runs on machines of its own, so this one gives way to all that is measured.
pub(crate) struct Simulated {
    pub(crate) program: Program,
    /// Its administrator's.
    pub(crate) kubeconfig: PathBuf,
}

impl Simulated {
    /// Starts it with this seed, and waits until it serves.
    pub(crate) async fn start(directory: &Path, seed: &str) -> Result<Self> {
        let kubeconfig = directory.join(format!("{}.kubeconfig", uuid::Uuid::new_v4().simple()));
        let path = kubeconfig.to_str().context("not a plain path")?;
        let arguments = ["sim", "--seed", seed, "--kubeconfig-out", path];
        let log = [("LOG_FORMAT", "json".to_owned())];
        let program = Program::start_behind("kubesage", directory, &arguments, log)?;
        let started = Self { program, kubeconfig };
        let up = eventually_within(PATIENCE, "the simulated cluster", async || started.client().await.ok());
        up.await.with_context(|| started.program.log().unwrap_or_default())?;
        Ok(started)
    }

    /// Makes namespaces until there are so many.
    pub(crate) async fn fill_up_to(&self, namespaces: usize) -> Result<()> {
        let api: Api<Namespace> = Api::all(self.client().await?);
        let there = api.list(&ListParams::default()).await?.items.len();
        ensure!(there <= namespaces, "there are {there} namespaces already");
        for number in there..namespaces {
            let namespace =
                serde_json::from_value(json!({"metadata": {"name": format!("team-{number:02}")}}))?;
            api.create(&PostParams::default(), &namespace).await?;
        }
        Ok(())
    }

    /// Of its administrator.
    pub(crate) async fn client(&self) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    }
}
