//! `/readyz`.

use std::time::Duration;

use anyhow::Result;
use axum::{Router, body::Body};
use http::{Request, StatusCode};
use serde_json::Value;
use sim::Seed;
use tower::ServiceExt;
use web::App;

use crate::world::{Running, World, until};

async fn readyz(router: &Router) -> Result<(StatusCode, Value)> {
    let response = router.clone().oneshot(Request::get("/readyz").body(Body::empty())?).await?;
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 10_000).await?;
    Ok((status, serde_json::from_slice(&body)?))
}

fn router(running: &Running) -> Router {
    App::new("agent", "1").readiness(running.readiness.clone()).into_router()
}

#[tokio::test]
async fn the_agent_is_ready_while_relay_and_api_server_answer() -> Result<()> {
    let mut world = World::simulated(Seed::Shop).await?;
    world.config.timing.ping = Duration::from_millis(100);
    world.config.timing.ready = Duration::from_secs(2);
    let running = world.start().await?;
    let router = router(&running);
    let mut agent = world.relay.accept().await?;
    let (status, body) = readyz(&router).await?;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["checks"]["relay"], "no session with the relay");

    agent.hello().await?;
    agent.welcome(1).await?;
    // Read on, so that pings are answered.
    let reading = tokio::spawn(async move { while agent.receive().await.is_ok() {} });
    until("ready", async || Ok((readyz(&router).await?.0 == StatusCode::OK).then_some(()))).await?;

    reading.abort();
    let failing = async |check: &str| {
        let (status, body) = readyz(&router).await?;
        Ok((status == StatusCode::SERVICE_UNAVAILABLE && body["checks"][check] != "ok").then_some(()))
    };
    until("the relay's check fails", async || failing("relay").await).await?;

    let mut agent = world.relay.session().await?;
    let _reading = tokio::spawn(async move { while agent.receive().await.is_ok() {} });
    until("ready again", async || Ok((readyz(&router).await?.0 == StatusCode::OK).then_some(()))).await?;
    world.cluster.stop().await;
    until("the cluster's check fails", async || failing("cluster").await).await
}
