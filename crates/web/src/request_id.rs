//! The outermost layer: names each request, traces and measures it, and renders its problem.

use std::{fmt, sync::Arc};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use contracts::TraceParent;
use tokio::time::Instant;
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::{Problem, metrics::Measured};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// The longest `X-Request-Id` that is taken from a caller, in bytes; it goes into every log line of the request.
const MAX_REQUEST_ID: usize = 128;

/// The id of a request, a request extension: the caller's `X-Request-Id`, or a UUID made here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

/// When a request's head had arrived: a request extension, by which deadlines are measured.
#[derive(Clone, Copy, Debug)]
pub struct Arrival(pub Instant);

impl RequestId {
    /// 1 to 128 visible ASCII characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(headers: &HeaderMap) -> Self {
        let acceptable =
            |id: &&str| (1..=MAX_REQUEST_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
        let taken = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(acceptable);
        Self(taken.map_or_else(|| Uuid::now_v7().to_string().into(), Into::into))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Gives the request its [`RequestId`] and [`TraceParent`] as extensions and a span to log in, measures it, echoes the id,
/// and renders the [`Problem`] that the answer may carry.
pub(crate) async fn identify(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    // Asked every few seconds, they would drown the log.
    let probe = matches!(matched_route(&request).as_str(), "/livez" | "/readyz" | "/metrics");
    let measured = Measured::since(started, &request);
    let id = RequestId::of(request.headers());
    let trace = trace_of(request.headers());
    let span = span_of(&request, &id, trace);
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(trace);
    request.extensions_mut().insert(Arrival(started));

    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    measured.answered(status);
    let latency_ms = started.elapsed().as_micros() as f64 / 1e3;
    // Said with the event: each field that a span learns later has all of its fields written anew.
    if probe {
        tracing::debug!(parent: &span, status, latency_ms, "request answered");
    } else {
        tracing::info!(parent: &span, status, latency_ms, "request answered");
    }

    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem.render(id.as_str(), response);
    }
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The route that the request matched, such as `/api/v1/users/{id}`: safe as a label, because the caller cannot
/// make up new ones.
pub(crate) fn matched_route(request: &Request) -> String {
    request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned())
}

fn trace_of(headers: &HeaderMap) -> TraceParent {
    let taken =
        headers.get(TRACE_PARENT).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    taken.unwrap_or_else(|| TraceParent::generate(&mut rand::rng()))
}

fn span_of(request: &Request, id: &RequestId, trace: TraceParent) -> Span {
    tracing::info_span!(
        "request",
        request_id = %id,
        trace_id = trace.trace_id(),
        method = %request.method(),
        route = matched_route(request),
    )
}
