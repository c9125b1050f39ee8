//! Work on large answers, away from the threads that small ones need.

use std::sync::LazyLock;

use tokio::{sync::Semaphore, task};
use web::process::half_the_cores;

use crate::cluster::QueryError;

/// Pages of the API server are read.
pub(crate) static READING: Bulk = Bulk::new();
/// Answers are printed and compressed. Apart from reading, so that no small list waits until a large one is compressed.
pub(crate) static PACKING: Bulk = Bulk::new();

/// One kind of such work: on half of the cores at once, so that it does not take all of them from small answers.
pub(crate) struct Bulk(LazyLock<Semaphore>);

impl Bulk {
    const fn new() -> Self {
        Self(LazyLock::new(|| Semaphore::new(half_the_cores())))
    }

    /// Waits for a turn, then works on a thread of its own.
    pub(crate) async fn run<T: Send + 'static>(
        &'static self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, QueryError> {
        // Held by the work, which goes on when nobody waits for it any more.
        let turn = self.0.acquire().await.map_err(QueryError::internal)?;
        let working = task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        working.await.map_err(QueryError::internal)
    }
}
