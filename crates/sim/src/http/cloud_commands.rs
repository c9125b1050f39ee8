//! What the administrator does to the simulated AWS account, under `/simulator/v1/cloud/`.
//!
//! | Request | does |
//! |---|---|
//! | `GET instances`, `GET groups` | tells all of them |
//! | `POST groups` | makes an Auto Scaling group ([`GroupSettings`]) |
//! | `POST groups/NAME/sizes` | sets `{"min", "max", "desired"}`, each of which may be left out |
//! | `POST groups/NAME/protect` | protects a member from scale-in or not: `{"id", "protected"}` |
//! | `PUT groups/NAME/hooks` | sets the lifecycle hooks (a list of [`LifecycleHook`]) |
//! | `POST groups/NAME/hooks/HOOK/complete` | completes a lifecycle action: `{"id", "result"}` |
//! | `POST instances/ID/interrupt` | gives a spot instance notice of its interruption |
//! | `POST instances/ID/terminate` | ends an instance |
//! | `GET`, `POST`, `DELETE shortages` | tells the pools that are short; adds a [`Pool`]; ends one, or all when the body is empty |
//! | `GET`, `POST`, `DELETE faults` | tells the faults that are still to strike; adds a [`Fault`]; ends all |
//! | `POST roles` | lets a role be assumed: `{"role_arn", "external_id"}` |
//! | `GET calls` | tells how often what was called |

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use cloud::{CloudError, GroupName, InstanceId};
use serde::{Deserialize, Serialize};

use super::cloud::{account, refused};
use super::simulator::{done, read};
use super::{Server, answer};
use crate::cloud::{Fault, GroupSettings, HookResult, LifecycleHook, Pool};
use crate::status::ApiError;

/// So many groups, shortages and faults, and hooks of a group, may be there at a time.
const MOST: usize = 1000;

type Answer = Result<Response, ApiError>;

/// What cannot be done, in the words of the API or of the cloud.
enum Refusal {
    Api(ApiError),
    Cloud(CloudError),
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Refusal {
        Refusal::Api(error)
    }
}

impl From<CloudError> for Refusal {
    fn from(error: CloudError) -> Refusal {
        Refusal::Cloud(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Refusal::Api(error) => error.into_response(),
            Refusal::Cloud(error) => refused(&error),
        }
    }
}

pub(super) fn router() -> Router<Arc<Server>> {
    Router::new()
        .route("/cloud/instances", get(instances))
        .route("/cloud/instances/{id}/{action}", post(change_instance))
        .route("/cloud/groups", get(groups).post(create_group))
        .route("/cloud/groups/{name}/sizes", post(resize))
        .route("/cloud/groups/{name}/protect", post(protect))
        .route("/cloud/groups/{name}/hooks", put(set_hooks))
        .route("/cloud/groups/{name}/hooks/{hook}/complete", post(complete_hook))
        .route("/cloud/shortages", get(shortages).post(begin_shortage).delete(end_shortage))
        .route("/cloud/faults", get(faults).post(add_fault).delete(end_faults))
        .route("/cloud/roles", post(accept_role))
        .route("/cloud/calls", get(calls))
}

async fn instances(State(server): State<Arc<Server>>) -> Answer {
    #[derive(Serialize)]
    struct Told {
        #[serde(flatten)]
        instance: cloud::Instance,
        #[serde(skip_serializing_if = "Option::is_none")]
        interruption: Option<jiff::Timestamp>,
    }
    let told = account(&server)?.with(|world, now| {
        world.advance(now);
        let told = |instance: &cloud::Instance| Told {
            instance: instance.clone(),
            interruption: world.interruption(&instance.id),
        };
        world.instances().map(told).collect::<Vec<_>>()
    });
    Ok(answer::json(200, &told))
}

async fn groups(State(server): State<Arc<Server>>) -> Answer {
    #[derive(Serialize)]
    struct Told {
        #[serde(flatten)]
        group: cloud::Group,
        settings: Option<GroupSettings>,
    }
    let told = account(&server)?.with(|world, now| {
        world.advance(now);
        let told = |group: cloud::Group| Told { settings: world.group_settings(&group.name).cloned(), group };
        world.groups().map(told).collect::<Vec<_>>()
    });
    Ok(answer::json(200, &told))
}

async fn create_group(State(server): State<Arc<Server>>, body: Bytes) -> Result<Response, Refusal> {
    let settings: GroupSettings = read(&body)?;
    account(&server)?.with(|world, now| {
        room(world.groups().count())?;
        room(settings.hooks.len())?;
        world.create_group(now, settings).map_err(Refusal::from)
    })?;
    Ok(done())
}

#[derive(Deserialize)]
struct NewSizes {
    min: Option<u32>,
    max: Option<u32>,
    desired: Option<u32>,
}

async fn resize(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let (name, sizes): (GroupName, NewSizes) = (named(&name)?, read(&body)?);
    account(&server)?.with(|world, now| {
        let present = world.group_settings(&name).map(|settings| settings.sizes);
        let present = present.ok_or_else(|| CloudError::NotFound { what: name.to_string() })?;
        world.resize_group(now, &name, sizes.min.unwrap_or(present.min), sizes.max.unwrap_or(present.max))?;
        sizes.desired.map_or(Ok(()), |desired| world.set_desired(now, &name, desired))
    })?;
    Ok(done())
}

#[derive(Deserialize)]
struct Protection {
    id: InstanceId,
    protected: bool,
}

async fn protect(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let (name, Protection { id, protected }): (GroupName, _) = (named(&name)?, read(&body)?);
    account(&server)?.with(|world, now| world.protect(now, &name, &id, protected))?;
    Ok(done())
}

async fn set_hooks(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let (name, hooks): (GroupName, Vec<LifecycleHook>) = (named(&name)?, read(&body)?);
    room(hooks.len())?;
    account(&server)?.with(|world, now| world.set_hooks(now, &name, hooks))?;
    Ok(done())
}

#[derive(Deserialize)]
struct Completion {
    id: InstanceId,
    result: HookResult,
}

async fn complete_hook(
    State(server): State<Arc<Server>>,
    Path((name, hook)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let (name, Completion { id, result }): (GroupName, _) = (named(&name)?, read(&body)?);
    account(&server)?.with(|world, now| world.complete_hook(now, &name, &id, &hook, result))?;
    Ok(done())
}

async fn change_instance(
    State(server): State<Arc<Server>>,
    Path((id, action)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let (account, id): (_, InstanceId) = (account(&server)?, named(&id)?);
    match action.as_str() {
        "interrupt" => account.with(|world, now| world.interrupt(now, &id)).map(drop)?,
        "terminate" => account.with(|world, now| world.end_instance(now, &id))?,
        _ => return Err(ApiError::no_such_resource().into()),
    }
    Ok(done())
}

async fn shortages(State(server): State<Arc<Server>>) -> Answer {
    Ok(answer::json(200, &account(&server)?.with(|world, _| world.shortages().to_vec())))
}

async fn begin_shortage(State(server): State<Arc<Server>>, body: Bytes) -> Answer {
    let pool: Pool = read(&body)?;
    account(&server)?.with(|world, _| {
        room(world.shortages().len())?;
        world.begin_shortage(pool);
        Ok::<_, ApiError>(())
    })?;
    shortages(State(server)).await
}

async fn end_shortage(State(server): State<Arc<Server>>, body: Bytes) -> Answer {
    let pool: Option<Pool> = if body.is_empty() { None } else { Some(read(&body)?) };
    account(&server)?.with(|world, _| {
        for pool in pool.map_or_else(|| world.shortages().to_vec(), |pool| vec![pool]) {
            world.end_shortage(&pool);
        }
    });
    shortages(State(server)).await
}

async fn faults(State(server): State<Arc<Server>>) -> Answer {
    Ok(answer::json(200, &account(&server)?.with(|world, _| world.faults().to_vec())))
}

async fn add_fault(State(server): State<Arc<Server>>, body: Bytes) -> Answer {
    let fault: Fault = read(&body)?;
    account(&server)?.with(|world, _| {
        room(world.faults().len())?;
        world.add_fault(fault);
        Ok::<_, ApiError>(())
    })?;
    faults(State(server)).await
}

async fn end_faults(State(server): State<Arc<Server>>) -> Answer {
    account(&server)?.with(|world, _| world.end_faults());
    faults(State(server)).await
}

#[derive(Deserialize)]
struct Role {
    role_arn: String,
    external_id: String,
}

async fn accept_role(State(server): State<Arc<Server>>, body: Bytes) -> Answer {
    let Role { role_arn, external_id } = read(&body)?;
    account(&server)?.accept_role(&role_arn, &external_id);
    Ok(done())
}

async fn calls(State(server): State<Arc<Server>>) -> Answer {
    Ok(answer::json(200, &account(&server)?.with(|world, _| world.calls().clone())))
}

/// Whether one more may come.
fn room(present: usize) -> Result<(), ApiError> {
    let is_full = || ApiError::bad_request(format!("there may be {MOST} at most"));
    (present < MOST).then_some(()).ok_or_else(is_full)
}

/// A name in a path.
fn named<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|error: T::Err| ApiError::bad_request(error.to_string()))
}
