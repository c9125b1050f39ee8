//! Prometheus: one recorder a process, `/metrics`, and the rate and latency of requests.

use std::{sync::LazyLock, thread, time::Duration};

use axum::{Router, extract::Request, http::Method, http::header, routing::get};
use metrics::Gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::Instant;

use crate::request_id::matched_route;

/// Requests answered, by `method`, `route` and `status`.
pub const REQUESTS: &str = "http_requests_total";
/// Seconds from a request's head to its answer's head, by `method`, `route` and `status`.
pub const REQUEST_DURATION: &str = "http_request_duration_seconds";
/// What was refused because it was too much, by `bound`: the setting that says how much is not.
pub const REFUSED: &str = "refused_total";
/// Connections that are open, but for upgraded ones.
pub const CONNECTIONS: &str = "http_connections";

/// Upper bounds of the latency buckets, in seconds: from an answer out of memory to the longest timeout.
const LATENCY_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// How often the recorder moves recorded samples into their buckets; without it they pile up until a scrape.
const UPKEEP: Duration = Duration::from_secs(5);

static RECORDER: LazyLock<PrometheusHandle> = LazyLock::new(|| {
    let matcher = Matcher::Suffix("_seconds".to_owned());
    let builder = PrometheusBuilder::new();
    let builder = builder.set_buckets_for_metric(matcher, &LATENCY_BUCKETS).unwrap_or_default();
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another metrics recorder is installed: /metrics stays empty");
    }
    // A thread, because the recorder outlives any one async runtime.
    let upkeep = handle.clone();
    let started = thread::Builder::new().name("metrics-upkeep".to_owned()).spawn(move || {
        loop {
            thread::sleep(UPKEEP);
            upkeep.run_upkeep();
        }
    });
    if let Err(error) = started {
        tracing::warn!(%error, "no thread for the upkeep of metrics: they are kept in order by scrapes only");
    }
    handle
});

/// Installs the process's recorder, once however often it is called. Metrics recorded earlier are lost.
///
/// Histograms whose name ends with `_seconds` get latency buckets.
pub fn install() {
    LazyLock::force(&RECORDER);
}

pub(crate) fn routes() -> Router {
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    Router::new().route("/metrics", get(move || async move { (text, RECORDER.render()) }))
}

/// Counts a refusal, because what this setting bounds is full.
pub fn refused(bound: &'static str) {
    metrics::counter!(REFUSED, "bound" => bound).increment(1);
}

/// An amount that a gauge shows for as long as this is held.
pub struct Held {
    gauge: Gauge,
    amount: f64,
}

impl Held {
    /// Adds the amount to this gauge.
    pub fn new(gauge: &'static str, amount: f64) -> Self {
        let gauge = metrics::gauge!(gauge);
        gauge.increment(amount);
        Self { gauge, amount }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gauge.decrement(self.amount);
    }
}

/// A request that will be counted and timed.
pub(crate) struct Measured {
    method: &'static str,
    route: String,
    started: Instant,
}

impl Measured {
    pub(crate) fn since(started: Instant, request: &Request) -> Self {
        Self { method: method_label(request.method()), route: matched_route(request), started }
    }

    pub(crate) fn answered(self, status: u16) {
        let labels =
            [("method", self.method.to_owned()), ("route", self.route), ("status", status.to_string())];
        metrics::counter!(REQUESTS, &labels).increment(1);
        metrics::histogram!(REQUEST_DURATION, &labels).record(self.started.elapsed());
    }
}

/// A method as a label: HTTP lets a caller invent methods, a label must not.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
