//! The all-in-one on its in-process bus.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, Result};

use super::{Load, below, expected};
use crate::{
    measure::{Measured, Timeline},
    program::Program,
    system::{self, serving},
    usage::Watched,
};

pub(super) struct AllInOne {
    address: SocketAddr,
    path: String,
    api_key: String,
    watched: Vec<Watched>,
    _program: Program,
}

impl AllInOne {
    /// Starts it on the cluster of this kubeconfig, and waits until its agent answers.
    pub(super) async fn start(directory: &Path, kubeconfig: &Path) -> Result<Self> {
        let data = below(directory, "all-in-one")?;
        let kubeconfig = kubeconfig.to_str().context("not a plain path")?;
        let own = [
            ("BUS_URL", "memory:".to_owned()),
            ("DATA_DIR", data.display().to_string()),
            ("RATE_LIMIT_ENABLED", "false".to_owned()),
            ("SHARE_ANSWERS", "false".to_owned()),
        ];
        let arguments = ["up", "--kubeconfig", kubeconfig];
        let program = Program::start("kubesage", directory, &arguments, serving().into_iter().chain(own))?;
        let address = program.address().await?;
        let written = std::fs::read_to_string(data.join("dev.env"))?;
        let value = |name: &str| {
            let mut lines = written.lines().filter_map(|line| line.split_once('='));
            lines.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).context(name.to_owned())
        };
        let api_key = value("KUBESAGE_API_KEY")?;
        let path = format!("/api/v3.0/cluster/namespaces?agent_id={}", value("KUBESAGE_AGENT_ID")?);
        system::answers(address, &path, &api_key, &expected()).await?;
        let watched = vec![Watched::new("all-in-one", program.pid()?)];
        Ok(Self { address, path, api_key, watched, _program: program })
    }

    pub(super) async fn measure(&self, connections: usize, timeline: Timeline) -> Result<Measured> {
        let load = Load { address: self.address.to_string(), path: &self.path, api_key: &self.api_key };
        load.measure(connections, timeline, &self.watched).await
    }
}
