//! Instances come into groups and leave them, by the calls of Auto Scaling.

use std::collections::BTreeMap;

use cloud::{CloudError, GroupName, InstanceId, InstanceState, MemberState};
use jiff::Timestamp;

use super::agenda::{Due, EventKind};
use super::faults::Change;
use super::group::{Membership, Sizes, invalid, not_part_of};
use super::instances::{GROUP_TAG, no_such_instance};
use super::world::World;

impl World {
    /// Puts a running instance into a group, which is to have one more then (`AttachInstances`). No hook runs.
    ///
    /// # Errors
    /// [`CloudError`]; [`CloudError::Refused`] also when it is in that group already, as AWS does.
    pub fn attach(&mut self, now: Timestamp, group: &GroupName, id: &InstanceId) -> Result<(), CloudError> {
        self.change(now, Change::Attach { group: group.clone(), id: id.clone() }).map(drop)
    }

    /// Takes an instance out of its group, which is to have one fewer then (`DetachInstances` that decrements). No hook runs.
    ///
    /// # Errors
    /// [`CloudError`]; [`CloudError::Refused`] also when it is not in the group or leaves it already, as AWS does.
    pub fn detach(&mut self, now: Timestamp, group: &GroupName, id: &InstanceId) -> Result<(), CloudError> {
        self.change(now, Change::Detach { group: group.clone(), id: id.clone() }).map(drop)
    }

    /// Ends an instance through its group, which is to have one fewer then (`TerminateInstanceInAutoScalingGroup` that
    /// decrements). One that its group is ending already goes on ending, and the group is not made smaller again.
    ///
    /// # Errors
    /// [`CloudError`]; [`CloudError::Refused`] also when it is in no group, as AWS does.
    pub fn terminate_in_group(&mut self, now: Timestamp, id: &InstanceId) -> Result<(), CloudError> {
        self.change(now, Change::TerminateInGroup { id: id.clone() }).map(drop)
    }

    pub(super) fn attach_now(&mut self, name: &GroupName, id: &InstanceId) -> Result<(), CloudError> {
        let group = self.group_named(name)?;
        let machine = self.instances.get(id).ok_or_else(|| no_such_instance(id))?;
        if let Some(present) = &machine.instance.group {
            return Err(invalid(&format!(
                "The Instance: {id} is already part of AutoScalingGroup:{present}"
            )));
        }
        if machine.instance.state != InstanceState::Running {
            return Err(invalid(&format!(
                "Instance {id} is not in correct state. Instance(s) must be in 'running' state."
            )));
        }
        if !group.settings.zones.contains(&machine.instance.zone) {
            return Err(invalid(&format!(
                "The Availability Zone {} of instance {id} is not one of AutoScalingGroup {name}.",
                machine.instance.zone
            )));
        }
        if group.settings.sizes.desired >= group.settings.sizes.max {
            return Err(wrong_size(name, group.settings.sizes, "attach 1 more"));
        }
        self.group_named_mut(name)?.settings.sizes.desired += 1;
        self.join(name, id, MemberState::Pending);
        self.plan(self.timing.attach, Due::Attached(name.clone(), id.clone()));
        Ok(())
    }

    pub(super) fn detach_now(&mut self, name: &GroupName, id: &InstanceId) -> Result<(), CloudError> {
        let group = self.group_named_mut(name)?;
        let member = group.members.get_mut(id).ok_or_else(|| not_part_of(name, id))?;
        if !matches!(member.state, MemberState::InService | MemberState::Standby) {
            return Err(invalid(&format!("The instance {id} is not in InService or Standby.")));
        }
        let sizes = &mut group.settings.sizes;
        if sizes.desired <= sizes.min {
            return Err(wrong_size(name, *sizes, "detach 1"));
        }
        sizes.desired -= 1;
        member.state = MemberState::Detaching;
        self.plan(self.timing.detach, Due::Detached(name.clone(), id.clone()));
        Ok(())
    }

    pub(super) fn terminate_in_group_now(&mut self, id: &InstanceId) -> Result<(), CloudError> {
        let unmanaged =
            || invalid(&format!("Instance Id not found - No managed instance found for instance ID: {id}"));
        let machine = self.instances.get(id).ok_or_else(unmanaged)?;
        let name = machine.instance.group.clone().ok_or_else(unmanaged)?;
        let group = self.group_named_mut(&name)?;
        let member = group.members.get(id).ok_or_else(unmanaged)?;
        if member.is_ending() {
            return Ok(());
        }
        if member.state == MemberState::Detaching {
            return Err(invalid(&format!("The instance {id} is not in InService or Standby.")));
        }
        let sizes = &mut group.settings.sizes;
        if sizes.desired <= sizes.min {
            return Err(invalid(&format!(
                "Currently, desiredSize equals minSize ({}). Terminating instance without replacement will violate group's min \
                 size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.",
                sizes.min
            )));
        }
        sizes.desired -= 1;
        self.end_member(&name, id);
        Ok(())
    }

    /// A seeded instance is in its group from the beginning.
    pub(super) fn plant_member(&mut self, name: &GroupName, id: &InstanceId) {
        let (Some(group), Some(machine)) = (self.groups.get(name), self.instances.get(id)) else { return };
        let has_room = group.size() < group.settings.sizes.desired as usize;
        if has_room && group.settings.zones.contains(&machine.instance.zone) {
            self.join(name, id, MemberState::InService);
        }
    }

    pub(super) fn join(&mut self, name: &GroupName, id: &InstanceId, state: MemberState) {
        let (Some(group), Some(machine)) = (self.groups.get_mut(name), self.instances.get_mut(id)) else {
            return;
        };
        machine.instance.group = Some(name.clone());
        machine.instance.tags.insert(GROUP_TAG.to_owned(), name.to_string());
        let protected = group.settings.protect_new;
        group.members.insert(id.clone(), Membership { state, protected, waits: BTreeMap::new() });
    }

    pub(super) fn leave(&mut self, name: &GroupName, id: &InstanceId) {
        if let Some(group) = self.groups.get_mut(name) {
            group.members.remove(id);
        }
        if let Some(machine) = self.instances.get_mut(id) {
            machine.instance.group = None;
            machine.instance.tags.remove(GROUP_TAG);
        }
        self.tell(id, EventKind::LeftGroup { group: name.clone() });
        self.plan(self.timing.balance, Due::Balance(name.clone()));
    }

    pub(super) fn attached(&mut self, name: &GroupName, id: &InstanceId) {
        if self.state_in(name, id) == Some(MemberState::Pending) {
            self.in_service(name, id);
        }
    }

    pub(super) fn detached(&mut self, name: &GroupName, id: &InstanceId) {
        if self.state_in(name, id) == Some(MemberState::Detaching) {
            self.leave(name, id);
        }
    }

    pub(super) fn in_service(&mut self, name: &GroupName, id: &InstanceId) {
        self.set_state(name, id, MemberState::InService);
        self.tell(id, EventKind::InService { group: name.clone() });
    }

    pub(super) fn state_in(&self, name: &GroupName, id: &InstanceId) -> Option<MemberState> {
        Some(self.groups.get(name)?.members.get(id)?.state)
    }

    pub(super) fn set_state(&mut self, name: &GroupName, id: &InstanceId, state: MemberState) {
        if let Some(member) = self.groups.get_mut(name).and_then(|group| group.members.get_mut(id)) {
            member.state = state;
            // What held it up in the state before does so no more.
            member.waits.clear();
        }
    }
}

fn wrong_size(name: &GroupName, Sizes { min, max, desired }: Sizes, to: &str) -> CloudError {
    invalid(&format!(
        "AutoScalingGroup {name} has min-size={min}, max-size={max}, and desired-size={desired}. To {to} instance, please update \
         the AutoScalingGroup sizes appropriately."
    ))
}
