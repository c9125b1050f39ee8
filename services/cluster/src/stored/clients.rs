//! The clients of clusters, kept between requests.

use std::{convert::Infallible, time::Duration};

use cluster_access::{AccessError, ClusterClient, Credentials, Limits};
use moka::sync::Cache;
use tokio::time::sleep;

use super::StoredError;
use crate::store::StoredCluster;

/// When a place at a cluster that is busy may be free.
pub(super) const BUSY: Duration = Duration::from_secs(1);
/// So many clients are kept, for so long after they were last used.
const KEPT: u64 = 1000;
const UNUSED: Duration = Duration::from_secs(600);
/// How often those that are not kept any more are dropped.
const TIDY: Duration = Duration::from_secs(60);

/// Makes a client of each cluster once. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Clients {
    /// By the cluster's id and when its row was changed last: a client of other credentials is not used.
    kept: Cache<(i64, i64), ClusterClient>,
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
        // Of several that need it at once, one makes it: they share the places at the cluster.
        let made = self.kept.try_get_with((cluster.id, cluster.updated_at), || {
            Ok::<_, StoredError>(ClusterClient::new(&credentials()?, self.limits)?)
        });
        made.map_err(|error| match &*error {
            StoredError::Access(error) => error.clone().into(),
            StoredError::Seal(error) => error.clone().into(),
            other => AccessError::Credentials(other.to_string()).into(),
        })
    }

    pub(super) fn forget(&self, cluster: &StoredCluster) {
        self.kept.invalidate(&(cluster.id, cluster.updated_at));
    }

    /// Drops what is not kept any more, with its connections.
    pub(crate) async fn keep_tidy(self) -> Infallible {
        loop {
            self.kept.run_pending_tasks();
            sleep(TIDY).await;
        }
    }
}
