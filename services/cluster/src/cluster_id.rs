//! How a caller names a cluster.

use std::str::FromStr;

use serde::Serialize;
use serde_json::Value;
use thiserror::Error;
use utoipa::ToSchema;
use uuid::Uuid;

/// A cluster's id, echoed as the caller gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ClusterId {
    /// A cluster that was onboarded with an agent: a UUID in lower case with hyphens.
    Uuid(String),
    /// A cluster whose credentials are stored, and any cluster of earlier systems.
    Integer(i64),
}

/// The text is no id of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be a UUID or an integer")]
pub(crate) struct InvalidClusterId;

impl FromStr for ClusterId {
    type Err = InvalidClusterId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(integer) = text.parse() {
            return Ok(Self::Integer(integer));
        }
        Uuid::try_parse(text).map(|uuid| Self::Uuid(uuid.to_string())).map_err(|_| InvalidClusterId)
    }
}

impl From<ClusterId> for Value {
    fn from(id: ClusterId) -> Self {
        match id {
            ClusterId::Uuid(uuid) => uuid.into(),
            ClusterId::Integer(integer) => integer.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_uuid_or_an_integer() {
        for (text, id) in [("123", 123), ("-7", -7), ("0", 0)] {
            assert_eq!(text.parse(), Ok(ClusterId::Integer(id)));
        }
        let uuid = "6F9619FF-8B86-D011-B42D-00C04FC964FF";
        assert_eq!(uuid.parse(), Ok(ClusterId::Uuid(uuid.to_lowercase())));
        for text in ["", "prod", "1.5", "99999999999999999999", "6f9619ff-8b86"] {
            assert_eq!(text.parse::<ClusterId>(), Err(InvalidClusterId), "{text}");
        }
    }
}
