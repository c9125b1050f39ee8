//! The cluster behind [`ClusterReads`] and [`ClusterChanges`]: one of EKS, entered with the credentials of the account that it is in.
//!
//! An [`Eks`] keeps one client of the cluster, and renews the token by which the cluster knows it. It hands out two halves: what is
//! given [`Eks::reads`] has no way to change anything.

mod access;
mod changes;
mod credentials;
mod left;
mod reads;
mod rights;
mod trouble;
mod words;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use access::Access;
use changes::EksChanges;
use cloud::CloudReads;
use cluster_access::drain::DrainOptions;
use reads::EksReads;

#[cfg(feature = "aws")]
pub(crate) use credentials::reach_error;
pub use credentials::{AccountCredentials, AssumedRole};
pub use rights::{ACCESS_GROUP, cluster_role_rules};

use crate::{
    reach::{ClusterChanges, ClusterReads},
    saga::SagaId,
};

/// A cluster of EKS. Cheap to clone; all clones share its client.
#[derive(Clone)]
pub struct Eks(Arc<Access>);

impl Eks {
    /// The cluster of this name in the account and region that `cloud` reads. It asks nobody yet. The process needs a provider of
    /// cryptography for rustls.
    pub fn new(
        cloud: Arc<dyn CloudReads>,
        credentials: Arc<dyn AccountCredentials>,
        region: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self::with_clock(cloud, credentials, region, name, SystemTime::now)
    }

    /// The same by another clock, which says when tokens are made and when they end.
    pub fn with_clock(
        cloud: Arc<dyn CloudReads>,
        credentials: Arc<dyn AccountCredentials>,
        region: impl Into<String>,
        name: impl Into<String>,
        now: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Access::new(cloud, credentials, region.into(), name.into(), Box::new(now))))
    }

    /// What reads the cluster, and cannot change it.
    pub fn reads(&self) -> Arc<dyn ClusterReads> {
        Arc::new(EksReads(self.0.clone()))
    }

    /// What changes it for a saga: a node that somebody else has cordoned stays so.
    pub fn changes(&self, saga: SagaId) -> Arc<dyn ClusterChanges> {
        Arc::new(EksChanges::new(self.0.clone(), saga))
    }
}

/// How nodes are drained: nobody is there to consent, and nothing that is made anew elsewhere may hold a node for ever.
fn options(deadline: Duration) -> DrainOptions {
    DrainOptions {
        // What nobody makes anew would be lost.
        force: false,
        ignore_daemon_sets: true,
        // As all do that replace nodes, such as EKS itself and Karpenter: what is in an `emptyDir` is lost with any node.
        delete_empty_dir_data: true,
        deadline,
        ..DrainOptions::default()
    }
}
