//! How long things take.

use std::time::Duration;

/// How long things take in a [`World`](super::World). What AWS documents as a fixed time is no setting.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From the launch of an instance until it is running.
    pub boot: Duration,
    /// From its end until it is terminated.
    pub shutdown: Duration,
    /// From a launch until others see the instance: EC2 is eventually consistent
    /// (<https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>).
    pub visible: Duration,
    /// From `AttachInstances` until the instance is in service.
    pub attach: Duration,
    /// From `DetachInstances` until the instance is out of the group.
    pub detach: Duration,
    /// From a change of a group until it launches or ends instances by itself.
    pub balance: Duration,
    /// From the end of an instance until its group notices.
    pub health_check: Duration,
    /// From a launch of a group that found no capacity until the next.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            boot: Duration::from_secs(3),
            shutdown: Duration::from_secs(5),
            visible: Duration::ZERO,
            attach: Duration::from_secs(1),
            detach: Duration::from_secs(1),
            balance: Duration::from_secs(1),
            health_check: Duration::from_secs(5),
            retry: Duration::from_secs(15),
        }
    }
}

impl Timing {
    /// Everything happens at once.
    #[must_use]
    pub fn none() -> Timing {
        let zero = Duration::ZERO;
        Timing {
            boot: zero,
            shutdown: zero,
            visible: zero,
            attach: zero,
            detach: zero,
            balance: zero,
            health_check: zero,
            // A group that finds no capacity would ask for ever.
            retry: Duration::from_secs(1),
        }
    }
}
