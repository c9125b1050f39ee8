//! The process of simulated agents, from outside.

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::{Told, bad::Harm};
use crate::{system::Credentials, usage::Watched};

/// A few hundred agents connect in a second.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) struct Agents {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    expected: usize,
}

impl Agents {
    /// Starts it, with agents that may do harm, and waits until all are connected.
    pub(crate) async fn start(
        directory: &Path,
        onboarding: SocketAddr,
        credentials: &[Credentials],
        harm: Option<Harm>,
    ) -> Result<(Self, Told)> {
        let file = directory.join(format!("{}.agents", uuid::Uuid::new_v4().simple()));
        std::fs::write(&file, serde_json::to_vec(credentials)?)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["agents", "--onboarding", &onboarding.to_string(), "--file"]).arg(&file);
        if let Some(value) = harm.and_then(|harm| harm.to_possible_value()) {
            command.args(["--harm", value.get_name()]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let lines = BufReader::new(child.stdout.take().context("standard output is piped")?).lines();
        let mut agents = Self { child, lines, expected: credentials.len() };
        let told = agents.told().await?;
        Ok((agents, told))
    }

    pub(crate) fn watched(&self) -> Result<Watched> {
        Ok(Watched::new("agents", self.child.id().context("the agents have ended")?))
    }

    /// Ends it. All sessions must still have been open.
    pub(crate) async fn end(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        self.told().await?;
        Ok(())
    }

    async fn told(&mut self) -> Result<Told> {
        let line = timeout(PATIENCE, self.lines.next_line()).await.context("the agents say nothing")??;
        let told: Told = serde_json::from_str(&line.context("the agents' process has failed")?)?;
        ensure!(told.open == self.expected, "{} of {} sessions are open: {told:?}", told.open, self.expected);
        Ok(told)
    }
}
