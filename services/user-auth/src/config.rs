//! The service's settings.

use clap::{Args, Parser};
use contracts::{Token, TokenKind};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use web::config::{BusArgs, DatabaseArgs, LogArgs, RateLimitArgs, ServerArgs, secret};

/// A service token that is shorter could be guessed.
const MIN_SERVICE_TOKEN_CHARS: usize = 32;

/// Users, API keys, and the answer to whose a key is.
#[derive(Clone, Debug, Parser)]
#[command(name = "user-auth", version)]
#[expect(missing_docs, reason = "each field is the settings of its name")]
pub struct Config {
    #[command(flatten)]
    pub server: ServerArgs<8001>,
    #[command(flatten)]
    pub bus: BusArgs,
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub keys: KeyArgs,
    #[command(flatten)]
    pub rate_limit: RateLimitArgs,
    #[command(flatten)]
    pub log: LogArgs,
}

/// The keys that the service is told.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Keys")]
pub struct KeyArgs {
    /// API key (ks_…) of the admin user that an empty database gets; without it one is made and printed once
    #[arg(long, env = "BOOTSTRAP_API_KEY", hide_env_values = true, value_parser = secret)]
    pub bootstrap_api_key: Option<SecretString>,

    /// What other services show to verify keys over HTTP, at least 32 characters; without it they cannot
    #[arg(long, env = "SERVICE_TOKEN", hide_env_values = true, value_parser = secret)]
    pub service_token: Option<SecretString>,
}

/// A setting that cannot be used; the text never holds its value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name} {problem}")]
pub struct InvalidSetting {
    name: &'static str,
    problem: String,
}

impl KeyArgs {
    /// The first administrator's key, if one is set.
    ///
    /// # Errors
    /// [`InvalidSetting`] when it is not a well-formed API key.
    pub fn bootstrap_api_key(&self) -> Result<Option<Token>, InvalidSetting> {
        let parse = |key: &SecretString| {
            Token::parse(TokenKind::ApiKey, key.expose_secret()).map_err(|error| InvalidSetting {
                name: "BOOTSTRAP_API_KEY",
                problem: format!("must be an API key: {error}"),
            })
        };
        set(self.bootstrap_api_key.as_ref()).map(parse).transpose()
    }

    /// The token of the other services, if one is set.
    ///
    /// # Errors
    /// [`InvalidSetting`] when it could be guessed or does not fit into a header.
    pub fn service_token(&self) -> Result<Option<SecretString>, InvalidSetting> {
        let check = |token: &SecretString| {
            let text = token.expose_secret();
            if text.len() >= MIN_SERVICE_TOKEN_CHARS && text.bytes().all(|b| b.is_ascii_graphic()) {
                Ok(token.clone())
            } else {
                Err(InvalidSetting {
                    name: "SERVICE_TOKEN",
                    problem: format!("must be at least {MIN_SERVICE_TOKEN_CHARS} visible ASCII characters"),
                })
            }
        };
        set(self.service_token.as_ref()).map(check).transpose()
    }
}

/// An empty variable is one that is not set: compose files pass them on so.
fn set(setting: Option<&SecretString>) -> Option<&SecretString> {
    setting.filter(|value| !value.expose_secret().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_refused_by_name_and_not_shown() {
        let args =
            KeyArgs { bootstrap_api_key: Some("ks_hunter2".into()), service_token: Some("hunter2".into()) };
        let key = args.bootstrap_api_key().unwrap_err().to_string();
        assert!(key.starts_with("BOOTSTRAP_API_KEY must be an API key"), "{key}");
        let token = args.service_token().unwrap_err().to_string();
        assert!(token.starts_with("SERVICE_TOKEN must be at least 32"), "{token}");
        assert!(!format!("{key}{token}{args:?}").contains("hunter2"));
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        let args = KeyArgs { bootstrap_api_key: Some("".into()), service_token: Some("".into()) };
        assert!(args.bootstrap_api_key().unwrap().is_none());
        assert!(args.service_token().unwrap().is_none());
    }

    #[test]
    fn the_command_line_is_consistent() {
        <Config as clap::CommandFactory>::command().debug_assert();
    }
}
