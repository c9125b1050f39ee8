//! The install script, run by `sh` with kubectl against the simulated cluster, whose RBAC is on; the agent that it installs is
//! the real one. Everything is done as a user does it: with the binary, over HTTP, with the demo's kubeconfig.
//!
//! Simulated: kubelets, which run the agent in their process. Where kubectl or a further tool is missing, the tests that need
//! it are reported as ignored, with the reason beside their name.
//!
//! And what the services are installed with: the kustomizations of `k8s/`, and `docker-compose.yml`.

#[path = "../command/started.rs"]
#[expect(dead_code, reason = "the other tests use more of it")]
mod started;

mod aws;
mod client;
mod compose;
mod kustomizations;
mod manifests;
mod objects;
mod pods;
mod scripts;
mod services;
mod site;

use std::process::{Command, ExitCode, Stdio};

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};

use site::Test;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let themes = [
        scripts::TESTS,
        client::TESTS,
        manifests::TESTS,
        aws::TESTS,
        kustomizations::TESTS,
        services::TESTS,
        pods::TESTS,
        compose::TESTS,
    ];
    let trials = themes.into_iter().flatten().map(trial).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(test: &'static Test) -> Trial {
    let trial = Trial::test(test.name, || run(test).map_err(|error| Failed::from(format!("{error:?}"))));
    match test.needs.iter().find(|tool| is_missing(tool)) {
        Some(tool) => trial.with_kind(format!("no {tool} on PATH")).with_ignored_flag(true),
        None => trial,
    }
}

fn is_missing(tool: &str) -> bool {
    Command::new(tool).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err()
}

fn run(test: &Test) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on((test.run)())
}
