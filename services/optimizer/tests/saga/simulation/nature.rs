//! What happens by itself.

use std::time::Duration;

use cloud::{InstanceId, MemberState};
use tokio::time::sleep;

use super::{
    cluster::{Cluster, LONER, ModelNode},
    world::{Everything, World},
};

/// So often a job is begun.
const JOBS_EVERY: Duration = Duration::from_secs(10);

fn is_over(all: &Everything, id: &InstanceId) -> bool {
    all.cloud.instances().find(|instance| instance.id == *id).is_none_or(|instance| instance.state.is_over())
}

/// An instance becomes a node, if all goes well, and stays one.
pub(super) async fn joins(world: World, id: InstanceId) {
    let name = Cluster::name_of(&id);
    let chaos = world.chaos.clone();
    sleep(chaos.millis(500, 20_000)).await;
    let has_joined = world.change(|all, _| {
        let joins = !is_over(all, &id);
        if joins {
            all.cluster.nodes.insert(name.clone(), ModelNode::new(id.clone()));
        }
        joins
    });
    // One that never becomes Ready.
    if !has_joined || (chaos.fails() && chaos.chance(20)) {
        return;
    }
    sleep(chaos.millis(100, 5000)).await;
    world.change(|all, _| {
        let over = is_over(all, &id);
        if let Some(node) = all.cluster.nodes.get_mut(&name).filter(|_| !over) {
            node.is_ready = true;
            node.version += 1;
        }
    });
    sleep(chaos.millis(100, 5000)).await;
    world.change(|all, _| {
        if let Some(node) = all.cluster.nodes.get_mut(&name) {
            node.has_daemons = true;
        }
    });
    if chaos.fails() && chaos.chance(20) {
        sleep(chaos.millis(0, 60_000)).await;
        goes_away(&world, &name, chaos.millis(1000, 60_000)).await;
    }
    if chaos.fails() && chaos.chance(20) {
        sleep(chaos.millis(0, 60_000)).await;
        is_taken(&world, &id);
    }
}

/// A spot instance is taken away, in two minutes.
fn is_taken(world: &World, id: &InstanceId) {
    world.change(|all, now| {
        if all.cloud.interrupt(now, id).is_ok() {
            world.story.tell(format!("{id} will be taken away"));
            all.taken.insert(id.clone());
        }
    });
}

/// A node is not Ready for a while.
pub(super) async fn goes_away(world: &World, name: &str, time: Duration) {
    let went = world.change(|all, _| {
        let node = all.cluster.nodes.get_mut(name).filter(|node| node.is_ready)?;
        node.is_ready = false;
        all.away.insert(name.to_owned());
        Some(())
    });
    if went.is_none() {
        return;
    }
    world.story.tell(format!("{name} is not Ready"));
    sleep(time).await;
    world.change(|all, _| {
        let over = all.cluster.nodes.get(name).is_none_or(|node| is_over(all, &node.instance));
        if all.away.remove(name)
            && let Some(node) = all.cluster.nodes.get_mut(name).filter(|_| !over)
        {
            node.is_ready = true;
            world.story.tell(format!("{name} is Ready again"));
        }
    });
}

/// A pod that was started becomes ready.
pub(super) async fn starts(world: World, pod: String) {
    sleep(world.chaos.millis(500, 5000)).await;
    world.change(|all, _| {
        if let Some(pod) = all.cluster.pods.get_mut(&pod) {
            pod.is_ready = true;
        }
    });
}

/// A volume of a pod that has left is let go; now and then only when nobody waits any more.
pub(super) async fn detaches(world: World, node: String) {
    let takes = if world.chaos.fails() && world.chaos.chance(10) { 600_000 } else { 5000 };
    sleep(world.chaos.millis(takes / 20, takes)).await;
    world.change(|all, _| {
        if let Some(node) = all.cluster.nodes.get_mut(&node) {
            node.volumes = node.volumes.saturating_sub(1);
        }
    });
}

/// Jobs are begun all the time, and come to the nodes that have the least to do, such as a new one.
pub(super) async fn works(world: World) {
    loop {
        sleep(JOBS_EVERY).await;
        world.change(|all, _| all.cluster.begin_job());
    }
}

/// The loner comes to a node, if it is there and nobody has begun to end it, and goes by itself.
pub(super) async fn debugs(world: World, node: String, after: Duration, stays: Duration) {
    sleep(after).await;
    world.change(|all, _| {
        let group = all.cloud.groups().next().unwrap();
        let instance = all.cluster.nodes.get(&node).map(|node| &node.instance);
        let member = instance.and_then(|instance| group.member(instance));
        if member.is_some_and(|member| member.state == MemberState::InService) {
            world.story.tell(format!("a pod that nobody makes anew comes to {node}"));
            all.cluster.begin_loner(&node);
        }
    });
    sleep(stays).await;
    world.change(|all, _| all.cluster.pods.remove(LONER));
}
