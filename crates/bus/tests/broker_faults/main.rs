//! What the bus does while harm is done to RabbitMQ itself. Each test has a node of its own for that (`testkit::OwnBroker`).
//!
//! Where no RabbitMQ is installed every test is reported as ignored, with the reason beside its name.

mod alarm;
mod away;
mod channels;
mod leaks;
mod load;
mod parts;
mod queues;
mod world;

use std::{pin::Pin, process::ExitCode};

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use testkit::OwnBroker;

use self::world::World;

type Running = Pin<Box<dyn Future<Output = Result<()>>>>;

/// A test by its name.
struct Test {
    name: &'static str,
    run: fn(World) -> Running,
}

/// Names the tests of a module.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TESTS: &[crate::Test] = &[
            $(crate::Test { name: stringify!($name), run: |world| Box::pin($name(world)) }),*
        ];
    };
}
pub(crate) use tests;

/// A node takes its time and memory: no more of them at once, whatever the machine.
const AT_ONCE: usize = 2;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(AT_ONCE).min(AT_ONCE));
    let missing = OwnBroker::missing();
    let all = [alarm::TESTS, away::TESTS, channels::TESTS, leaks::TESTS, parts::TESTS, queues::TESTS];
    let trials = all.into_iter().flatten().map(|test| trial(test, missing)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(test: &'static Test, missing: Option<&str>) -> Trial {
    let trial = Trial::test(test.name, || run(test).map_err(|error| Failed::from(format!("{error:#}"))));
    match missing {
        Some(what) => trial.with_kind(what).with_ignored_flag(true),
        None => trial,
    }
}

fn run(test: &Test) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async { (test.run)(World::start().await?).await })
}
