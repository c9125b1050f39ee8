//! Processes that die, a broker that goes away, a cluster that is slow.

use std::time::Duration;

use anyhow::Result;
use system_tests::{Options, System};
use testkit::eventually;

#[tokio::test]
async fn a_broker_that_goes_away_in_the_middle_of_a_request_is_told_and_comes_back() -> Result<()> {
    let system = System::start(Options { simulated: true, ..Options::default() }).await?;
    system.sim().set_latency(Duration::from_secs(8));
    let slow = system.query("pods", "");
    let cut = async {
        eventually("the cluster to be asked", async || {
            let asked =
                system.sim().requests().iter().any(|(line, count)| line.resource == "pods" && *count > 0);
            asked.then_some(())
        })
        .await?;
        system.broker.cluster.cut();
        anyhow::Ok(())
    };
    let (answer, cut) = tokio::join!(slow, cut);
    cut?;
    let answer = answer?;
    assert_eq!((answer.status, answer.code()), (503, "broker_unavailable"), "{answer:?}");
    assert!(answer.took < Duration::from_secs(5), "{:?}", answer.took);
    system.sim().set_latency(Duration::ZERO);

    let away = system.namespaces().await?;
    assert_eq!((away.status, away.code()), (503, "broker_unavailable"), "{away:?}");
    let readiness = system.admin.get(&system.cluster_url("/readyz")).await?;
    assert_eq!(readiness.status, 503, "{readiness:?}");
    system.broker.cluster.resume();
    system.agent_connected().await
}

#[tokio::test]
async fn a_restart_of_the_broker_between_two_requests_is_survived() -> Result<()> {
    let system = System::start(Options::default()).await?;
    assert_eq!(system.namespaces().await?.status, 200);
    let brokers = [&system.broker.user_auth, &system.broker.cluster, &system.broker.onboarding];
    for broker in brokers {
        broker.cut();
    }
    eventually("the cut to be noticed", async || {
        system.admin.get(&system.cluster_url("/readyz")).await.ok().filter(|answer| answer.status == 503)
    })
    .await?;
    for broker in brokers {
        broker.resume();
    }
    system.agent_connected().await
}

#[tokio::test]
async fn keys_are_verified_over_http_while_user_auth_has_no_broker() -> Result<()> {
    let system = System::start(Options::default()).await?;
    system.broker.user_auth.cut();
    eventually("the cut to be noticed", async || {
        system.admin.get(&system.user_auth_url("/readyz")).await.ok().filter(|answer| answer.status == 503)
    })
    .await?;
    // What was remembered has run out when a key that was never used before is asked about.
    let request = serde_json::json!({"name": "new", "scopes": ["read"]});
    let made = system.admin.post(&system.user_auth_url("/api/v1/api-keys"), &request).await?;
    assert_eq!(made.status, 201, "{made:?}");
    let key = made.body["key"].as_str().unwrap_or_default().to_owned();
    let client = system_tests::Client::new(key)?;
    let answer = client.get(&system.cluster_url("/api/v3.0/cluster/agents/connected")).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn a_slow_agent_is_given_up_at_the_timeout() -> Result<()> {
    let system =
        System::start(Options { websocket_timeout: 1, simulated: true, ..Options::default() }).await?;
    system.sim().set_latency(Duration::from_secs(5));
    let answer = system.query("pods", "").await?;
    assert_eq!((answer.status, answer.code()), (504, "agent_timeout"), "{answer:?}");
    // Onboarding gives up a little earlier, so that its answer is back in time.
    let (earliest, latest) = (Duration::from_millis(700), Duration::from_secs(4));
    assert!((earliest..latest).contains(&answer.took), "{:?}", answer.took);
    Ok(())
}

#[tokio::test]
async fn an_agent_that_is_killed_is_missed_at_once_and_one_that_comes_back_is_found() -> Result<()> {
    let mut system = System::start(Options::default()).await?;
    let mut agent = system.agent.take().expect("it was started");
    agent.kill().await?;
    eventually("the agent to be missed", async || {
        system.namespaces().await.ok().filter(|answer| answer.code() == "agent_not_connected")
    })
    .await?;
    system.connect_agent().await
}

#[tokio::test]
async fn every_process_stops_cleanly_when_it_is_asked_to() -> Result<()> {
    let mut system = System::start(Options::default()).await?;
    let agent = system.agent.take().expect("it was started");
    for mut process in [agent, system.cluster, system.onboarding, system.user_auth] {
        process.terminate().await?;
        let status = process.wait().await?;
        assert!(status.success(), "{status}; its log:\n{}", process.log());
    }
    Ok(())
}
