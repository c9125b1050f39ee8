//! A program of the workspace as a process of its own, which can be started again.
//!
//! Its log goes to a file, as it does in production: held in this process's memory it would cost what is measured.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result};
use testkit::eventually_within;
use tokio::process::{Child, Command};

/// A program that has not begun to serve by then will not.
const SOON: Duration = Duration::from_secs(30);

/// A running program. Dropped, it is killed.
pub(crate) struct Program {
    name: &'static str,
    command: Command,
    child: Child,
    log: PathBuf,
    /// Where the log of this start begins.
    from: u64,
}

impl Program {
    /// Starts it with these arguments and variables, and no others but `PATH`.
    pub(crate) fn start(
        name: &'static str,
        directory: &Path,
        arguments: &[&str],
        variables: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self> {
        Self::start_by(Command::new(testkit::program(name)?), name, directory, arguments, variables)
    }

    /// The same for one that stands for another machine: it gives way to the others (`nice`).
    pub(crate) fn start_behind(
        name: &'static str,
        directory: &Path,
        arguments: &[&str],
        variables: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self> {
        let mut nice = Command::new("nice");
        nice.arg(testkit::program(name)?);
        Self::start_by(nice, name, directory, arguments, variables)
    }

    fn start_by(
        mut command: Command,
        name: &'static str,
        directory: &Path,
        arguments: &[&str],
        variables: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self> {
        command.args(arguments).env_clear().envs(variables);
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let log = directory.join(format!("{name}-{}.log", uuid::Uuid::new_v4().simple()));
        let (child, from) = spawn(&mut command, &log)?;
        Ok(Self { name, command, child, log, from })
    }

    /// Starts it again, where it has ended. From now on it has this variable too.
    pub(crate) fn restart(&mut self, variable: (&'static str, String)) -> Result<()> {
        self.command.env(variable.0, variable.1);
        (self.child, self.from) = spawn(&mut self.command, &self.log)?;
        Ok(())
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.id().with_context(|| format!("{} has ended", self.name))
    }

    /// Waits until it logs where it serves.
    pub(crate) async fn address(&self) -> Result<SocketAddr> {
        let serving =
            eventually_within(SOON, "the address of a program", async || serving_address(&self.log().ok()?));
        serving.await.with_context(|| format!("{}; its log:\n{}", self.name, self.log().unwrap_or_default()))
    }

    /// What it has logged since it was started.
    pub(crate) fn log(&self) -> Result<String> {
        let mut file = File::open(&self.log)?;
        file.seek(SeekFrom::Start(self.from))?;
        let mut text = String::new();
        // The first mebibyte says what went wrong; a whole log may be large.
        file.take(1 << 20).read_to_string(&mut text)?;
        Ok(text)
    }

    /// Kills it without a word (SIGKILL) and waits for its end.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

fn spawn(command: &mut Command, log: &Path) -> Result<(Child, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(log)?;
    let from = file.metadata()?.len();
    let child = command.stderr(file).spawn().context("a program cannot be started")?;
    Ok((child, from))
}

fn serving_address(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains("\"message\":\"serving\""))?;
    let (_, rest) = line.split_once("\"address\":\"")?;
    rest.split('"').next()?.parse().ok()
}
