//! A running Kubesage, a cluster, and whoever installs an agent there.

use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    process::{Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::started::{Started, client};

/// A test under way.
pub(crate) type Running = Pin<Box<dyn Future<Output = Result<()>>>>;

/// One test.
pub(crate) struct Test {
    pub(crate) name: &'static str,
    /// Programs that must be there.
    pub(crate) needs: &'static [&'static str],
    pub(crate) run: fn() -> Running,
}

/// The tests of a file, named after their functions.
macro_rules! tests {
    ($($name:ident needs $needs:expr,)*) => {
        pub(crate) const TESTS: &[$crate::site::Test] = &[$($crate::site::Test {
            name: stringify!($name),
            needs: &$needs,
            run: || Box::pin($name()),
        },)*];
    };
}
pub(crate) use tests;

/// A Kubesage with its simulated cluster.
pub(crate) struct Site {
    pub(crate) kubesage: Started,
    pub(crate) directory: TempDir,
}

/// What connecting a cluster answers.
#[derive(Clone, Debug)]
pub(crate) struct Installation {
    pub(crate) cluster_id: String,
    pub(crate) agent_id: String,
    pub(crate) script: String,
}

/// What a script has said, and whether it succeeded.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) succeeded: bool,
    pub(crate) text: String,
}

impl Said {
    pub(crate) fn last_line(&self) -> &str {
        self.text.lines().last().unwrap_or_default()
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = [output.stdout, output.stderr].concat();
        Self { succeeded: output.status.success(), text: String::from_utf8_lossy(&text).into_owned() }
    }
}

impl Site {
    pub(crate) async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with further variables.
    pub(crate) async fn start_with(variables: &[(&'static str, &str)]) -> Result<Self> {
        let directory = TempDir::new()?;
        let more = ["--rate-limit-requests-per-minute", "100000"];
        let kubesage = Started::with(directory.path(), &more, variables).await?;
        Ok(Self { kubesage, directory })
    }

    pub(crate) fn admin(&self) -> PathBuf {
        self.directory.path().join("demo.kubeconfig")
    }

    /// The status and the JSON of an answer to the demo's user.
    pub(crate) async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: &Value,
    ) -> Result<(u16, Value)> {
        let request = client().request(method, self.kubesage.url(path));
        let request = request.header("X-API-Key", &self.kubesage.env["KUBESAGE_API_KEY"]);
        let request = if body.is_null() { request } else { request.json(body) };
        let response = request.send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        let (status, body) = self.call(reqwest::Method::GET, path, &Value::Null).await?;
        ensure!(status == 200, "{path}: {status} {body}");
        Ok(body)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let (status, body) = self.call(reqwest::Method::POST, path, body).await?;
        ensure!((200..300).contains(&status), "{path}: {status} {body}");
        Ok(body)
    }

    /// Makes a cluster.
    pub(crate) async fn cluster(
        &self,
        provider: &str,
        name: &str,
        features: &[&str],
    ) -> Result<Installation> {
        let body = json!({"provider": provider, "cluster_name": name, "features": features});
        let made = self.post("/api/v1/clusters/generate-install-script", &body).await?;
        Installation::read(&made)
    }

    pub(crate) async fn verify(&self, installation: &Installation) -> Result<Value> {
        let path = format!("/api/v1/clusters/{}/verify-connection", installation.cluster_id);
        self.post(&path, &Value::Null).await
    }

    /// What an install script fetches: status and body.
    pub(crate) async fn fetch_manifest(&self, installation: &Installation) -> Result<(u16, String)> {
        let token = installation.token()?;
        let path = format!("/api/v1/install/{}/manifest.yaml?token={token}", installation.agent_id);
        let response = client().get(self.kubesage.url(&path)).send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }
}

impl Installation {
    pub(crate) fn read(made: &Value) -> Result<Self> {
        let text =
            |field: &str| made[field].as_str().map(str::to_owned).context(format!("{field} in {made}"));
        Ok(Self { cluster_id: text("cluster_id")?, agent_id: text("agent_id")?, script: text("script")? })
    }

    pub(crate) fn token(&self) -> Result<&str> {
        let line = self.script.lines().find_map(|line| line.strip_prefix("TOKEN="));
        line.context("the script has a token")
    }
}

/// Runs a script as `… | sh -s -- options` does.
pub(crate) async fn run(script: &str, kubeconfig: &Path, options: &[&str]) -> Result<Said> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-s", "--"]).args(options).env("KUBECONFIG", kubeconfig);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut shell = shell.spawn()?;
    shell.stdin.take().context("a pipe")?.write_all(script.as_bytes()).await?;
    Ok(shell.wait_with_output().await?.into())
}

/// Runs a program with something on its standard input; what it says on its standard output.
pub(crate) async fn output(program: &str, arguments: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().with_context(|| program.to_owned())?;
    child.stdin.take().context("a pipe")?.write_all(input.as_bytes()).await?;
    let output = child.wait_with_output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{program} {arguments:?}: {said}{printed}");
    Ok(printed)
}

/// kubectl as who has this kubeconfig.
pub(crate) async fn kubectl(kubeconfig: &Path, arguments: &[&str], input: &str) -> Result<String> {
    let path = kubeconfig.display().to_string();
    output("kubectl", &[&["--kubeconfig", &path], arguments].concat(), input).await
}
