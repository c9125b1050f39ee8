//! The names of queues and exchanges on the broker.

use contracts::queues;

/// Puts the configured prefix before every name.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    prefix: String,
}

impl Names {
    pub(crate) fn new(prefix: String) -> Self {
        Self { prefix }
    }

    pub(crate) fn queue(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(crate) fn events(&self) -> String {
        self.queue(queues::EVENTS_EXCHANGE)
    }

    pub(crate) fn control(&self) -> String {
        self.queue(queues::CONTROL_EXCHANGE)
    }

    /// The queues on which events are kept, with the topics that are bound to them.
    pub(crate) fn kept_events(&self) -> [(String, &'static str); 2] {
        [queues::AUDIT_LOG, queues::CLUSTER_EVENTS].map(|kept| (self.queue(kept.queue), kept.topics))
    }

    pub(crate) fn dead_letters(&self) -> String {
        self.queue(queues::DEAD_LETTERS)
    }
}
