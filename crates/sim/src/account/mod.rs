//! The AWS account beside the cluster: a [`World`] that goes by the cluster's clock, whose instances become nodes, and roles by which
//! strangers get in.

mod eks_token;
mod machines;
mod options;
mod roles;
mod run;
mod seed;

use std::sync::{Arc, Mutex, PoisonError};

use cloud::EksCluster;
use jiff::Timestamp;
use tokio::sync::Notify;

pub(crate) use self::eks_token::EksTokens;
pub use self::options::CloudOptions;
pub(crate) use self::roles::Roles;
use crate::api::Api;
use crate::cloud::World;

/// The simulated AWS account whose instances the cluster's nodes are.
pub struct Account {
    world: Mutex<World>,
    api: Arc<Api>,
    /// Tells the task that gives the account its time of every call.
    changed: Notify,
    roles: Arc<Roles>,
    options: CloudOptions,
    external_id: String,
}

impl Account {
    /// An account that has the instances of the nodes which are there.
    pub(crate) fn new(api: Arc<Api>, options: CloudOptions) -> Account {
        let external_id =
            options.external_id.clone().unwrap_or_else(|| hex::encode(rand::random::<[u8; 16]>()));
        let roles = Arc::new(Roles::new(options.session));
        roles.accept(&options.role_arn, &external_id);
        let world = seed::world(&api, &options);
        Account { world: Mutex::new(world), api, changed: Notify::new(), roles, options, external_id }
    }

    /// Works with the world at the cluster's time. The account lets time pass by itself.
    pub fn with<T>(&self, work: impl FnOnce(&mut World, Timestamp) -> T) -> T {
        let result = self.quietly(work);
        self.changed.notify_one();
        result
    }

    /// The role that can be assumed from the start.
    #[must_use]
    pub fn role_arn(&self) -> &str {
        &self.options.role_arn
    }

    /// The external id of that role.
    #[must_use]
    pub fn external_id(&self) -> &str {
        &self.external_id
    }

    /// The name of the cluster in EKS.
    #[must_use]
    pub fn eks_cluster(&self) -> &str {
        &self.options.eks_cluster
    }

    /// Lets a role be assumed with an external id.
    pub fn accept_role(&self, role_arn: &str, external_id: &str) {
        self.roles.accept(role_arn, external_id);
    }

    /// Ends all sessions, as if their time were over.
    pub fn end_sessions(&self) {
        self.roles.end_sessions();
    }

    pub(crate) fn roles(&self) -> &Arc<Roles> {
        &self.roles
    }

    /// Makes the cluster known to EKS.
    pub(crate) fn serve_cluster(&self, endpoint: String, certificate_authority: String) {
        let name = self.options.eks_cluster.clone();
        self.with(|world, _| world.set_eks_cluster(EksCluster { name, endpoint, certificate_authority }));
    }

    fn quietly<T>(&self, work: impl FnOnce(&mut World, Timestamp) -> T) -> T {
        // The time is taken with the lock: calls come to the world in the order of their times.
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut world, self.api.clock().now())
    }
}
