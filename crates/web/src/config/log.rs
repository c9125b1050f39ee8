use clap::{ArgAction, Args, ValueEnum};

use super::boolean;

/// How a process logs.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub struct LogArgs {
    /// Form of the log lines on standard error
    #[arg(long, env = "LOG_FORMAT", default_value = "pretty")]
    pub log_format: LogFormat,

    /// Log at level debug; RUST_LOG, when set, decides instead
    #[arg(long, env = "DEBUG", default_value = "false", value_parser = boolean, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub debug: bool,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For a person at a terminal.
    Pretty,
    /// One JSON object a line, for production.
    Json,
}
