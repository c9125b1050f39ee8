//! What a group does by itself: it launches what is missing, ends what is too much, and replaces what is dead.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use cloud::{CloudError, GroupName, InstanceId, InstanceState, MemberState, Zone};

use super::agenda::Due;
use super::group::Group;
use super::hooks::Transition;
use super::world::World;

impl World {
    /// Brings a group to its desired size.
    pub(super) fn balance(&mut self, name: &GroupName) {
        let Some(group) = self.groups.get(name) else { return };
        let (size, desired) = (group.size(), group.settings.sizes.desired as usize);
        for _ in size..desired {
            if self.launch_member(name).is_err() {
                self.plan(self.timing.retry, Due::Balance(name.clone()));
                return;
            }
        }
        for _ in desired..size {
            let Some(surplus) = self.surplus(name) else { return };
            self.end_member(name, &surplus);
        }
    }

    /// Launches one instance, in the zone with the fewest members that has capacity.
    fn launch_member(&mut self, name: &GroupName) -> Result<(), CloudError> {
        let group = self.group_named(name)?;
        let template = group.settings.template.clone();
        let by_zone = self.members_by_zone(group);
        let mut zones = group.settings.zones.clone();
        zones.sort_by_key(|zone| by_zone.get(zone).copied().unwrap_or_default());
        let mut error = None;
        for zone in &zones {
            for instance_type in &template.instance_types {
                match self.start(&template.pool(instance_type, zone), name, template.tags.clone()) {
                    Ok(id) => {
                        self.join(name, &id, MemberState::Pending);
                        return Ok(());
                    }
                    Err(refusal) => error = Some(refusal),
                }
            }
        }
        error.map_or(Ok(()), Err)
    }

    /// The member that is ended when there is one too many: of those that are not protected the oldest in the zone with the most
    /// members (<https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html>; the template of a group
    /// is never a new one here).
    fn surplus(&self, name: &GroupName) -> Option<InstanceId> {
        let group = self.groups.get(name)?;
        let by_zone = self.members_by_zone(group);
        let candidates = group.members.iter().filter(|(_, member)| member.counts() && !member.protected);
        let place = |id: &InstanceId| {
            let instance = &self.instances.get(id)?.instance;
            let in_zone = by_zone.get(&instance.zone).copied().unwrap_or_default();
            Some((Reverse(in_zone), instance.launched_at, id.clone()))
        };
        candidates.filter_map(|(id, _)| place(id)).min().map(|(_, _, id)| id)
    }

    fn members_by_zone(&self, group: &Group) -> BTreeMap<Zone, usize> {
        let mut by_zone = BTreeMap::new();
        for (id, _) in group.members.iter().filter(|(_, member)| member.counts()) {
            if let Some(machine) = self.instances.get(id) {
                *by_zone.entry(machine.instance.zone.clone()).or_default() += 1;
            }
        }
        by_zone
    }

    /// Ends a member: its hooks run first, as long as there is an instance to wait for.
    pub(super) fn end_member(&mut self, name: &GroupName, id: &InstanceId) {
        let state = self.instances.get(id).map(|machine| machine.instance.state);
        if state.is_none_or(|state| state == InstanceState::Terminated) {
            self.leave(name, id);
            return;
        }
        self.set_state(name, id, MemberState::Terminating);
        let runs = state == Some(InstanceState::Running);
        if !runs || !self.hold(name, id, Transition::Terminating) {
            self.shut_down_begins(id);
        }
    }

    /// An instance that was launched runs: if its group waits for it, it comes into service.
    pub(super) fn member_runs(&mut self, id: &InstanceId) {
        let Some(name) = self.instances.get(id).and_then(|machine| machine.instance.group.clone()) else {
            return;
        };
        if self.state_in(&name, id) == Some(MemberState::Pending)
            && !self.hold(&name, id, Transition::Launching)
        {
            self.in_service(&name, id);
        }
    }

    /// A group looks at a member that has ended: another has to take its place.
    pub(super) fn check_health(&mut self, name: &GroupName, id: &InstanceId) {
        let Some(member) = self.groups.get(name).and_then(|group| group.members.get(id)) else { return };
        let is_dead = self.instances.get(id).is_none_or(|machine| machine.instance.state.is_over());
        if is_dead && member.counts() {
            self.end_member(name, id);
            self.plan(self.timing.balance, Due::Balance(name.clone()));
        }
    }

    /// An instance is terminated: a group that knows leaves it behind. One that does not know yet will see by itself.
    pub(super) fn member_ended(&mut self, id: &InstanceId) {
        let Some(name) = self.instances.get(id).and_then(|machine| machine.instance.group.clone()) else {
            return;
        };
        let member = self.groups.get(&name).and_then(|group| group.members.get(id));
        if member.is_some_and(|member| !member.counts()) {
            self.leave(&name, id);
        }
    }
}
