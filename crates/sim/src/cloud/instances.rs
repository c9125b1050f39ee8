//! Instances: they are launched, they run, they end.

use std::collections::BTreeMap;
use std::time::Duration;

use cloud::{
    CloudError, GroupName, Instance, InstanceId, InstanceState, InstanceType, Launch, Lifecycle, Zone,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::agenda::{Due, EventKind, after};
use super::capacity::Pool;
use super::catalog;
use super::faults::Change;
use super::world::World;

/// A terminated instance is told of for about so long
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/terminating-instances.html>).
const REMEMBERED: Duration = Duration::from_hours(1);
/// A token is good for at least so long after its instance ended
/// (<https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html>).
const TOKEN_REMEMBERED: Duration = Duration::from_hours(24);
/// So many instances that have not ended may be there.
const MOST_INSTANCES: usize = 20_000;
/// Limits of EC2 on tags (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html>).
const MOST_TAGS: usize = 50;
const LONGEST_TAG_KEY: usize = 128;
const LONGEST_TAG_VALUE: usize = 256;
/// The tag of instances of groups, which only Auto Scaling gives.
pub(super) const GROUP_TAG: &str = "aws:autoscaling:groupName";

/// An instance and what nobody is told of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) instance: Instance,
    /// The group by whose template it was launched.
    pub(super) template: GroupName,
    /// When the spot instance is taken away, once that is known.
    pub(super) taken_at: Option<Timestamp>,
    /// Since when others see it.
    pub(super) visible_at: Timestamp,
    token: Option<cloud::ClientToken>,
}

impl World {
    /// Starts an instance as the group's launch template says, but outside of the group (`RunInstances`).
    ///
    /// # Errors
    /// [`CloudError`]; [`CloudError::TokenMismatch`] when the token was used for another launch.
    pub fn launch(&mut self, now: Timestamp, launch: &Launch) -> Result<InstanceId, CloudError> {
        self.change(now, Change::Launch(launch.clone()))
    }

    /// Ends an instance (`TerminateInstances`); a group that it is in launches another. One that has ended already stays so.
    ///
    /// # Errors
    /// [`CloudError`].
    pub fn terminate(&mut self, now: Timestamp, id: &InstanceId) -> Result<(), CloudError> {
        self.change(now, Change::Terminate { id: id.clone() }).map(drop)
    }

    /// The same, whatever faults there are and without counting as a call.
    ///
    /// # Errors
    /// [`CloudError::NotFound`].
    pub fn end_instance(&mut self, now: Timestamp, id: &InstanceId) -> Result<(), CloudError> {
        self.settle(now);
        self.terminate_now(id)
    }

    /// Puts a running instance there, as if it had been launched at that time by the template of a group. When that group has
    /// room up to its desired size and the instance's zone, it is a member in service.
    pub fn plant(&mut self, instance: Instance, template: &GroupName) {
        let id = instance.id.clone();
        self.now = self.now.max(instance.launched_at);
        let visible_at = instance.launched_at;
        let machine = Machine {
            instance: Instance { state: InstanceState::Running, group: None, ..instance },
            template: template.clone(),
            taken_at: None,
            visible_at,
            token: None,
        };
        self.instances.insert(id.clone(), machine);
        self.plant_member(template, &id);
    }

    /// By which group's template an instance was launched.
    #[must_use]
    pub fn template_of(&self, id: &InstanceId) -> Option<&GroupName> {
        self.instances.get(id).map(|machine| &machine.template)
    }

    /// All instances that are still told of, whatever faults there are.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values().map(|machine| &machine.instance)
    }

    pub(super) fn launch_with_token(&mut self, launch: Launch) -> Result<InstanceId, CloudError> {
        if let Some((before, id)) = self.tokens.get(&launch.token) {
            return if *before == launch { Ok(id.clone()) } else { Err(CloudError::TokenMismatch) };
        }
        check_tags(&launch.tags)?;
        let group = self.group_named(&launch.group)?;
        let template = group.settings.template.clone();
        if !template.can_boot(&launch.instance_type) {
            let message = format!(
                "The architecture of the specified instance type '{}' does not match the architecture of the specified AMI.",
                launch.instance_type
            );
            return Err(CloudError::Refused { code: "InvalidParameterValue".to_owned(), message });
        }
        let mut tags = template.tags;
        tags.extend(launch.tags.clone());
        let pool = Pool {
            instance_type: launch.instance_type.clone(),
            zone: launch.zone.clone(),
            lifecycle: launch.lifecycle,
        };
        let id = self.start(&pool, &launch.group, tags)?;
        if let Some(machine) = self.instances.get_mut(&id) {
            machine.token = Some(launch.token.clone());
        }
        self.tokens.insert(launch.token.clone(), (launch, id.clone()));
        Ok(id)
    }

    /// Starts an instance, if there is one in the pool.
    pub(super) fn start(
        &mut self,
        pool: &Pool,
        template: &GroupName,
        tags: BTreeMap<String, String>,
    ) -> Result<InstanceId, CloudError> {
        self.check_pool(pool)?;
        let present = self.instances.values().filter(|machine| !machine.instance.state.is_over()).count();
        if present >= MOST_INSTANCES {
            let message = format!("Your quota allows for 0 more running instance(s) than {MOST_INSTANCES}.");
            return Err(CloudError::Refused { code: "InstanceLimitExceeded".to_owned(), message });
        }
        let mut id = self.random.instance_id();
        while self.instances.contains_key(&id) {
            id = self.random.instance_id();
        }
        let instance = Instance {
            id: id.clone(),
            instance_type: pool.instance_type.clone(),
            zone: pool.zone.clone(),
            lifecycle: pool.lifecycle,
            state: InstanceState::Pending,
            group: None,
            tags,
            launched_at: self.now,
        };
        let machine = Machine {
            instance,
            template: template.clone(),
            taken_at: None,
            visible_at: after(self.now, self.timing.visible),
            token: None,
        };
        self.instances.insert(id.clone(), machine);
        self.tell(&id, EventKind::Launched);
        self.plan(self.timing.boot, Due::Running(id.clone()));
        Ok(id)
    }

    pub(super) fn terminate_now(&mut self, id: &InstanceId) -> Result<(), CloudError> {
        if !self.instances.contains_key(id) {
            return Err(no_such_instance(id));
        }
        self.shut_down_begins(id);
        Ok(())
    }

    pub(super) fn booted(&mut self, id: &InstanceId) {
        let Some(machine) = self.instances.get_mut(id) else { return };
        if machine.instance.state != InstanceState::Pending {
            return;
        }
        machine.instance.state = InstanceState::Running;
        self.tell(id, EventKind::Running);
        self.member_runs(id);
    }

    /// An instance begins to end, for whatever reason.
    pub(super) fn shut_down_begins(&mut self, id: &InstanceId) {
        let Some(machine) = self.instances.get_mut(id) else { return };
        if machine.instance.state.is_over() {
            return;
        }
        machine.instance.state = InstanceState::ShuttingDown;
        let group = machine.instance.group.clone();
        self.tell(id, EventKind::ShuttingDown);
        self.plan(self.timing.shutdown, Due::Terminated(id.clone()));
        if let Some(group) = group {
            self.plan(self.timing.health_check, Due::HealthCheck(group, id.clone()));
        }
    }

    pub(super) fn shut_down(&mut self, id: &InstanceId) {
        let Some(machine) = self.instances.get_mut(id) else { return };
        machine.instance.state = InstanceState::Terminated;
        let token = machine.token.clone();
        self.tell(id, EventKind::Terminated);
        self.plan(REMEMBERED, Due::Forgotten(id.clone()));
        if let Some(token) = token {
            self.plan(TOKEN_REMEMBERED, Due::TokenForgotten(token));
        }
        self.member_ended(id);
    }
}

/// What DescribeInstances and TerminateInstances say.
pub(super) fn no_such_instance(id: &InstanceId) -> CloudError {
    CloudError::NotFound { what: format!("the instance {id}") }
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), CloudError> {
    let refused = |code: &str, message: String| Err(CloudError::Refused { code: code.to_owned(), message });
    if tags.len() > MOST_TAGS {
        return refused(
            "TagLimitExceeded",
            "The maximum number of Tags for a resource has been reached.".to_owned(),
        );
    }
    for (key, value) in tags {
        if key.starts_with("aws:") {
            let message = "Tag keys starting with 'aws:' are reserved for internal use".to_owned();
            return refused("InvalidParameterValue", message);
        }
        let fits = (1..=LONGEST_TAG_KEY).contains(&key.chars().count())
            && value.chars().count() <= LONGEST_TAG_VALUE;
        if !fits {
            return refused(
                "InvalidParameterValue",
                "Tag key or value exceeds the maximum length".to_owned(),
            );
        }
    }
    Ok(())
}

impl super::group::LaunchTemplate {
    /// Whether the template's image has the architecture of the type; the image is one for each architecture of the template's types.
    fn can_boot(&self, instance_type: &InstanceType) -> bool {
        // What is no type at all is refused where its pool is looked for.
        let Some(kind) = catalog::kind_of(instance_type) else { return true };
        let own = self.instance_types.iter().filter_map(catalog::kind_of);
        own.into_iter().any(|of_template| of_template.architecture == kind.architecture)
    }

    /// The pool of a type in a zone.
    pub(super) fn pool(&self, instance_type: &InstanceType, zone: &Zone) -> Pool {
        let lifecycle: Lifecycle = self.lifecycle;
        Pool { instance_type: instance_type.clone(), zone: zone.clone(), lifecycle }
    }
}
