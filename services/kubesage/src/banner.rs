//! What a person sees when the process is up.

use std::{
    fmt,
    io::{self, Write},
    path::PathBuf,
};

use contracts::Token;
use secrecy::ExposeSecret;
use url::Url;

/// How to use the running process.
pub(crate) struct Banner<'a> {
    pub(crate) url: &'a Url,
    pub(crate) api_key: &'a Token,
    pub(crate) agent_id: &'a str,
    pub(crate) cluster: ClusterKind,
    /// Whether the agent has connected.
    pub(crate) connected: bool,
    pub(crate) dev_env: PathBuf,
}

/// What the agent runs on.
pub(crate) enum ClusterKind {
    Simulated { kubeconfig: PathBuf },
    Real { name: String },
}

/// Writes to standard output; a closed pipe is an error to be reported.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.as_str().trim_end_matches('/');
        let key = self.api_key.secret().expose_secret();
        writeln!(f, "Kubesage is up: {url}\n")?;
        writeln!(f, "  API key     {key}")?;
        writeln!(f, "  agent id    {}", self.agent_id)?;
        match &self.cluster {
            ClusterKind::Simulated { kubeconfig } => {
                writeln!(f, "  cluster     simulated, with the kubeconfig {}", kubeconfig.display())?;
            }
            ClusterKind::Real { name } => writeln!(f, "  cluster     {name}")?,
        }
        writeln!(f, "  API page    {url}/docs")?;
        writeln!(f, "  for shells  . {}\n", self.dev_env.display())?;
        if !self.connected {
            writeln!(f, "The agent has not connected yet; its log says why.\n")?;
        }
        writeln!(f, "Ask the cluster for its namespaces:\n")?;
        writeln!(
            f,
            "  curl -H 'X-API-Key: {key}' '{url}/api/v3.0/cluster/namespaces?agent_id={}'\n",
            self.agent_id
        )?;
        writeln!(f, "Stop it with Ctrl-C.")
    }
}
