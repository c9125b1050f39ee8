//! Lifecycle hooks, which hold instances up on their way into a group and out of it
//! (<https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html>).

use std::time::Duration;

use cloud::{CloudError, GroupName, InstanceId, MemberState};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::agenda::{Due, EventKind, after};
use super::group::{invalid, not_part_of};
use super::world::World;

/// What a hook holds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// An instance that the group has launched, before it is in service.
    Launching,
    /// An instance that the group ends, before it is ended.
    Terminating,
}

/// How the wait ends. An instance that was to be ended is ended either way; one that was to come into service only with `CONTINUE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HookResult {
    /// All is well.
    Continue,
    /// It is given up; further hooks are not waited for.
    Abandon,
}

/// A hook of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleHook {
    /// Its name.
    pub name: String,
    /// What it holds up.
    pub transition: Transition,
    /// How long, when nobody completes it.
    pub heartbeat_timeout_seconds: u32,
    /// How it ends then.
    pub default_result: HookResult,
}

impl World {
    /// Ends the wait of a hook for an instance (`CompleteLifecycleAction`).
    ///
    /// # Errors
    /// [`CloudError::NotFound`]; [`CloudError::Refused`] when the hook does not wait for it.
    pub fn complete_hook(
        &mut self,
        now: Timestamp,
        group: &GroupName,
        id: &InstanceId,
        hook: &str,
        result: HookResult,
    ) -> Result<(), CloudError> {
        self.settle(now);
        let members = &mut self.group_named_mut(group)?.members;
        let member = members.get_mut(id).ok_or_else(|| not_part_of(group, id))?;
        if member.waits.remove(hook).is_none() {
            return Err(invalid(&format!("No active Lifecycle Action found with instance ID {id}")));
        }
        self.hook_ended(group, id, result);
        Ok(())
    }

    /// Holds a member up as long as the group's hooks say; whether there is one.
    pub(super) fn hold(&mut self, name: &GroupName, id: &InstanceId, transition: Transition) -> bool {
        let Some(group) = self.groups.get(name) else { return false };
        let of_transition = |hook: &&LifecycleHook| hook.transition == transition;
        let hooks: Vec<LifecycleHook> = group.settings.hooks.iter().filter(of_transition).cloned().collect();
        if hooks.is_empty() {
            return false;
        }
        let waiting = match transition {
            Transition::Launching => MemberState::PendingWait,
            Transition::Terminating => MemberState::TerminatingWait,
        };
        self.set_state(name, id, waiting);
        for hook in hooks {
            let timeout = Duration::from_secs(u64::from(hook.heartbeat_timeout_seconds));
            let until = after(self.now, timeout);
            if let Some(member) = self.groups.get_mut(name).and_then(|group| group.members.get_mut(id)) {
                member.waits.insert(hook.name.clone(), until);
            }
            self.plan(timeout, Due::HookTimeout(name.clone(), id.clone(), hook.name.clone()));
            self.tell(id, EventKind::HookWaits { group: name.clone(), hook: hook.name, transition });
        }
        true
    }

    pub(super) fn hook_times_out(&mut self, name: &GroupName, id: &InstanceId, hook: &str) {
        let now = self.now;
        let Some(group) = self.groups.get_mut(name) else { return };
        let Some(member) = group.members.get_mut(id) else { return };
        if member.waits.get(hook).is_none_or(|until| *until > now) {
            return;
        }
        member.waits.remove(hook);
        // A hook that was taken away meanwhile gives up, as AWS' default is.
        let settings = group.settings.hooks.iter().find(|settings| settings.name == hook);
        let result = settings.map_or(HookResult::Abandon, |settings| settings.default_result);
        self.hook_ended(name, id, result);
    }

    /// A hook has ended: when it was the last, or gave up, the member goes on.
    fn hook_ended(&mut self, name: &GroupName, id: &InstanceId, result: HookResult) {
        let members = self.groups.get_mut(name).map(|group| &mut group.members);
        let Some(member) = members.and_then(|members| members.get_mut(id)) else { return };
        if result == HookResult::Continue && !member.waits.is_empty() {
            return;
        }
        member.waits.clear();
        match (member.state, result) {
            (MemberState::PendingWait, HookResult::Continue) => self.in_service(name, id),
            (MemberState::PendingWait, HookResult::Abandon) => {
                // It never was in service: no hook waits for its end.
                self.set_state(name, id, MemberState::Terminating);
                self.shut_down_begins(id);
                self.plan(self.timing.balance, Due::Balance(name.clone()));
            }
            (MemberState::TerminatingWait, _) => {
                self.set_state(name, id, MemberState::Terminating);
                self.shut_down_begins(id);
            }
            _ => {}
        }
    }
}
