//! The cluster service as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use cluster::Config;

fn main() -> ExitCode {
    let config = Config::parse();
    web::process::run(&config.log.clone(), cluster::run(config))
}
