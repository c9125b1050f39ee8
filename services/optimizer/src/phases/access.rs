//! Finding what is to be replaced, and whether it can be.

use cloud::{Group, Instance, InstanceState, MemberState};
use serde_json::json;

use super::{Facts, Outcome, Plan, PlanError, SeenGroup, Subject, attach, drain};
use crate::reach::{Node, Reads};

pub(super) async fn plan(reads: &Reads, facts: &Facts) -> Result<Plan, PlanError> {
    let target = &facts.target;
    let instance = instance(reads, facts).await?;
    let group = group(reads, facts, &instance).await?;
    let node = node(reads, facts).await?;
    let forecast = reads.cluster.forecast(&node.name).await?;
    let ready_nodes = reads.cluster.ready_nodes().await?;
    let numbers = json!({
        "ready_nodes": ready_nodes,
        "pods_to_evict": forecast.to_evict,
        "group": {"min": group.min, "max": group.max, "desired": group.desired},
    });
    if let Some(why) = drain::hindrance(&node.name, &forecast) {
        return Err(PlanError::Failed(why, numbers));
    }
    let account = &target.account_id;
    Ok(Plan {
        why: format!(
            "{} is node {} of cluster {}, in group {}; pods that can leave it: {}",
            instance.id, node.name, target.cluster, group.name, forecast.to_evict
        ),
        numbers,
        action: None,
        subjects: vec![
            Subject::instance(account, &instance.id),
            Subject::group(account, &group.name),
            Subject::node(account, &target.cluster, &node.name),
        ],
        outcome: Outcome::Found {
            node: node.name,
            lifecycle: instance.lifecycle,
            ready_nodes,
            group: SeenGroup { name: group.name, min: group.min, max: group.max, desired: group.desired },
        },
    })
}

/// The instance, which runs and is what its user has told.
async fn instance(reads: &Reads, facts: &Facts) -> Result<Instance, PlanError> {
    let target = &facts.target;
    let found = reads.cloud.instance(&target.instance_id).await?;
    let instance =
        found.ok_or_else(|| PlanError::failed(format!("there is no instance {}", target.instance_id)))?;
    if instance.state != InstanceState::Running {
        return Err(PlanError::failed(format!("{} does not run: {:?}", instance.id, instance.state)));
    }
    if instance.instance_type != target.instance_type || instance.zone != target.zone {
        return Err(PlanError::failed(format!(
            "{} is {} in {}, and not {} in {}",
            instance.id, instance.instance_type, instance.zone, target.instance_type, target.zone
        )));
    }
    Ok(instance)
}

/// Its group, in which there is room for a change.
async fn group(reads: &Reads, facts: &Facts, instance: &Instance) -> Result<Group, PlanError> {
    let name = instance.group.as_ref().ok_or_else(|| {
        PlanError::failed(format!("{} is in no Auto Scaling group, through which to end it", instance.id))
    })?;
    if let Some(told) = facts.target.group.as_ref().filter(|told| *told != name) {
        return Err(PlanError::failed(format!("{} is in group {name}, and not in {told}", instance.id)));
    }
    let group = attach::group_named(reads, name).await?;
    if !group.member(&instance.id).is_some_and(|member| member.state == MemberState::InService) {
        return Err(PlanError::failed(format!("{} is not in service in group {name}", instance.id)));
    }
    if group.desired >= group.max && group.desired <= group.min {
        return Err(PlanError::failed(format!(
            "group {name} is to have exactly {} instances: there is no room to attach one nor to end one",
            group.desired
        )));
    }
    Ok(group)
}

/// Its node, which is Ready.
async fn node(reads: &Reads, facts: &Facts) -> Result<Node, PlanError> {
    let (instance, cluster) = (&facts.target.instance_id, &facts.target.cluster);
    let found = reads.cluster.node_of(instance).await?;
    let node = found
        .ok_or_else(|| PlanError::failed(format!("cluster {cluster} has no node that is {instance}")))?;
    if node.is_ready { Ok(node) } else { Err(PlanError::failed(format!("node {} is not Ready", node.name))) }
}
