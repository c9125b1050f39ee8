//! `/api/v1/operations/{id}/events`: an operation's journal, as it is written.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event as Sse, KeepAlive, Sse as Answer},
    },
};
use contracts::auth::Scope;
use futures_util::{StreamExt, stream};
use tokio::{sync::watch, time::sleep};
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Caller, Path, Problem, auth::KeyCheck, in_flight::Place};

use super::Api;
use crate::{
    lab::LabError,
    saga::{Entry, Event, SagaId},
    store::Database,
};

/// How often it is looked whether the key of a stream is still good.
const CHECK_KEY: Duration = Duration::from_secs(15);
/// After so long, a database that cannot be read is asked again.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(events))
}

/// The events of an operation, from the first on, until it is over
///
/// Server-sent events: the `id` is the entry's number, the `event` what has happened, the data the entry as JSON. With the header
/// `Last-Event-ID`, those after that one; where it was the last one of an operation that is over, 204. The stream ends when its key
/// is not good any more.
#[utoipa::path(get, path = "/api/v1/operations/{id}/events", tag = "operations",
    params(("id" = String, Path, description = "The operation's id")),
    responses(
        (status = 200, body = String, content_type = "text/event-stream"),
        (status = 204, description = "There is nothing more to come")))]
async fn events(
    State(api): State<Api>,
    caller: Caller,
    key: KeyCheck,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(&Scope::Read)?;
    let place = api.streams.enter(&caller.user.id)?;
    let (operation, saga) = api.lab.operation(&caller.user, &id).await?;
    let journal = api.lab.database.follow(saga.id).await.map_err(LabError::Store)?;
    let entries = *journal.borrow();
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse::<u32>().ok());
    // Of what is not there, nobody has seen anything.
    let next = seen.filter(|seen| *seen < entries).map_or(0, |seen| seen + 1);
    if operation.ended_at.is_some() && next == entries {
        // A browser's EventSource comes again after a stream that has ended, and not after this:
        // https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let (database, shutdown) = (api.lab.database, api.shutdown);
    let told = Told {
        database,
        saga: saga.id,
        journal,
        next,
        waiting: VecDeque::new(),
        is_over: false,
        _place: place,
    };
    let events = stream::unfold(told, async |mut told| {
        let entry = told.next().await?;
        Some((Ok::<_, Infallible>(written(&entry)), told))
    });
    let end = async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = until_refused(key) => {}
        }
    };
    Ok(Answer::new(events.take_until(end)).keep_alive(KeepAlive::default()).into_response())
}

/// Ends when the key may not read any more.
async fn until_refused(key: KeyCheck) {
    loop {
        sleep(CHECK_KEY).await;
        if !key.may_still(&Scope::Read).await {
            return;
        }
    }
}

/// What was told of a journal so far.
struct Told {
    database: Database,
    saga: SagaId,
    /// How many entries it has.
    journal: watch::Receiver<u32>,
    next: u32,
    waiting: VecDeque<Entry>,
    is_over: bool,
    _place: Place,
}

impl Told {
    /// The next entry, when it is written; `None` after the last.
    async fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(entry) = self.waiting.pop_front() {
                self.next = entry.seq.saturating_add(1);
                self.is_over = matches!(entry.event, Event::Ended { .. });
                return Some(entry);
            }
            if self.is_over {
                return None;
            }
            let next = self.next;
            self.journal.wait_for(|entries| *entries > next).await.ok()?;
            match self.database.journal_of(self.saga, next).await {
                // It was forgotten meanwhile.
                Ok(entries) if entries.is_empty() => return None,
                Ok(entries) => self.waiting.extend(entries),
                Err(error) => {
                    tracing::debug!(%error, "the journal cannot be read right now");
                    sleep(AGAIN).await;
                }
            }
        }
    }
}

fn written(entry: &Entry) -> Sse {
    let value = serde_json::to_value(entry).unwrap_or_default();
    let what = value["what"].as_str().unwrap_or("entry").to_owned();
    Sse::default().id(entry.seq.to_string()).event(what).data(value.to_string())
}
