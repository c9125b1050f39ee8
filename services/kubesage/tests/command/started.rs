//! A running `kubesage up` and what it has told.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::Process;

/// A running all-in-one process whose agent is connected.
pub(crate) struct Started {
    pub(crate) process: Process,
    /// What `dev.env` says.
    pub(crate) env: BTreeMap<String, String>,
}

impl Started {
    /// Starts on a free port with its data in `directory`, and waits for what it prints last.
    pub(crate) async fn new(directory: &Path, more: &[&str]) -> Result<Self> {
        Self::with(directory, more, &[]).await
    }

    /// The same with further variables.
    pub(crate) async fn with(
        directory: &Path,
        more: &[&str],
        variables: &[(&'static str, &str)],
    ) -> Result<Self> {
        let data_dir = directory.display().to_string();
        let arguments = [&["up", "--port", "0", "--data-dir", &data_dir], more].concat();
        let variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let variables = variables.chain([("LOG_FORMAT", "json".to_owned())]);
        let process = Process::start("kubesage", arguments, variables)?;
        process.output_with(|output| output.contains("Stop it with Ctrl-C").then_some(())).await?;
        let text = std::fs::read_to_string(directory.join("dev.env"))?;
        let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let env = text.lines().map(pair).collect::<Option<_>>().context("dev.env has lines NAME=value")?;
        Ok(Self { process, env })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.env["KUBESAGE_URL"])
    }

    /// What the agent answers.
    pub(crate) async fn namespaces(&self) -> Result<Value> {
        let path = format!("/api/v3.0/cluster/namespaces?agent_id={}", self.env["KUBESAGE_AGENT_ID"]);
        get(&self.url(&path), &self.env["KUBESAGE_API_KEY"]).await
    }

    /// Stops it and checks that it ends well.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.process.terminate().await?;
        let status = self.process.wait().await?;
        anyhow::ensure!(status.success(), "{status}:\n{}", self.process.log());
        Ok(())
    }
}

pub(crate) fn client() -> reqwest::Client {
    // Reqwest takes the process's provider; a test that ran before has set it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// The JSON of a successful answer.
pub(crate) async fn get(url: &str, api_key: &str) -> Result<Value> {
    let response = client().get(url).header("X-API-Key", api_key).send().await?;
    let status = response.status();
    let body = response.text().await?;
    anyhow::ensure!(status.is_success(), "{status}: {body}");
    Ok(serde_json::from_str(&body)?)
}
