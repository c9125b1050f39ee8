//! What the `main` of every service does around the service itself.

use std::{error::Error, iter, process::ExitCode};

use bus::Bus;

use crate::{App, Outcome, Readiness, Server, Shutdown, config::LogArgs, telemetry};

/// What ends a process before it is up: printed as one line, never matched on.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Runs a process from its logs to its exit code: 0 after a clean end, else 1 with the reason in one line.
pub fn run<F>(log: &LogArgs, process: F) -> ExitCode
where
    F: Future<Output = Result<Outcome, Failure>>,
{
    let outcome = telemetry::init(log).map_err(Failure::from).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(process)
    });
    match outcome {
        Ok(Outcome::Failed { task, reason }) => fail(&format!("{task} died: {reason}")),
        Ok(outcome) => outcome.into(),
        Err(failure) => fail(&chain(failure.as_ref())),
    }
}

/// Serves until the process is told to stop, and waits for its tasks.
///
/// # Errors
/// When signals cannot be listened to.
pub async fn serve(server: Server, app: App, shutdown: Shutdown) -> Result<Outcome, Failure> {
    tracing::info!(address = %server.local_addr(), "serving");
    shutdown.spawn_critical("http", server.run(app.into_router(), shutdown.token()));
    Ok(shutdown.run_until_done().await?)
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
    eprintln!("error: {reason}");
    ExitCode::FAILURE
}

/// The error and its causes in one line, without what a cause only repeats.
fn chain(failure: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    for text in iter::successors(Some(failure), |&error| error.source()).map(ToString::to_string) {
        if !line.contains(&text) {
            let separator = if line.is_empty() { "" } else { ": " };
            line.extend([separator, &text]);
        }
    }
    line
}
