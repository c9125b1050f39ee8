//! `GET /api/v1/audit`: what has happened, newest first.

use axum::extract::State;
use contracts::{Timestamp, auth::Scope, events::Event};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Caller, Json, Problem, Query};

use super::Api;
use crate::{
    store::{Position, Wanted},
    stored::StoredError,
};

const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1000;
/// The longest text that is looked for, in bytes.
const MAX_TEXT: usize = 1024;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(audit))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AuditParams {
    /// Only what happened to this cluster: its id, or its name.
    cluster: Option<String>,
    /// Only events of this type, such as `cluster_onboarded`.
    r#type: Option<String>,
    /// Only what happened at this time or later (RFC 3339).
    since: Option<Timestamp>,
    /// The `cursor` of the page before.
    cursor: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<i64>,
}

#[derive(Serialize, ToSchema)]
struct AuditPage {
    /// Newest first.
    #[schema(value_type = Vec<Object>)]
    events: Vec<Event>,
    /// Where the next page begins; null when this is the last one.
    cursor: Option<String>,
}

impl AuditParams {
    fn check(self) -> Result<Wanted, Problem> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::invalid("limit", format!("must be from 1 to {MAX_LIMIT}")));
        }
        let text = |field: &str, text: Option<String>| match text {
            Some(text) if text.len() > MAX_TEXT || text.contains('\0') => {
                Err(Problem::invalid(field, "is no such text"))
            }
            text => Ok(text),
        };
        let before = text("cursor", self.cursor)?.map(|cursor| position(&cursor)).transpose()?;
        Ok(Wanted {
            cluster: text("cluster", self.cluster)?,
            event_type: text("type", self.r#type)?,
            since: self.since.map(Timestamp::as_millis),
            before,
            limit,
        })
    }
}

/// A cursor is the place of the last entry: its time and its id.
fn position(cursor: &str) -> Result<Position, Problem> {
    let parts = cursor.split_once('.').and_then(|(time, id)| Some((time.parse().ok()?, id.to_owned())));
    let (occurred_at, event_id) =
        parts.ok_or_else(|| Problem::invalid("cursor", "is not the cursor of a page"))?;
    Ok(Position { occurred_at, event_id })
}

/// What has happened to what is yours, newest first
///
/// What all services tell of, some moments after it happened.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit",
    responses((status = 200, body = AuditPage)))]
async fn audit(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<AuditParams>,
) -> Result<Json<AuditPage>, Problem> {
    caller.require(&Scope::Read)?;
    let wanted = params.check()?;
    // One more tells whether there is another page.
    let asked = Wanted { limit: wanted.limit + 1, ..wanted };
    let found = api.clusters.database.audit_of(&caller.user.id, &asked).await;
    let mut entries = found.map_err(StoredError::from)?;
    let kept = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
    let is_last = entries.len() <= kept;
    entries.truncate(kept);
    let end = entries.last().filter(|_| !is_last);
    let cursor = end.map(|entry| format!("{}.{}", entry.occurred_at, entry.event_id));
    let events = entries.iter().filter_map(|entry| serde_json::from_str(&entry.event).ok()).collect();
    Ok(Json(AuditPage { events, cursor }))
}
