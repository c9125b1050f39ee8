//! Who may ask.

use anyhow::{Context, Result, ensure};
use contracts::{ErrorCode, Timestamp};
use reqwest::Method;
use serde_json::json;
use testkit::{TestBus, on_both_brokers};

use crate::world::{Setup, json as body, problem, revoked_key, start};

on_both_brokers!(
    without_a_good_key_nobody_is_asked,
    without_the_scope_nobody_is_asked,
    each_key_has_its_allowance,
    health_is_open,
);

const PATHS: [&str; 8] = [
    "/namespaces?agent_id=agent-1",
    "/nodes?agent_id=agent-1",
    "/pods?agent_id=agent-1",
    "/deployments?agent_id=agent-1",
    "/services?agent_id=agent-1",
    "/resources?agent_id=agent-1",
    "/pods/default/web-0/logs?agent_id=agent-1",
    "/agents/connected",
];

async fn without_a_good_key_nobody_is_asked(test: TestBus) -> Result<()> {
    let world = start(&test).await?;
    let service = &world.service;
    let revoked = revoked_key();
    for path in PATHS {
        let missing = service.request(Method::GET, path).send().await?;
        problem(missing, 401, "unauthenticated").await?;
        let mut cut = revoked.clone();
        cut.pop();
        for malformed in ["", "ks_", "ka_x", &cut] {
            problem(service.get_as(malformed, path).await?, 401, "unauthenticated").await?;
        }
        let document = problem(service.get_as(&revoked, path).await?, 401, "unauthenticated").await?;
        assert_eq!(document.detail, "this API key was revoked");
    }
    assert_eq!(world.onboarding.times_asked(), 0);
    Ok(())
}

async fn without_the_scope_nobody_is_asked(test: TestBus) -> Result<()> {
    let world = start(&test).await?;
    for path in PATHS {
        let document =
            problem(world.service.get_as(&world.service.blind, path).await?, 403, "forbidden").await?;
        ensure!(document.detail.contains("read"), "{}", document.detail);
    }
    assert_eq!(world.onboarding.times_asked(), 0);
    // Another scope that includes it is enough.
    world.onboarding.agent_answers("{}")?;
    body(world.service.get_as(&world.service.bob, PATHS[0]).await?).await?;
    Ok(())
}

async fn each_key_has_its_allowance(test: TestBus) -> Result<()> {
    let world = Setup { rate_limit: Some(2), ..Setup::on(&test) }.world().await?;
    world.onboarding.agent_answers("{}")?;
    for remaining in ["1", "0"] {
        let response = world.get(PATHS[0]).await?;
        assert_eq!(response.headers()["ratelimit-limit"], "2");
        assert_eq!(response.headers()["ratelimit-remaining"], remaining);
        ensure!(response.headers().contains_key("ratelimit-reset"));
        body(response).await?;
    }
    let refused = world.get(PATHS[1]).await?;
    let wait: u64 = refused.headers().get("retry-after").context("retry-after")?.to_str()?.parse()?;
    ensure!((1..=30).contains(&wait), "{wait}");
    problem(refused, 429, "rate_limited").await?;
    assert_eq!(world.onboarding.times_asked(), 2);
    body(world.service.get_as(&world.service.bob, PATHS[0]).await?).await?;
    assert_eq!(world.service.request(Method::GET, "/health").send().await?.status(), 200);
    Ok(())
}

async fn health_is_open(test: TestBus) -> Result<()> {
    let service = Setup::on(&test).service().await?;
    let mut answer = body(service.request(Method::GET, "/health").send().await?).await?;
    let time: Timestamp = serde_json::from_value(answer["timestamp"].clone())?;
    assert_eq!(answer["timestamp"].take(), time.to_string());
    let expected =
        json!({"status": "healthy", "service": "cluster_service", "version": "1.0.0", "timestamp": null});
    assert_eq!(answer, expected);
    for path in ["/livez", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(service.get_root(path).await?.status(), 200, "{path}");
    }
    let document = problem(service.get_root("/api/v3.0/cluster/nothing").await?, 404, "not_found").await?;
    assert_eq!(document.code, ErrorCode::NotFound);
    let posted = service.request(Method::POST, "/nodes").header("X-API-Key", &service.ann).send().await?;
    problem(posted, 405, "method_not_allowed").await?;
    Ok(())
}
