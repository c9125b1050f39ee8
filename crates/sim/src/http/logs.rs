//! Logs of pods, also as they are written.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::stream;
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;

use super::objects::Call;
use super::{Server, answer};
use crate::kinds::PODS;
use crate::logs::{LogReader, Reading};
use crate::status::ApiError;

/// A log that is followed until the container ends, the pod is gone, or nobody reads any more.
struct Followed {
    server: Arc<Server>,
    namespace: String,
    pod: String,
    reader: LogReader,
    newest: Receiver<u64>,
    shutdown: CancellationToken,
}

/// Answers with the log of a pod.
pub(super) fn serve(call: &Call<'_>) -> Result<Response, ApiError> {
    let (server, options) = (call.server, call.options.log()?);
    // Before the pod is read: whatever changes afterwards is noticed.
    let newest = server.api.revision();
    let (pod, now) = (call.get()?, server.api.clock().now());
    let Some(mut reader) = LogReader::open(&pod, &options, now)? else {
        return Ok(answer::text(Body::empty()));
    };
    if let Some(lines) = server.programs.log(&pod, reader.container()) {
        let tail = options.tail_lines.and_then(|tail| usize::try_from(tail).ok()).unwrap_or(usize::MAX);
        let first = lines.len().saturating_sub(tail);
        return Ok(answer::text(lines[first..].iter().map(|line| format!("{line}\n")).collect::<String>()));
    }
    if !options.follow {
        return Ok(answer::text(reader.read(&pod, now).text));
    }
    let followed = Followed {
        server: Arc::clone(server),
        namespace: call.path.namespace.clone(),
        pod: call.path.name.clone(),
        reader,
        newest,
        shutdown: server.faults.shutdown(),
    };
    let lines = stream::unfold(Some(followed), async |followed| {
        let mut followed = followed?;
        let (text, goes_on) = followed.next().await;
        Some((Ok::<_, Infallible>(Bytes::from(text)), goes_on.then_some(followed)))
    });
    Ok(answer::text(Body::from_stream(lines)))
}

impl Followed {
    /// Waits for the next lines; and whether more can come after them.
    async fn next(&mut self) -> (String, bool) {
        let clock = self.server.api.clock();
        loop {
            self.newest.mark_unchanged();
            let pod = self.server.api.get(PODS, &self.namespace, &self.pod);
            let Reading { text, more } = match pod {
                Ok(pod) => self.reader.read(&pod, clock.now()),
                Err(_) => Reading::default(),
            };
            let Some(more) = more else { return (text, false) };
            if !text.is_empty() {
                return (text, true);
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return (text, false),
                () = clock.sleep_until(more) => {}
                changed = self.newest.changed() => if changed.is_err() {
                    return (text, false);
                },
            }
        }
    }
}
