//! Tokens by which a cloud knows a request that it has had before.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The same request with the same token is done once, however often it comes
/// (<https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html>): 1 to 64 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientToken(String);

/// A text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a client token has 1 to 64 printable ASCII characters")]
pub struct InvalidClientToken;

impl ClientToken {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientToken {
    type Err = InvalidClientToken;

    fn from_str(text: &str) -> Result<Self, InvalidClientToken> {
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidClientToken) }
    }
}

impl TryFrom<String> for ClientToken {
    type Error = InvalidClientToken;

    fn try_from(text: String) -> Result<Self, InvalidClientToken> {
        text.parse()
    }
}

impl From<ClientToken> for String {
    fn from(token: ClientToken) -> String {
        token.0
    }
}

impl fmt::Display for ClientToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
