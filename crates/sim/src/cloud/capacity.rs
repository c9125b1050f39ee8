//! Pools of capacity: they run short, and spot instances are taken away.

use std::time::Duration;

use cloud::{CloudError, InstanceId, InstanceState, InstanceType, Lifecycle, Zone};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::agenda::{Due, EventKind, after};
use super::catalog;
use super::instances::no_such_instance;
use super::world::World;

/// From the notice until a spot instance is taken away
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html>).
const NOTICE: Duration = Duration::from_mins(2);

/// Instances that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Their type.
    pub instance_type: InstanceType,
    /// Where they are.
    pub zone: Zone,
    /// How they are paid for.
    pub lifecycle: Lifecycle,
}

impl World {
    /// Lets a pool run short: nothing is launched from it until [`World::end_shortage`].
    pub fn begin_shortage(&mut self, pool: Pool) {
        if !self.shortages.contains(&pool) {
            self.shortages.push(pool);
        }
    }

    /// There is capacity in a pool again.
    pub fn end_shortage(&mut self, pool: &Pool) {
        self.shortages.retain(|short| short != pool);
    }

    /// The pools that are short.
    #[must_use]
    pub fn shortages(&self) -> &[Pool] {
        &self.shortages
    }

    /// Gives notice that a spot instance will be taken away in two minutes, and tells when. A second notice changes nothing.
    ///
    /// # Errors
    /// [`CloudError::NotFound`]; [`CloudError::Refused`] when it is no spot instance or is ending already.
    pub fn interrupt(&mut self, now: Timestamp, id: &InstanceId) -> Result<Timestamp, CloudError> {
        self.settle(now);
        let machine = self.instances.get_mut(id).ok_or_else(|| no_such_instance(id))?;
        if let Some(ends_at) = machine.taken_at {
            return Ok(ends_at);
        }
        let instance = &machine.instance;
        if instance.lifecycle != Lifecycle::Spot || instance.state.is_over() {
            let message = format!("{id} is no spot instance that runs.");
            return Err(CloudError::Refused { code: "IncorrectInstanceState".to_owned(), message });
        }
        let ends_at = after(self.now, NOTICE);
        machine.taken_at = Some(ends_at);
        self.tell(id, EventKind::InterruptionNotice { ends_at });
        self.plan(NOTICE, Due::TakenAway(id.clone()));
        Ok(ends_at)
    }

    /// When a spot instance is taken away, once that is known and as long as it has not ended.
    #[must_use]
    pub fn interruption(&self, id: &InstanceId) -> Option<Timestamp> {
        let machine = self.instances.get(id)?;
        let is_there = matches!(machine.instance.state, InstanceState::Pending | InstanceState::Running);
        machine.taken_at.filter(|_| is_there)
    }

    /// Whether an instance can be launched from the pool.
    pub(super) fn check_pool(&self, pool: &Pool) -> Result<(), CloudError> {
        let Pool { instance_type, zone, lifecycle } = pool;
        let refused = |code: &str, message| Err(CloudError::Refused { code: code.to_owned(), message });
        if !catalog::has_zone(zone) {
            return refused(
                "InvalidParameterValue",
                format!("Value ({zone}) for parameter availabilityZone is invalid."),
            );
        }
        if catalog::kind_of(instance_type).is_none() {
            return refused(
                "Unsupported",
                format!(
                    "Your requested instance type ({instance_type}) is not supported in your requested Availability Zone ({zone})."
                ),
            );
        }
        if self.shortages.contains(pool) {
            let message = match lifecycle {
                Lifecycle::OnDemand => format!(
                    "We currently do not have sufficient {instance_type} capacity in the Availability Zone you requested ({zone})."
                ),
                Lifecycle::Spot => {
                    "There is no Spot capacity available that matches your request.".to_owned()
                }
            };
            return Err(CloudError::Shortage { message });
        }
        Ok(())
    }
}
