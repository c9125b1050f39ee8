//! Every service in one process, the simulated cluster alone, and a client of either.

mod addresses;
mod agent_of;
mod banner;
mod cli;
mod client;
mod data_dir;
mod dev_env;
mod drain;
mod installed_agents;
mod run_sim;
mod services;
mod simulated;
mod up;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{CommandFactory, Parser};
use web::process::{self, Workers};

use cli::{Cli, Command};

/// A simulated cluster is millions of small pieces, which the system's allocator takes half of the time to make.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Cli { command, up } = Cli::parse();
    match command.unwrap_or(Command::Up(up)) {
        Command::Up(args) => process::run(&args.log.clone(), Workers::AllCores, up::run(args)),
        Command::Sim(args) => process::run(&args.log.clone(), Workers::AllCores, run_sim::run(args)),
        Command::Client(command) => client::run(command),
        Command::Drain(args) => drain::run(&args),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "kubesage", &mut text);
            // Who reads no further wants no more.
            let _ = io::stdout().lock().write_all(&text);
            ExitCode::SUCCESS
        }
    }
}
