//! The counts of a stateful set's status: `updateReplicas` and `completeRollingUpdate`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Look, identity};
use crate::controllers::workloads::fields::{count, nonzero, number, text, uid};
use crate::controllers::workloads::pod;
use crate::kinds::STATEFUL_SETS;
use crate::object::{self, Object};
use crate::status::ApiError;

impl Look<'_> {
    pub(super) fn write_status(&mut self) -> Result<(), ApiError> {
        // What has been deleted by this look tells so by now.
        self.pods = self
            .index
            .of(&self.set, self.cluster)
            .into_iter()
            .filter_map(|pod| Some((identity::ordinal(&pod, &self.set)?, pod)))
            .collect();
        let pods: Vec<Arc<Object>> = self.pods.values().cloned().collect();
        let of_revision = |revision: &Value| {
            let staying = pods.iter().filter(|pod| !object::is_terminating(pod));
            count(staying.filter(|pod| identity::revision_of(pod) == object::name(revision)))
        };
        let ready = count(pods.iter().filter(|pod| pod::is_ready(pod)));
        let available = count(pods.iter().filter(|pod| self.is_available(pod)));
        let wanted = number(&self.set, "/spec/replicas");
        let updated = of_revision(&self.revisions.update);
        let mut current = of_revision(&self.current);
        let mut current_name = object::name(&self.current).to_owned();
        let rolls = text(&self.set, "/spec/updateStrategy/type") == "RollingUpdate";
        if rolls && [updated, ready, count(&pods)] == [wanted; 3] {
            current = updated;
            object::name(&self.revisions.update).clone_into(&mut current_name);
        }
        let mut status = nonzero([
            ("observedGeneration", number(&self.set, "/metadata/generation")),
            ("readyReplicas", ready),
            ("currentReplicas", current),
            ("updatedReplicas", updated),
        ]);
        for (name, value) in [
            ("replicas", json!(count(&pods))),
            ("availableReplicas", json!(available)),
            ("collisionCount", json!(self.revisions.collisions)),
            ("currentRevision", json!(current_name)),
            ("updateRevision", json!(object::name(&self.revisions.update))),
        ] {
            status.insert(name.to_owned(), value);
        }
        let conditions = self.set["status"]["conditions"].clone();
        let mut status = Value::from(status);
        object::set_or_remove(&mut status, "conditions", &conditions);
        let (namespace, name) = (object::namespace(&self.set), object::name(&self.set));
        self.cluster.api.update_status(STATEFUL_SETS, namespace, name, |present| {
            present["metadata"]["uid"] = uid(&self.set).into();
            present["status"] = status;
        })?;
        Ok(())
    }
}
