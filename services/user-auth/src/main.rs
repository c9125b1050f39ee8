//! The user-auth service as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use user_auth::Config;

fn main() -> ExitCode {
    let config = Config::parse();
    web::process::run(&config.log.clone(), user_auth::run(config))
}
