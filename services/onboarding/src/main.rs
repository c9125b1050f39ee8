//! The onboarding service as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use onboarding::Config;

fn main() -> ExitCode {
    let config = Config::parse();
    web::process::run(&config.log.clone(), onboarding::run(config))
}
