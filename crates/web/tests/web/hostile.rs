//! Whatever is sent, the answer is an answer.

use std::convert::Infallible;

use anyhow::Result;
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{HeaderValue, Request, Response},
    routing::{get, post},
};
use futures_util::stream;
use proptest::prelude::*;
use serde::Deserialize;
use tower::ServiceExt;
use web::{App, Json, ProblemDocument, Query};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    name: Option<String>,
    items: Option<Vec<Input>>,
}

fn router() -> Router {
    let routes = Router::new()
        .route("/body", post(async |Json(input): Json<Input>| format!("{:?}{:?}", input.name, input.items)))
        .route("/query", get(async |Query(input): Query<Input>| format!("{input:?}")));
    App::new("test", "1").routes(routes.into()).into_router()
}

fn answer(request: Request<Body>) -> Result<(Response<()>, Bytes)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (parts, body) = router().oneshot(request).await?.into_parts();
        Ok((Response::from_parts(parts, ()), to_bytes(body, 1 << 20).await?))
    })
}

/// The answer is a success or a well-formed, bounded problem with the same status, and never our fault.
fn check(request: Request<Body>) -> Result<(), TestCaseError> {
    let (response, body) = answer(request).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert!(response.status().as_u16() < 500);
    prop_assert!(response.headers().contains_key("x-request-id"));
    if response.status() != 200 {
        let problem: ProblemDocument =
            serde_json::from_slice(&body).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(problem.status, response.status().as_u16());
        prop_assert!(body.len() < 4096);
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_as_a_body(body in prop_oneof![any::<Vec<u8>>(), r#"[\[{"a-z:,0-9}\] ]{0,40}"#.prop_map(String::into_bytes)]) {
        let request = Request::post("/body").header("content-type", "application/json").body(Body::from(body));
        check(request.expect("a request"))?;
    }

    #[test]
    fn any_text_as_a_query(query in "[a-z%0-9&=+;/?]{0,40}") {
        check(Request::get(format!("/query?{query}")).body(Body::empty()).expect("a request"))?;
    }

    #[test]
    fn any_bytes_as_headers(id in any::<Vec<u8>>(), trace in any::<Vec<u8>>(), kind in any::<Vec<u8>>()) {
        let mut request = Request::post("/body").body(Body::from("{}")).expect("a request");
        for (name, value) in [("x-request-id", id), ("traceparent", trace), ("content-type", kind)] {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                request.headers_mut().insert(name, value);
            }
        }
        check(request)?;
    }
}

#[test]
fn a_value_as_large_as_the_body_is_not_sent_back() -> Result<()> {
    let body = format!(r#"{{"items":"{}"}}"#, "x".repeat(100_000));
    let request = Request::post("/body").header("content-type", "application/json").body(Body::from(body))?;
    let (response, body) = answer(request)?;
    assert_eq!(response.status(), 422);
    assert!(body.len() < 1000);
    Ok(())
}

#[test]
fn nesting_is_bounded() -> Result<()> {
    let body = format!("{}{}", r#"{"items":["#.repeat(10_000), "]}".repeat(10_000));
    let request = Request::post("/body").header("content-type", "application/json").body(Body::from(body))?;
    assert_eq!(answer(request)?.0.status(), 400);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() -> Result<()> {
    let endless = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
    let request = Request::post("/body").header("content-type", "application/json").body(endless)?;
    assert_eq!(router().oneshot(request).await?.status(), 400);
    Ok(())
}
