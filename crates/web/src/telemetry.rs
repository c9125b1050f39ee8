//! Logs: to standard error, readable or as JSON, with the fields of the request that they belong to.

use std::io::{self, IsTerminal};

use thiserror::Error;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterFn, ParseError},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

use crate::config::{LogArgs, LogFormat};

/// Why logging cannot start.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// `RUST_LOG` is not a list of directives.
    #[error("RUST_LOG must be directives such as `info,cluster=debug`: {0}")]
    Filter(#[from] ParseError),
    /// The process logs already.
    #[error("logging was started already: {0}")]
    Started(#[from] TryInitError),
}

/// Starts logging to standard error for the whole process. `RUST_LOG` chooses the levels; without it they are
/// `info`, or `debug` when `DEBUG` is set.
pub fn init(args: &LogArgs) -> Result<(), TelemetryError> {
    let directives = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    subscriber(args, &directives, io::stderr)?.try_init()?;
    Ok(())
}

/// What [`init`] installs, with `directives` in place of `RUST_LOG` and another writer.
pub fn subscriber<W>(
    args: &LogArgs,
    directives: &str,
    writer: W,
) -> Result<impl Subscriber + Send + Sync, ParseError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let chosen = match (directives, args.debug) {
        ("", true) => "debug",
        ("", false) => "info",
        (directives, _) => directives,
    };
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match args.log_format {
        LogFormat::Pretty => fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(writer).boxed(),
        LogFormat::Json => {
            json_subscriber::layer().flatten_event(true).with_span_list(false).with_writer(writer).boxed()
        }
    };
    let registry = tracing_subscriber::registry().with(lines).with(EnvFilter::try_new(chosen)?);
    Ok(registry.with(FilterFn::new(keeps_secrets)))
}

/// Libraries log what they carry at the level trace, and so the API keys in messages and the broker's password; lapin logs
/// a message that no queue took as a warning. No configuration turns either on.
fn keeps_secrets(event: &Metadata<'_>) -> bool {
    *event.level() != Level::TRACE && !event.target().starts_with("lapin::returned_messages")
}
