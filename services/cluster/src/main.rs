//! The cluster service as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use cluster::Config;
use web::process::{self, Workers};

/// Requests are many small pieces of memory, which the system's allocator takes a fifth of the time to give and take.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let config = Config::parse();
    process::run(&config.log.clone(), Workers::HalfTheCores, cluster::run(config))
}
