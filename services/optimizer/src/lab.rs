//! What users do: name accounts and instances, and have operations evaluate these.

mod accounts;
mod operations;

use std::{fmt, str::FromStr, sync::Arc};

use cloud::{ClusterName, GroupName, InstanceId, InstanceType, Zone};
use contracts::{
    Timestamp,
    auth::UserData,
    events::{Event, EventType},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::StoreError;
use thiserror::Error;
use tokio::sync::Notify;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    clouds::Clouds,
    store::{Added, Database, LabInstance, MAX_EACH, marked},
};

pub use accounts::NewAccount;

/// The accounts, instances and operations of all users. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Lab {
    pub(crate) database: Database,
    pub(crate) clouds: Clouds,
    /// Poked when a saga was begun.
    pub(crate) begun: Arc<Notify>,
    /// So many operations of one user may be under way.
    pub(crate) max_live: u16,
}

/// How an instance is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum PipelineMode {
    /// An instance that stands alone.
    Linear,
    /// One of an Auto Scaling group.
    Cluster,
    /// A node of a Kubernetes cluster.
    Kubernetes,
}

/// An instance as its user gives it.
pub(crate) struct NewInstance {
    pub(crate) account_id: String,
    pub(crate) instance_id: String,
    pub(crate) instance_type: String,
    pub(crate) availability_zone: String,
    pub(crate) details: Details,
}

/// What may be changed of an instance.
pub(crate) struct Details {
    pub(crate) pipeline_mode: PipelineMode,
    pub(crate) is_shadow_mode: bool,
    pub(crate) asg_name: Option<String>,
    pub(crate) cluster_name: Option<String>,
    pub(crate) node_group: Option<String>,
    pub(crate) role: Option<String>,
}

/// Why something could not be done.
#[derive(Debug, Error)]
pub enum LabError {
    /// There is none, or it is somebody else's.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// It cannot be done as things are.
    #[error("{0}")]
    Conflict(String),
    /// The user has as many as one may have.
    #[error("{0}")]
    TooMany(String),
    /// A value cannot be accepted.
    #[error("{field}: {message}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// Why.
        message: String,
    },
    /// The cloud cannot be asked.
    #[error("the account cannot be entered right now: {0}")]
    Cloud(String),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Lab {
    /// Adds an instance to those that may be replaced. The cloud is not asked: an operation finds out whether it is there.
    pub(crate) async fn add_instance(
        &self,
        user: &UserData,
        new: NewInstance,
    ) -> Result<LabInstance, LabError> {
        let account = match self.account(user, &new.account_id).await {
            Err(LabError::NotFound(_)) => {
                return Err(invalid("account_id", "you have no such account"));
            }
            account => account?,
        };
        let zone: Zone = parsed("availability_zone", &new.availability_zone)?;
        if zone.region() != account.region {
            let why = format!("{zone} is not in {}, where the account is", account.region);
            return Err(invalid("availability_zone", why));
        }
        let now = self.database.now();
        let instance = LabInstance {
            id: Uuid::now_v7().to_string(),
            user_id: user.id.clone(),
            account_id: account.id,
            instance_id: parsed::<InstanceId>("instance_id", &new.instance_id)?.to_string(),
            instance_type: parsed::<InstanceType>("instance_type", &new.instance_type)?.to_string(),
            availability_zone: zone.to_string(),
            pipeline_mode: String::new(),
            is_shadow_mode: 1,
            is_simulated: self.clouds.is_simulated(&account.role_arn).into(),
            asg_name: None,
            cluster_name: None,
            node_group: None,
            role: None,
            created_at: now.as_millis(),
            updated_at: now.as_millis(),
        };
        let instance = with(instance, new.details, now)?;
        let event = instance_event(EventType::LabInstanceAdded, user, &instance, now);
        match self.database.add_instance(&instance, &event).await? {
            Added::Now => Ok(instance),
            Added::Before => {
                Err(LabError::Conflict(format!("instance {} is in the lab already", instance.instance_id)))
            }
            Added::NoAccount => Err(LabError::Conflict("the account was removed meanwhile".to_owned())),
            Added::TooMany => {
                Err(LabError::Conflict(format!("you have {MAX_EACH} instances already; remove some first")))
            }
        }
    }

    /// One of the user's instances.
    pub(crate) async fn instance(&self, user: &UserData, id: &str) -> Result<LabInstance, LabError> {
        self.database.instance_of(&user.id, id).await?.ok_or(LabError::NotFound("instance"))
    }

    /// Changes an instance, for operations that are begun from now on.
    pub(crate) async fn change_instance(
        &self,
        user: &UserData,
        instance: LabInstance,
        details: Details,
    ) -> Result<LabInstance, LabError> {
        let (now, read_at) = (self.database.now(), instance.updated_at);
        let mut instance = with(instance, details, now)?;
        // Two changes never have the same time, by which they know of each other.
        instance.updated_at = instance.updated_at.max(read_at + 1);
        let event = instance_event(EventType::LabInstanceUpdated, user, &instance, now);
        if self.database.change_instance(&instance, read_at, &event).await? {
            return Ok(instance);
        }
        self.instance(user, &instance.id).await?;
        Err(LabError::Conflict(
            "somebody else has changed the instance meanwhile; look at it again".to_owned(),
        ))
    }

    /// Takes an instance out of the lab. An operation that is under way goes on.
    pub(crate) async fn remove_instance(&self, user: &UserData, id: &str) -> Result<(), LabError> {
        let instance = self.instance(user, id).await?;
        let now = self.database.now();
        let event = instance_event(EventType::LabInstanceRemoved, user, &instance, now);
        if self.database.remove_instance(&instance.id, &event).await? {
            return Ok(());
        }
        Err(LabError::NotFound("instance"))
    }
}

impl LabInstance {
    /// `None` for one that a newer version has stored.
    pub(crate) fn mode(&self) -> Option<PipelineMode> {
        match self.pipeline_mode.as_str() {
            "LINEAR" => Some(PipelineMode::Linear),
            "CLUSTER" => Some(PipelineMode::Cluster),
            "KUBERNETES" => Some(PipelineMode::Kubernetes),
            _ => None,
        }
    }
}

impl fmt::Display for PipelineMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linear => "LINEAR",
            Self::Cluster => "CLUSTER",
            Self::Kubernetes => "KUBERNETES",
        })
    }
}

/// The instance with these details, which are checked.
fn with(instance: LabInstance, details: Details, now: Timestamp) -> Result<LabInstance, LabError> {
    let Details { pipeline_mode, is_shadow_mode, asg_name, cluster_name, node_group, role } = details;
    if pipeline_mode == PipelineMode::Kubernetes && cluster_name.is_none() {
        return Err(invalid("cluster_membership.cluster_name", "is needed for the pipeline KUBERNETES"));
    }
    let name = |field, value: Option<String>| value.map(|value| text(field, value, 100)).transpose();
    Ok(LabInstance {
        pipeline_mode: pipeline_mode.to_string(),
        is_shadow_mode: is_shadow_mode.into(),
        asg_name: asg_name
            .map(|name| parsed::<GroupName>("metadata.asg_name", &name))
            .transpose()?
            .map(|name| name.to_string()),
        cluster_name: cluster_name
            .map(|name| parsed::<ClusterName>("cluster_membership.cluster_name", &name))
            .transpose()?
            .map(|name| name.to_string()),
        node_group: name("cluster_membership.node_group", node_group)?,
        role: name("cluster_membership.role", role)?,
        updated_at: now.as_millis(),
        ..instance
    })
}

fn parsed<T: FromStr<Err: fmt::Display>>(field: &'static str, text: &str) -> Result<T, LabError> {
    text.parse().map_err(|error: T::Err| invalid(field, error.to_string()))
}

/// A text that can be shown in a line.
fn text(field: &'static str, text: String, most: usize) -> Result<String, LabError> {
    if text.trim().is_empty() || text.chars().count() > most || text.chars().any(char::is_control) {
        return Err(invalid(field, format!("is 1 to {most} characters, none of them control characters")));
    }
    Ok(text)
}

fn invalid(field: &'static str, message: impl Into<String>) -> LabError {
    LabError::Invalid { field, message: message.into() }
}

fn instance_event(event_type: EventType, user: &UserData, instance: &LabInstance, now: Timestamp) -> Event {
    let data = json!({"lab_instance_id": instance.id, "account_id": instance.account_id,
        "instance_id": instance.instance_id, "pipeline_mode": instance.pipeline_mode,
        "is_shadow_mode": instance.is_shadow_mode == 1});
    Event::new(event_type, &user.id, &user.username, now, marked(data, instance.is_simulated == 1))
}
