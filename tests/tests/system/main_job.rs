//! The main job: a user asks for what is in a cluster, and its agent answers.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Service;
use kube::{Api, api::PostParams};
use serde_json::json;
use system_tests::{Client, Options, System, names};
use testkit::eventually;

#[tokio::test]
async fn a_user_sees_the_namespaces_of_a_cluster_through_its_agent() -> Result<()> {
    let system = System::start(Options::default()).await?;
    let answer = system.namespaces().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["success"], true);
    assert_eq!(answer.body["agent_id"], system.agent_id);
    let is_real = system.kubernetes.sim().is_none();
    assert!(is_real || answer.body["simulated"] == true, "a simulated cluster says so");
    let found = names(&answer.body["namespaces"]);
    let own = system.kubernetes.namespace();
    assert!(["default", "kube-system", own].iter().all(|name| found.contains(name)), "{found:?}");
    assert_eq!(answer.body["total_count"], found.len());

    let echoed = system.query("namespaces", &format!("&cluster_id={}", system.cluster_id)).await?;
    assert_eq!(echoed.body["cluster_id"], system.cluster_id);
    let integer = system.query("namespaces", "&cluster_id=123").await?;
    assert_eq!(
        (integer.status, &integer.body["cluster_id"]),
        (200, &json!(123)),
        "as earlier clients send it"
    );
    let other = system.query("namespaces", "&cluster_id=7d444840-9dc0-11d1-b245-5ffdce74fad2").await?;
    assert_eq!((other.status, other.code()), (404, "not_found"));
    Ok(())
}

#[tokio::test]
async fn every_kind_is_answered_in_pages_and_by_selector() -> Result<()> {
    let system = System::start(Options::default()).await?;
    for (what, field) in [
        ("nodes", "nodes"),
        ("pods", "pods"),
        ("deployments", "deployments"),
        ("services", "services"),
        ("resources", "resources"),
    ] {
        let answer = system.query(what, "").await?;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        assert!(!answer.body[field].is_null(), "{what}: {answer:?}");
    }

    let own = system.kubernetes.namespace();
    for name in ["one", "two"] {
        let metadata = json!({"name": name, "labels": {"team": own}});
        let service = json!({"metadata": metadata, "spec": {"ports": [{"port": 80}]}});
        let services: Api<Service> = system.kubernetes.namespaced();
        services.create(&PostParams::default(), &serde_json::from_value(service)?).await?;
    }
    let first = system.query("services", &format!("&namespace={own}&limit=1")).await?;
    assert_eq!(names(&first.body["services"]), ["one"], "{first:?}");
    let token = first.body["continue"].as_str().unwrap_or_default();
    let next = system.query("services", &format!("&namespace={own}&limit=1&continue={token}")).await?;
    assert_eq!(names(&next.body["services"]), ["two"], "{next:?}");
    assert!(next.body["continue"].is_null(), "{next:?}");
    let selected = system.query("services", &format!("&label_selector=team%3D{own}")).await?;
    assert_eq!(names(&selected.body["services"]), ["one", "two"], "{selected:?}");
    let pods = system.query("pods", &format!("&namespace={own}")).await?;
    assert_eq!(names(&pods.body["pods"]), ["waits"], "{pods:?}");
    Ok(())
}

/// Nodes of a real cluster may be stand-ins, which have no logs.
#[tokio::test]
async fn logs_are_answered() -> Result<()> {
    let system = System::start(Options { simulated: true, ..Options::default() }).await?;
    let checkout = system.query("pods", "&namespace=checkout").await?;
    let pods = names(&checkout.body["pods"]);
    let pod = pods.first().context("the seed has pods there")?;
    let logs = system.query(&format!("pods/checkout/{pod}/logs"), "&lines=3").await?;
    assert_eq!(logs.status, 200, "{logs:?}");
    assert_eq!(logs.body["lines"].as_array().map(Vec::len), Some(3));
    Ok(())
}

#[tokio::test]
async fn the_clusters_own_errors_reach_the_caller_as_what_they_are() -> Result<()> {
    let system = System::start(Options { simulated: true, ..Options::default() }).await?;
    let page = system.query("pods", "&limit=5").await?;
    let token = page.body["continue"].as_str().unwrap_or_default().to_owned();
    // What follows after the page is now older than the newest change, and forgotten.
    let change = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "newer"}});
    system.sim().api().create(change).map_err(|error| anyhow::anyhow!("{error}"))?;
    system.sim().compact();
    let old = system.query("pods", &format!("&limit=5&continue={token}")).await?;
    assert_eq!((old.status, old.code()), (410, "expired"), "{old:?}");
    // The agent asks for things of its own, too, and may meet the fault that was meant for the query.
    eventually("a refusal", async || {
        system.sim().fail_next(1, 403).ok()?;
        let forbidden = system.query("pods", "").await.ok()?;
        (forbidden.status == 403 && forbidden.code() == "forbidden").then_some(())
    })
    .await?;
    let bad = system.query("pods", "&label_selector=%3D%3D").await?;
    assert_eq!((bad.status, bad.code()), (400, "bad_request"), "{bad:?}");
    Ok(())
}

#[tokio::test]
async fn another_users_agent_does_not_exist_and_an_absent_one_is_known_at_once() -> Result<()> {
    let system = System::start_services(Options::default()).await?;
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let absent = system.namespaces().await?;
        assert_eq!((absent.status, absent.code()), (503, "agent_not_connected"), "{absent:?}");
        fastest = fastest.min(absent.took);
    }
    assert!(fastest < Duration::from_millis(100), "the fastest of five took {fastest:?}");

    let bob = other_user(&system).await?;
    let path = format!("/api/v3.0/cluster/namespaces?agent_id={}", system.agent_id);
    let hidden = bob.get(&system.cluster_url(&path)).await?;
    assert_eq!((hidden.status, hidden.code()), (404, "not_found"), "{hidden:?}");
    let connected = bob.get(&system.cluster_url("/api/v3.0/cluster/agents/connected")).await?;
    assert_eq!(connected.body["total_count"], 0);
    Ok(())
}

/// Also what is measured by a handle that was made while the process started.
#[tokio::test]
async fn what_a_process_works_on_is_in_its_metrics() -> Result<()> {
    let system = System::start(Options::default()).await?;
    assert_eq!(system.namespaces().await?.status, 200);
    let metrics = reqwest::get(system.onboarding_url("/metrics")).await?.text().await?;
    let gauge =
        metrics.lines().find(|line| line.starts_with("bus_serving{queue=\"cluster_namespace_requests\"}"));
    assert!(gauge.is_some_and(|line| line.ends_with(" 0")), "{metrics}");
    Ok(())
}

/// A second user with a key of his own.
async fn other_user(system: &System) -> Result<Client> {
    let user = json!({"username": "bob", "email": "bob@example.com", "roles": []});
    let made = system.admin.post(&system.user_auth_url("/api/v1/users"), &user).await?;
    assert_eq!(made.status, 201, "{made:?}");
    let key = json!({"name": "laptop", "scopes": ["operate"], "user_id": made.body["id"]});
    let made = system.admin.post(&system.user_auth_url("/api/v1/api-keys"), &key).await?;
    assert_eq!(made.status, 201, "{made:?}");
    Client::new(made.body["key"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_revoked_key_is_worth_nothing_at_once_in_every_service() -> Result<()> {
    let system = System::start(Options::default()).await?;
    let request = json!({"name": "short-lived", "scopes": ["read"]});
    let made = system.admin.post(&system.user_auth_url("/api/v1/api-keys"), &request).await?;
    let client = Client::new(made.body["key"].as_str().unwrap_or_default().to_owned())?;
    let urls =
        [system.cluster_url("/api/v3.0/cluster/agents/connected"), system.onboarding_url("/api/v1/clusters")];
    for url in &urls {
        assert_eq!(client.get(url).await?.status, 200);
    }
    let id = made.body["id"].as_str().unwrap_or_default();
    let revoked = system.admin.delete(&system.user_auth_url(&format!("/api/v1/api-keys/{id}"))).await?;
    assert!(revoked.status < 300, "{revoked:?}");
    for url in &urls {
        let took = std::time::Instant::now();
        eventually("the key to be refused", async || {
            client.get(url).await.ok().filter(|answer| answer.status == 401)
        })
        .await?;
        // Long before the memory would have run out by itself (10 s).
        assert!(took.elapsed() < Duration::from_secs(5), "{:?}", took.elapsed());
    }
    Ok(())
}

#[tokio::test]
async fn the_agent_of_a_deleted_cluster_is_sent_away() -> Result<()> {
    let system = System::start(Options::default()).await?;
    let url = system.onboarding_url(&format!("/api/v1/clusters/{}", system.cluster_id));
    assert_eq!(system.admin.delete(&url).await?.status, 204);
    let agent = system.agent.as_ref().expect("it was started");
    agent.logged("the cluster was deleted").await?;
    let gone = system.namespaces().await?;
    assert_eq!((gone.status, gone.code()), (404, "not_found"), "{gone:?}");
    Ok(())
}
