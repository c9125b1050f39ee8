//! What no API server has: the administrator's endpoint for faults and for the clock, under `/simulator/v1`.
//!
//! | Request | does |
//! |---|---|
//! | `GET faults` | tells the plan of faults ([`FaultPlan`]) as far as it has not struck yet |
//! | `PUT faults` | puts another plan in its place |
//! | `POST faults` | adds one [`Fault`] to the plan |
//! | `DELETE faults` | ends all faults |
//! | `POST nodes/NAME/die`, `…/revive` | stops a node's kubelet, and starts it again |
//! | `POST pods/NAMESPACE/NAME/stick`, `…/release` | lets a pod never end, and end again |
//! | `POST watches/drop` | cuts all open watches |
//! | `POST history/compact` | forgets the history: older watches and pages are answered with 410 |
//! | `GET clock` | tells the cluster's time |
//! | `POST clock/advance` | moves it forward by `{"seconds": N}` |
//! | `GET requests` | tells how often what was asked |
//!
//! Those below `cloud/` stand in `cloud_commands`.
//!
//! No fault strikes here, and nothing is counted.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Server, answer, cloud_commands, user_of};
use crate::auth::MASTERS;
use crate::faults::{Fault, FaultPlan};
use crate::kinds::{NODES, PODS};
use crate::object;
use crate::rbac::Attempt;
use crate::status::ApiError;

/// A plan of the largest size fits.
const BODY_LIMIT: usize = 8 * 1024 * 1024;
/// The clock moves by at most ten years at a time.
const LONGEST_STEP: u64 = 10 * 366 * 24 * 3600;

type Answer = Result<Response, ApiError>;

/// The endpoint as one service.
pub(super) fn router(server: Arc<Server>) -> Router<Arc<Server>> {
    Router::new()
        .route("/faults", get(plan).put(replace_plan).post(add_fault).delete(end_faults))
        .route("/nodes/{name}/{action}", post(change_node))
        .route("/pods/{namespace}/{name}/{action}", post(change_pod))
        .route("/watches/drop", post(drop_watches))
        .route("/history/compact", post(compact))
        .route("/clock", get(clock))
        .route("/clock/advance", post(advance))
        .route("/requests", get(requests))
        .merge(cloud_commands::router())
        .fallback(async || ApiError::no_such_resource())
        .layer(from_fn_with_state(server, only_for_administrators))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
}

async fn only_for_administrators(
    State(server): State<Arc<Server>>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let user = match user_of(&server, &parts) {
        Ok(user) => user,
        Err(error) => return error.into_response(),
    };
    if !user.groups.iter().any(|group| group == MASTERS) {
        let verb = parts.method.as_str().to_lowercase();
        // Inside of the nested router the path is without its prefix.
        let path = format!("/simulator/v1{}", parts.uri.path());
        return Attempt { verb: &verb, path: &path, ..Attempt::default() }.refusal(&user, "").into_response();
    }
    next.run(Request::from_parts(parts, body)).await
}

async fn plan(State(server): State<Arc<Server>>) -> Response {
    answer::json(200, &server.faults.plan())
}

async fn replace_plan(State(server): State<Arc<Server>>, body: Bytes) -> Answer {
    let wanted: FaultPlan = read(&body)?;
    change(&server, |plan| *plan = wanted)
}

async fn add_fault(State(server): State<Arc<Server>>, body: Bytes) -> Answer {
    let fault: Fault = read(&body)?;
    change(&server, |plan| plan.requests.push(fault))
}

async fn end_faults(State(server): State<Arc<Server>>) -> Answer {
    change(&server, |plan| *plan = FaultPlan::default())
}

async fn change_node(
    State(server): State<Arc<Server>>,
    Path((name, action)): Path<(String, String)>,
) -> Answer {
    match action.as_str() {
        "die" => {
            server.api.get(NODES, "", &name)?;
            change(&server, |plan| plan.dead_nodes.insert(name))
        }
        "revive" => change(&server, |plan| plan.dead_nodes.remove(&name)),
        _ => Err(ApiError::no_such_resource()),
    }
}

async fn change_pod(
    State(server): State<Arc<Server>>,
    Path((namespace, name, action)): Path<(String, String, String)>,
) -> Answer {
    let pod = format!("{namespace}/{name}");
    match action.as_str() {
        "stick" => {
            server.api.get(PODS, &namespace, &name)?;
            change(&server, |plan| plan.stuck_pods.insert(pod))
        }
        "release" => change(&server, |plan| plan.stuck_pods.remove(&pod)),
        _ => Err(ApiError::no_such_resource()),
    }
}

async fn drop_watches(State(server): State<Arc<Server>>) -> Response {
    server.faults.drop_watches();
    done()
}

async fn compact(State(server): State<Arc<Server>>) -> Response {
    server.api.compact();
    done()
}

async fn clock(State(server): State<Arc<Server>>) -> Response {
    answer::json(200, &json!({ "now": object::time(server.api.clock().now()) }))
}

async fn advance(State(server): State<Arc<Server>>, body: Bytes) -> Answer {
    let step: Value = read(&body)?;
    let seconds = step["seconds"].as_u64().filter(|seconds| *seconds <= LONGEST_STEP);
    let seconds = seconds.ok_or_else(|| {
        ApiError::bad_request(format!("seconds must be a whole number, at most {LONGEST_STEP}"))
    })?;
    server.api.clock().advance(Duration::from_secs(seconds));
    Ok(clock(State(server)).await)
}

async fn requests(State(server): State<Arc<Server>>) -> Response {
    let requests = server.faults.requests();
    let lines = requests
        .iter()
        .map(|(line, count)| json!({ "verb": line.verb, "resource": line.resource, "count": count }));
    answer::json(200, &lines.collect::<Vec<Value>>())
}

/// Changes the plan of faults and answers with it.
fn change<T>(server: &Server, change: impl FnOnce(&mut FaultPlan) -> T) -> Answer {
    let changed = server.faults.change(|plan| {
        change(plan);
    });
    changed.map_err(|error| ApiError::bad_request(error.to_string()))?;
    Ok(answer::json(200, &server.faults.plan()))
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::bad_request(format!("the body: {error}")))
}

pub(super) fn done() -> Response {
    answer::json(200, &json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" }))
}
