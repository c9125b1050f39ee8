//! The broker's connection is cut, and comes back.

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::{Proxy, TestBus, amqp_address, amqp_url_at, eventually};
use tokio::time::{Instant, timeout};

use crate::{
    onboarding::Onboarding,
    world::{Setup, json, problem},
};

const NODES: &str = "/nodes?agent_id=agent-1";

#[tokio::test]
async fn a_cut_ends_what_is_under_way_at_once_and_is_overcome() -> Result<()> {
    let test = TestBus::rabbitmq();
    let options = bus::BusOptions { prefix: test.prefix.clone(), ..bus::BusOptions::default() };
    let bus = bus::Bus::connect(&test.url, options)?;
    bus.ready().await;
    let onboarding = Onboarding::start(&bus).await?;
    let proxy = Proxy::start(amqp_address()?).await?;
    let service = Setup { url: amqp_url_at(proxy.address())?.into(), ..Setup::on(&test) }.service().await?;
    assert_eq!(service.get_root("/readyz").await?.status(), 200);

    let request = service.request(reqwest::Method::GET, NODES).header("X-API-Key", &service.ann);
    let waiting = tokio::spawn(request.send());
    eventually("the request to be under way", async || (onboarding.times_asked() == 1).then_some(())).await?;
    proxy.cut();
    // Nobody would answer for a minute.
    let answer = timeout(Duration::from_secs(5), waiting).await???;
    let document = problem(answer, 503, "broker_unavailable").await?;
    assert_eq!(document.detail, "the message broker cannot be reached right now");

    eventually("the cut to be noticed", async || {
        let status = service.get_root("/readyz").await.ok()?.status();
        (status == 503).then_some(())
    })
    .await?;
    let started = Instant::now();
    for path in [NODES, "/agents/connected"] {
        problem(service.get(path).await?, 503, "broker_unavailable").await?;
    }
    ensure!(started.elapsed() < Duration::from_secs(5), "an absent broker is known at once");
    assert_eq!(service.get_root("/livez").await?.status(), 200);
    assert_eq!(service.get_root("/api/v3.0/cluster/health").await?.status(), 200);

    onboarding.agent_answers(r#"{"nodes":[]}"#)?;
    proxy.resume();
    let back = eventually("the service to work again", async || {
        service.get(NODES).await.ok().filter(|response| response.status() == 200)
    })
    .await?;
    assert_eq!(json(back).await?["success"], true);
    Ok(())
}
