//! What the `main` of every service does around the service itself.

use std::{env, error::Error, io, num::NonZero, process::ExitCode, thread};

use bus::Bus;
use tokio::runtime::{self, Runtime};

use crate::{App, Outcome, Readiness, Server, Shutdown, config::LogArgs, error_chain, metrics, telemetry};

/// What ends a process before it is up: printed as one line, never matched on.
pub type Failure = Box<dyn Error + Send + Sync>;

/// For how many of the cores the runtime has a worker thread, unless `TOKIO_WORKER_THREADS` says how many it has.
#[derive(Clone, Copy, Debug)]
pub enum Workers {
    /// One for each core.
    AllCores,
    /// One for every two: what waits for others most of the time needs no more, and a worker that is woken to find that another
    /// has taken the work costs a request more than it could save.
    HalfTheCores,
}

/// Runs a process from its logs to its exit code: 0 after a clean end, else 1 with the reason in one line.
pub fn run<F>(log: &LogArgs, workers: Workers, process: F) -> ExitCode
where
    F: Future<Output = Result<Outcome, Failure>>,
{
    // Before anything is built: a metric that is made earlier and kept records nothing for ever.
    metrics::install();
    let outcome = telemetry::init(log).map_err(Failure::from).and_then(|()| {
        allow_descriptors();
        let runtime = runtime(workers)?;
        let outcome = runtime.block_on(process);
        // A blocked thread, such as one that looks up a name, must not hold up the end.
        runtime.shutdown_background();
        outcome
    });
    let reason = match outcome {
        Ok(Outcome::Clean) => return ExitCode::SUCCESS,
        Ok(Outcome::Failed { task, reason }) => format!("{task} died: {reason}"),
        Ok(Outcome::Forced) => "told to stop twice: ended before its work was done".to_owned(),
        Ok(Outcome::TimedOut) => "its work did not end in time after it was told to stop".to_owned(),
        Err(failure) => error_chain(failure.as_ref()),
    };
    fail(&reason)
}

/// As many open sockets as this process may have: what it is started with is 1,024 on many systems, for programs that use `select`.
fn allow_descriptors() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the number of open sockets stays as it was");
    }
}

fn runtime(workers: Workers) -> io::Result<Runtime> {
    let mut builder = runtime::Builder::new_multi_thread();
    if let Workers::HalfTheCores = workers
        && env::var_os("TOKIO_WORKER_THREADS").is_none()
    {
        builder.worker_threads(half_the_cores());
    }
    builder.enable_all().build()
}

/// Half of the cores that the process may use, but at least one.
pub fn half_the_cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).div_ceil(2)
}

/// Serves until the process is told to stop, and waits for its tasks.
pub async fn serve(server: Server, app: App, shutdown: Shutdown) -> Outcome {
    tracing::info!(address = %server.local_addr(), "serving");
    shutdown.spawn_critical("http", server.run(app.into_router(), shutdown.token()));
    shutdown.run_until_done().await
}

/// Adds the check that every service with a bus has.
#[must_use]
pub fn broker_check(readiness: Readiness, bus: &Bus) -> Readiness {
    let bus = bus.clone();
    readiness.check("broker", move || {
        let ready = bus.is_ready();
        async move { if ready { Ok(()) } else { Err("the message broker cannot be reached".to_owned()) } }
    })
}

#[expect(clippy::print_stderr, reason = "the last word of a process to the person who started it")]
fn fail(reason: &str) -> ExitCode {
    eprintln!("error: {}", one_line(reason));
    ExitCode::FAILURE
}

/// Panics and errors of servers may span lines.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_of_several_lines_becomes_one() {
        let panic = "panicked: assertion failed\n  left: 1\n\n right: 2\n";
        assert_eq!(one_line(panic), "panicked: assertion failed; left: 1; right: 2");
    }
}
