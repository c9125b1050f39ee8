//! kubectl on a cluster: each command that people use, by what it says and by what it does.
//!
//! kubectl is the one on `PATH`. Where it is missing every test is reported as ignored, with the reason beside its name.

mod apply;
mod auth;
mod common;
mod create;
mod delete;
mod describe;
mod discovery;
mod errors;
mod get;
mod logs;
mod nodes;
mod patch;
mod rollout;

use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};

use self::common::{Kubectl, Test, Where};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let missing = Command::new("kubectl")
        .args(["version", "--client"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_err();
    let themes = [
        apply::TESTS,
        auth::TESTS,
        create::TESTS,
        delete::TESTS,
        describe::TESTS,
        discovery::TESTS,
        errors::TESTS,
        get::TESTS,
        logs::TESTS,
        nodes::TESTS,
        patch::TESTS,
        rollout::TESTS,
    ];
    let trials = themes.into_iter().flatten().map(|test| trial(test, missing)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(test: &'static Test, missing: bool) -> Trial {
    let trial = Trial::test(test.name, || run(test).map_err(|error| Failed::from(format!("{error:?}"))));
    if missing { trial.with_kind("no kubectl on PATH").with_ignored_flag(true) } else { trial }
}

fn run(test: &Test) -> anyhow::Result<()> {
    // The fixture removes what it made from a real cluster while the test's own thread waits.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let kubectl = match test.on {
            Where::AnyCluster => Kubectl::on_any_cluster().await?,
            Where::Simulator => Kubectl::on_the_simulator().await?,
        };
        (test.run)(kubectl).await
    })
}
