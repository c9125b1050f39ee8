//! How many lists are in memory at once.
//!
//! The agent runs within a memory limit of its own, and an answer may be 64 MiB of JSON. Lists of one page are small, so
//! many of them may be under way; of larger ones two, and the others wait after their first page.

use tokio::sync::{Semaphore, SemaphorePermit};

static PAGES: Semaphore = Semaphore::const_new(64);
static LARGE: Semaphore = Semaphore::const_new(2);

/// What a list takes of the memory; given back when dropped.
#[derive(Debug)]
pub(super) struct Places {
    page: Option<SemaphorePermit<'static>>,
    large: Option<SemaphorePermit<'static>>,
}

impl Places {
    /// Waits for a place for a page. The semaphores are never closed.
    pub(super) async fn first() -> Self {
        Self { page: PAGES.acquire().await.ok(), large: None }
    }

    /// Waits until it may be more than a page.
    pub(super) async fn grow(&mut self) {
        if self.large.is_none() {
            // Those that wait here keep no other list from its page.
            self.page = None;
            self.large = LARGE.acquire().await.ok();
        }
    }
}
