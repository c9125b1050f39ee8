//! What every service offers besides its own routes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result, ensure};
use axum::{Extension, Router, routing::get};
use contracts::TraceParent;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{App, Path, Readiness, RequestId, health::Health};

use crate::common::start;

#[utoipa::path(get, path = "/api/v1/clusters/{id}", params(("id" = u32, Path)), responses((status = 200, body = String)))]
async fn cluster(Path(id): Path<u32>) -> String {
    format!("cluster {id}")
}

async fn whoami(Extension(id): Extension<RequestId>, Extension(trace): Extension<TraceParent>) -> String {
    format!("{id} {}", trace.trace_id())
}

fn app() -> App {
    let unlisted = Router::new().route("/whoami", get(whoami));
    App::new("test service", "1.2.3")
        .routes(OpenApiRouter::new().routes(routes!(cluster)))
        .routes(unlisted.into())
}

#[tokio::test]
async fn a_request_id_is_taken_or_made_and_echoed() -> Result<()> {
    let server = start(app().into_router()).await?;
    let ask = async |id: &str| -> Result<(String, String)> {
        let response =
            server.client.get(format!("{}/whoami", server.url)).header("x-request-id", id).send().await?;
        let echoed = response.headers()["x-request-id"].to_str()?.to_owned();
        let seen = response.text().await?.split(' ').next().unwrap_or_default().to_owned();
        Ok((echoed, seen))
    };
    let longest = "x".repeat(128);
    for taken in ["abc-123", &longest] {
        assert_eq!(ask(taken).await?, (taken.to_owned(), taken.to_owned()));
    }
    for refused in ["", "two words", &"x".repeat(129)] {
        let (echoed, seen) = ask(refused).await?;
        assert_eq!(echoed, seen);
        assert_eq!(uuid::Uuid::parse_str(&echoed)?.get_version_num(), 7, "{refused}");
    }
    let (first, second) = (server.get("/nowhere").await?, server.get("/nowhere").await?);
    assert_ne!(first.headers()["x-request-id"], second.headers()["x-request-id"]);
    Ok(())
}

#[tokio::test]
async fn a_trace_is_carried_on_or_started() -> Result<()> {
    let server = start(app().into_router()).await?;
    let trace_of = async |traceparent: &str| -> Result<String> {
        let request = server.client.get(format!("{}/whoami", server.url)).header("traceparent", traceparent);
        request.send().await?.text().await?.split(' ').nth(1).map(str::to_owned).context("a trace id")
    };
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    assert_eq!(trace_of(&format!("00-{id}-00f067aa0ba902b7-01")).await?, id);
    let started = trace_of("nonsense").await?;
    ensure!(started.len() == 32 && started != id, "{started}");
    Ok(())
}

#[tokio::test]
async fn readiness_follows_its_checks() -> Result<()> {
    let database_up = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&database_up);
    let readiness = Readiness::new().check("broker", async || Ok(())).check("database", move || {
        let up = up.load(Ordering::SeqCst);
        async move { if up { Ok(()) } else { Err("locked".to_owned()) } }
    });
    let server = start(app().readiness(readiness).into_router()).await?;

    let response = server.get("/readyz").await?;
    assert_eq!(response.status(), 503);
    let health: Health = response.json().await?;
    assert_eq!(health.status, "unavailable");
    assert_eq!((health.checks["broker"].as_str(), health.checks["database"].as_str()), ("ok", "locked"));
    assert_eq!(server.get("/livez").await?.status(), 200, "alive although not ready");

    database_up.store(true, Ordering::SeqCst);
    let response = server.get("/readyz").await?;
    assert_eq!(response.status(), 200);
    assert_eq!(response.json::<Health>().await?.status, "ok");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_counts_as_failed() -> Result<()> {
    use tower::ServiceExt;

    let readiness = Readiness::new().check("broker", std::future::pending);
    let router = app().readiness(readiness).into_router();
    let response =
        router.oneshot(axum::http::Request::get("/readyz").body(axum::body::Body::empty())?).await?;
    assert_eq!(response.status(), 503);
    Ok(())
}

#[tokio::test]
async fn metrics_have_bounded_labels() -> Result<()> {
    let server = start(app().into_router()).await?;
    for id in 98_765_430..98_765_433 {
        server.get(&format!("/api/v1/clusters/{id}")).await?.error_for_status()?;
        server.get(&format!("/zebra/{id}")).await?;
    }
    let invented = reqwest::Method::from_bytes(b"ZEBRA")?;
    server.client.request(invented, format!("{}/livez", server.url)).send().await?;

    let response = server.get("/metrics").await?.error_for_status()?;
    ensure!(response.headers()[CONTENT_TYPE].to_str()?.starts_with("text/plain"));
    let text = response.text().await?;
    for line in [
        r#"http_requests_total{method="GET",route="/api/v1/clusters/{id}",status="200"}"#,
        r#"http_requests_total{method="GET",route="unmatched",status="404"}"#,
        r#"http_requests_total{method="other",route="/livez",status="405"}"#,
        r#"http_request_duration_seconds_bucket{method="GET",route="/api/v1/clusters/{id}",status="200",le="0.5"}"#,
    ] {
        ensure!(text.contains(line), "{line} is not in\n{text}");
    }
    for invented in ["zebra", "ZEBRA", "9876543"] {
        ensure!(!text.contains(invented), "{invented} of the caller became a label:\n{text}");
    }
    Ok(())
}

#[tokio::test]
async fn the_api_document_lists_paths_key_and_problem() -> Result<()> {
    let server = start(app().into_router()).await?;
    let document: Value = server.get("/openapi.json").await?.error_for_status()?.json().await?;
    assert_eq!(document["info"]["title"], "test service");
    assert_eq!(document["info"]["version"], "1.2.3");
    let operation = &document["paths"]["/api/v1/clusters/{id}"]["get"];
    assert_eq!(operation["responses"]["default"]["$ref"], "#/components/responses/Problem");
    let components = &document["components"];
    assert_eq!(components["securitySchemes"]["api_key"]["name"], "X-API-Key");
    assert_eq!(components["securitySchemes"]["api_key"]["in"], "header");
    let media = &components["responses"]["Problem"]["content"]["application/problem+json"];
    assert_eq!(media["schema"]["$ref"], "#/components/schemas/Problem");
    assert_eq!(components["schemas"]["Problem"]["properties"]["request_id"]["type"], "string");
    unresolved(&document, &document)
}

/// Fails on a `$ref` that leads nowhere.
fn unresolved(part: &Value, document: &Value) -> Result<()> {
    if let Some(reference) = part.get("$ref").and_then(Value::as_str) {
        ensure!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
    }
    let mut children = part
        .as_object()
        .into_iter()
        .flat_map(|map| map.values())
        .chain(part.as_array().into_iter().flatten());
    children.try_for_each(|child| unresolved(child, document))
}

#[tokio::test]
async fn the_documents_page_needs_nothing_from_elsewhere() -> Result<()> {
    let server = start(app().into_router()).await?;
    let page = server.get("/docs").await?.error_for_status()?;
    ensure!(page.headers()[CONTENT_TYPE].to_str()?.starts_with("text/html"));
    let html = page.text().await?;
    let links = html.split(['"', '\'']).filter(|text| text.ends_with(".js") || text.ends_with(".css"));
    let mut found = 0;
    for link in links {
        ensure!(!link.contains("//"), "{link} is fetched from elsewhere");
        let asset = server.get(&format!("/docs/{}", link.trim_start_matches("./"))).await?;
        ensure!(asset.status() == 200, "{link}");
        found += 1;
    }
    ensure!(found >= 3, "{html}");
    let setup = server.get("/docs/swagger-initializer.js").await?.text().await?;
    ensure!(setup.contains("/openapi.json"), "{setup}");
    Ok(())
}
