//! The optimizer as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use optimizer::Config;
use web::process::{self, Workers};

fn main() -> ExitCode {
    let config = Config::parse();
    process::run(&config.log.clone(), Workers::HalfTheCores, optimizer::run(config))
}
