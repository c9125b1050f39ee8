//! Work on large answers, which stands back for small ones.

use std::sync::LazyLock;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::sync::oneshot;
use web::process::half_the_cores;

use crate::cluster::QueryError;

/// Pages of the API server are read.
pub(crate) static READING: LazyLock<Bulk> = LazyLock::new(|| Bulk::new("reading"));
/// Answers are printed and compressed. Apart from reading, so that no small list waits until a large one is compressed.
pub(crate) static PACKING: LazyLock<Bulk> = LazyLock::new(|| Bulk::new("packing"));

/// By `nice`: where a thread of it and one that serves want the same core, it gets a tenth of it.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// One kind of such work: on threads of its own, as many as half of the cores, each of which gives way to those that serve.
pub(crate) struct Bulk(Result<ThreadPool, ThreadPoolBuildError>);

impl Bulk {
    fn new(name: &'static str) -> Self {
        let threads = ThreadPoolBuilder::new()
            .num_threads(half_the_cores())
            .thread_name(move |_| name.to_owned())
            .start_handler(|_| stand_back())
            // Whoever waits for the work is told, and there is work of others.
            .panic_handler(|_| tracing::error!("work on a large answer panicked"));
        Self(threads.build())
    }

    /// Waits for a turn, then works.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, QueryError> {
        let threads = self.0.as_ref().map_err(QueryError::internal)?;
        let (done, result) = oneshot::channel();
        threads.spawn(move || {
            // Nobody may wait for it any more.
            if !done.is_closed() {
                let _ = done.send(work());
            }
        });
        result.await.map_err(QueryError::internal)
    }
}

/// Gives this thread a lower priority than the others of the process. Only Linux has priorities of threads: elsewhere it would
/// be the whole process's.
fn stand_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "a thread for large answers keeps its priority");
    }
}
