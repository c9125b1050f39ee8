//! The calls.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    ClientToken, CloudError, Group, GroupName, Instance, InstanceId, InstanceType, Lifecycle, Offer, Zone,
};

/// What can be read of one account in one region.
#[async_trait]
pub trait CloudReads: Send + Sync {
    /// The instance with this id, also when it was ended a short while ago; `None` when there is none.
    ///
    /// # Errors
    /// [`CloudError`].
    async fn instance(&self, id: &InstanceId) -> Result<Option<Instance>, CloudError>;

    /// All instances that have this tag, whatever its value, and are not terminated.
    ///
    /// # Errors
    /// [`CloudError`].
    async fn instances_tagged(&self, tag: &str) -> Result<Vec<Instance>, CloudError>;

    /// The Auto Scaling group of this name; `None` when there is none.
    ///
    /// # Errors
    /// [`CloudError`].
    async fn group(&self, name: &GroupName) -> Result<Option<Group>, CloudError>;

    /// Every type of instances that the zone has.
    ///
    /// # Errors
    /// [`CloudError`].
    async fn offers(&self, zone: &Zone) -> Result<Vec<Offer>, CloudError>;

    /// The EKS cluster of this name; `None` when there is none.
    ///
    /// # Errors
    /// [`CloudError`].
    async fn eks_cluster(&self, name: &str) -> Result<Option<EksCluster>, CloudError>;
}

/// What can be changed in one account in one region. Each call does the same once, however often it comes.
#[async_trait]
pub trait CloudChanges: CloudReads {
    /// Starts an instance as the group's launch template says, but outside of the group.
    ///
    /// # Errors
    /// [`CloudError`]; [`CloudError::TokenMismatch`] when the token was used for another launch.
    async fn launch(&self, launch: &Launch) -> Result<InstanceId, CloudError>;

    /// Puts a running instance into a group, which is to have one more then. No lifecycle hook runs.
    ///
    /// # Errors
    /// [`CloudError`]; [`CloudError::Refused`] when the group would have more than its maximum.
    async fn attach(&self, group: &GroupName, id: &InstanceId) -> Result<(), CloudError>;

    /// Takes an instance out of its group, which is to have one fewer then; it runs on. No lifecycle hook runs.
    ///
    /// # Errors
    /// [`CloudError`]; [`CloudError::Refused`] when the group would have fewer than its minimum.
    async fn detach(&self, group: &GroupName, id: &InstanceId) -> Result<(), CloudError>;

    /// Ends an instance through its group, which is to have one fewer then and runs its lifecycle hooks.
    ///
    /// # Errors
    /// [`CloudError`]; [`CloudError::Refused`] when the group would have fewer than its minimum.
    async fn terminate_in_group(&self, id: &InstanceId) -> Result<(), CloudError>;

    /// Ends an instance that is in no group.
    ///
    /// # Errors
    /// [`CloudError`].
    async fn terminate(&self, id: &InstanceId) -> Result<(), CloudError>;
}

/// An instance to be started. With the same token, the same in every field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// By which the cloud knows it again.
    pub token: ClientToken,
    /// Whose launch template says all that is not said here.
    pub group: GroupName,
    /// Of which type.
    pub instance_type: InstanceType,
    /// Where.
    pub zone: Zone,
    /// How it is paid for.
    pub lifecycle: Lifecycle,
    /// Its tags, given with the launch itself, so that there is no moment without.
    pub tags: BTreeMap<String, String>,
}

/// How an EKS cluster is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EksCluster {
    /// Its name.
    pub name: String,
    /// `https://…` of its API server.
    pub endpoint: String,
    /// The certificates of the authorities of its API server, PEM.
    pub certificate_authority: String,
}
