//! Lists in pages: the continue token, and what is asked and answered.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::object::Object;
use crate::selector::Selector;
use crate::status::ApiError;
use crate::{json, schema};

/// What a list is asked for.
#[derive(Debug, Default)]
pub struct ListQuery {
    /// Only this namespace; all of them when absent.
    pub namespace: Option<String>,
    /// Only what this selects.
    pub selector: Selector,
    /// Objects a page holds at most; 0 means all.
    pub limit: usize,
    /// Where an earlier page ended.
    pub continue_token: Option<String>,
    /// The snapshot to show.
    pub at: Snapshot,
}

/// Which state of the store a list shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Snapshot {
    /// The present one.
    #[default]
    Latest,
    /// The present one, which must have reached this resourceVersion.
    NotOlderThan(u64),
    /// The one of exactly this resourceVersion.
    Exact(u64),
}

/// One page of a list.
#[derive(Debug)]
pub struct Page {
    /// The objects, in the order of their keys.
    pub items: Vec<Arc<Object>>,
    /// The resourceVersion whose state the whole list shows.
    pub revision: u64,
    /// Where the next page begins; absent on the last.
    pub continue_token: Option<String>,
    /// How many objects follow; absent on the last page and where a selector is given, as the API server does.
    pub remaining: Option<usize>,
}

/// The token of `apiserver/pkg/storage/continue.go`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ContinueToken {
    v: String,
    /// Resource version of the first page; -1 goes on at the present one.
    pub(super) rv: i64,
    /// The key at which the page begins, relative to the list's namespace.
    pub(super) start: String,
}

/// The revision of a token that goes on with an inconsistent list.
pub(super) const LATEST: i64 = -1;
const VERSION: &str = "meta.k8s.io/v1";

impl ContinueToken {
    pub(super) fn new(rv: i64, start: &str) -> ContinueToken {
        ContinueToken { v: VERSION.to_owned(), rv, start: start.to_owned() }
    }

    /// The token of a list at `revision` whose last shown key is `last`: it begins just after that key.
    pub(super) fn after(revision: u64, last: &str) -> ContinueToken {
        ContinueToken::new(i64::try_from(revision).unwrap_or(i64::MAX), &format!("{last}\0"))
    }

    pub(super) fn encode(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::json!(self).to_string())
    }

    pub(super) fn decode(text: &str) -> Result<ContinueToken, ApiError> {
        ContinueToken::read(text).map_err(|why| {
            ApiError::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
        })
    }

    fn read(text: &str) -> Result<ContinueToken, String> {
        let bytes =
            BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|error| schema::base64_error(text, &error))?;
        let token: ContinueToken = serde_json::from_value(json::read(&bytes)?)
            .map_err(|_| "a field is missing or of another type".to_owned())?;
        if token.v != VERSION {
            return Err(format!("server does not recognize this encoded version {}", token.v));
        }
        if token.rv == 0 || token.rv < LATEST {
            return Err("incorrect encoded start resourceVersion (version meta.k8s.io/v1)".to_owned());
        }
        if token.start.is_empty() {
            return Err("encoded start key empty (version meta.k8s.io/v1)".to_owned());
        }
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_the_one_that_a_real_server_made() {
        let recorded = "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6ODUwLCJzdGFydCI6Imt1YmUtbm9kZS1sZWFzZVx1MDAwMCJ9";
        let token = ContinueToken::after(850, "kube-node-lease");
        assert_eq!(ContinueToken::decode(recorded).unwrap(), token);
        let plain = BASE64_URL_SAFE_NO_PAD.decode(token.encode()).unwrap();
        let fields: serde_json::Value = serde_json::from_slice(&plain).unwrap();
        assert_eq!(
            fields,
            serde_json::json!({ "v": "meta.k8s.io/v1", "rv": 850, "start": "kube-node-lease\0" })
        );
    }
}
