//! `/api/v1/operations/{id}/events`: an operation's journal, as it is written.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event as Sse, KeepAlive, Sse as Answer},
    },
};
use contracts::{ErrorCode, auth::Scope};
use futures_util::stream;
use tokio::{sync::OwnedSemaphorePermit, time::sleep};
use tokio_util::sync::CancellationToken;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Caller, Path, Problem};

use super::Api;
use crate::{
    saga::{Entry, Event, SagaId},
    store::Database,
};

/// How often it is looked for further entries; another replica may write them.
const POLL: Duration = Duration::from_millis(250);
/// After so long, too many streams may be fewer.
const FULL: Duration = Duration::from_secs(5);

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(events))
}

/// The events of an operation, from the first on, until it is over
///
/// Server-sent events: the `id` is the entry's number, the `event` what has happened, the data the entry as JSON. With the header
/// `Last-Event-ID`, those after that one.
#[utoipa::path(get, path = "/api/v1/operations/{id}/events", tag = "operations",
    params(("id" = String, Path, description = "The operation's id")),
    responses((status = 200, body = String, content_type = "text/event-stream")))]
async fn events(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(&Scope::Read)?;
    let place = api.streams.clone().try_acquire_owned().map_err(|_| {
        web::metrics::refused("max_event_streams");
        Problem::new(ErrorCode::Unavailable, "too many streams of events are open here; try again")
            .retry_after(FULL)
    })?;
    let (_, saga) = api.lab.operation(&caller.user, &id).await?;
    let after = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let told = Told {
        database: api.lab.database,
        saga: saga.id,
        next: after.map_or(0, |after: u32| after.saturating_add(1)),
        waiting: VecDeque::new(),
        is_over: false,
        shutdown: api.shutdown,
        _place: place,
    };
    let events = stream::unfold(told, async |mut told| {
        let entry = told.next().await?;
        Some((Ok::<_, Infallible>(written(&entry)), told))
    });
    Ok(Answer::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// What was told of a journal so far.
struct Told {
    database: Database,
    saga: SagaId,
    next: u32,
    waiting: VecDeque<Entry>,
    is_over: bool,
    shutdown: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Told {
    /// The next entry, when it is written; `None` after the last, or when this process stops.
    async fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(entry) = self.waiting.pop_front() {
                self.next = entry.seq.saturating_add(1);
                self.is_over = matches!(entry.event, Event::Ended { .. });
                return Some(entry);
            }
            if self.is_over || self.shutdown.is_cancelled() {
                return None;
            }
            match self.database.journal_of(self.saga, self.next).await {
                Ok(entries) if entries.is_empty() => {
                    // Whoever has seen the last one comes again.
                    if self.next > 0 && self.has_ended().await {
                        return None;
                    }
                    self.shutdown.run_until_cancelled(sleep(POLL)).await;
                }
                Ok(entries) => self.waiting.extend(entries),
                Err(error) => {
                    tracing::debug!(%error, "the journal cannot be read right now");
                    self.shutdown.run_until_cancelled(sleep(POLL)).await;
                }
            }
        }
    }

    async fn has_ended(&self) -> bool {
        let over = self.database.is_over(self.saga).await.unwrap_or(false);
        // It may have ended since the journal was read.
        over && self.database.journal_of(self.saga, self.next).await.is_ok_and(|rest| rest.is_empty())
    }
}

fn written(entry: &Entry) -> Sse {
    let value = serde_json::to_value(entry).unwrap_or_default();
    let what = value["what"].as_str().unwrap_or("entry").to_owned();
    Sse::default().id(entry.seq.to_string()).event(what).data(value.to_string())
}
