//! What happens, line by line.

use std::sync::{Arc, Mutex};

use tokio::time::Instant;

/// What happens, line by line, each with its time in seconds.
#[derive(Clone)]
pub(super) struct Story {
    began: Instant,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Story {
    pub(super) fn new(began: Instant) -> Self {
        Self { began, lines: Arc::default() }
    }

    pub(super) fn tell(&self, line: impl AsRef<str>) {
        let at = self.began.elapsed().as_secs_f64();
        self.lines.lock().unwrap().push(format!("{at:9.3} {}", line.as_ref()));
    }

    pub(super) fn elapsed(&self) -> std::time::Duration {
        self.began.elapsed()
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }
}
