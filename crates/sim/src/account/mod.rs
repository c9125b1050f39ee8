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
use serde::Serialize;
use tokio::sync::Notify;

pub(crate) use self::eks_token::EksTokens;
pub(crate) use self::machines::Machines;
pub use self::options::CloudOptions;
use self::roles::ROLES;
pub(crate) use self::roles::Roles;
use crate::api::Api;
use crate::cloud::World;
use crate::journal::{Found, Journal, StateError};

/// The world and who can enter it, in a journal; and how far instances are on their way to be nodes.
const WORLD: &str = "cloud";
const EXTERNAL_ID: &str = "external id";
const MACHINES: &str = "machines";

/// The simulated AWS account whose instances the cluster's nodes are.
pub struct Account {
    world: Mutex<World>,
    api: Arc<Api>,
    /// Tells the task that gives the account its time of every call.
    changed: Notify,
    roles: Arc<Roles>,
    options: CloudOptions,
    external_id: String,
    journal: Option<Arc<Journal>>,
}

impl Account {
    /// An account that has the instances of the nodes which are there, or that of an earlier process; and its machines, for
    /// [`Account::run`].
    pub(crate) fn new(
        api: Arc<Api>,
        options: CloudOptions,
        found: &Found,
        journal: Option<Arc<Journal>>,
    ) -> Result<(Account, Machines), StateError> {
        let external_id = match &options.external_id {
            Some(id) => Some(id.clone()),
            None => found.kept(EXTERNAL_ID)?,
        };
        let external_id = external_id.unwrap_or_else(|| hex::encode(rand::random::<[u8; 16]>()));
        let roles =
            Arc::new(Roles::new(options.session, found.kept(ROLES)?.unwrap_or_default(), journal.clone()));
        roles.accept(&options.role_arn, &external_id);
        let world = match found.kept::<World>(WORLD)? {
            Some(world) => world.going_on(options.timing),
            None => seed::world(&api, &options),
        };
        let machines = found.kept(MACHINES)?.unwrap_or_else(|| Machines::of_nodes(&api, &world));
        let world = Mutex::new(world);
        let account = Account { world, api, changed: Notify::new(), roles, options, external_id, journal };
        account.keep(EXTERNAL_ID, &account.external_id);
        account.keep(MACHINES, &machines);
        account.quietly(|_, _| {});
        Ok((account, machines))
    }

    /// Whether an earlier process had an account.
    pub(crate) fn is_in(found: &Found) -> bool {
        found.has(WORLD)
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

    /// The region that its instances are in.
    #[must_use]
    pub fn region(&self) -> &'static str {
        crate::cloud::REGION
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
        let result = work(&mut world, self.api.clock().now());
        self.keep(WORLD, &*world);
        result
    }

    /// Has the next process know it.
    fn keep(&self, name: &str, value: &impl Serialize) {
        if let Some(journal) = &self.journal {
            journal.keep(name, value);
        }
    }
}
