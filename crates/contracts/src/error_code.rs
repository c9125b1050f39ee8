//! The stable error codes that results, frames and HTTP problems carry.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went wrong, stable across versions: programs match on this, never on prose.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request cannot be understood (HTTP 400).
    BadRequest,
    /// No key, or one that is malformed, unknown, expired or revoked (401).
    Unauthenticated,
    /// The key may not do this, or the cluster refused it to the agent (403).
    Forbidden,
    /// No such thing, or it belongs to another user (404).
    NotFound,
    /// The path exists, the method does not (405).
    MethodNotAllowed,
    /// It contradicts what is there already (409).
    Conflict,
    /// What was asked for has expired, such as an old continue token (410).
    Expired,
    /// Larger than is accepted (413).
    TooLarge,
    /// The body is not of a type that is understood (415).
    UnsupportedMediaType,
    /// Understood, but a value is not acceptable (422).
    Invalid,
    /// Too many requests for this key, or too many in flight (429).
    RateLimited,
    /// A fault of ours (500).
    Internal,
    /// The agent failed to answer properly (502).
    AgentError,
    /// The agent, or we, cannot reach the cluster's API server (502).
    ClusterUnreachable,
    /// No live session of that agent (503).
    AgentNotConnected,
    /// The message broker, or the service behind it, cannot be reached (503).
    BrokerUnavailable,
    /// The database cannot be reached or is locked, or the process is shutting down (503).
    Unavailable,
    /// The agent did not answer in time (504).
    AgentTimeout,
    /// A code of a newer version.
    #[serde(untagged)]
    Other(String),
}

impl ErrorCode {
    /// The HTTP status that this code is answered with; an unknown code is a fault of the other side (502).
    pub fn http_status(&self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict => 409,
            Self::Expired => 410,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::AgentError | Self::ClusterUnreachable | Self::Other(_) => 502,
            Self::AgentNotConnected | Self::BrokerUnavailable | Self::Unavailable => 503,
            Self::AgentTimeout => 504,
        }
    }

    /// The code as it is written on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::Expired => "expired",
            Self::TooLarge => "too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::Invalid => "invalid",
            Self::RateLimited => "rate_limited",
            Self::Internal => "internal",
            Self::AgentError => "agent_error",
            Self::ClusterUnreachable => "cluster_unreachable",
            Self::AgentNotConnected => "agent_not_connected",
            Self::BrokerUnavailable => "broker_unavailable",
            Self::Unavailable => "unavailable",
            Self::AgentTimeout => "agent_timeout",
            Self::Other(code) => code,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_unknown_codes_survive_a_round_trip() {
        for text in ["agent_not_connected", "expired", "invalid", "something_new"] {
            let json = format!("\"{text}\"");
            let code: ErrorCode = serde_json::from_str(&json).unwrap();
            assert_eq!(code.as_str(), text);
            assert_eq!(serde_json::to_string(&code).unwrap(), json);
        }
        assert_eq!(serde_json::from_str::<ErrorCode>("\"invalid\"").unwrap(), ErrorCode::Invalid);
    }
}
