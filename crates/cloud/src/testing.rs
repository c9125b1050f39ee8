//! What every cloud behind the seam does: the same suite runs against each.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;

use crate::{
    CloudChanges, CloudError, Group, GroupName, Instance, InstanceId, InstanceState, InstanceType, Launch,
    Lifecycle, MemberState, Zone,
};

/// A tag of the suite's instances.
const TAG: &str = "kubesage.io/suite";

/// A cloud that the suite may change, and what it needs there.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The cloud.
    fn cloud(&self) -> &dyn CloudChanges;

    /// A new Auto Scaling group of on-demand instances in [`Fixture::zone`] with this least, greatest and desired size.
    async fn group(&self, min: u32, max: u32, desired: u32) -> Result<GroupName>;

    /// A type that the groups' launch templates can boot.
    fn instance_type(&self) -> InstanceType;

    /// A zone of the groups.
    fn zone(&self) -> Zone;

    /// A text that no other launch of the same cloud has in its token.
    fn unique(&self) -> String;

    /// Lets the cloud get on with what it has begun. It is called again until that is done.
    async fn pass(&self);
}

/// An instance is as it was asked for, is found by its tags, and ends.
///
/// # Errors
/// What the cloud does otherwise.
pub async fn an_instance_is_launched_and_ended(fixture: &dyn Fixture) -> Result<()> {
    let group = fixture.group(0, 2, 0).await?;
    let launch = launch(fixture, &group);
    let id = fixture.cloud().launch(&launch).await?;
    runs_and_ends(fixture, &launch, &id).await
}

/// The same launch with the same token starts one instance, another is refused.
///
/// # Errors
/// What the cloud does otherwise.
pub async fn a_token_launches_once(fixture: &dyn Fixture) -> Result<()> {
    let group = fixture.group(0, 2, 0).await?;
    let cloud = fixture.cloud();
    let launch = launch(fixture, &group);
    let id = cloud.launch(&launch).await?;
    ensure!(cloud.launch(&launch).await? == id, "another instance for the same token");
    let other = Launch { tags: BTreeMap::from([("other".to_owned(), String::new())]), ..launch.clone() };
    let answer = cloud.launch(&other).await;
    ensure!(answer == Err(CloudError::TokenMismatch), "{answer:?}");

    runs_and_ends(fixture, &launch, &id).await?;
    ensure!(cloud.launch(&launch).await? == id, "another instance when the first has ended");
    cloud.terminate(&id).await.context("ending what has ended")
}

async fn runs_and_ends(fixture: &dyn Fixture, launch: &Launch, id: &InstanceId) -> Result<()> {
    let cloud = fixture.cloud();
    let instance = running(fixture, id).await?;
    ensure!(instance.instance_type == launch.instance_type && instance.zone == launch.zone, "{instance:?}");
    ensure!(instance.lifecycle == launch.lifecycle && instance.group.is_none(), "{instance:?}");
    ensure!(instance.tags.get(TAG) == Some(&launch.token.to_string()), "{instance:?}");
    let tagged = cloud.instances_tagged(TAG).await?;
    ensure!(tagged.iter().any(|instance| instance.id == *id), "{id} is not among {tagged:?}");

    cloud.terminate(id).await?;
    ended(fixture, id).await?;
    cloud.terminate(id).await.context("ending what has ended")?;
    let tagged = cloud.instances_tagged(TAG).await?;
    let is_over = |instance: &Instance| instance.id != *id || instance.state.is_over();
    ensure!(tagged.iter().all(is_over), "{tagged:?}");
    Ok(())
}

/// A group grows by what is attached and shrinks by what is detached, which runs on.
///
/// # Errors
/// What the cloud does otherwise.
pub async fn instances_move_in_and_out_of_groups(fixture: &dyn Fixture) -> Result<()> {
    let group = fixture.group(1, 2, 1).await?;
    let cloud = fixture.cloud();
    let first = in_service(fixture, &group, 1).await?.members[0].id.clone();
    let id = cloud.launch(&launch(fixture, &group)).await?;
    running(fixture, &id).await?;

    cloud.attach(&group, &id).await?;
    let grown = in_service(fixture, &group, 2).await?;
    ensure!(grown.desired == 2 && grown.member(&id).is_some(), "{grown:?}");
    ensure!(instance(fixture, &id).await?.group.as_ref() == Some(&group), "it does not say its group");

    cloud.detach(&group, &first).await?;
    let shrunk = until(fixture, &group, |group| group.member(&first).is_none()).await?;
    ensure!(shrunk.desired == 1 && shrunk.members.len() == 1, "{shrunk:?}");
    let detached = instance(fixture, &first).await?;
    ensure!(detached.state == InstanceState::Running && detached.group.is_none(), "{detached:?}");
    cloud.terminate(&first).await?;
    ended(fixture, &first).await
}

/// No call makes a group smaller or larger than it may be.
///
/// # Errors
/// What the cloud does otherwise.
pub async fn groups_keep_within_their_bounds(fixture: &dyn Fixture) -> Result<()> {
    let group = fixture.group(1, 1, 1).await?;
    let cloud = fixture.cloud();
    let member = in_service(fixture, &group, 1).await?.members[0].id.clone();
    let id = cloud.launch(&launch(fixture, &group)).await?;
    running(fixture, &id).await?;
    for answer in [
        cloud.attach(&group, &id).await,
        cloud.detach(&group, &member).await,
        cloud.terminate_in_group(&member).await,
    ] {
        ensure!(matches!(answer, Err(CloudError::Refused { .. })), "{answer:?}");
    }
    fixture.pass().await;
    let present = in_service(fixture, &group, 1).await?;
    ensure!(present.desired == 1 && present.members[0].id == member, "{present:?}");
    cloud.terminate(&id).await?;
    ended(fixture, &id).await
}

/// An instance that is ended through its group is not replaced.
///
/// # Errors
/// What the cloud does otherwise.
pub async fn a_member_is_ended_without_another(fixture: &dyn Fixture) -> Result<()> {
    let group = fixture.group(0, 2, 2).await?;
    let cloud = fixture.cloud();
    let member = in_service(fixture, &group, 2).await?.members[0].id.clone();
    cloud.terminate_in_group(&member).await?;
    ended(fixture, &member).await?;
    let rest = until(fixture, &group, |group| group.member(&member).is_none()).await?;
    ensure!(rest.desired == 1 && rest.members.len() == 1, "{rest:?}");
    Ok(())
}

/// What is not there is said not to be.
///
/// # Errors
/// What the cloud does otherwise.
pub async fn what_is_not_there_is_not_found(fixture: &dyn Fixture) -> Result<()> {
    what_is_not_there_is_not_read(fixture).await?;
    what_is_not_there_is_neither_launched_nor_ended(fixture).await?;
    what_is_not_there_moves_nowhere(fixture).await
}

/// Its part for what reads.
///
/// # Errors
/// What the cloud does otherwise.
pub async fn what_is_not_there_is_not_read(fixture: &dyn Fixture) -> Result<()> {
    let cloud = fixture.cloud();
    let (id, group) = missing()?;
    ensure!(cloud.instance(&id).await?.is_none(), "an instance that is not there");
    ensure!(cloud.group(&group).await?.is_none(), "a group that is not there");
    ensure!(cloud.eks_cluster("kubesage-no-cluster").await?.is_none(), "a cluster that is not there");
    Ok(())
}

/// Its part for instances.
///
/// # Errors
/// What the cloud does otherwise.
pub async fn what_is_not_there_is_neither_launched_nor_ended(fixture: &dyn Fixture) -> Result<()> {
    let cloud = fixture.cloud();
    let (id, group) = missing()?;
    is_said(&cloud.terminate(&id).await)?;
    is_said(&cloud.launch(&launch(fixture, &group)).await.map(drop))
}

/// Its part for groups.
///
/// # Errors
/// What the cloud does otherwise.
pub async fn what_is_not_there_moves_nowhere(fixture: &dyn Fixture) -> Result<()> {
    let cloud = fixture.cloud();
    let (id, group) = missing()?;
    is_said(&cloud.terminate_in_group(&id).await)?;
    is_said(&cloud.attach(&group, &id).await)?;
    is_said(&cloud.detach(&group, &id).await)
}

fn missing() -> Result<(InstanceId, GroupName)> {
    Ok(("i-0fedcba9876543210".parse()?, "kubesage-no-group".parse()?))
}

fn is_said(answer: &Result<(), CloudError>) -> Result<()> {
    ensure!(matches!(answer, Err(CloudError::NotFound { .. } | CloudError::Refused { .. })), "{answer:?}");
    Ok(())
}

/// A launch by the template of a group.
fn launch(fixture: &dyn Fixture, group: &GroupName) -> Launch {
    let token = fixture.unique();
    Launch {
        tags: BTreeMap::from([(TAG.to_owned(), token.clone())]),
        token: token.parse().expect("what is unique fits into a token"),
        group: group.clone(),
        instance_type: fixture.instance_type(),
        zone: fixture.zone(),
        lifecycle: Lifecycle::OnDemand,
    }
}

/// So often the cloud may be asked to get on.
const PATIENCE: usize = 600;

async fn instance(fixture: &dyn Fixture, id: &InstanceId) -> Result<Instance> {
    fixture.cloud().instance(id).await?.with_context(|| format!("{id} is not there"))
}

async fn running(fixture: &dyn Fixture, id: &InstanceId) -> Result<Instance> {
    reaches(fixture, id, InstanceState::Running).await
}

async fn ended(fixture: &dyn Fixture, id: &InstanceId) -> Result<()> {
    reaches(fixture, id, InstanceState::Terminated).await.map(drop)
}

async fn reaches(fixture: &dyn Fixture, id: &InstanceId, state: InstanceState) -> Result<Instance> {
    let mut last = None;
    for _ in 0..PATIENCE {
        last = fixture.cloud().instance(id).await?;
        if let Some(instance) = last.take_if(|instance| instance.state == state) {
            return Ok(instance);
        }
        fixture.pass().await;
    }
    anyhow::bail!("{id} does not become {state:?}: {last:?}")
}

async fn until(
    fixture: &dyn Fixture,
    name: &GroupName,
    holds: impl Fn(&Group) -> bool + Send,
) -> Result<Group> {
    let mut last = None;
    for _ in 0..PATIENCE {
        last = fixture.cloud().group(name).await?;
        if let Some(group) = last.take_if(|group| holds(group)) {
            return Ok(group);
        }
        fixture.pass().await;
    }
    anyhow::bail!("the group does not come to it: {last:?}")
}

/// The group as soon as it has so many members and all of them work.
async fn in_service(fixture: &dyn Fixture, name: &GroupName, size: usize) -> Result<Group> {
    let works = |group: &Group| {
        group.members.len() == size
            && group.members.iter().all(|member| member.state == MemberState::InService)
    };
    until(fixture, name, works).await
}
