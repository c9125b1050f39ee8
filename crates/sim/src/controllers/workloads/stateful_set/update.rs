//! Replaces the pods of an old revision, from the highest ordinal down to the partition.

use super::{Look, identity, is_healthy};
use crate::controllers::workloads::fields::{number, text};
use crate::object;
use crate::status::ApiError;

impl Look<'_> {
    /// Deletes the next old pod, once all above it are well.
    pub(super) fn roll(&mut self) -> Result<(), ApiError> {
        if text(&self.set, "/spec/updateStrategy/type") == "OnDelete" {
            return Ok(());
        }
        let partition = number(&self.set, "/spec/updateStrategy/rollingUpdate/partition");
        let least = self.first().saturating_add(partition);
        let update = object::name(&self.revisions.update).to_owned();
        for ordinal in (least..self.end()).rev() {
            let Some(pod) = self.pods.get(&ordinal).cloned() else { return Ok(()) };
            if identity::revision_of(&pod) != update && !object::is_terminating(&pod) {
                return self.delete_pod(&pod);
            }
            if !is_healthy(&pod) {
                return Ok(());
            }
        }
        Ok(())
    }
}
