//! The cloud as a process sees it.

use async_trait::async_trait;
use cloud::{
    ClientToken, CloudChanges, CloudError, CloudReads, EksCluster, Group, GroupName, Instance, InstanceId,
    InstanceState, Launch, MemberState, Offer, Zone,
};
use optimizer::phases::SAGA_TAG;
use sim::cloud::{Change, World as Cloud};

use super::Seam;
use crate::simulation::{case::Repeated, lies::Lie};

/// What a saga does to the old instance.
pub(super) const END_OLD: &str = "terminate in the group";

impl Seam {
    async fn cloud_read<T>(
        &self,
        what: &str,
        read: impl FnOnce(&mut Cloud, jiff::Timestamp) -> Result<T, CloudError>,
    ) -> Result<T, CloudError> {
        self.read(what, |all, now| read(&mut all.cloud, now)).await?
    }

    async fn cloud_change(&self, what: &'static str, change: Change) -> Result<InstanceId, CloudError> {
        if self.world().chaos.fails() && self.world().chaos.chance(30) {
            self.process.tell(format!("does: {what}: throttled"));
            return Err(CloudError::Throttled);
        }
        self.change(what, move |seam| seam.in_cloud(&change)).await?
    }

    fn in_cloud(&self, change: &Change) -> Result<InstanceId, CloudError> {
        self.world().change(|all, now| {
            if let Change::TerminateInGroup { id } = change {
                if self.lies(Lie::OldIsOver) {
                    return Ok(id.clone());
                }
                let group = all.cloud.groups().next().unwrap();
                let state = group.member(id).map(|member| member.state);
                if matches!(state, Some(MemberState::Terminating | MemberState::TerminatingWait)) {
                    match self.world().case.repeated {
                        Repeated::Refused => {
                            let message = format!("The instance {id} is not in InService or Standby.");
                            return Err(CloudError::Refused { code: "ValidationError".to_owned(), message });
                        }
                        Repeated::ShrinksAgain => {
                            let fewer = group.desired.saturating_sub(1).max(group.min);
                            all.cloud.set_desired(now, &group.name, fewer)?;
                        }
                        Repeated::DoesNothing => {}
                    }
                }
            }
            if let Change::Terminate { id } = change
                && (self.lies(Lie::GivenBackIsOver) || self.lies(Lie::GivenBackRunsOn))
            {
                return Ok(id.clone());
            }
            let done = all.cloud.change(now, change.clone());
            if let (Change::Launch(launch), Ok(id)) = (change, &done) {
                let saga = launch.tags.get(SAGA_TAG).cloned().unwrap_or_default();
                all.bought.insert(id.clone(), saga);
            }
            done
        })
    }

    /// What is told of an instance, as far as it is not so.
    fn retold(&self, mut instance: Instance) -> Instance {
        let is_bought = instance.tags.contains_key(SAGA_TAG);
        let is_given_back =
            self.lies(Lie::GivenBackIsOver) && is_bought && self.process.log.goes_back(self.lease.saga);
        let is_old = self.lies(Lie::OldIsOver) && !is_bought && self.process.log.ends_old(self.lease.saga);
        if is_given_back || is_old {
            instance.state = InstanceState::Terminated;
        }
        instance
    }
}

#[async_trait]
impl CloudReads for Seam {
    async fn instance(&self, id: &InstanceId) -> Result<Option<Instance>, CloudError> {
        let read = self.cloud_read("an instance", |cloud, now| cloud.instance(now, id)).await;
        Ok(read?.map(|instance| self.retold(instance)))
    }

    async fn instances_tagged(&self, tag: &str) -> Result<Vec<Instance>, CloudError> {
        let read = self.cloud_read("tagged instances", |cloud, now| cloud.instances_tagged(now, tag)).await;
        Ok(read?.into_iter().map(|instance| self.retold(instance)).collect())
    }

    async fn group(&self, name: &GroupName) -> Result<Option<Group>, CloudError> {
        let mut group = self.cloud_read("the group", |cloud, now| cloud.group(now, name)).await?;
        if let Some(group) = &mut group
            && self.lies(Lie::DetachedIsOut)
            && self.process.log.goes_back(self.lease.saga)
        {
            group.members.clear();
        }
        Ok(group)
    }

    async fn offers(&self, zone: &Zone) -> Result<Vec<Offer>, CloudError> {
        self.cloud_read("offers", |cloud, now| cloud.offers(now, zone)).await
    }

    async fn eks_cluster(&self, name: &str) -> Result<Option<EksCluster>, CloudError> {
        self.cloud_read("the cluster", |cloud, now| cloud.eks_cluster(now, name)).await
    }
}

#[async_trait]
impl CloudChanges for Seam {
    async fn launch(&self, launch: &Launch) -> Result<InstanceId, CloudError> {
        let mut launch = launch.clone();
        if self.lies(Lie::TokensAreIgnored) {
            let number = self.world().chaos.millis(0, 1_000_000).as_millis();
            launch.token = format!("another-{number}").parse::<ClientToken>().unwrap();
        }
        self.cloud_change("launch", Change::Launch(launch)).await
    }

    async fn attach(&self, group: &GroupName, id: &InstanceId) -> Result<(), CloudError> {
        self.cloud_change("attach", Change::Attach { group: group.clone(), id: id.clone() }).await.map(drop)
    }

    async fn detach(&self, group: &GroupName, id: &InstanceId) -> Result<(), CloudError> {
        self.cloud_change("detach", Change::Detach { group: group.clone(), id: id.clone() }).await.map(drop)
    }

    async fn terminate_in_group(&self, id: &InstanceId) -> Result<(), CloudError> {
        let change = Change::TerminateInGroup { id: id.clone() };
        self.cloud_change(END_OLD, change).await.map(drop)
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), CloudError> {
        self.cloud_change("terminate", Change::Terminate { id: id.clone() }).await.map(drop)
    }
}
