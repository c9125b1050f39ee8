//! Log lines carry the request that they belong to.
//!
//! In a process of their own: tracing decides once for the whole process whether a line is of interest, so that tests
//! on other threads, which log nowhere, could switch a line off.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, ensure};
use axum::{Router, body::Body, http::Request, routing::get};
use serde_json::Value;
use tower::ServiceExt;
use tracing::instrument::WithSubscriber;
use web::{
    App, Problem,
    config::{LogArgs, LogFormat},
    telemetry::subscriber,
};

/// A log that can be read.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Held while a subscriber is in use, for the same reason.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What is logged while a request to `path` is answered.
async fn logged(path: &str, log_format: LogFormat, debug: bool, directives: &str) -> Result<String> {
    let _turn = ONE_AT_A_TIME.lock().await;
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = subscriber(&LogArgs { log_format, debug }, directives, move || writer.clone())?;
    let failing = async || Problem::internal(&io::Error::other("disk is full"));
    let routes = Router::new().route("/fails/{id}", get(failing));
    let router = App::new("test", "1").routes(routes.into()).into_router();
    let request = Request::get(path).header("x-request-id", "request-7").body(Body::empty())?;
    router.oneshot(request).with_subscriber(subscriber).await?;
    Ok(lines.text())
}

#[tokio::test]
async fn json_lines_have_the_fields_of_the_request() -> Result<()> {
    let text = logged("/fails/3", LogFormat::Json, false, "").await?;
    let lines = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let [failed, answered] = &lines[..] else { anyhow::bail!("{text}") };
    assert_eq!((&failed["level"], &failed["error"]), (&"ERROR".into(), &"disk is full".into()));
    assert_eq!(answered["message"], "request answered");
    for line in &lines {
        let span = line.get("span").context("a span")?;
        assert_eq!(span["request_id"], "request-7");
        assert_eq!((&span["method"], &span["route"]), (&"GET".into(), &"/fails/{id}".into()));
        assert_eq!(span["trace_id"].as_str().map(str::len), Some(32));
    }
    assert_eq!(answered["status"], 500);
    ensure!(answered["latency_ms"].is_number());
    Ok(())
}

#[tokio::test]
async fn probes_are_logged_at_debug_only() -> Result<()> {
    assert_eq!(logged("/livez", LogFormat::Pretty, false, "").await?, "");
    let debug = logged("/livez", LogFormat::Pretty, true, "").await?;
    ensure!(debug.contains("request answered") && debug.contains("request-7"), "{debug}");
    assert_eq!(logged("/livez", LogFormat::Pretty, true, "error").await?, "", "RUST_LOG decides");
    Ok(())
}

#[test]
fn a_bad_filter_is_an_error() {
    let args = LogArgs { log_format: LogFormat::Pretty, debug: false };
    assert!(subscriber(&args, "web=loud", io::sink).is_err());
}
