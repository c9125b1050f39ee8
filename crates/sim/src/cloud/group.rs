//! Auto Scaling groups and their sizes.

use std::collections::BTreeMap;

use cloud::{CloudError, GroupName, InstanceId, InstanceType, Lifecycle, Member, MemberState, Zone};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::agenda::Due;
use super::hooks::LifecycleHook;
use super::world::World;

/// How an Auto Scaling group is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSettings {
    /// Its name.
    pub name: GroupName,
    /// How large it is.
    pub sizes: Sizes,
    /// Where its instances may be.
    pub zones: Vec<Zone>,
    /// How its instances are.
    pub template: LaunchTemplate,
    /// Whether new members are protected from scale-in.
    #[serde(default)]
    pub protect_new: bool,
    /// What holds its instances up.
    #[serde(default)]
    pub hooks: Vec<LifecycleHook>,
}

/// How large a group may be and is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// At least so many instances.
    pub min: u32,
    /// At most so many.
    pub max: u32,
    /// So many now.
    pub desired: u32,
}

/// How the instances of a group are launched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchTemplate {
    /// The types that a group takes, the first of which there is capacity.
    pub instance_types: Vec<InstanceType>,
    /// How they are paid for.
    pub lifecycle: Lifecycle,
    /// Their tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// A group and who is in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) settings: GroupSettings,
    pub(super) members: BTreeMap<InstanceId, Membership>,
}

/// What a group knows of one of its instances.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Membership {
    pub(super) state: MemberState,
    pub(super) protected: bool,
    /// The hooks that hold it up, and until when.
    pub(super) waits: BTreeMap<String, Timestamp>,
}

impl Membership {
    /// Whether the group counts it: it comes or is there.
    pub(super) fn counts(&self) -> bool {
        match self.state {
            MemberState::Pending | MemberState::PendingWait | MemberState::InService => true,
            MemberState::Terminating
            | MemberState::TerminatingWait
            | MemberState::Detaching
            | MemberState::Standby => false,
        }
    }

    pub(super) fn is_ending(&self) -> bool {
        matches!(self.state, MemberState::Terminating | MemberState::TerminatingWait)
    }
}

impl Group {
    /// As `DescribeAutoScalingGroups` tells of it.
    pub(super) fn told(&self) -> cloud::Group {
        let Sizes { min, max, desired } = self.settings.sizes;
        let member =
            |(id, member): (&InstanceId, &Membership)| Member { id: id.clone(), state: member.state };
        let members = self.members.iter().map(member).collect();
        cloud::Group { name: self.settings.name.clone(), min, max, desired, members }
    }

    /// How many instances it counts.
    pub(super) fn size(&self) -> usize {
        self.members.values().filter(|member| member.counts()).count()
    }
}

impl World {
    /// Makes a group, which launches its instances by itself (`CreateAutoScalingGroup`).
    ///
    /// # Errors
    /// [`CloudError::Refused`] when there is one of its name or its sizes do not fit.
    pub fn create_group(&mut self, now: Timestamp, settings: GroupSettings) -> Result<(), CloudError> {
        self.settle(now);
        check_sizes(settings.sizes)?;
        let name = settings.name.clone();
        if self.groups.contains_key(&name) {
            let message = "AutoScalingGroup by this name already exists".to_owned();
            return Err(CloudError::Refused { code: "AlreadyExists".to_owned(), message });
        }
        if settings.zones.is_empty() || settings.template.instance_types.is_empty() {
            return Err(invalid("At least one Availability Zone and one instance type are required."));
        }
        self.groups.insert(name.clone(), Group { settings, members: BTreeMap::new() });
        self.plan(self.timing.balance, Due::Balance(name));
        Ok(())
    }

    /// Changes the least and the greatest size; what is to be there now is brought between them (`UpdateAutoScalingGroup`).
    ///
    /// # Errors
    /// [`CloudError::NotFound`]; [`CloudError::Refused`] when the sizes do not fit.
    pub fn resize_group(
        &mut self,
        now: Timestamp,
        name: &GroupName,
        min: u32,
        max: u32,
    ) -> Result<(), CloudError> {
        self.settle(now);
        let sizes = &mut self.group_named_mut(name)?.settings.sizes;
        check_sizes(Sizes { min, max, desired: min })?;
        *sizes = Sizes { min, max, desired: sizes.desired.clamp(min, max) };
        self.plan(self.timing.balance, Due::Balance(name.clone()));
        Ok(())
    }

    /// Changes how many instances a group is to have now (`SetDesiredCapacity`).
    ///
    /// # Errors
    /// [`CloudError::NotFound`]; [`CloudError::Refused`] when it is not between the least and the greatest size.
    pub fn set_desired(&mut self, now: Timestamp, name: &GroupName, desired: u32) -> Result<(), CloudError> {
        self.settle(now);
        let sizes = &mut self.group_named_mut(name)?.settings.sizes;
        let (side, bound) =
            if desired < sizes.min { ("below min", sizes.min) } else { ("above max", sizes.max) };
        if !(sizes.min..=sizes.max).contains(&desired) {
            return Err(invalid(&format!(
                "New SetDesiredCapacity value {desired} is {side} value {bound} for the AutoScalingGroup."
            )));
        }
        sizes.desired = desired;
        self.plan(self.timing.balance, Due::Balance(name.clone()));
        Ok(())
    }

    /// Protects a member from being ended when its group becomes smaller, or no longer (`SetInstanceProtection`).
    ///
    /// # Errors
    /// [`CloudError::NotFound`]; [`CloudError::Refused`] when it is not in the group.
    pub fn protect(
        &mut self,
        now: Timestamp,
        name: &GroupName,
        id: &InstanceId,
        protected: bool,
    ) -> Result<(), CloudError> {
        self.settle(now);
        let group = self.group_named_mut(name)?;
        let member = group.members.get_mut(id).ok_or_else(|| not_part_of(name, id))?;
        member.protected = protected;
        self.plan(self.timing.balance, Due::Balance(name.clone()));
        Ok(())
    }

    /// Puts another set of lifecycle hooks in place of a group's (`PutLifecycleHook`); who waits already waits on.
    ///
    /// # Errors
    /// [`CloudError::NotFound`].
    pub fn set_hooks(
        &mut self,
        now: Timestamp,
        name: &GroupName,
        hooks: Vec<LifecycleHook>,
    ) -> Result<(), CloudError> {
        self.settle(now);
        self.group_named_mut(name)?.settings.hooks = hooks;
        Ok(())
    }

    /// All groups, whatever faults there are.
    pub fn groups(&self) -> impl Iterator<Item = cloud::Group> {
        self.groups.values().map(Group::told)
    }

    /// How a group is made.
    #[must_use]
    pub fn group_settings(&self, name: &GroupName) -> Option<&GroupSettings> {
        self.groups.get(name).map(|group| &group.settings)
    }

    pub(super) fn group_named(&self, name: &GroupName) -> Result<&Group, CloudError> {
        self.groups.get(name).ok_or_else(|| no_such_group(name))
    }

    pub(super) fn group_named_mut(&mut self, name: &GroupName) -> Result<&mut Group, CloudError> {
        self.groups.get_mut(name).ok_or_else(|| no_such_group(name))
    }
}

fn no_such_group(name: &GroupName) -> CloudError {
    CloudError::NotFound { what: format!("the Auto Scaling group {name}") }
}

/// What Auto Scaling answers to whatever cannot be done.
pub(super) fn invalid(message: &str) -> CloudError {
    CloudError::Refused { code: "ValidationError".to_owned(), message: message.to_owned() }
}

pub(super) fn not_part_of(group: &GroupName, id: &InstanceId) -> CloudError {
    invalid(&format!("The instance {id} is not part of Auto Scaling group {group}."))
}

fn check_sizes(Sizes { min, max, desired }: Sizes) -> Result<(), CloudError> {
    /// More would be no demonstration.
    const MOST: u32 = 10_000;
    if min > max {
        return Err(invalid(&format!("Max bound, {max}, must be greater than or equal to min bound, {min}")));
    }
    if max > MOST {
        return Err(invalid(&format!("Max bound, {max}, must be at most {MOST}")));
    }
    if !(min..=max).contains(&desired) {
        return Err(invalid(&format!(
            "Desired capacity:{desired} must be between the specified min size:{min} and max size:{max}"
        )));
    }
    Ok(())
}
