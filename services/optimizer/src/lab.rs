//! What users do: name accounts and instances, and have operations evaluate these.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use aws_access::RoleArn;
use cloud::{GroupName, InstanceId, InstanceType, Zone};
use contracts::{
    ErrorCode, Timestamp,
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
use web::Problem;

use crate::{
    clouds::Clouds,
    phases::{KUBERNETES, Subject, Target},
    reach::ReachError,
    report::OperationReport,
    saga::{LogError, NewSaga, RunMode, SagaId, State},
    store::{Account, Database, LabInstance, NotBegun, Operation, Removed},
};

/// So many accounts, and so many instances, one user may have.
const MAX_EACH: usize = 1000;
/// After so long, too many operations under way may be fewer.
const BUSY: Duration = Duration::from_secs(30);

/// The accounts, instances and operations of all users. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Lab {
    pub(crate) database: Database,
    pub(crate) clouds: Clouds,
    /// Poked when a saga was begun.
    pub(crate) begun: Arc<Notify>,
    /// So many operations of one user may be under way.
    pub(crate) max_live: usize,
}

/// An account as its user gives it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// What you call it; each of your accounts has another name.
    #[schema(max_length = 100)]
    pub name: String,
    /// The role by which it is entered, such as `arn:aws:iam::123456789012:role/kubesage`.
    pub role_arn: String,
    /// The external id that the role's trust policy asks for.
    pub external_id: String,
    /// Where its instances are, such as `eu-central-1`.
    pub region: String,
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

impl From<LabError> for Problem {
    fn from(error: LabError) -> Self {
        match error {
            LabError::NotFound(_) => Self::not_found(error.to_string()),
            LabError::Conflict(why) => Self::conflict(why),
            LabError::TooMany(why) => Self::new(ErrorCode::RateLimited, why).retry_after(BUSY),
            LabError::Invalid { field, message } => Self::invalid(field, message),
            LabError::Cloud(_) => Self::new(ErrorCode::Unavailable, error.to_string()),
            LabError::Store(StoreError::Unavailable(cause)) => {
                Self::unavailable(&cause, "the database cannot be used right now; try again")
            }
            LabError::Store(other) => Self::internal(&other),
        }
    }
}

impl Lab {
    /// Adds an account whose role can be assumed.
    pub(crate) async fn add_account(&self, user: &UserData, new: NewAccount) -> Result<Account, LabError> {
        let account = self.checked(user, new)?;
        if self.database.accounts_of(&user.id).await?.len() >= MAX_EACH {
            return Err(LabError::Conflict(format!(
                "you have {MAX_EACH} accounts already; remove some first"
            )));
        }
        self.clouds.prove(&account).await.map_err(|error| match error {
            ReachError::Refused(why) | ReachError::Shortage(why) => invalid("role_arn", why),
            ReachError::Unknown(why) => LabError::Cloud(why),
        })?;
        let event = account_event(EventType::AccountAdded, user, &account, self.database.now());
        if self.database.add_account(&account, &event).await? {
            return Ok(account);
        }
        Err(LabError::Conflict(format!(
            "you have an account named {:?}, or {} of AWS account {} is somebody's already",
            account.name, account.region, account.aws_account
        )))
    }

    /// The user's account of this name, made when there is none. Its role and external id may have changed.
    pub(crate) async fn ensure_account(&self, user: &UserData, new: NewAccount) -> Result<String, LabError> {
        let known = self.database.accounts_of(&user.id).await?;
        if let Some(account) = known.into_iter().find(|account| account.name == new.name) {
            if account.role_arn != new.role_arn || account.external_id != new.external_id {
                let role: RoleArn = parsed("role_arn", &new.role_arn)?;
                self.database.change_role(&account.id, role.as_str(), &new.external_id).await?;
            }
            return Ok(account.id);
        }
        Ok(self.add_account(user, new).await?.id)
    }

    fn checked(&self, user: &UserData, new: NewAccount) -> Result<Account, LabError> {
        let NewAccount { name, role_arn, external_id, region } = new;
        let role: RoleArn = parsed("role_arn", &role_arn)?;
        let is_region = format!("{region}a").parse::<Zone>().is_ok_and(|zone| zone.region() == region);
        if !is_region {
            return Err(invalid("region", format!("{region:?} is no region, such as eu-central-1")));
        }
        // What AWS takes: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
        let is_in = |c: char| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c);
        if !(2..=1224).contains(&external_id.len()) || !external_id.chars().all(is_in) {
            return Err(invalid(
                "external_id",
                "is 2 to 1224 of the characters a-z A-Z 0-9 _ + = , . @ : / -",
            ));
        }
        Ok(Account {
            id: Uuid::now_v7().to_string(),
            user_id: user.id.clone(),
            name: text("name", name, 100)?,
            aws_account: role.account_id().to_owned(),
            role_arn: role.to_string(),
            external_id,
            region,
            created_at: self.database.now().as_millis(),
        })
    }

    /// Forgets an account in which no operation is under way, and its instances.
    pub(crate) async fn remove_account(&self, user: &UserData, id: &str) -> Result<(), LabError> {
        let account = self.account(user, id).await?;
        let event = account_event(EventType::AccountRemoved, user, &account, self.database.now());
        match self.database.remove_account(&account, &event).await? {
            Removed::Now => Ok(()),
            Removed::Gone => Err(LabError::NotFound("account")),
            Removed::InUse(saga) => {
                Err(LabError::Conflict(format!("operation {saga} is under way in this account")))
            }
        }
    }

    /// One of the user's accounts.
    pub(crate) async fn account(&self, user: &UserData, id: &str) -> Result<Account, LabError> {
        self.database.account_of(&user.id, id).await?.ok_or(LabError::NotFound("account"))
    }

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
        if self.database.instances_of(&user.id).await?.len() >= MAX_EACH {
            return Err(LabError::Conflict(format!(
                "you have {MAX_EACH} instances already; remove some first"
            )));
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
            asg_name: None,
            cluster_name: None,
            node_group: None,
            role: None,
            created_at: now.as_millis(),
            updated_at: now.as_millis(),
        };
        let instance = with(instance, new.details, now)?;
        let event = instance_event(EventType::LabInstanceAdded, user, &instance, now);
        if self.database.add_instance(&instance, &event).await? {
            return Ok(instance);
        }
        Err(LabError::Conflict(format!("instance {} is in the lab already", instance.instance_id)))
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

    /// Begins an operation on an instance.
    pub(crate) async fn evaluate(&self, user: &UserData, id: &str) -> Result<SagaId, LabError> {
        let instance = self.instance(user, id).await?;
        let (Some(PipelineMode::Kubernetes), Some(cluster)) =
            (instance.mode(), instance.cluster_name.clone())
        else {
            return Err(LabError::Conflict(format!(
                "the pipeline of {} is {}: this version has that of KUBERNETES only",
                instance.instance_id, instance.pipeline_mode
            )));
        };
        let target = Target {
            account_id: instance.account_id,
            instance_id: parsed("instance_id", &instance.instance_id)?,
            instance_type: parsed("instance_type", &instance.instance_type)?,
            zone: parsed("availability_zone", &instance.availability_zone)?,
            group: instance.asg_name.as_deref().map(|name| parsed("asg_name", name)).transpose()?,
            cluster,
        };
        let (mode, subjects) = if instance.is_shadow_mode == 1 {
            (RunMode::Shadow, Vec::new())
        } else {
            (RunMode::Live, vec![Subject::instance(&target.account_id, &target.instance_id)])
        };
        let saga = NewSaga {
            id: Uuid::now_v7(),
            user_id: user.id.clone(),
            mode,
            phases: KUBERNETES.to_vec(),
            target,
        };
        let begun = self.database.begin_operation(&saga, &subjects, self.max_live).await;
        begun.map_err(|error| match error {
            NotBegun::NoAccount => LabError::NotFound("instance"),
            NotBegun::TooMany(_) => LabError::TooMany(error.to_string()),
            NotBegun::Log(LogError::Store(error)) => LabError::Store(error),
            NotBegun::Log(error) => LabError::Conflict(error.to_string()),
        })?;
        self.begun.notify_one();
        Ok(saga.id)
    }

    /// One of the user's operations.
    pub(crate) async fn operation(
        &self,
        user: &UserData,
        id: &str,
    ) -> Result<(Operation, NewSaga), LabError> {
        let not_found = || LabError::NotFound("operation");
        let id = Uuid::try_parse(id).map_err(|_| not_found())?;
        let operation = self.database.operation_of(&user.id, id).await?.ok_or_else(not_found)?;
        let saga = operation.saga()?;
        Ok((operation, saga))
    }

    /// An operation as its journal tells.
    pub(crate) async fn report(
        &self,
        operation: &Operation,
        saga: &NewSaga,
    ) -> Result<OperationReport, LabError> {
        let journal = self.database.journal_of(saga.id, 0).await?;
        Ok(OperationReport::of(operation, saga, &journal))
    }

    /// Has an operation cancelled between two of its steps, as long as there is a way back.
    pub(crate) async fn cancel(&self, user: &UserData, id: &str) -> Result<(), LabError> {
        let (operation, saga) = self.operation(user, id).await?;
        if operation.ended_at.is_some() {
            return Err(LabError::Conflict("the operation is over".to_owned()));
        }
        self.way_back(&saga).await?;
        let data = json!({"operation_id": saga.id, "account_id": saga.target.account_id,
            "instance_id": saga.target.instance_id, "is_shadow_mode": saga.mode == RunMode::Shadow});
        let now = self.database.now();
        let event = Event::new(EventType::OperationCancelled, &user.id, &user.username, now, data);
        self.database.request_cancel(saga.id, &event).await?;
        // It has gone on meanwhile, perhaps too far.
        self.way_back(&saga).await
    }

    /// Whether there is a way back for an operation.
    async fn way_back(&self, saga: &NewSaga) -> Result<(), LabError> {
        let journal = self.database.journal_of(saga.id, 0).await?;
        if State::of(saga, &journal).is_past_return() {
            let why = "the old instance is being ended, or is: from here on the operation only goes forward";
            return Err(LabError::Conflict(why.to_owned()));
        }
        Ok(())
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
        cluster_name: name("cluster_membership.cluster_name", cluster_name)?,
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

fn account_event(event_type: EventType, user: &UserData, account: &Account, now: Timestamp) -> Event {
    let data = json!({"account_id": account.id, "name": account.name, "aws_account": account.aws_account,
        "region": account.region});
    Event::new(event_type, &user.id, &user.username, now, data)
}

fn instance_event(event_type: EventType, user: &UserData, instance: &LabInstance, now: Timestamp) -> Event {
    let data = json!({"lab_instance_id": instance.id, "account_id": instance.account_id,
        "instance_id": instance.instance_id, "pipeline_mode": instance.pipeline_mode,
        "is_shadow_mode": instance.is_shadow_mode == 1});
    Event::new(event_type, &user.id, &user.username, now, data)
}
