//! The query parameters of requests about objects.

use std::time::Duration;

use axum::extract::Query;
use http::request::Parts;
use serde::Deserialize;

use crate::kinds::Kind;
use crate::selector::{FieldSelector, LabelSelector, Selector};
use crate::status::ApiError;
use crate::store::{ListQuery, Snapshot};

/// The API server closes watches after 30 to 60 minutes (`--min-request-timeout`).
const LONGEST_WATCH: Duration = Duration::from_secs(60 * 60);

/// `ListOptions` and `PodLogOptions`, as far as they are honoured.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ObjectOptions {
    label_selector: String,
    field_selector: String,
    limit: usize,
    #[serde(rename = "continue")]
    continue_token: String,
    resource_version: String,
    resource_version_match: String,
    watch: Option<String>,
    allow_watch_bookmarks: Option<String>,
    timeout_seconds: Option<u64>,
    dry_run: String,
    pub(super) include_object: String,
    pub(super) container: String,
    pub(super) tail_lines: Option<i64>,
    pub(super) limit_bytes: Option<i64>,
    pub(super) grace_period_seconds: Option<i64>,
    pub(super) propagation_policy: String,
    pub(super) field_validation: String,
}

impl ObjectOptions {
    pub(super) fn of(parts: &Parts) -> Result<ObjectOptions, ApiError> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(options)| options)
            .map_err(|error| ApiError::bad_request(error.body_text()))
    }

    /// Whether a request for objects is one for a watch. Options that cannot be read are refused later.
    pub(super) fn asks_to_watch(parts: &Parts) -> bool {
        ObjectOptions::of(parts).is_ok_and(|options| is_true(options.watch.as_deref()))
    }

    pub(super) fn selector(&self, kind: &Kind) -> Result<Selector, ApiError> {
        Ok(Selector {
            labels: LabelSelector::parse(&self.label_selector)?,
            fields: FieldSelector::parse(kind, &self.field_selector)?,
        })
    }

    pub(super) fn list_query(&self, kind: &Kind, namespace: Option<String>) -> Result<ListQuery, ApiError> {
        let at = match (self.revision()?, self.resource_version_match.as_str()) {
            (0, _) => Snapshot::Latest,
            (revision, "Exact") => Snapshot::Exact(revision),
            (revision, _) => Snapshot::NotOlderThan(revision),
        };
        Ok(ListQuery {
            namespace,
            selector: self.selector(kind)?,
            limit: self.limit,
            continue_token: Some(self.continue_token.clone()).filter(|token| !token.is_empty()),
            at,
        })
    }

    /// The resourceVersion asked for; 0 where none is.
    pub(super) fn revision(&self) -> Result<u64, ApiError> {
        match self.resource_version.as_str() {
            "" => Ok(0),
            text => text.parse().map_err(|_| {
                ApiError::bad_request(format!("resourceVersion: Invalid value: \"{text}\": invalid syntax"))
            }),
        }
    }

    pub(super) fn bookmarks(&self) -> bool {
        is_true(self.allow_watch_bookmarks.as_deref())
    }

    /// How long a watch stays open: what is asked, within the API server's own bound.
    pub(super) fn timeout(&self) -> Duration {
        let asked = self.timeout_seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs);
        asked.unwrap_or(LONGEST_WATCH).min(LONGEST_WATCH)
    }

    /// Whether nothing is to be kept.
    pub(super) fn dry_run(&self) -> Result<bool, ApiError> {
        match self.dry_run.as_str() {
            "" => Ok(false),
            "All" => Ok(true),
            other => {
                let why = format!("Unsupported value: \"{other}\": supported values: \"All\"");
                let (group, kind) = ("meta.k8s.io", "CreateOptions");
                Err(ApiError::invalid(group, kind, "", "dryRun", "FieldValueNotSupported", &why))
            }
        }
    }
}

/// Booleans as `apimachinery/pkg/runtime` reads them from a query: present is true unless it says `0` or `false`.
fn is_true(value: Option<&str>) -> bool {
    value.is_some_and(|text| text != "0" && !text.eq_ignore_ascii_case("false"))
}
