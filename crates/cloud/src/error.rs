//! What a cloud says instead of doing what it was asked.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a call did not succeed. It holds nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum CloudError {
    /// Too many calls: later again. Nothing was done.
    #[error("the cloud takes no more calls just now")]
    Throttled,
    /// There is no such capacity just now. Nothing was done.
    #[error("the cloud has no capacity: {message}")]
    Shortage {
        /// Its own words.
        message: String,
    },
    /// The token was used for another request. Nothing was done.
    #[error("the client token stands for another request")]
    TokenMismatch,
    /// It does not exist. Nothing was done.
    #[error("{what} does not exist")]
    NotFound {
        /// What was named.
        what: String,
    },
    /// We may not. Nothing was done.
    #[error("the cloud denies it: {message}")]
    Denied {
        /// Its own words.
        message: String,
    },
    /// It cannot be done as asked, such as a group that would become too small. Nothing was done.
    #[error("the cloud refuses it ({code}): {message}")]
    Refused {
        /// Its code, such as `ValidationError`.
        code: String,
        /// Its own words.
        message: String,
    },
    /// No answer, or one that nobody understands: it may have been done, or may yet be.
    #[error("the cloud does not answer: {message}")]
    Unknown {
        /// What went wrong.
        message: String,
    },
}

impl CloudError {
    /// Whether the same call may succeed a little later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled | Self::Unknown { .. })
    }
}
