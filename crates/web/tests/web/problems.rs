//! Every way in which a request is refused.

use std::time::Duration;

use anyhow::{Result, ensure};
use axum::{
    Router,
    extract::Path as RawPath,
    routing::{get, post},
};
use contracts::ErrorCode;
use reqwest::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use serde::{Deserialize, Serialize};
use web::{App, Json, Path, Problem, Query};

use crate::common::{problem, start};

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Instance {
    name: String,
    metadata: Metadata,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    size: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    agent_id: String,
    limit: Option<u32>,
}

fn router() -> Router {
    let routes = Router::new()
        .route("/instances", post(async |Json(instance): Json<Instance>| Json(instance)))
        .route(
            "/pods",
            get(async |Query(filter): Query<Filter>| format!("{} {:?}", filter.agent_id, filter.limit)),
        )
        .route("/clusters/{cluster_id}", get(async |Path(id): Path<u32>| id.to_string()))
        .route(
            "/clusters/{cluster_id}/keys/{key_id}",
            get(async |Path((a, b)): Path<(u32, u32)>| format!("{a}/{b}")),
        )
        .route("/fails/{code}", get(fails))
        .route("/busy", get(async || Problem::conflict("busy").retry_after(Duration::from_millis(1500))))
        .route("/panics", get(panics))
        .route("/breaks", get(async || Problem::internal(&std::io::Error::other("password=hunter2"))));
    App::new("test", "1.0.0").routes(routes.into()).into_router()
}

async fn panics() -> &'static str {
    panic!("password=hunter2")
}

async fn fails(RawPath(code): RawPath<String>) -> Problem {
    let code = serde_json::from_value(serde_json::Value::String(code)).expect("any text is a code");
    Problem::new(code, "as asked")
}

#[tokio::test]
async fn every_code_is_rendered_with_its_status() -> Result<()> {
    let server = start(router()).await?;
    for (code, status) in [
        ("bad_request", 400),
        ("unauthenticated", 401),
        ("forbidden", 403),
        ("not_found", 404),
        ("method_not_allowed", 405),
        ("conflict", 409),
        ("expired", 410),
        ("too_large", 413),
        ("unsupported_media_type", 415),
        ("invalid", 422),
        ("rate_limited", 429),
        ("internal", 500),
        ("agent_error", 502),
        ("cluster_unreachable", 502),
        ("agent_not_connected", 503),
        ("broker_unavailable", 503),
        ("unavailable", 503),
        ("agent_timeout", 504),
        ("of_a_newer_version", 502),
    ] {
        let document = problem(server.get(&format!("/fails/{code}")).await?).await?;
        assert_eq!((document.code.as_str(), document.status), (code, status));
        assert_eq!(document.detail, "as asked");
    }
    let document = problem(server.get("/fails/agent_not_connected").await?).await?;
    assert_eq!(document.title, "Agent not connected");
    Ok(())
}

#[tokio::test]
async fn a_good_body_passes() -> Result<()> {
    let server = start(router()).await?;
    let sent = r#"{"name":"a","metadata":{"size":3},"tags":["x"]}"#;
    let response = server.post("/instances", sent).await?;
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    assert_eq!(response.text().await?, sent);
    Ok(())
}

#[tokio::test]
async fn a_body_that_does_not_fit_names_the_field() -> Result<()> {
    let server = start(router()).await?;
    for (body, field, message) in [
        (r#"{"metadata":{"size":3}}"#, "name", "is required"),
        (r#"{"name":"a","metadata":{}}"#, "metadata.size", "is required"),
        (r#"{"name":"a","name":"b","metadata":{"size":3}}"#, "name", "more than once"),
        (r#"{"name":"a","metadata":{"size":-3}}"#, "metadata.size", "expected u32"),
        (r#"{"name":"a","metadata":{"size":3,"colour":"red"}}"#, "metadata.colour", "unknown field"),
        (r#"{"name":"a","metadata":{"size":3},"tags":["x",7]}"#, "tags[1]", "expected a string"),
        ("7", "body", "expected struct"),
    ] {
        let document = problem(server.post("/instances", body).await?).await?;
        assert_eq!(document.code, ErrorCode::Invalid, "{body}");
        let [error] = &document.errors[..] else { anyhow::bail!("{body}: {:?}", document.errors) };
        assert_eq!(error.field, field, "{body}");
        ensure!(error.message.contains(message), "{body}: {error:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_json_is_a_bad_request() -> Result<()> {
    let server = start(router()).await?;
    let trailing = r#"{"name":"a","metadata":{"size":3}} x"#;
    for body in ["", "{", "{'name':1}", trailing] {
        let document = problem(server.post("/instances", body).await?).await?;
        assert_eq!(document.code, ErrorCode::BadRequest, "{body}");
    }
    Ok(())
}

#[tokio::test]
async fn another_content_type_is_refused() -> Result<()> {
    let server = start(router()).await?;
    let request = server.client.post(format!("{}/instances", server.url));
    let untyped = problem(request.try_clone().expect("no stream").body("{}").send().await?).await?;
    let text = problem(request.header(CONTENT_TYPE, "text/plain").body("{}").send().await?).await?;
    assert_eq!([untyped.status, text.status], [415, 415]);
    Ok(())
}

#[tokio::test]
async fn a_body_over_one_mebibyte_is_refused() -> Result<()> {
    let server = start(router()).await?;
    let document = problem(server.post("/instances", vec![b' '; (1 << 20) + 1]).await?).await?;
    assert_eq!(document.code, ErrorCode::TooLarge);
    // The largest that is read: all blanks, so that it fails as JSON and not by its size.
    let document = problem(server.post("/instances", vec![b' '; 1 << 20]).await?).await?;
    assert_eq!(document.code, ErrorCode::BadRequest);
    Ok(())
}

#[tokio::test]
async fn an_application_may_set_its_own_limit() -> Result<()> {
    let routes = Router::new().route("/", post(async |Json(text): Json<String>| text));
    let server = start(App::new("test", "1").body_limit(4).routes(routes.into()).into_router()).await?;
    assert_eq!(server.post("/", "\"ab\"").await?.text().await?, "ab");
    assert_eq!(problem(server.post("/", "\"abc\"").await?).await?.code, ErrorCode::TooLarge);
    Ok(())
}

#[tokio::test]
async fn a_parameter_that_does_not_fit_is_named() -> Result<()> {
    let server = start(router()).await?;
    assert_eq!(server.get("/pods?agent_id=a%20b&limit=5").await?.text().await?, "a b Some(5)");
    for (path, field) in [
        ("/pods", "agent_id"),
        ("/pods?agent_id=a&limit=many", "limit"),
        ("/pods?agent_id=a&colour=red", "colour"),
        ("/pods?agent_id=a&agent_id=b", "agent_id"),
        ("/clusters/many", "cluster_id"),
        ("/clusters/1/keys/many", "key_id"),
        ("/clusters/%ff", "cluster_id"),
    ] {
        let document = problem(server.get(path).await?).await?;
        assert_eq!(document.code, ErrorCode::Invalid, "{path}");
        assert_eq!(document.errors.first().map(|error| error.field.as_str()), Some(field), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_problems_too() -> Result<()> {
    let server = start(router()).await?;
    assert_eq!(problem(server.get("/nowhere").await?).await?.code, ErrorCode::NotFound);

    let response = server.get("/instances").await?;
    assert_eq!(response.headers()[ALLOW], "POST");
    assert_eq!(problem(response).await?.code, ErrorCode::MethodNotAllowed);
    assert_eq!(problem(server.post("/livez", "{}").await?).await?.code, ErrorCode::MethodNotAllowed);
    Ok(())
}

#[tokio::test]
async fn a_fault_of_ours_tells_nothing_internal() -> Result<()> {
    let server = start(router()).await?;
    for path in ["/panics", "/breaks"] {
        let document = problem(server.get(path).await?).await?;
        assert_eq!(document.code, ErrorCode::Internal);
        ensure!(!format!("{document:?}").contains("hunter2"), "{document:?}");
    }
    assert_eq!(server.get("/clusters/7").await?.text().await?, "7", "the server survives");
    Ok(())
}

#[tokio::test]
async fn retry_after_is_rounded_up() -> Result<()> {
    let server = start(router()).await?;
    assert_eq!(server.get("/busy").await?.headers()[RETRY_AFTER], "2");
    Ok(())
}
