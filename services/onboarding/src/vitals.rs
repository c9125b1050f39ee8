//! What sessions learn of their clusters, written to the database now and then.
//!
//! Ten thousand agents with a heartbeat every 30 seconds would be 330 writes a second, and a database that is locked would
//! stall the sessions. So sessions leave here what they learn, the latest wins, and one task writes it ([`crate::lifecycle`]).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use contracts::Timestamp;

use crate::store::{Database, Vitals};

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

    /// Writes what was learnt; whether the database knows everything now.
    pub(crate) async fn write(&self, database: &Database, now: Timestamp) -> bool {
        let learnt: Vec<(String, Vitals)> = self.lock().drain().collect();
        if learnt.is_empty() {
            return true;
        }
        match database.record_vitals(&learnt, now).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, clusters = learnt.len(), "heartbeats not written; trying again");
                self.keep(learnt);
                false
            }
        }
    }

    /// Puts back what could not be written, under what was learnt meanwhile.
    fn keep(&self, unwritten: Vec<(String, Vitals)>) {
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
