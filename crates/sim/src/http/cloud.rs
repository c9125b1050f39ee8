//! The calls of the simulated AWS account: `POST /simulator/v1/cloud/CALL`, with the arguments and the answer in JSON.
//!
//! Whoever calls has assumed a role (`POST /simulator/v1/cloud/assume-role`) and sends the session's token. What a call answers when it
//! does not succeed is a [`CloudError`].

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::Response;
use axum::routing::post;
use cloud::{CloudError, GroupName, InstanceId, Launch, Zone};
use http::HeaderMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Server, answer, simulator};
use crate::account::Account;
use crate::auth::bearer_token;
use crate::cloud::{Change, Operation, World};
use crate::status::ApiError;

/// A launch with as many tags as there may be fits.
const BODY_LIMIT: usize = 256 * 1024;
/// No answer is held back for longer.
const LONGEST_DELAY: Duration = Duration::from_hours(1);

pub(super) fn router() -> Router<Arc<Server>> {
    Router::new()
        .route("/simulator/v1/cloud/assume-role", post(assume_role))
        .route("/simulator/v1/cloud/{call}", post(call))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
}

#[derive(Deserialize)]
struct AssumeRole {
    role_arn: String,
    external_id: String,
}

async fn assume_role(State(server): State<Arc<Server>>, body: Bytes) -> Result<Response, ApiError> {
    let account = account(&server)?;
    let asked: AssumeRole = simulator::read(&body)?;
    let session = match account.roles().assume(&asked.role_arn, &asked.external_id) {
        Ok(session) => session,
        Err(error) => return Ok(refused(&error)),
    };
    let expires = Timestamp::try_from(session.ends_at).unwrap_or(Timestamp::MAX);
    let granted = json!({
        "access_key_id": session.credentials.access_key_id(),
        "secret_access_key": session.credentials.secret_access_key(),
        "session_token": session.credentials.session_token(),
        "expires": expires,
    });
    Ok(answer::json(200, &granted))
}

async fn call(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let account = account(&server)?;
    let operation = operation(&name)?;
    let session = bearer_token(&headers).and_then(|token| account.roles().session_of(token));
    if session.is_none() {
        return Err(ApiError::unauthorized());
    }
    let call = Call::read(operation, &body)?;
    let (result, delay) = account.with(|world, now| (call.make(world, now), world.delay(operation)));
    // It is done at once, and whoever does not wait for the answer does not know.
    if let Some(delay) = delay {
        tokio::time::sleep(delay.min(LONGEST_DELAY)).await;
    }
    Ok(result.map_or_else(|error| refused(&error), |told| answer::json(200, &told)))
}

/// A call with its arguments.
enum Call {
    Instance(InstanceId),
    InstancesTagged(String),
    Group(GroupName),
    Offers(Zone),
    EksCluster(String),
    Change(Change),
}

#[derive(Deserialize)]
struct OfId {
    id: InstanceId,
}

#[derive(Deserialize)]
struct OfMember {
    group: GroupName,
    id: InstanceId,
}

#[derive(Deserialize)]
struct OfTag {
    tag: String,
}

#[derive(Deserialize)]
struct OfName<T> {
    name: T,
}

#[derive(Deserialize)]
struct OfZone {
    zone: Zone,
}

impl Call {
    fn read(operation: Operation, body: &[u8]) -> Result<Call, ApiError> {
        let id = || simulator::read::<OfId>(body).map(|OfId { id }| id);
        let member = || simulator::read::<OfMember>(body).map(|OfMember { group, id }| (group, id));
        let change = match operation {
            Operation::Instance => return id().map(Call::Instance),
            Operation::InstancesTagged => {
                return simulator::read::<OfTag>(body).map(|asked| Call::InstancesTagged(asked.tag));
            }
            Operation::Group => {
                return simulator::read::<OfName<_>>(body).map(|asked| Call::Group(asked.name));
            }
            Operation::Offers => {
                return simulator::read::<OfZone>(body).map(|asked| Call::Offers(asked.zone));
            }
            Operation::EksCluster => {
                return simulator::read::<OfName<_>>(body).map(|asked| Call::EksCluster(asked.name));
            }
            Operation::Launch => Change::Launch(simulator::read::<Launch>(body)?),
            Operation::Attach => member().map(|(group, id)| Change::Attach { group, id })?,
            Operation::Detach => member().map(|(group, id)| Change::Detach { group, id })?,
            Operation::TerminateInGroup => Change::TerminateInGroup { id: id()? },
            Operation::Terminate => Change::Terminate { id: id()? },
        };
        Ok(Call::Change(change))
    }

    fn make(self, world: &mut World, now: Timestamp) -> Result<Value, CloudError> {
        match self {
            Call::Instance(id) => world.instance(now, &id).map(told),
            Call::InstancesTagged(tag) => world.instances_tagged(now, &tag).map(told),
            Call::Group(name) => world.group(now, &name).map(told),
            Call::Offers(zone) => world.offers(now, &zone).map(told),
            Call::EksCluster(name) => world.eks_cluster(now, &name).map(told),
            Call::Change(change) => {
                let is_launch = change.operation() == Operation::Launch;
                world.change(now, change).map(|id| if is_launch { told(id) } else { Value::Null })
            }
        }
    }
}

fn told(value: impl Serialize) -> Value {
    serde_json::to_value(value).expect("what a cloud tells is JSON")
}

fn operation(name: &str) -> Result<Operation, ApiError> {
    serde_json::from_value(name.into()).map_err(|_| ApiError::no_such_resource())
}

pub(super) fn account(server: &Server) -> Result<&Arc<Account>, ApiError> {
    server.account.as_ref().ok_or_else(ApiError::no_such_resource)
}

/// The answer to a call that did not succeed.
pub(super) fn refused(error: &CloudError) -> Response {
    let status = match error {
        CloudError::Throttled => 429,
        CloudError::Shortage { .. } => 503,
        CloudError::TokenMismatch | CloudError::Refused { .. } => 400,
        CloudError::NotFound { .. } => 404,
        CloudError::Denied { .. } => 403,
        CloudError::Unknown { .. } => 504,
    };
    answer::json(status, error)
}
