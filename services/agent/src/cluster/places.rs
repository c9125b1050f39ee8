//! How many lists are in memory at once, and how many are read.
//!
//! The agent runs within a memory limit of its own, and an answer may be 64 MiB of JSON. Lists of one page are small, so
//! many of them may be under way; of larger ones two, and the others wait after their first page.

use std::{sync::LazyLock, thread};

use tokio::sync::{Semaphore, SemaphorePermit};

static PAGES: Semaphore = Semaphore::const_new(64);
static LARGE: Semaphore = Semaphore::const_new(2);

/// How many pages are read at once: on half of the cores, so that large answers leave small ones the other half.
static READING: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    Semaphore::new(cores.div_ceil(2))
});

/// Waits for a core to read a page on. The semaphore is never closed.
pub(super) async fn to_read() -> Option<SemaphorePermit<'static>> {
    READING.acquire().await.ok()
}

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
