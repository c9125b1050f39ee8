//! The clients of clusters, kept between requests.

use std::time::Duration;

use cluster_access::{ClusterClient, Credentials, Limits};
use moka::sync::Cache;

use super::StoredError;
use crate::store::StoredCluster;

/// When a place at a cluster that is busy may be free.
pub(super) const BUSY: Duration = Duration::from_secs(1);
/// So many clients are kept; their connections are closed when they are not used for a minute and a half.
const KEPT: u64 = 1000;
const UNUSED: Duration = Duration::from_secs(600);

/// Makes a client of each cluster once. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Clients {
    /// By the cluster's id, with when its row was changed last: a client of other credentials is not used.
    kept: Cache<i64, (i64, ClusterClient)>,
    limits: Limits,
}

impl Clients {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { kept: Cache::builder().max_capacity(KEPT).time_to_idle(UNUSED).build(), limits }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// The client of a cluster as its row says that it is now.
    pub(super) fn get(
        &self,
        cluster: &StoredCluster,
        credentials: impl FnOnce() -> Result<Credentials, StoredError>,
    ) -> Result<ClusterClient, StoredError> {
        if let Some((of, client)) = self.kept.get(&cluster.id)
            && of == cluster.updated_at
        {
            return Ok(client);
        }
        let client = ClusterClient::new(&credentials()?, self.limits)?;
        self.kept.insert(cluster.id, (cluster.updated_at, client.clone()));
        Ok(client)
    }

    pub(super) fn forget(&self, id: i64) {
        self.kept.invalidate(&id);
    }
}
