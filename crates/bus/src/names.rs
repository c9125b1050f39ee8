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

    pub(crate) fn dead_letters(&self) -> String {
        self.queue(queues::DEAD_LETTERS)
    }
}
