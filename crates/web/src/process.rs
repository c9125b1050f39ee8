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
        Err(failure) => chain(failure.as_ref()),
    };
    fail(&reason)
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

/// The error and its causes, without what a cause only repeats.
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

#[cfg(test)]
mod tests {
    use std::io;

    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("{text}")]
    struct Because {
        text: &'static str,
        #[source]
        cause: Option<Box<dyn Error + Send + Sync>>,
    }

    fn because(text: &'static str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Because {
        Because { text, cause: Some(cause.into()) }
    }

    #[test]
    fn a_failure_is_told_with_its_causes_from_the_outermost_on() {
        let alone = Because { text: "PORT is in use", cause: None };
        assert_eq!(chain(&alone), "PORT is in use");
        let denied = io::Error::other("permission denied");
        let chained = because("cannot start", because("cannot open /data/users.db", denied));
        assert_eq!(chain(&chained), "cannot start: cannot open /data/users.db: permission denied");
    }

    #[test]
    fn what_a_cause_only_repeats_is_told_once() {
        let refused = io::Error::other("connection refused");
        let quoting = because("cannot connect: connection refused", refused);
        assert_eq!(chain(&quoting), "cannot connect: connection refused");
        let empty = because("cannot connect", Because { text: "", cause: None });
        assert_eq!(chain(&empty), "cannot connect");
    }

    #[test]
    fn a_reason_of_several_lines_becomes_one() {
        let panic = "panicked: assertion failed\n  left: 1\n\n right: 2\n";
        assert_eq!(one_line(panic), "panicked: assertion failed; left: 1; right: 2");
    }
}
