//! `cargo xtask test`: everything that must hold before a change is merged.

use std::{
    ffi::OsString,
    process::Command,
    time::{Duration, Instant},
};

use clap::ValueEnum;

use crate::{
    command::{cargo, run as run_command, succeeds},
    schemas,
    servers::{self, Urls},
    tools,
};

/// A step, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// The code is formatted
    Format,
    /// Clippy has nothing to say
    Lint,
    /// proto-schemas/ is what the code says
    Schemas,
    /// Every unit and integration test passes
    Tests,
    /// Every example in the documentation works
    Doctests,
    /// Licences, advisories and sources of the dependencies are acceptable
    Dependencies,
}

/// What tests find, and which are run.
#[derive(Default)]
struct Surroundings {
    urls: Urls,
    path: Option<OsString>,
    /// Also those that take minutes.
    slow: bool,
}

impl Surroundings {
    fn given_to(&self, mut command: Command) -> Command {
        command.envs(&self.urls).envs(self.path.iter().map(|path| ("PATH", path)));
        command
    }
}

/// How a step ended.
enum Outcome {
    Passed,
    Skipped(&'static str),
}

/// Runs the steps that are asked for, or all; the first that fails ends the run.
///
/// # Errors
/// Names the step that failed.
pub(crate) fn run(only: &[Step], slow: bool) -> anyhow::Result<()> {
    let started = Instant::now();
    let steps = Step::value_variants().iter().copied();
    let steps: Vec<Step> = steps.filter(|step| only.is_empty() || only.contains(step)).collect();

    // First, so that a missing server is known before minutes of compiling.
    let surroundings = if steps.iter().any(|step| step.needs_servers()) {
        println!("=== servers and tools ===");
        Surroundings { urls: servers::ensure()?, path: Some(tools::ensure_all()), slow }
    } else {
        Surroundings::default()
    };

    let mut summary = Vec::new();
    let mut failed = None;
    for step in steps {
        println!("\n=== {} ===", step.name());
        let begun = Instant::now();
        let result = step.run(&surroundings);
        let took = seconds(begun.elapsed());
        let line = match &result {
            Ok(Outcome::Passed) => format!("passed  {took}"),
            Ok(Outcome::Skipped(why)) => format!("SKIPPED {why}"),
            Err(_) => format!("FAILED  {took}"),
        };
        summary.push(format!("{:<13} {line}", step.name()));
        if let Err(error) = result {
            failed = Some((step, error));
            break;
        }
    }

    println!("\n=== summary ({}) ===", seconds(started.elapsed()).trim());
    println!("{}", summary.join("\n"));
    match failed {
        Some((step, error)) => Err(error.context(format!("step {} failed", step.name()))),
        None => Ok(()),
    }
}

impl Step {
    /// The step as it is given to `--only`.
    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn needs_servers(self) -> bool {
        matches!(self, Self::Tests | Self::Doctests)
    }

    fn run(self, surroundings: &Surroundings) -> anyhow::Result<Outcome> {
        match self {
            Self::Format => run_command(&mut cargo(&["fmt", "--all", "--check"]))?,
            Self::Lint => {
                run_command(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny=warnings"]))?
            }
            Self::Schemas => schemas::check(&schemas::directory())?,
            Self::Tests => run_command(&mut surroundings.given_to(tests(surroundings.slow)))?,
            Self::Doctests => {
                run_command(&mut surroundings.given_to(cargo(&["test", "--workspace", "--doc"])))?;
            }
            Self::Dependencies => {
                if !succeeds(&mut cargo(&["deny", "--version"])) {
                    return Ok(Outcome::Skipped("no cargo-deny: cargo install cargo-deny --locked"));
                }
                run_command(&mut cargo(&["deny", "check"]))?;
            }
        }
        Ok(Outcome::Passed)
    }
}

/// By cargo-nextest, which runs all tests of all crates at once, where it is installed.
fn tests(slow: bool) -> Command {
    if succeeds(&mut cargo(&["nextest", "--version"])) {
        let mut nextest =
            cargo(&["nextest", "run", "--workspace", "--no-fail-fast", "--status-level", "skip"]);
        if slow {
            // Those whose tools are missing are named so, and are told as skipped.
            nextest.args(["--run-ignored=all", "--filterset", r"not test(/^\[no /)"]);
        }
        nextest
    } else {
        println!("no cargo-nextest (cargo install cargo-nextest --locked): cargo test, which is slower");
        let mut test = cargo(&["test", "--workspace", "--tests", "--no-fail-fast"]);
        if slow {
            test.args(["--", "--include-ignored", "--skip", "[no "]);
        }
        test
    }
}

fn seconds(time: Duration) -> String {
    format!("{:>6.1} s", time.as_secs_f64())
}
