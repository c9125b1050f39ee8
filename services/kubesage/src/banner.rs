//! What a person sees when the process is up.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use contracts::Token;
use secrecy::ExposeSecret;
use url::Url;

/// How to use the running process.
pub(crate) struct Banner {
    pub(crate) url: Url,
    pub(crate) api_key: Token,
    pub(crate) agent_id: String,
    pub(crate) cluster: ClusterKind,
    pub(crate) dev_env: PathBuf,
}

/// What the agent runs on.
pub(crate) enum ClusterKind {
    Simulated { kubeconfig: PathBuf, account_id: Option<String> },
    Real { name: String },
}

/// Writes to standard output; a closed pipe is an error to be reported.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

impl Banner {
    /// The text for a person.
    pub(crate) fn text(&self, connected: bool) -> String {
        let url = self.url.as_str().trim_end_matches('/');
        let key = self.api_key.secret().expose_secret();
        let agent_id = &self.agent_id;
        let cluster = match &self.cluster {
            ClusterKind::Simulated { kubeconfig, .. } => {
                format!("simulated, with the kubeconfig {}", kubeconfig.display())
            }
            ClusterKind::Real { name } => name.clone(),
        };
        let account = match &self.cluster {
            ClusterKind::Simulated { account_id: Some(id), .. } => {
                format!("  account     simulated, {id}\n")
            }
            _ => String::new(),
        };
        let dev_env = self.dev_env.display();
        let trouble = if connected { "" } else { "The agent has not connected yet; its log says why.\n\n" };
        format!(
            "Kubesage is up: {url}

  API key     {key}
  agent id    {agent_id}
  cluster     {cluster}
{account}  API page    {url}/docs
  for shells  . {dev_env}

{trouble}Ask the cluster for its namespaces:

  curl -H 'X-API-Key: {key}' '{url}/api/v3.0/cluster/namespaces?agent_id={agent_id}'

Stop it with Ctrl-C.
"
        )
    }
}
