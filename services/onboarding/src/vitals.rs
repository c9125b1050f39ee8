//! What sessions learn of their clusters, written to the database now and then.
//!
//! Ten thousand agents with a heartbeat every 30 seconds would be 330 writes a second, and a database that is locked would
//! stall the sessions. So sessions leave here what they learn, the latest wins, and one task writes it ([`crate::lifecycle`]).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::store::{Database, Vitals};

/// So many are written in one transaction, which has seconds for it.
const AT_ONCE: usize = 500;

/// Where sessions leave what they learn. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct VitalsRecorder {
    unwritten: Arc<Mutex<HashMap<String, Vitals>>>,
}

impl VitalsRecorder {
    /// Adds what was learnt of a cluster to what is still to be written.
    pub(crate) fn learn(&self, cluster_id: &str, learnt: Vitals) {
        self.lock().entry(cluster_id.to_owned()).or_default().update(learnt);
    }

    /// Writes what was learnt, some clusters at a time; whether the database knows everything now.
    pub(crate) async fn write(&self, database: &Database) -> bool {
        let now = database.now();
        let mut learnt: Vec<(String, Vitals)> = self.lock().drain().collect();
        // In one order, so that replicas which write the same rows do not wait for each other in a circle.
        learnt.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        while !learnt.is_empty() {
            let rest = learnt.split_off(learnt.len().min(AT_ONCE));
            if let Err(error) = database.record_vitals(&learnt, now).await {
                tracing::warn!(%error, clusters = learnt.len() + rest.len(), "heartbeats not written; trying again");
                self.keep(learnt.into_iter().chain(rest));
                return false;
            }
            learnt = rest;
        }
        true
    }

    /// Puts back what could not be written, under what was learnt meanwhile.
    fn keep(&self, unwritten: impl Iterator<Item = (String, Vitals)>) {
        let mut waiting = self.lock();
        for (cluster_id, mut older) in unwritten {
            if let Some(newer) = waiting.remove(&cluster_id) {
                older.update(newer);
            }
            waiting.insert(cluster_id, older);
        }
    }

    /// No code panics while it holds the lock, so a poisoned one is still good.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vitals>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
