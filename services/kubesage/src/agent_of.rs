//! The agent inside the process: it dials in over a real WebSocket, like any other.

use std::path::PathBuf;

use agent::{Agent, Settings};
use onboarding::KnownCluster;
use url::Url;
use web::{Shutdown, process::Failure};

use crate::dev_env::Keys;

/// Which cluster the agent is put on.
pub(crate) struct Kubeconfig {
    pub(crate) path: PathBuf,
    pub(crate) context: Option<String>,
}

/// Starts the agent of `cluster`, connecting to the process's own `url`.
pub(crate) async fn start(
    url: &Url,
    cluster: &KnownCluster,
    name: &str,
    keys: &Keys,
    kubeconfig: Kubeconfig,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let settings = Settings {
        api_endpoint: url.to_string(),
        agent_id: cluster.agent_id.clone(),
        cluster_id: cluster.cluster_id.clone(),
        api_key: keys.agent_key.secret().clone(),
        cluster_name: Some(name.to_owned()),
        allow_insecure_endpoint: false,
        api_ca_file: None,
        https_proxy: None,
        no_proxy: None,
        kubeconfig: Some(kubeconfig.path),
        context: kubeconfig.context,
    };
    let agent = Agent::new(settings.check()?).await?;
    shutdown.spawn_service("agent", agent.run(shutdown.token()));
    Ok(())
}
