//! How the tests run kubectl and read what it says.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sim::{Delays, Options, Seed};
use tempfile::TempDir;
use testkit::Cluster;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// No command may take longer.
const LONGEST: Duration = Duration::from_secs(90);

/// The image of the pods of the tests: it does nothing, and every cluster has it.
pub(crate) const IMAGE: &str = "registry.k8s.io/pause:3.10";

/// A test under way.
pub(crate) type Running = Pin<Box<dyn Future<Output = Result<()>>>>;

/// One test.
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) on: Where,
    pub(crate) run: fn(Kubectl) -> Running,
}

/// On which clusters a test can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    /// The simulator, or the real cluster that `KUBESAGE_TEST_KUBECONFIG` names.
    AnyCluster,
    /// Only the simulator: a real cluster of stand-in nodes cannot do it.
    Simulator,
}

/// The tests of a file, named after it and their functions.
macro_rules! tests {
    ($theme:literal on $on:ident: $($name:ident,)*) => {
        pub(crate) const TESTS: &[$crate::common::Test] = &[$($crate::common::Test {
            name: concat!($theme, "::", stringify!($name)),
            on: $crate::common::Where::$on,
            run: |kubectl| Box::pin($name(kubectl)),
        },)*];
    };
}
pub(crate) use tests;

/// kubectl with a cluster, a namespace and a home directory of its own.
pub(crate) struct Kubectl {
    pub(crate) cluster: Cluster,
    home: TempDir,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

fn options() -> Options {
    Options { seed: Seed::Sized { nodes: 3, pods: 0 }, delays: Delays::none(), ..Options::default() }
}

impl Kubectl {
    pub(crate) async fn on_any_cluster() -> Result<Kubectl> {
        Ok(Kubectl { cluster: Cluster::simulated_or_real(options()).await?, home: TempDir::new()? })
    }

    pub(crate) async fn on_the_simulator() -> Result<Kubectl> {
        Ok(Kubectl { cluster: Cluster::simulated(options()).await?, home: TempDir::new()? })
    }

    pub(crate) fn namespace(&self) -> &str {
        self.cluster.namespace()
    }

    /// A file in kubectl's home directory.
    pub(crate) fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.home.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.cluster.kubeconfig())
            // No preferences of whoever runs the tests.
            .env("KUBERC", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs a command, however it ends, with this text as its input.
    pub(crate) async fn say_with(&self, arguments: &[&str], input: &str) -> Result<Said> {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("it has an input")?;
        let written = async {
            // A command that does not read its input may be gone before it is written.
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
        };
        let ended = timeout(LONGEST, async { tokio::join!(written, child.wait_with_output()).1 }).await;
        let output = ended.with_context(|| format!("kubectl {} does not end", arguments.join(" ")))??;
        Ok(Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a command, however it ends.
    pub(crate) async fn say(&self, arguments: &[&str]) -> Result<Said> {
        self.say_with(arguments, "").await
    }

    /// What a command says that must succeed.
    pub(crate) async fn ok(&self, arguments: &[&str]) -> Result<String> {
        self.ok_with(arguments, "").await
    }

    /// What a command says that must succeed, with this text as its input.
    pub(crate) async fn ok_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let said = self.say_with(arguments, input).await?;
        ensure!(
            said.code == 0,
            "kubectl {} ended with {}:\n{}{}",
            arguments.join(" "),
            said.code,
            said.out,
            said.err
        );
        Ok(said.out)
    }

    /// The errors of a command that must fail.
    pub(crate) async fn fails(&self, arguments: &[&str]) -> Result<String> {
        self.fails_with(arguments, "").await
    }

    /// The errors of a command that must fail, with this text as its input.
    pub(crate) async fn fails_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let said = self.say_with(arguments, input).await?;
        ensure!(said.code != 0, "kubectl {} did not fail:\n{}", arguments.join(" "), said.out);
        Ok(said.err)
    }

    /// `kubectl apply` of these documents.
    pub(crate) async fn apply(&self, documents: &str) -> Result<String> {
        self.ok_with(&["apply", "-f", "-"], documents).await
    }

    /// An object as JSON.
    pub(crate) async fn object(&self, resource: &str, name: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.ok(&["get", resource, name, "-o", "json"]).await?)?)
    }

    /// The table of a command.
    pub(crate) async fn table(&self, arguments: &[&str]) -> Result<Table> {
        Table::read(&self.ok(arguments).await?)
    }

    /// A deployment whose pods are ready.
    pub(crate) async fn deployment(&self, name: &str, replicas: u32) -> Result<()> {
        self.apply(&deployment(name, replicas)).await?;
        self.ok(&["rollout", "status", "deployment", name, "--timeout=30s"]).await?;
        Ok(())
    }

    /// A pod of its own that is ready.
    pub(crate) async fn pod(&self, name: &str) -> Result<()> {
        let image = format!("--image={IMAGE}");
        self.ok(&["run", name, &image, "--labels", &format!("app={name}")]).await?;
        self.ok(&["wait", "--for=condition=Ready", "pod", name, "--timeout=30s"]).await?;
        Ok(())
    }

    /// Starts a command that goes on.
    pub(crate) fn follow(&self, arguments: &[&str]) -> Result<Following> {
        let mut child = self.command(arguments).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("it has an output")?).lines();
        Ok(Following { lines, _child: child })
    }
}

/// A command that goes on until this is dropped.
pub(crate) struct Following {
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Following {
    /// Waits for the next line that holds a text.
    pub(crate) async fn until(&mut self, text: &str) -> Result<String> {
        let found = timeout(LONGEST, async {
            while let Some(line) = self.lines.next_line().await? {
                if line.contains(text) {
                    return Ok(line);
                }
            }
            bail!("it ended before it said {text:?}")
        });
        found.await.with_context(|| format!("it does not say {text:?}"))?
    }
}

/// A manifest of a deployment.
pub(crate) fn deployment(name: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  labels: {{app: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata:
      labels: {{app: {name}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: {IMAGE}
        resources: {{requests: {{cpu: 10m, memory: 16Mi}}}}
"
    )
}

/// What `kubectl get` prints for people: columns with cells below them.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    /// Columns are at least three blanks apart, and every cell begins where its column does.
    fn read(text: &str) -> Result<Table> {
        let mut lines = text.lines();
        let header = lines.next().with_context(|| format!("no table: {text:?}"))?;
        let mut starts: Vec<usize> = vec![0];
        for (index, _) in header.match_indices("   ") {
            let next = header[index..].find(|letter| letter != ' ').map(|offset| index + offset);
            starts.extend(next.filter(|next| starts.last() != Some(next)));
        }
        let cells = |line: &str| -> Vec<String> {
            let ends = starts.iter().skip(1).map(|end| (*end).min(line.len())).chain([line.len()]);
            let starts = starts.iter().map(|start| (*start).min(line.len()));
            starts
                .zip(ends)
                .map(|(start, end)| line.get(start..end).unwrap_or_default().trim().to_owned())
                .collect()
        };
        Ok(Table { columns: cells(header), rows: lines.map(cells).collect() })
    }

    /// The cells of a column.
    pub(crate) fn column(&self, name: &str) -> Result<Vec<&str>> {
        let index = self.columns.iter().position(|column| column == name);
        let index = index.with_context(|| format!("no column {name} in {:?}", self.columns))?;
        Ok(self.rows.iter().map(|row| row[index].as_str()).collect())
    }

    /// The one cell of a column in a table with one row.
    pub(crate) fn cell(&self, name: &str) -> Result<&str> {
        ensure!(self.rows.len() == 1, "not one row: {:?}", self.rows);
        Ok(self.column(name)?[0])
    }
}

/// Fails where a text lacks one of these words.
pub(crate) fn has(text: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(text.contains(word), "no {word:?} in:\n{text}");
    }
    Ok(())
}
