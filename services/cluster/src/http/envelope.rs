//! The envelope around an agent's answer.
//!
//! The answer may be many megabytes of JSON that this service has no need to understand, so it is not parsed and printed
//! again: its fields are put between those of the envelope as the text that they are.

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use contracts::{ErrorCode, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use web::Problem;

use crate::cluster_id::ClusterId;

/// What every answer says beside its result.
#[derive(Serialize, ToSchema)]
pub(super) struct Envelope {
    /// Always true: a failure is a problem.
    success: bool,
    /// The agent that answered.
    agent_id: String,
    /// The cluster's id as the caller gave it.
    cluster_id: Option<ClusterId>,
    /// A sentence for a person.
    message: String,
    /// When it was answered.
    timestamp: Timestamp,
}

impl Envelope {
    pub(super) fn new(agent_id: String, cluster_id: Option<ClusterId>, message: String) -> Self {
        Self { success: true, agent_id, cluster_id, message, timestamp: Timestamp::now() }
    }
}

/// One JSON object of the envelope's fields and the result's.
///
/// The envelope comes last: where an agent's answer has a field of the same name, readers that take the last one, which
/// are nearly all, see ours.
pub(super) fn envelope(envelope: &Envelope, result: &RawValue) -> Result<Response, Problem> {
    let envelope = serde_json::to_string(envelope).map_err(|error| Problem::internal(&error))?;
    let body = join_objects(result.get(), &envelope)
        .ok_or_else(|| Problem::new(ErrorCode::AgentError, "the agent's answer is not a JSON object"))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response())
}

/// Makes one object of two, both valid JSON; `None` when either is no object.
fn join_objects(first: &str, second: &str) -> Option<String> {
    let fields = |text| -> Option<&str> {
        let text: &str = text;
        text.trim_ascii().strip_prefix('{')?.strip_suffix('}')
    };
    let (first, second) = (fields(first)?, fields(second)?);
    let separator = if first.trim_ascii().is_empty() || second.trim_ascii().is_empty() { "" } else { "," };
    Some(format!("{{{first}{separator}{second}}}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn two_objects_become_one_with_the_fields_of_both(
            first in proptest::collection::btree_map("[a-m]{1,3}", "\\PC{0,9}", 0..4),
            second in proptest::collection::btree_map("[n-z]{1,3}", "\\PC{0,9}", 0..4),
        ) {
            let joined = join_objects(&json!(first).to_string(), &json!(second).to_string()).unwrap();
            let read: BTreeMap<String, String> = serde_json::from_str(&joined).unwrap();
            let both: BTreeMap<String, String> = first.into_iter().chain(second).collect();
            prop_assert_eq!(read, both);
        }
    }

    #[test]
    fn what_is_no_object_is_not_joined() {
        for text in ["[]", "1", "null", "\"{}\""] {
            assert_eq!(join_objects(text, "{\"a\":1}"), None, "{text}");
        }
        assert_eq!(join_objects(" { } ", "{\"a\":1}").unwrap(), "{ \"a\":1}");
    }
}
