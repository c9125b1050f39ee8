//! `/api/v1/alerts`: what was said, or could not be said, to the webhook.

use axum::{extract::State, http::StatusCode};
use contracts::{Timestamp, auth::Scope};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Caller, Json, Path, Problem, Query};

use super::Api;
use crate::{clusters::ClusterError, store::Alert};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(redeliver))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum AlertState {
    /// It will be tried, or tried again.
    Waiting,
    /// The webhook has taken it.
    Delivered,
    /// The webhook did not take it, and it is not tried again by itself.
    Dead,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListAlerts {
    /// Only dead ones.
    #[serde(default)]
    dead: bool,
}

#[derive(Serialize, ToSchema)]
struct AlertView {
    id: String,
    cluster_id: String,
    /// `cluster.stale`, `cluster.disconnected` or `cluster.connected`
    kind: String,
    state: AlertState,
    created_at: Option<Timestamp>,
    attempts: i64,
    /// Absent unless it waits.
    next_attempt_at: Option<Timestamp>,
    delivered_at: Option<Timestamp>,
    last_error: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct AlertList {
    alerts: Vec<AlertView>,
    total_count: usize,
}

/// Your newest alerts
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", responses((status = 200, body = AlertList)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListAlerts>,
) -> Result<Json<AlertList>, Problem> {
    caller.require(&Scope::Read)?;
    let listed = api.clusters.database.alerts_of(&caller.user.id, query.dead).await;
    let alerts: Vec<AlertView> = listed.map_err(ClusterError::Store)?.into_iter().map(view).collect();
    Ok(Json(AlertList { total_count: alerts.len(), alerts }))
}

fn view(alert: Alert) -> AlertView {
    let state = match (alert.delivered_at, alert.dead_at) {
        (Some(_), _) => AlertState::Delivered,
        (None, Some(_)) => AlertState::Dead,
        (None, None) => AlertState::Waiting,
    };
    AlertView {
        id: alert.id,
        cluster_id: alert.cluster_id,
        kind: alert.kind,
        state,
        created_at: Timestamp::from_millis(alert.created_at),
        attempts: alert.attempts,
        next_attempt_at: (state == AlertState::Waiting)
            .then(|| Timestamp::from_millis(alert.next_attempt_at))
            .flatten(),
        delivered_at: alert.delivered_at.and_then(Timestamp::from_millis),
        last_error: alert.last_error,
    }
}

/// Have a dead alert tried again
///
/// Needs the scope `operate`.
#[utoipa::path(post, path = "/api/v1/alerts/{alert_id}/redeliver", tag = "alerts",
    params(("alert_id" = String, Path, description = "The alert's id")),
    responses((status = 202, description = "It will be tried at once")))]
async fn redeliver(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.require(&Scope::Operate)?;
    let revived = api.clusters.database.revive_alert(&caller.user.id, &id, api.now()).await;
    if revived.map_err(ClusterError::Store)? {
        Ok(StatusCode::ACCEPTED)
    } else {
        Err(Problem::not_found("there is no such dead alert"))
    }
}
