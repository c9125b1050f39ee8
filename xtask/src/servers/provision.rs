//! Bringing up a server where none answers.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, ensure};

use super::{OwnUser, Server};
use crate::command::{command, run, succeeds};

/// Brings a server up, waits until it answers and returns its URL.
type BringUp = fn(&Server) -> anyhow::Result<String>;

/// The ways, by name, in the order in which they are tried.
pub(super) const WAYS: [(&str, BringUp); 2] = [("Docker Compose", compose), ("Debian's packages", debian)];

/// How long a server that was just started may take until it answers.
const START_UP: Duration = Duration::from_secs(60);

/// Ports of its own, so that nothing else that runs here is in the way.
fn compose(server: &Server) -> anyhow::Result<String> {
    ensure!(succeeds(&mut command("docker", &["compose", "version"])), "not installed");
    ensure!(succeeds(&mut command("docker", &["info"])), "the Docker daemon does not answer");
    let (service, url) = (server.compose.service, server.compose.url);
    let up = ["compose", "--file", "xtask/compose.yml", "up", "--detach", "--wait", service];
    run(&mut command("docker", &up))?;
    wait(|| server.answers(url).map(|()| url.to_owned()))
}

fn debian(server: &Server) -> anyhow::Result<String> {
    ensure!(Path::new("/etc/debian_version").exists(), "this is neither Debian nor Ubuntu");
    ensure!(is_root()?, "only root can install and start them");
    let package = server.debian.package;
    if !succeeds(&mut command("dpkg", &["--status", package])) {
        let apt_get =
            |arguments: &[&str]| run(command("apt-get", arguments).env("DEBIAN_FRONTEND", "noninteractive"));
        apt_get(&["update", "--quiet"])?;
        apt_get(&["install", "--quiet", "--yes", "--no-install-recommends", package])?;
    }
    run(&mut command("service", &[server.debian.service, "start"]))?;

    wait(|| match (server.find(), &server.debian.own_user) {
        (Ok(url), _) => Ok(url),
        (Err(_), Some(user)) => as_own_user(server, user),
        (Err(problems), None) => Err(anyhow!(problems)),
    })
}

/// The server's URL for a user that is made for the tests.
fn as_own_user(server: &Server, user: &OwnUser) -> anyhow::Result<String> {
    ensure!(succeeds(&mut command("runuser", user.make)), "cannot make a user for the tests");
    server.answers(user.url)?;
    Ok(user.url.to_owned())
}

/// Asks again and again for a while.
fn wait(ask: impl Fn() -> anyhow::Result<String>) -> anyhow::Result<String> {
    let deadline = Instant::now() + START_UP;
    loop {
        match ask() {
            Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(250)),
            outcome => return outcome.context("it was started, but does not answer"),
        }
    }
}

/// By the owner of this process, as the kernel tells it.
fn is_root() -> anyhow::Result<bool> {
    Ok(fs::metadata("/proc/self").context("no /proc")?.uid() == 0)
}
