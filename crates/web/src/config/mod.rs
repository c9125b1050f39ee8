//! The settings that services share, each an environment variable and a flag, for `#[command(flatten)]`.
//!
//! Names and defaults are fixed: users of earlier systems have them in their deployments.

mod auth;
mod bus;
mod database;
mod log;
mod rate_limit;
mod server;

pub use auth::AuthArgs;
pub use bus::{BusArgs, QueueKind};
pub use database::DatabaseArgs;
pub use log::{LogArgs, LogFormat};
pub use rate_limit::RateLimitArgs;
pub use server::{ServerArgs, TlsArgs};

use std::{convert::Infallible, num::NonZeroU32};

use secrecy::SecretString;

/// Reads a switch. For services' own settings too, so that all of them read the same words.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("must be true, false, 1 or 0".to_owned()),
    }
}

/// Reads a TCP port; 0 takes any free one.
pub fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "must be a port, a whole number from 0 to 65535".to_owned())
}

/// Reads a count that cannot be nothing.
pub fn positive(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| format!("must be a whole number from 1 to {}", u32::MAX))
}

/// Reads a secret; it cannot fail, because clap would quote the value in its error.
pub fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(SecretString::from(text))
}
