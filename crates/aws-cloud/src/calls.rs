//! The calls of the seam.

use async_trait::async_trait;
use cloud::{
    CloudChanges, CloudError, CloudReads, EksCluster, Group, GroupName, Instance, InstanceId, Launch, Offer,
    Zone,
};
use tokio::time::timeout;

use crate::{AwsCloud, error::unknown};

impl AwsCloud {
    /// Bounds a change with all that is read for it: nothing is sent when nobody waits for it any more.
    async fn in_time<T>(
        &self,
        change: impl Future<Output = Result<T, CloudError>> + Send,
    ) -> Result<T, CloudError> {
        timeout(self.patience, change).await.unwrap_or_else(|_| Err(unknown("no answer came in time")))
    }
}

#[async_trait]
impl CloudReads for AwsCloud {
    async fn instance(&self, id: &InstanceId) -> Result<Option<Instance>, CloudError> {
        self.find_instance(id).await
    }

    async fn instances_tagged(&self, tag: &str) -> Result<Vec<Instance>, CloudError> {
        self.find_tagged(tag).await
    }

    async fn group(&self, name: &GroupName) -> Result<Option<Group>, CloudError> {
        self.find_group(name).await
    }

    async fn offers(&self, zone: &Zone) -> Result<Vec<Offer>, CloudError> {
        self.all_offers(zone).await
    }

    async fn eks_cluster(&self, name: &str) -> Result<Option<EksCluster>, CloudError> {
        self.find_eks_cluster(name).await
    }
}

#[async_trait]
impl CloudChanges for AwsCloud {
    async fn launch(&self, launch: &Launch) -> Result<InstanceId, CloudError> {
        self.in_time(self.start(launch)).await
    }

    async fn attach(&self, group: &GroupName, id: &InstanceId) -> Result<(), CloudError> {
        self.in_time(self.attach_to(group, id)).await
    }

    async fn detach(&self, group: &GroupName, id: &InstanceId) -> Result<(), CloudError> {
        self.in_time(self.detach_from(group, id)).await
    }

    async fn terminate_in_group(&self, id: &InstanceId) -> Result<(), CloudError> {
        self.in_time(self.end_member(id)).await
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), CloudError> {
        self.in_time(self.end_instance(id)).await
    }
}
