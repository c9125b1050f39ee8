//! Watches: the changes of a kind as lines of JSON, as they happen.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::list::CHUNK;
use super::objects::Call;
use super::options::WatchStart;
use super::render::Rendering;
use super::{Server, answer};
use crate::conversion;
use crate::kinds::Kind;
use crate::object::{self, Object};
use crate::selector::Selector;
use crate::status::ApiError;
use crate::store::{Change, ListQuery};

/// The last bookmark of a watch comes this long before its timeout (`nextBookmarkTime` in
/// `apiserver/pkg/storage/cacher/cache_watcher.go`).
const BOOKMARK_BEFORE_TIMEOUT: Duration = Duration::from_secs(2);

/// One open watch.
pub(super) struct Watch {
    server: Arc<Server>,
    kind: &'static Kind,
    /// The same kind in the version that the client speaks.
    spoken: &'static Kind,
    namespace: Option<String>,
    selector: Selector,
    rendering: Rendering,
    /// Whether something has been sent.
    begun: bool,
    /// Everything up to here has been sent.
    revision: u64,
    /// What was there at the beginning and is still to be sent, before any change.
    present: std::vec::IntoIter<Arc<Object>>,
    /// Whether a bookmark is to tell the end of what was there.
    ends_present: bool,
    newest: Receiver<u64>,
    cut: CancellationToken,
    timeout: Instant,
    /// When the next bookmark is due; `None` when none is wanted or none will come any more.
    bookmark: Option<Instant>,
}

enum Next {
    Lines(String),
    /// These lines are the last.
    Last(String),
    TimedOut,
    Cut,
}

impl Watch {
    /// Begins a watch at the resourceVersion asked for or, without one, with all present objects.
    pub(super) fn open(call: &Call<'_>) -> Result<Response, ApiError> {
        let (server, kind, options) = (call.server, call.kind, &call.options);
        let mut watch = Watch {
            server: Arc::clone(server),
            kind,
            spoken: call.spoken,
            namespace: call.namespace(),
            selector: options.selector(call.spoken)?,
            rendering: call.rendering,
            begun: false,
            revision: *server.api.revision().borrow(),
            present: Vec::new().into_iter(),
            ends_present: false,
            newest: server.api.revision(),
            cut: server.faults.watch_cut(),
            timeout: Instant::now() + options.timeout(),
            bookmark: None,
        };
        watch.bookmark = options.bookmarks().then(|| watch.next_bookmark()).flatten();
        match options.watch_start()? {
            WatchStart::After(revision) => watch.revision = revision,
            WatchStart::Now => {}
            WatchStart::Present => watch.start_with_present_objects()?,
            WatchStart::Streaming => {
                watch.start_with_present_objects()?;
                watch.ends_present = options.bookmarks();
            }
        }
        let lines = futures_util::stream::unfold(Some(watch), async |watch| {
            let mut watch = watch?;
            match watch.next().await {
                Next::Lines(lines) => Some((Ok(Bytes::from(lines)), Some(watch))),
                Next::Last(lines) => Some((Ok(Bytes::from(lines)), None)),
                Next::TimedOut => None,
                Next::Cut => Some((Err(io::Error::from(io::ErrorKind::ConnectionAborted)), None)),
            }
        });
        Ok(answer::stream(Body::from_stream(lines)))
    }

    fn start_with_present_objects(&mut self) -> Result<(), ApiError> {
        let query = ListQuery {
            namespace: self.namespace.clone(),
            selector: self.selector.clone(),
            ..ListQuery::default()
        };
        let page = self.server.api.list(self.kind, &query)?;
        self.present = page.items.into_iter();
        self.revision = page.revision;
        Ok(())
    }

    /// Waits for the next thing to send.
    async fn next(&mut self) -> Next {
        loop {
            // What ends a watch comes first: for a client that reads slowly there is always something left to send.
            let now = Instant::now();
            if self.cut.is_cancelled() {
                return Next::Cut;
            } else if self.timeout <= now {
                return Next::TimedOut;
            }
            let lines = self.initial();
            if !lines.is_empty() {
                return Next::Lines(lines);
            }
            if self.bookmark.is_some_and(|due| due <= now) {
                self.bookmark = self.next_bookmark();
                return Next::Lines(self.bookmark_line(&Value::Null));
            }
            // Marked as seen before the store is read: a change in between wakes the wait below.
            self.newest.mark_unchanged();
            match self.catch_up() {
                Ok(lines) if lines.is_empty() => {}
                Ok(lines) => return Next::Lines(lines),
                Err(error) => return Next::Last(line("ERROR", &error.body().to_string())),
            }
            tokio::select! {
                () = self.cut.cancelled() => {}
                () = sleep_until(self.bookmark.unwrap_or(self.timeout)) => {}
                changed = self.newest.changed() => if changed.is_err() {
                    return Next::Cut;
                },
            }
        }
    }

    /// Some of what was there at the beginning, as lines; nothing when all of it has been sent.
    fn initial(&mut self) -> String {
        let mut lines = String::new();
        while lines.len() < CHUNK {
            if let Some(object) = self.present.next() {
                lines += &self.line("ADDED", &object);
            } else if std::mem::take(&mut self.ends_present) {
                lines += &self.bookmark_line(&json!({ "k8s.io/initial-events-end": "true" }));
            } else {
                break;
            }
        }
        lines
    }

    /// Some of the changes since the last one sent, as lines; nothing when all of them have been sent.
    fn catch_up(&mut self) -> Result<String, ApiError> {
        let mut lines = String::new();
        for change in self.server.api.changes_since(self.revision)? {
            self.revision = change.revision;
            lines.extend(self.event(&change));
            if lines.len() >= CHUNK {
                break;
            }
        }
        Ok(lines)
    }

    /// How a change looks through the selector: entering it is an addition, leaving it a deletion.
    fn event(&mut self, change: &Change) -> Option<String> {
        if !std::ptr::eq(change.kind, self.kind) {
            return None;
        }
        let before = change.before.as_ref().filter(|object| self.selects(object));
        let after = change.after().filter(|object| self.selects(object));
        match (before, after) {
            (None, None) => None,
            (None, Some(object)) => Some(self.line("ADDED", object)),
            (Some(_), Some(object)) => Some(self.line("MODIFIED", object)),
            // What is gone is shown as it was at last, what left the selection as it was before.
            (Some(_), None) if change.deleted => Some(self.line("DELETED", &change.object)),
            (Some(object), None) => {
                let object = Object::new(object::at_revision(object, change.revision));
                Some(self.line("DELETED", &object))
            }
        }
    }

    /// An event with its object in the form that was asked for.
    fn line(&mut self, event: &str, object: &Object) -> String {
        let first = !std::mem::replace(&mut self.begun, true);
        match self.rendering.watched(self.kind, object, first, self.server.api.clock().now()) {
            Some(rendered) => line(event, &rendered.to_string()),
            None => {
                let spoken = conversion::spoken(self.spoken, object);
                line(event, &spoken.as_ref().unwrap_or(object).json(self.spoken))
            }
        }
    }

    fn selects(&self, object: &Value) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| object::namespace(object) == namespace)
            && self.selector.matches(object)
    }

    fn next_bookmark(&self) -> Option<Instant> {
        let now = Instant::now();
        let last = self.timeout.checked_sub(BOOKMARK_BEFORE_TIMEOUT)?;
        Some((now + self.server.bookmark_interval).min(last)).filter(|at| *at >= now)
    }

    fn bookmark_line(&mut self, annotations: &Value) -> String {
        let mut bookmark = json!({
            "kind": self.spoken.kind,
            "apiVersion": self.spoken.api_version(),
            "metadata": { "resourceVersion": self.revision.to_string() },
        });
        object::set_or_remove(&mut bookmark["metadata"], "annotations", annotations);
        self.line("BOOKMARK", &Object::new(bookmark))
    }
}

fn line(event: &str, object: &str) -> String {
    format!("{{\"type\":\"{event}\",\"object\":{object}}}\n")
}
