//! Sessions: how they begin, what goes on in them, how they end.

use std::{collections::HashSet, time::Duration};

use anyhow::Result;
use contracts::{
    ErrorCode,
    agent::{Cancel, GoingAway, MAX_FRAME_BYTES, RefusalCode, Refused},
    query::{Command, Params},
};
use http::StatusCode;
use secrecy::ExposeSecret;
use sim::Seed;
use testkit::Metrics;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    relay::{Connection, EPOCH, PATIENCE, Received, RelayServer},
    world::{World, until},
};

const MAX_IN_FLIGHT: usize = 128;

fn refused(code: RefusalCode, retry: bool) -> Refused {
    Refused { code, detail: "this is why".to_owned(), retry }
}

/// That the agent answers as it should.
async fn is_well(agent: &mut Connection) -> Result<()> {
    let answer = agent.get(Command::GetPods, Params::default()).await?;
    anyhow::ensure!(answer["total_count"].as_u64() > Some(0), "{answer}");
    Ok(())
}

#[tokio::test]
async fn hello_comes_first_and_says_who_it_is() -> Result<()> {
    let mut world = World::anywhere().await?;
    let _running = world.start().await?;
    let mut agent = world.relay.accept().await?;
    let key = world.config.key.secret().expose_secret();
    assert_eq!(agent.headers["x-api-key"], key);
    assert_eq!(agent.headers["x-agent-id"], "agent-1");
    assert_eq!(agent.headers["agent_id"], "agent-1");
    let hello = agent.hello().await?;
    assert_eq!((hello.protocol, hello.agent_id.as_str()), (1, "agent-1"));
    assert!(hello.kubernetes_version.is_some_and(|version| version.starts_with("v1.")));
    assert_eq!(hello.cluster_name.as_deref(), Some("test"));
    let capabilities: HashSet<&str> = hello.capabilities.iter().map(String::as_str).collect();
    assert!(Command::ALL.iter().all(|command| capabilities.contains(command.as_str())));
    assert!(hello.simulated || world.cluster.sim().is_none());
    Ok(())
}

#[tokio::test]
async fn an_agent_without_api_server_dials_home_all_the_same() -> Result<()> {
    let mut world = World::simulated(Seed::Shop).await?;
    let agent = agent::Agent::new(world.config.clone()).await?;
    world.cluster.stop().await;
    let _running = tokio::spawn(agent.run(tokio_util::sync::CancellationToken::new()));
    let mut connection = world.relay.accept().await?;
    let hello = connection.hello().await?;
    assert_eq!((hello.kubernetes_version, hello.simulated), (None, false));
    connection.welcome(1).await?;
    connection.heartbeat(|beat| beat.nodes.is_none() && beat.pods.is_none()).await
}

#[tokio::test]
async fn heartbeats_count_nodes_and_pods() -> Result<()> {
    let mut world = World::simulated(Seed::Sized { nodes: 7, pods: 30 }).await?;
    let _running = world.start().await?;
    let mut agent = world.relay.accept().await?;
    agent.hello().await?;
    agent.welcome(1).await?;
    agent.heartbeat(|beat| beat.nodes == Some(7) && beat.pods == Some(30)).await
}

#[tokio::test]
async fn the_first_count_does_not_wait_for_the_next_heartbeat() -> Result<()> {
    let mut world = World::simulated(Seed::Sized { nodes: 7, pods: 30 }).await?;
    let _running = world.start().await?;
    let mut agent = world.relay.accept().await?;
    agent.hello().await?;
    agent.welcome(300).await?;
    agent.heartbeat(|beat| beat.nodes == Some(7) && beat.pods == Some(30)).await
}

#[tokio::test]
async fn heartbeats_and_pings_do_not_wait_for_the_api_server() -> Result<()> {
    let mut world = World::simulated(Seed::Sized { nodes: 7, pods: 30 }).await?;
    world.config.timing.api_call = Duration::from_secs(3600);
    let _running = world.start().await?;
    let mut agent = world.relay.accept().await?;
    agent.hello().await?;
    world.sim().set_latency(Duration::from_secs(3600));
    agent.welcome(1).await?;
    for _ in 0..3 {
        agent.heartbeats.clear();
        agent.heartbeat(|beat| beat.pods.is_none()).await?;
    }
    assert!(agent.pings >= 3, "{} pings in two seconds", agent.pings);
    Ok(())
}

#[tokio::test]
async fn heartbeats_tell_what_was_counted_last() -> Result<()> {
    let mut world = World::simulated(Seed::Sized { nodes: 7, pods: 30 }).await?;
    world.config.timing.api_call = Duration::from_secs(3600);
    let _running = world.start().await?;
    let mut agent = world.relay.accept().await?;
    agent.hello().await?;
    agent.welcome(1).await?;
    agent.heartbeat(|beat| beat.pods == Some(30)).await?;
    world.sim().set_latency(Duration::from_secs(3600));
    for _ in 0..3 {
        agent.heartbeats.clear();
        agent.heartbeat(|_| true).await?;
        assert_eq!(agent.heartbeats[0].pods, Some(30));
    }
    Ok(())
}

#[tokio::test]
async fn many_requests_are_answered_at_once_and_more_are_told_to_wait() -> Result<()> {
    let metrics = Metrics::of_this_thread();
    let mut world = World::simulated(Seed::Shop).await?;
    let (_running, mut agent) = world.open().await?;
    is_well(&mut agent).await?;
    world.sim().set_latency(Duration::from_secs(2));
    let mut asked = HashSet::new();
    for _ in 0..MAX_IN_FLIGHT + 6 {
        asked.insert(agent.request(Command::GetPods, Params::default(), PATIENCE).await?);
    }
    let (mut answered, mut told_to_wait) = (0, 0);
    for _ in 0..asked.len() {
        let (id, result) = agent.answer().await?;
        assert!(asked.contains(&id));
        match result {
            Ok(_) => answered += 1,
            Err(error) => {
                assert_eq!(error.code, ErrorCode::RateLimited);
                assert_eq!(answered, 0, "told to wait only after the others were answered");
                told_to_wait += 1;
            }
        }
    }
    assert_eq!((answered, told_to_wait), (MAX_IN_FLIGHT, 6));
    let series = r#"agent_requests_total{command="get-pods",outcome="rate_limited"}"#;
    assert_eq!(metrics.value(series)?, 6.0);
    Ok(())
}

#[tokio::test]
async fn a_cancelled_request_is_not_answered_and_frees_its_place() -> Result<()> {
    let mut world = World::simulated(Seed::Shop).await?;
    let (_running, mut agent) = world.open().await?;
    is_well(&mut agent).await?;
    world.sim().set_latency(Duration::from_secs(3600));
    let mut cancelled = Vec::new();
    for _ in 0..MAX_IN_FLIGHT {
        cancelled.push(agent.request(Command::GetPods, Params::default(), PATIENCE).await?);
    }
    for request_id in &cancelled {
        agent.send(&Cancel { request_id: *request_id }).await?;
    }
    world.sim().set_latency(Duration::ZERO);
    is_well(&mut agent).await
}

#[tokio::test]
async fn a_deadline_ends_the_work() -> Result<()> {
    let mut world = World::simulated(Seed::Shop).await?;
    let (_running, mut agent) = world.open().await?;
    world.sim().set_latency(Duration::from_secs(3600));
    let asked = agent.request(Command::GetPods, Params::default(), Duration::from_millis(50)).await?;
    let (answered, result) = agent.answer().await?;
    assert_eq!(answered, asked);
    assert_eq!(result.err().map(|error| error.code), Some(ErrorCode::AgentTimeout));
    Ok(())
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_is_unreachable() -> Result<()> {
    let mut world = World::simulated(Seed::Shop).await?;
    world.config.timing.api_call = Duration::from_millis(100);
    let (_running, mut agent) = world.open().await?;
    world.sim().set_latency(Duration::from_secs(3600));
    let error = agent.refusal(Command::GetPods, Params::default()).await?;
    assert_eq!(error.code, ErrorCode::ClusterUnreachable);
    Ok(())
}

#[tokio::test]
async fn frames_that_are_not_understood_are_ignored() -> Result<()> {
    let mut world = World::anywhere().await?;
    let (_running, mut agent) = world.open().await?;
    for text in [
        "",
        "not json",
        "{}",
        r#"{"type":"order"}"#,
        r#"{"type":"request"}"#,
        r#"{"type":"cancel","request_id":7}"#,
    ] {
        agent.send_raw(Message::text(text)).await?;
    }
    agent.welcome(30).await?;
    agent.send_raw(Message::binary(vec![0; 100])).await?;
    is_well(&mut agent).await
}

#[tokio::test]
async fn a_frame_that_is_too_large_ends_the_session_but_not_the_agent() -> Result<()> {
    let mut world = World::anywhere().await?;
    let (_running, mut agent) = world.open().await?;
    // The agent may close before all of it is written.
    let _ = agent.send_raw(Message::text("x".repeat(MAX_FRAME_BYTES + 1))).await;
    is_well(&mut world.relay.session().await?).await
}

#[tokio::test]
async fn a_lost_session_is_opened_anew() -> Result<()> {
    let mut world = World::anywhere().await?;
    let (_running, mut agent) = world.open().await?;
    for _ in 0..3 {
        is_well(&mut agent).await?;
        drop(agent);
        agent = world.relay.session().await?;
    }
    is_well(&mut agent).await
}

#[tokio::test]
async fn a_silent_relay_is_left() -> Result<()> {
    let mut world = World::anywhere().await?;
    world.config.timing.ping = Duration::from_millis(50);
    world.config.timing.idle = Duration::from_millis(500);
    // Nobody reads from this one, so that its pings are not answered.
    let (_running, _silent) = world.open().await?;
    let mut agent = world.relay.session().await?;
    // Pings keep this one alive for longer than the idle time, as long as it is read from.
    let quiet = agent.receive();
    assert!(tokio::time::timeout(Duration::from_secs(2), quiet).await.is_err(), "an idle session was left");
    is_well(&mut agent).await
}

#[tokio::test]
async fn a_relay_without_welcome_is_left() -> Result<()> {
    let mut world = World::anywhere().await?;
    world.config.timing.welcome = Duration::from_millis(200);
    let _running = world.start().await?;
    let _unwelcoming = world.relay.accept().await?;
    is_well(&mut world.relay.session().await?).await
}

#[tokio::test]
async fn a_refusal_says_whether_to_come_back_soon() -> Result<()> {
    let mut world = World::anywhere().await?;
    world.config.timing.rejected = Duration::from_secs(2);
    let _running = world.start().await?;
    for _ in 0..2 {
        let mut agent = world.relay.accept().await?;
        agent.hello().await?;
        agent.send(&refused(RefusalCode::Revoked, true)).await?;
    }
    let mut agent = world.relay.session().await?;
    is_well(&mut agent).await?;
    // In the middle of a session, too.
    agent.send(&refused(RefusalCode::Revoked, false)).await?;
    agent.closed().await?;
    assert!(!world.relay.connects_within(Duration::from_secs(1)).await, "came back at once");
    is_well(&mut world.relay.session().await?).await
}

#[tokio::test]
async fn an_agent_that_was_replaced_does_not_replace_the_other_in_turn() -> Result<()> {
    let mut world = World::anywhere().await?;
    world.config.timing.replaced = Duration::from_secs(2);
    let (_running, mut agent) = world.open().await?;
    agent.send(&refused(RefusalCode::Replaced, true)).await?;
    agent.closed().await?;
    assert!(!world.relay.connects_within(Duration::from_secs(1)).await, "came back at once");
    is_well(&mut world.relay.session().await?).await
}

#[tokio::test]
async fn a_key_that_is_not_accepted_is_tried_again_but_slowly() -> Result<()> {
    let mut world = World::anywhere().await?;
    world.config.timing.rejected = Duration::from_secs(2);
    world.relay.refuse_upgrades(Some(StatusCode::UNAUTHORIZED));
    let _running = world.start().await?;
    let refused_once = async |relay: &RelayServer| Ok((relay.refused_upgrades() > 0).then_some(()));
    until("a refused upgrade", async || refused_once(&world.relay).await).await?;
    assert!(!world.relay.connects_within(Duration::from_secs(1)).await);
    assert_eq!(world.relay.refused_upgrades(), 1, "tried again at once");
    world.relay.refuse_upgrades(None);
    is_well(&mut world.relay.session().await?).await
}

#[tokio::test]
async fn an_overloaded_relay_is_tried_again_soon() -> Result<()> {
    let mut world = World::anywhere().await?;
    world.config.timing.rejected = Duration::from_secs(3600);
    world.relay.refuse_upgrades(Some(StatusCode::SERVICE_UNAVAILABLE));
    let _running = world.start().await?;
    until("refused upgrades", async || Ok((world.relay.refused_upgrades() > 2).then_some(()))).await?;
    world.relay.refuse_upgrades(None);
    is_well(&mut world.relay.session().await?).await
}

#[tokio::test]
async fn the_next_session_is_open_before_a_relay_that_goes_away_closes() -> Result<()> {
    let mut world = World::simulated(Seed::Shop).await?;
    let running = world.start().await?;
    let mut agent = world.relay.accept().await?;
    let first = agent.hello().await?;
    assert!(first.instance.is_some() && first.last_epoch.is_none() && !first.moving, "{first:?}");
    agent.welcome(30).await?;
    is_well(&mut agent).await?;
    agent.send(&GoingAway { reconnect_after_ms: 1500 }).await?;
    assert!(!world.relay.connects_within(Duration::from_secs(1)).await, "came too early");
    is_well(&mut agent).await?;

    let mut next = world.relay.accept().await?;
    let second = next.hello().await?;
    assert_eq!((second.instance, second.last_epoch, second.moving), (first.instance, Some(EPOCH), true));
    // Until it is welcome there, it is asked here.
    is_well(&mut agent).await?;
    let slow = agent.request(Command::GetPods, Params::default(), PATIENCE).await?;
    next.welcome(30).await?;
    is_well(&mut next).await?;
    let (answered, result) = agent.answer().await?;
    assert!(answered == slow && result.is_ok(), "what was asked before is still answered");
    agent.send_raw(Message::Close(None)).await?;
    agent.closed().await?;
    is_well(&mut next).await?;
    drop(running);
    Ok(())
}

#[tokio::test]
async fn an_agent_comes_back_to_a_relay_that_has_gone_away_at_once() -> Result<()> {
    let mut world = World::simulated(Seed::Shop).await?;
    let (_running, mut agent) = world.open().await?;
    agent.send(&GoingAway { reconnect_after_ms: 1500 }).await?;
    agent.send_raw(Message::Close(None)).await?;
    agent.closed().await?;
    assert!(!world.relay.connects_within(Duration::from_secs(1)).await, "came back too early");
    is_well(&mut world.relay.session().await?).await
}

#[tokio::test]
async fn an_agent_that_stops_answers_what_it_was_asked_and_says_goodbye() -> Result<()> {
    let mut world = World::simulated(Seed::Shop).await?;
    let (mut running, mut agent) = world.open().await?;
    // It counts the pods, which is not to be taken for the request below.
    agent.heartbeat(|beat| beat.pods.is_some()).await?;
    let before = world.asked("list", "pods");
    world.sim().set_latency(Duration::from_millis(300));
    let asked = agent.request(Command::GetPods, Params::default(), PATIENCE).await?;
    until("the request", async || Ok((world.asked("list", "pods") > before).then_some(()))).await?;
    running.shutdown.cancel();
    assert!(matches!(agent.receive().await?, Received::GoingAway));
    let (answered, result) = agent.answer().await?;
    assert!(answered == asked && result.is_ok());
    assert_eq!(agent.closed().await?, Some(1001));
    tokio::time::timeout(PATIENCE, &mut running.task).await??;
    Ok(())
}
