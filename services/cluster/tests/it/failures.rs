//! What is answered when there is no result.

use std::time::Duration;

use anyhow::{Result, ensure};
use contracts::Timestamp;
use reqwest::{Response, header::RETRY_AFTER};
use serde_json::json;
use testkit::{TestBus, eventually, on_both_brokers};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::world::{Setup, problem, start};

on_both_brokers!(
    every_code_has_its_status,
    an_answer_without_a_code_is_the_agents_error,
    a_result_that_is_no_object_is_the_agents_error,
    what_is_no_answer_is_a_fault_of_ours_and_told_to_nobody,
    a_silent_agent_is_a_timeout_in_time,
    nobody_who_serves_is_known_at_once,
    too_many_requests_that_wait_for_replies_are_refused,
    too_many_queries_under_way_are_refused,
    too_many_queries_of_one_user_are_refused,
    a_user_who_has_too_many_under_way_takes_no_place_of_another,
);

/// Less than any other patience of these tests, and enough for a busy machine.
const AT_ONCE: Duration = Duration::from_secs(5);

const NODES: &str = "/nodes?agent_id=agent-1";
const CONNECTED: &str = "/agents/connected";

fn retry_after(response: &Response) -> Option<&str> {
    response.headers().get(RETRY_AFTER)?.to_str().ok()
}

async fn every_code_has_its_status(test: TestBus) -> Result<()> {
    let world = start(&test).await?;
    for (code, status) in [
        ("bad_request", 400),
        ("forbidden", 403),
        ("not_found", 404),
        ("conflict", 409),
        ("expired", 410),
        ("too_large", 413),
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
        world.onboarding.fails(code, "as the agent said")?;
        for path in [NODES, "/pods/default/web-0/logs?agent_id=agent-1", CONNECTED] {
            let response = world.get(path).await?;
            assert_eq!(retry_after(&response), (status == 429).then_some("1"), "{code}");
            let document = problem(response, status, code).await?;
            assert_eq!(document.detail, "as the agent said");
        }
    }
    Ok(())
}

async fn an_answer_without_a_code_is_the_agents_error(test: TestBus) -> Result<()> {
    let world = start(&test).await?;
    let of =
        |fields| format!(r#"{{"request_id":"r","agent_id":"a",{fields}"timestamp":"2024-01-01T12:00:00Z"}}"#);
    for (path, fields, detail) in [
        (NODES, r#""error":"went wrong","#, "went wrong"),
        (NODES, r#""result":{"nodes":[]},"error":"went wrong","#, "went wrong"),
        (NODES, r#""result":null,"error":null,"#, "there was no result and no reason"),
        (NODES, "", "there was no result and no reason"),
        (CONNECTED, r#""agents":["a"],"error":"went wrong","#, "went wrong"),
    ] {
        world.onboarding.answers(&of(fields))?;
        let document = problem(world.get(path).await?, 502, "agent_error").await?;
        assert_eq!(document.detail, detail, "{fields}");
    }
    world.onboarding.answers(&of(r#""result":{"nodes":[]},"code":"forbidden","#))?;
    problem(world.get(NODES).await?, 403, "forbidden").await?;
    Ok(())
}

async fn a_result_that_is_no_object_is_the_agents_error(test: TestBus) -> Result<()> {
    let world = start(&test).await?;
    for result in ["[]", "[{}]", "1", "true", r#""{}""#, r#""text""#] {
        world.onboarding.agent_answers(result)?;
        let document = problem(world.get(NODES).await?, 502, "agent_error").await?;
        assert_eq!(document.detail, "the agent's answer is not a JSON object", "{result}");
    }
    Ok(())
}

async fn what_is_no_answer_is_a_fault_of_ours_and_told_to_nobody(test: TestBus) -> Result<()> {
    let world = start(&test).await?;
    for message in ["7", "[]", "{}", r#"{"request_id":"hunter2","agent_id":7}"#] {
        world.onboarding.answers(message)?;
        for path in [NODES, CONNECTED] {
            let document = problem(world.get(path).await?, 500, "internal").await?;
            ensure!(!document.detail.contains("hunter2"), "{}", document.detail);
        }
    }
    world.onboarding.agent_answers("{}")?;
    world.json(NODES).await?;
    Ok(())
}

async fn a_silent_agent_is_a_timeout_in_time(test: TestBus) -> Result<()> {
    let world = Setup { patience: 1, ..Setup::on(&test) }.world().await?;
    let started = Instant::now();
    let document = problem(world.get(NODES).await?, 504, "agent_timeout").await?;
    let took = started.elapsed();
    assert_eq!(
        document.detail,
        "no answer in time: the agent, or the service that holds its session, is away"
    );
    ensure!((Duration::from_secs(1)..AT_ONCE).contains(&took), "{took:?}");
    let asked = world.onboarding.take_asked()?.request;
    let time = |field: &str| serde_json::from_value::<Timestamp>(asked[field].clone());
    let patience = time("deadline")?.millis_since(time("timestamp")?);
    assert!((500..=1000).contains(&patience), "{patience}");
    // Which agents are connected is not the agents' to answer: who does not say so is away.
    problem(world.get(CONNECTED).await?, 503, "broker_unavailable").await?;
    Ok(())
}

async fn nobody_who_serves_is_known_at_once(test: TestBus) -> Result<()> {
    let service = Setup::on(&test).service().await?;
    for path in [NODES, CONNECTED] {
        let started = Instant::now();
        let document = problem(service.get(path).await?, 503, "broker_unavailable").await?;
        ensure!(started.elapsed() < AT_ONCE, "{path}");
        assert_eq!(document.detail, "the service that holds the agents' sessions is away");
    }
    Ok(())
}

async fn too_many_requests_that_wait_for_replies_are_refused(test: TestBus) -> Result<()> {
    one_at_a_time(Setup { max_in_flight: 1, ..Setup::on(&test) }, 503, "unavailable").await
}

async fn too_many_queries_under_way_are_refused(test: TestBus) -> Result<()> {
    one_at_a_time(Setup { max_requests: 1, ..Setup::on(&test) }, 503, "unavailable").await
}

async fn too_many_queries_of_one_user_are_refused(test: TestBus) -> Result<()> {
    one_at_a_time(Setup { max_requests_per_user: 1, ..Setup::on(&test) }, 429, "rate_limited").await
}

async fn a_user_who_has_too_many_under_way_takes_no_place_of_another(test: TestBus) -> Result<()> {
    let world = Setup { max_requests: 2, max_requests_per_user: 1, ..Setup::on(&test) }.world().await?;
    let request = world.service.request(reqwest::Method::GET, NODES).header("X-API-Key", &world.service.ann);
    let _waiting = AbortOnDropHandle::new(tokio::spawn(request.send()));
    eventually("the first request", async || (world.onboarding.times_asked() == 1).then_some(())).await?;
    problem(world.get(NODES).await?, 429, "rate_limited").await?;
    world.onboarding.agent_answers("{}")?;
    assert_eq!(world.service.get_as(&world.service.bob, NODES).await?.status(), 200);
    Ok(())
}

/// While one query is under way, another is refused as said; afterwards it is not.
async fn one_at_a_time(setup: Setup, status: u16, code: &str) -> Result<()> {
    let world = setup.world().await?;
    let request = world.service.request(reqwest::Method::GET, NODES).header("X-API-Key", &world.service.ann);
    let waiting = tokio::spawn(request.send());
    eventually("the first request", async || (world.onboarding.times_asked() == 1).then_some(())).await?;
    let refused = world.get(NODES).await?;
    assert_eq!(retry_after(&refused), Some("1"));
    problem(refused, status, code).await?;

    // A client that goes away frees its place.
    waiting.abort();
    let message =
        json!({"request_id": "r", "agent_id": "a", "result": {}, "timestamp": "2024-01-01T12:00:00Z"});
    world.onboarding.answers(&message.to_string())?;
    eventually("the place to be free", async || {
        let response = world.get(NODES).await.ok()?;
        (response.status() == 200).then_some(())
    })
    .await
}
