//! A stand-in for AWS of the test's own: moto (<https://docs.getmoto.org>), a program of Python's.

use std::{
    process::{Command as StdCommand, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

const PROGRAM: &str = "moto_server";
/// Python is slow to start beside other tests.
const START_UP: Duration = Duration::from_secs(60);

/// A running moto; it ends when this is dropped.
pub struct Moto {
    url: String,
    _process: Child,
}

impl Moto {
    /// Why there is none, if it is not installed.
    pub fn missing() -> Option<&'static str> {
        let mut help = StdCommand::new(PROGRAM);
        let started = help.arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
        started.is_err().then_some("no moto_server on PATH: pip install 'moto[server]'")
    }

    /// Starts one on a free port, with nothing in it.
    ///
    /// # Errors
    /// When it does not say where it serves.
    pub async fn start() -> Result<Self> {
        let mut command = Command::new(PROGRAM);
        command.args(["--host", "127.0.0.1", "--port", "0"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().context(PROGRAM)?;
        let mut lines = BufReader::new(process.stderr.take().context("it is piped")?).lines();
        let serving = async {
            while let Some(line) = lines.next_line().await? {
                if let Some((_, url)) = line.split_once("Running on ") {
                    return Ok(url.trim().to_owned());
                }
            }
            anyhow::bail!("{PROGRAM} has ended")
        };
        let url = timeout(START_UP, serving).await.context("it does not say where it serves")??;
        // Read on: a full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { url, _process: process })
    }

    /// Where it serves, for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }
}
