//! A program of the workspace as a process of its own.

use std::{
    ffi::OsStr,
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

const SOON: Duration = Duration::from_secs(20);

/// A running program and what it has written so far. Dropped, it is killed.
pub struct Process {
    child: Child,
    output: Output,
    logs: Output,
    readers: Vec<JoinHandle<()>>,
}

/// One of the program's output streams.
#[derive(Clone)]
struct Output {
    text: Arc<Mutex<String>>,
    grown: watch::Sender<()>,
}

/// Where cargo has put the program: beside the one that runs, or for a test, which lies in `target/*/deps`, above.
///
/// # Errors
/// When it has not been built.
pub fn program(name: &str) -> Result<PathBuf> {
    let running = std::env::current_exe()?;
    let places = running.ancestors().skip(1).take(2).map(|directory| directory.join(name));
    let found = places.into_iter().find(|path| path.is_file());
    found.with_context(|| format!("{name} is not built: run `cargo build --workspace` first"))
}

impl Process {
    /// Starts a program of the workspace with these arguments and variables, and no others but `PATH`.
    ///
    /// # Errors
    /// When it is not built or cannot be started.
    pub fn start<A, V>(name: &str, arguments: A, variables: V) -> Result<Self>
    where
        A: IntoIterator<Item: AsRef<OsStr>>,
        V: IntoIterator<Item = (&'static str, String)>,
    {
        let mut command = Command::new(program(name)?);
        command.args(arguments).env_clear().envs(variables);
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let (output, logs) = (Output::new(), Output::new());
        let stdout = child.stdout.take().context("standard output is piped")?;
        let stderr = child.stderr.take().context("standard error is piped")?;
        let readers =
            vec![tokio::spawn(output.clone().read(stdout)), tokio::spawn(logs.clone().read(stderr))];
        Ok(Self { child, output, logs, readers })
    }

    /// Waits until the program logs where it serves. It must log as JSON.
    ///
    /// # Errors
    /// When it does not within 20 seconds; the error holds its log.
    pub async fn address(&self) -> Result<SocketAddr> {
        self.logs.wait_for("the address that it serves on", serving_address).await
    }

    /// Waits until standard output holds what `find` looks for.
    ///
    /// # Errors
    /// When it does not within 20 seconds; the error holds the output.
    pub async fn output_with<T>(&self, find: impl Fn(&str) -> Option<T>) -> Result<T> {
        self.output.wait_for("something in its output", find).await.with_context(|| self.log())
    }

    /// Waits until the log holds this text.
    ///
    /// # Errors
    /// When it does not within 20 seconds; the error holds the log.
    pub async fn logged(&self, text: &str) -> Result<()> {
        self.logs.wait_for(text, |log| log.contains(text).then_some(())).await
    }

    /// What it has written to standard output so far.
    pub fn output(&self) -> String {
        self.output.lock().clone()
    }

    /// What it has written to standard error so far.
    pub fn log(&self) -> String {
        self.logs.lock().clone()
    }

    /// Asks it to stop, as an orchestrator does.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn terminate(&self) -> Result<()> {
        self.signal("TERM").await
    }

    /// Stops it where it is, as a machine does that is out of breath: its connections stay open and nothing moves.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn freeze(&self) -> Result<()> {
        self.signal("STOP").await
    }

    /// Lets it go on after [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn thaw(&self) -> Result<()> {
        self.signal("CONT").await
    }

    async fn signal(&self, name: &str) -> Result<()> {
        let id = self.child.id().context("the process has ended")?;
        let status = Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status().await?;
        ensure!(status.success(), "kill failed");
        Ok(())
    }

    /// Kills it without a word (SIGKILL) and waits for its end.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Waits for its end and for the last of its output.
    ///
    /// # Errors
    /// When it does not end within 40 seconds; the error holds its log.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let ended = timeout(SOON * 2, self.child.wait()).await;
        let status = ended.with_context(|| format!("it does not end; its log:\n{}", self.log()))??;
        for reader in self.readers.drain(..) {
            reader.await?;
        }
        Ok(status)
    }
}

impl Output {
    fn new() -> Self {
        Self { text: Arc::default(), grown: watch::Sender::new(()) }
    }

    async fn read(self, stream: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut text = self.lock();
            text.push_str(&line);
            text.push('\n');
            drop(text);
            self.grown.send_replace(());
        }
    }

    async fn wait_for<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> Result<T> {
        let mut grown = self.grown.subscribe();
        let found = timeout(SOON, async {
            loop {
                grown.mark_unchanged();
                if let Some(found) = find(&self.lock()) {
                    return found;
                }
                // The sender lives as long as this.
                let _ = grown.changed().await;
            }
        });
        found.await.with_context(|| format!("waited for {what}; so far:\n{}", self.lock()))
    }

    /// No code panics while it holds the lock, so a poisoned one is still good.
    fn lock(&self) -> MutexGuard<'_, String> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serving_address(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains("\"message\":\"serving\""))?;
    let (_, rest) = line.split_once("\"address\":\"")?;
    rest.split('"').next()?.parse().ok()
}
