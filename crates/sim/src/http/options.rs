//! The query parameters of requests about objects.

use std::collections::BTreeMap;
use std::num::{IntErrorKind, ParseIntError};
use std::time::Duration;

use http::Method;
use http::request::Parts;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::kinds::Kind;
use crate::logs::LogOptions;
use crate::schema;
use crate::selector::{FieldSelector, LabelSelector, Selector};
use crate::status::ApiError;
use crate::store::{ListQuery, Snapshot};
use crate::validation;
use crate::validation::options::WriteRequest;

/// The API server closes watches after 30 to 60 minutes (`--min-request-timeout`).
const LONGEST_WATCH: Duration = Duration::from_secs(60 * 60);

/// `ListOptions` and `PodLogOptions`, as far as they are honoured.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ObjectOptions {
    label_selector: String,
    field_selector: String,
    #[serde(deserialize_with = "integer")]
    limit: i64,
    #[serde(rename = "continue")]
    continue_token: String,
    resource_version: String,
    resource_version_match: String,
    watch: Option<String>,
    allow_watch_bookmarks: Option<String>,
    send_initial_events: Option<String>,
    #[serde(deserialize_with = "some_integer")]
    timeout_seconds: Option<i64>,
    dry_run: String,
    pub(super) include_object: String,
    container: String,
    #[serde(deserialize_with = "some_integer")]
    tail_lines: Option<i64>,
    #[serde(deserialize_with = "some_integer")]
    limit_bytes: Option<i64>,
    previous: Option<String>,
    follow: Option<String>,
    #[serde(deserialize_with = "some_integer")]
    since_seconds: Option<i64>,
    since_time: Option<String>,
    timestamps: Option<String>,
    #[serde(deserialize_with = "some_integer")]
    grace_period_seconds: Option<i64>,
    orphan_dependents: Option<String>,
    propagation_policy: String,
    pub(super) field_validation: String,
    pub(super) field_manager: String,
    force: Option<String>,
}

/// With what a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WatchStart {
    /// The changes after this resourceVersion.
    After(u64),
    /// The changes from now on.
    Now,
    /// All present objects.
    Present,
    /// All present objects, and a bookmark that says that they have all been sent.
    Streaming,
}

impl ObjectOptions {
    pub(super) fn of(parts: &Parts) -> Result<ObjectOptions, ApiError> {
        let query = first_of_each(parts.uri.query().unwrap_or_default());
        let query = serde_urlencoded::to_string(query);
        query
            .map_err(|error| error.to_string())
            .and_then(|query| serde_urlencoded::from_str(&query).map_err(|error| error.to_string()))
            .map_err(ApiError::bad_request)
    }

    /// Whether a request for objects is one for a watch. Options that cannot be read are refused later.
    pub(super) fn asks_to_watch(parts: &Parts) -> bool {
        ObjectOptions::of(parts).is_ok_and(|options| is_true(options.watch.as_deref()))
    }

    /// The one object that a field selector leaves of a list: who may do this with that object alone, may do it.
    pub(super) fn selected_name(parts: &Parts) -> String {
        let options = ObjectOptions::of(parts).unwrap_or_default();
        let mut terms = options.field_selector.split(',');
        let name = terms.find_map(|term| term.strip_prefix("metadata.name="));
        name.map(|name| name.trim_start_matches('=').to_owned()).unwrap_or_default()
    }

    /// What of a log is wanted.
    pub(super) fn log(&self) -> Result<LogOptions<'_>, ApiError> {
        // `UnmarshalQueryParameter` of `metav1.Time`.
        let since_time = self.since_time.as_deref().filter(|time| !time.is_empty() && *time != "null");
        Ok(LogOptions {
            container: &self.container,
            tail_lines: self.tail_lines,
            limit_bytes: self.limit_bytes,
            previous: is_true(self.previous.as_deref()),
            follow: is_true(self.follow.as_deref()),
            since_seconds: self.since_seconds,
            since_time: since_time.map(schema::read_time).transpose().map_err(ApiError::bad_request)?,
            timestamps: is_true(self.timestamps.as_deref()),
        })
    }

    pub(super) fn selector(&self, kind: &Kind) -> Result<Selector, ApiError> {
        Ok(Selector {
            labels: LabelSelector::parse(&self.label_selector)?,
            fields: FieldSelector::parse(kind, &self.field_selector)?,
        })
    }

    /// What a list is asked for.
    pub(super) fn list_query(&self, kind: &Kind, namespace: Option<String>) -> Result<ListQuery, ApiError> {
        self.check_for_list()?;
        let revision = self.revision();
        let revision =
            revision.map_err(|why| ApiError::bad_request(format!("invalid resource version: {why}")))?;
        let at = match (revision, self.resource_version_match.as_str()) {
            (0, _) => Snapshot::Latest,
            (revision, "Exact") => Snapshot::Exact(revision),
            (revision, _) => Snapshot::NotOlderThan(revision),
        };
        // Any version will do for "0": the answer comes whole from the watch cache (`shouldDelegateList` of
        // `apiserver/pkg/storage/cacher`).
        let limit = if self.resource_version == "0" { 0 } else { self.limit };
        Ok(ListQuery {
            namespace,
            selector: self.selector(kind)?,
            limit: usize::try_from(limit).unwrap_or(0),
            continue_token: Some(self.continue_token.clone()).filter(|token| !token.is_empty()),
            at,
        })
    }

    /// `ValidateListOptions` of `apimachinery/pkg/apis/meta/internalversion/validation`.
    fn check_for_list(&self) -> Result<(), ApiError> {
        let rule = "resourceVersionMatch";
        match self.resource_version_match.as_str() {
            "" => {}
            _ if self.resource_version.is_empty() => {
                let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                return Err(forbidden(rule, why));
            }
            _ if !self.continue_token.is_empty() => {
                return Err(forbidden(rule, "resourceVersionMatch is forbidden for continue"));
            }
            "Exact" if self.resource_version == "0" => {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                return Err(forbidden(rule, why));
            }
            "Exact" | "NotOlderThan" => {}
            other => {
                let why = format!(
                    "Unsupported value: \"{other}\": supported values: \"Exact\", \"NotOlderThan\", \"\""
                );
                return Err(invalid(rule, "FieldValueNotSupported", &why));
            }
        }
        match self.send_initial_events {
            Some(_) => Err(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")),
            None => Ok(()),
        }
    }

    /// Where a watch is to begin.
    pub(super) fn watch_start(&self) -> Result<WatchStart, ApiError> {
        let rule = "resourceVersionMatch";
        match (&self.send_initial_events, self.resource_version_match.as_str()) {
            (None, "") | (Some(_), "NotOlderThan") => {}
            (None, _) => {
                let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                return Err(forbidden(rule, why));
            }
            (Some(_), _) => {
                let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
                return Err(forbidden(rule, why));
            }
        }
        let revision = self.revision().map_err(ApiError::unexplained)?;
        Ok(match self.send_initial_events.as_deref() {
            Some(_) if is_true(self.send_initial_events.as_deref()) => WatchStart::Streaming,
            Some(_) if revision == 0 => WatchStart::Now,
            None if revision == 0 => WatchStart::Present,
            Some(_) | None => WatchStart::After(revision),
        })
    }

    /// The resourceVersion asked for; 0 where none is. The error is the text of `ParseResourceVersion` in
    /// `apiserver/pkg/storage/api_object_versioner.go`.
    fn revision(&self) -> Result<u64, String> {
        match self.resource_version.as_str() {
            "" => Ok(0),
            text => text.parse().map_err(|_| {
                format!(
                    "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
                )
            }),
        }
    }

    pub(super) fn bookmarks(&self) -> bool {
        is_true(self.allow_watch_bookmarks.as_deref())
    }

    /// Whether an apply takes over what others own, where that is said.
    pub(super) fn force(&self) -> Option<bool> {
        self.force.as_deref().map(|force| is_true(Some(force)))
    }

    /// How long a watch stays open: what is asked, within the API server's own bound.
    pub(super) fn timeout(&self) -> Duration {
        let asked = self.timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        asked.filter(|seconds| *seconds > 0).map_or(LONGEST_WATCH, Duration::from_secs).min(LONGEST_WATCH)
    }

    /// Refuses options that no creation, update or patch has; `applies` where it is a server-side apply.
    pub(super) fn check_for_write(&self, method: &Method, applies: bool) -> Result<(), ApiError> {
        validation::options::write(&WriteRequest {
            kind: match *method {
                Method::PUT => "UpdateOptions",
                Method::PATCH => "PatchOptions",
                _ => "CreateOptions",
            },
            field_manager: &self.field_manager,
            dry_run: &self.dry_run,
            field_validation: &self.field_validation,
            force: self.force(),
            applies,
        })
    }

    /// Whether nothing is to be kept.
    pub(super) fn dry_run(&self) -> bool {
        !self.dry_run.is_empty()
    }

    /// Adds to the `DeleteOptions` of a body what only the query says.
    pub(super) fn complete(&self, options: &mut Value) {
        let text = |text: &str| Some(Value::from(text)).filter(|value| *value != "");
        for (field, value) in [
            ("gracePeriodSeconds", self.grace_period_seconds.map(Value::from)),
            ("orphanDependents", self.orphan_dependents.as_deref().map(|text| is_true(Some(text)).into())),
            ("propagationPolicy", text(&self.propagation_policy)),
            ("dryRun", text(&self.dry_run).map(|stage| Value::Array(vec![stage]))),
        ] {
            if let Some(value) = value.filter(|_| options[field].is_null()) {
                options[field] = value;
            }
        }
    }
}

/// The first value of each parameter, which is what counts where there are more
/// (`Convert_Slice_string_To_string` in `apimachinery/pkg/runtime`); `dryRun` is a list, any of which counts.
fn first_of_each(query: &str) -> BTreeMap<String, String> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    let mut values = BTreeMap::<String, String>::new();
    for (name, value) in pairs {
        let replaces = name == "dryRun" && !["", "All"].contains(&value.as_str());
        match values.get_mut(&name) {
            Some(first) if replaces || first.is_empty() && name == "dryRun" => *first = value,
            Some(_) => {}
            None => drop(values.insert(name, value)),
        }
    }
    values
}

fn forbidden(field: &str, why: &str) -> ApiError {
    invalid(field, "FieldValueForbidden", &format!("Forbidden: {why}"))
}

fn invalid(field: &str, cause: &str, why: &str) -> ApiError {
    ApiError::invalid("meta.k8s.io", "ListOptions", "", field, cause, why)
}

/// Whole numbers as `strconv.ParseInt` reads them, with its words.
fn integer<'de, D: Deserializer<'de>>(value: D) -> Result<i64, D::Error> {
    let text = String::deserialize(value)?;
    text.parse().map_err(|error: ParseIntError| {
        let why = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        D::Error::custom(format!("strconv.ParseInt: parsing {text:?}: {why}"))
    })
}

fn some_integer<'de, D: Deserializer<'de>>(value: D) -> Result<Option<i64>, D::Error> {
    integer(value).map(Some)
}

/// Booleans as `apimachinery/pkg/runtime` reads them from a query: present is true unless it says `0` or `false`.
fn is_true(value: Option<&str>) -> bool {
    value.is_some_and(|text| text != "0" && !text.eq_ignore_ascii_case("false"))
}
