//! Measurements, of optimised programs.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::command;

/// What can be measured.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Bench {
    /// The simulated cluster at 500 nodes and 10,000 pods: seeding, listing, watching
    Sim,
    /// How fast a query is, beside raw request/reply over the same broker
    Relay,
    /// What 10,000 idle agent sessions cost
    Sessions,
    /// Answers of 1 KiB to 32 MiB, and a small query beside them
    Payload,
    /// What a session that does harm costs the others
    Neighbours,
    /// Replicas: one that is killed under load, and all agents dropped at once
    Replicas,
    /// Copies of one node, drained by `kubesage drain` and by `kubectl drain`: what each takes, and whether they end alike
    Drain,
    /// `relay`, `sessions`, `payload` and `neighbours`, one after the other
    All,
}

/// Measures. `more` is for the benchmark itself.
///
/// # Errors
/// When something cannot be built, or the benchmark fails.
pub(crate) fn run(what: Bench, more: &[String]) -> anyhow::Result<()> {
    let what = match what {
        Bench::Sim => {
            ensure!(more.is_empty(), "the benchmark of the simulated cluster takes no flags");
            return command::run(&mut command::cargo(&["bench", "--package", "sim", "--bench", "sim"]));
        }
        Bench::Relay => "relay",
        Bench::Sessions => "sessions",
        Bench::Payload => "payload",
        Bench::Neighbours => "neighbours",
        Bench::Replicas => "replicas",
        Bench::Drain => "drain",
        Bench::All => "all",
    };
    system(what, more)
}

/// Builds every program, and runs the one that puts the others under load.
///
/// # Errors
/// When something cannot be built, or the program fails.
pub(crate) fn system(what: &str, more: &[String]) -> anyhow::Result<()> {
    // One form for all programs: with another choice of packages, dependencies would be built anew with other features. The optimizer
    // as a process of its own would need the SDK of EC2, which alone takes minutes, and is not measured.
    let all = ["build", "--release", "--workspace", "--exclude", "optimizer", "--bins"];
    command::run(&mut command::cargo(&all))?;
    let mut arguments = vec![what];
    arguments.extend(more.iter().map(String::as_str));
    command::run(&mut command::command(target_directory()?.join("release/bench"), &arguments))
}

fn target_directory() -> anyhow::Result<PathBuf> {
    let output = command::cargo(&["metadata", "--format-version", "1", "--no-deps"]).output()?;
    ensure!(output.status.success(), "cargo metadata fails: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    Ok(metadata["target_directory"].as_str().context("cargo does not say where it builds")?.into())
}
