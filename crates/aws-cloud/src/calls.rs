//! The calls of the seam.

use async_trait::async_trait;
use cloud::{
    CloudChanges, CloudError, CloudReads, EksCluster, Group, GroupName, Instance, InstanceId, Launch, Offer,
    Zone,
};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    AwsCloud,
    error::{late, unsent},
};

impl AwsCloud {
    /// Reads what a change takes, and makes it. What is read has a bound of its own, so that the change has its time, and both together
    /// have one: nothing is sent when nobody waits for it any more. Where `reads` fail, nothing was sent.
    async fn change<R, T, F>(
        &self,
        reads: impl Future<Output = Result<R, CloudError>> + Send,
        change: impl FnOnce(R) -> F + Send,
    ) -> Result<T, CloudError>
    where
        F: Future<Output = Result<T, CloudError>> + Send,
    {
        let until = Instant::now() + self.timeouts.call;
        let read = timeout(self.timeouts.preparation, reads).await;
        let read = read.unwrap_or_else(|_| Err(late())).map_err(unsent)?;
        timeout_at(until, change(read)).await.unwrap_or_else(|_| Err(late()))
    }

    /// What every change takes: a session.
    async fn session(&self) -> Result<(), CloudError> {
        self.credentials().await.map(drop)
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
        self.change(self.order(launch), |order| self.buy(launch, order)).await
    }

    async fn attach(&self, group: &GroupName, id: &InstanceId) -> Result<(), CloudError> {
        self.change(self.session(), |()| self.attach_to(group, id)).await
    }

    async fn detach(&self, group: &GroupName, id: &InstanceId) -> Result<(), CloudError> {
        self.change(self.session(), |()| self.detach_from(group, id)).await
    }

    async fn terminate_in_group(&self, id: &InstanceId) -> Result<(), CloudError> {
        self.change(self.is_ending(id), |is_ending| self.end_member(id, is_ending)).await
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), CloudError> {
        self.change(self.session(), |()| self.end_instance(id)).await
    }
}
