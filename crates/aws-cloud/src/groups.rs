//! Auto Scaling groups.

use aws_sdk_autoscaling::types::{AutoScalingGroup, Instance as Told, LifecycleState};
use cloud::{CloudError, Group, GroupName, InstanceId, Member, MemberState};

use crate::{AwsCloud, error::strange};

impl AwsCloud {
    /// The group as AWS tells of it.
    pub(crate) async fn describe_group(
        &self,
        name: &GroupName,
    ) -> Result<Option<AutoScalingGroup>, CloudError> {
        let call =
            || self.groups.describe_auto_scaling_groups().auto_scaling_group_names(name.as_str()).send();
        let described = self.ask(call).await?.auto_scaling_groups.unwrap_or_default();
        Ok(described.into_iter().find(|group| group.auto_scaling_group_name() == Some(name.as_str())))
    }

    pub(crate) async fn find_group(&self, name: &GroupName) -> Result<Option<Group>, CloudError> {
        let Some(told) = self.describe_group(name).await? else { return Ok(None) };
        let size = |size: Option<i32>| size.and_then(|size| u32::try_from(size).ok());
        let sizes = size(told.min_size()).zip(size(told.max_size())).zip(size(told.desired_capacity()));
        let ((min, max), desired) = sizes.ok_or_else(|| strange(&format!("the sizes of group {name}")))?;
        let members = told.instances().iter().filter_map(|told| member(told).transpose());
        Ok(Some(Group { name: name.clone(), min, max, desired, members: members.collect::<Result<_, _>>()? }))
    }

    /// AWS makes the group's desired size one more by itself.
    pub(crate) async fn attach_to(&self, group: &GroupName, id: &InstanceId) -> Result<(), CloudError> {
        let call = || {
            let call = self.changes.groups.attach_instances().auto_scaling_group_name(group.as_str());
            call.instance_ids(id.as_str()).send()
        };
        self.ask(call).await.map(drop)
    }

    pub(crate) async fn detach_from(&self, group: &GroupName, id: &InstanceId) -> Result<(), CloudError> {
        let call = || {
            let call = self.changes.groups.detach_instances().auto_scaling_group_name(group.as_str());
            call.instance_ids(id.as_str()).should_decrement_desired_capacity(true).send()
        };
        self.ask(call).await.map(drop)
    }

    /// Whether its group is ending it.
    pub(crate) async fn is_ending(&self, id: &InstanceId) -> Result<bool, CloudError> {
        let seen = || self.groups.describe_auto_scaling_instances().instance_ids(id.as_str()).send();
        let seen = self.ask(seen).await?;
        Ok(seen.auto_scaling_instances().iter().any(|seen| {
            seen.instance_id() == Some(id.as_str())
                && seen.lifecycle_state().is_some_and(|state| state.starts_with("Terminat"))
        }))
    }

    /// One that its group is ending already is left alone: AWS would make the group smaller once more, which is why the cluster
    /// autoscaler looks first as well
    /// (`DeleteInstances` of <https://github.com/kubernetes/autoscaler/blob/cluster-autoscaler-1.33.0/cluster-autoscaler/cloudprovider/aws/auto_scaling_groups.go>).
    pub(crate) async fn end_member(&self, id: &InstanceId, is_ending: bool) -> Result<(), CloudError> {
        if is_ending {
            return Ok(());
        }
        let call = || {
            let call = self.changes.groups.terminate_instance_in_auto_scaling_group();
            call.instance_id(id.as_str()).should_decrement_desired_capacity(true).send()
        };
        self.ask(call).await.map(drop)
    }
}

/// None for what is no part of the group's size.
fn member(told: &Told) -> Result<Option<Member>, CloudError> {
    let id = told.instance_id().unwrap_or_default();
    let told_state = told.lifecycle_state().map(LifecycleState::as_str).unwrap_or_default();
    // An instance of the warm pool, which serves nobody, or one that has left.
    if told_state.starts_with("Warmed") || matches!(told_state, "Detached" | "Terminated") {
        return Ok(None);
    }
    let state = state(told_state).ok_or_else(|| strange(&format!("{id} is {told_state:?} in its group")))?;
    let id = id.parse().map_err(|error: cloud::InvalidName| strange(&error.to_string()))?;
    Ok(Some(Member { id, state }))
}

/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html>
fn state(name: &str) -> Option<MemberState> {
    Some(match name {
        // What a hook has let go on is what it was before the hook.
        "Pending" | "Pending:Proceed" => MemberState::Pending,
        "Pending:Wait" => MemberState::PendingWait,
        "InService" => MemberState::InService,
        "Terminating" | "Terminating:Proceed" | "Terminating:Retained" => MemberState::Terminating,
        "Terminating:Wait" => MemberState::TerminatingWait,
        "Detaching" => MemberState::Detaching,
        // It does no work for now, and comes back.
        "EnteringStandby" | "Standby" => MemberState::Standby,
        name if name.starts_with("ReplacingRootVolume") || name == "RootVolumeReplaced" => {
            MemberState::Standby
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(state: &str) -> Result<Option<Member>, CloudError> {
        member(&Told::builder().instance_id("i-0123456789abcdef0").lifecycle_state(state.into()).build())
    }

    #[test]
    fn every_state_of_a_member_is_known() {
        for (state, expected) in [
            ("Pending:Proceed", MemberState::Pending),
            ("Pending:Wait", MemberState::PendingWait),
            ("InService", MemberState::InService),
            ("Terminating:Wait", MemberState::TerminatingWait),
            ("Terminating:Proceed", MemberState::Terminating),
            ("Detaching", MemberState::Detaching),
            ("EnteringStandby", MemberState::Standby),
        ] {
            assert_eq!(told(state).unwrap().unwrap().state, expected, "{state}");
        }
        for state in ["Warmed:Stopped", "Detached", "Terminated"] {
            assert_eq!(told(state), Ok(None), "{state}");
        }
        let known = LifecycleState::values().iter().filter(|state| **state != "Quarantined");
        for state in known {
            assert!(told(state).is_ok(), "{state}");
        }
        assert!(told("Elsewhere").unwrap_err().is_transient());
    }
}
