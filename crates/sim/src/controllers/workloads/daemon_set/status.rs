//! The counts of a daemon set's status: `updateDaemonSetStatus`.

use serde_json::{Value, json};

use super::Look;
use super::placement;
use crate::controllers::workloads::fields::{nonzero, number, uid};
use crate::controllers::workloads::pod;
use crate::kinds::DAEMON_SETS;
use crate::object;
use crate::status::ApiError;

impl Look<'_> {
    pub(super) fn write_status(&self, collisions: i64) -> Result<(), ApiError> {
        let [mut desired, mut current, mut misplaced, mut ready, mut updated, mut available] = [0_i64; 6];
        for node in &self.nodes {
            let pods = self.pods_on(object::name(node));
            if !placement::should_run(self.template_spec(), node).0 {
                misplaced += i64::from(!pods.is_empty());
                continue;
            }
            desired += 1;
            current += i64::from(!pods.is_empty());
            ready += i64::from(pods.iter().any(|pod| pod::is_active(pod) && pod::is_ready(pod)));
            available += i64::from(pods.iter().any(|pod| pod::is_active(pod) && self.is_available(pod)));
            updated += i64::from(pods.iter().any(|pod| self.is_new(pod)));
        }
        let mut status = nonzero([
            ("observedGeneration", number(&self.set, "/metadata/generation")),
            ("updatedNumberScheduled", updated),
            ("numberAvailable", available),
            ("numberUnavailable", desired - available),
        ]);
        for (name, number) in [
            ("desiredNumberScheduled", desired),
            ("currentNumberScheduled", current),
            ("numberMisscheduled", misplaced),
            ("numberReady", ready),
        ] {
            status.insert(name.to_owned(), number.into());
        }
        if collisions > 0 {
            status.insert("collisionCount".to_owned(), json!(collisions));
        }
        let status = Value::from(status);
        let (namespace, name) = (object::namespace(&self.set), object::name(&self.set));
        self.cluster.api.update_status(DAEMON_SETS, namespace, name, |present| {
            present["metadata"]["uid"] = uid(&self.set).into();
            let conditions = present["status"]["conditions"].clone();
            present["status"] = status;
            object::set_or_remove(&mut present["status"], "conditions", &conditions);
        })?;
        Ok(())
    }
}
