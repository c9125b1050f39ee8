//! The simulator's own matters: its life, its faults, and the administrator's endpoint for faults and for the clock.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use sim::{Options, RequestLine, SIMULATED_HEADER, Seed, Sim, SimError};
use testkit::Cluster;

use crate::common::{sim, simulated, trusting};

async fn call(cluster: &Cluster, method: Method, path: &str, body: Option<Value>) -> Result<(u16, Value)> {
    cluster.call(method, &format!("/simulator/v1/{path}"), body).await
}

#[tokio::test]
async fn faults_are_planned_over_http() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    let fault = json!({ "verb": "list", "resource": "namespaces", "times": 1, "status": 429, "retryAfterSeconds": 7 });
    let (status, plan) = call(&cluster, Method::POST, "faults", Some(fault)).await?;
    assert_eq!((status, plan["requests"].as_array().map(Vec::len)), (200, Some(1)));
    assert_eq!(cluster.get("/api/v1/nodes").await?.0, 200, "it is about other requests");
    let struck = cluster.ask(Method::GET, "/api/v1/namespaces", &[], "").await?;
    assert_eq!((struck.status().as_u16(), struck.headers()["retry-after"].as_bytes()), (429, &b"7"[..]));
    assert_eq!(cluster.get("/api/v1/namespaces").await?.0, 200);

    let plan = json!({ "requests": [{ "status": 500 }], "deadNodes": ["a"], "stuckPods": ["x/y"] });
    assert_eq!(call(&cluster, Method::PUT, "faults", Some(plan)).await?.0, 200);
    assert_eq!(cluster.get("/version").await?.0, 500);
    let (_, told) = call(&cluster, Method::GET, "faults", None).await?;
    assert_eq!((&told["deadNodes"], &told["stuckPods"]), (&json!(["a"]), &json!(["x/y"])));
    let (_, plan) = call(&cluster, Method::DELETE, "faults", None).await?;
    assert_eq!(plan, json!({ "latencyMillis": 0, "requests": [], "stuckPods": [], "deadNodes": [] }));
    assert_eq!(cluster.get("/version").await?.0, 200);

    let (_, requests) = call(&cluster, Method::GET, "requests", None).await?;
    let counted = json!({ "verb": "list", "resource": "namespaces", "count": 2 });
    assert!(requests.as_array().is_some_and(|lines| lines.contains(&counted)), "{requests}");
    Ok(())
}

#[tokio::test]
async fn nodes_die_and_pods_stick() -> Result<()> {
    let cluster = simulated(Seed::Sized { nodes: 1, pods: 1 }).await?;
    let name = |list: &Value, field: &str| {
        list["items"][0]["metadata"][field].as_str().unwrap_or_default().to_owned()
    };
    let (_, nodes) = cluster.get("/api/v1/nodes").await?;
    let (_, pods) = cluster.get("/api/v1/pods").await?;
    let node = name(&nodes, "name");
    let pod = format!("{}/{}", name(&pods, "namespace"), name(&pods, "name"));
    call(&cluster, Method::POST, &format!("nodes/{node}/die"), None).await?;
    call(&cluster, Method::POST, &format!("pods/{pod}/stick"), None).await?;
    let plan = sim(&cluster).fault_plan();
    assert!(plan.dead_nodes.contains(&node) && plan.stuck_pods.contains(&pod));
    call(&cluster, Method::POST, &format!("nodes/{node}/revive"), None).await?;
    call(&cluster, Method::POST, &format!("pods/{pod}/release"), None).await?;
    assert_eq!(sim(&cluster).fault_plan(), sim::FaultPlan::default());
    for missing in ["nodes/none/die", "pods/none/none/stick", "nodes/x/explode", "nothing"] {
        assert_eq!(call(&cluster, Method::POST, missing, None).await?.0, 404, "{missing}");
    }
    Ok(())
}

#[tokio::test]
async fn the_clock_is_moved() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    let before = sim(&cluster).api().clock().now();
    let (status, clock) =
        call(&cluster, Method::POST, "clock/advance", Some(json!({ "seconds": 3600 }))).await?;
    assert_eq!(status, 200);
    let now: Timestamp = clock["now"].as_str().unwrap_or_default().parse()?;
    assert!(now.duration_since(before).unsigned_abs() >= Duration::from_secs(3599), "{clock}");
    for step in [json!({ "seconds": -1 }), json!({ "seconds": 1e300 }), json!({}), json!("x")] {
        assert_eq!(call(&cluster, Method::POST, "clock/advance", Some(step.clone())).await?.0, 400, "{step}");
    }
    Ok(())
}

#[tokio::test]
async fn only_the_administrator_plans_faults() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    let path = "/simulator/v1/faults";
    let token = sim(&cluster).token_for("default", "agent");
    let (status, body) = cluster.with_token(&token).await?.call(Method::DELETE, path, None).await?;
    let message =
        "forbidden: User \"system:serviceaccount:default:agent\" cannot delete path \"/simulator/v1/faults\"";
    assert_eq!((status, &body["message"]), (403, &json!(message)));
    assert_eq!(cluster.anonymous().await?.get(path).await?.0, 403);
    assert_eq!(cluster.with_token("wrong").await?.get(path).await?.0, 401);
    for plan in [json!({ "requests": [{ "status": 200 }] }), json!({ "surprise": 1 }), json!([[[]]])] {
        let (status, _) = call(&cluster, Method::PUT, "faults", Some(plan.clone())).await?;
        assert_eq!(status, 400, "{plan}");
    }
    Ok(())
}

#[tokio::test]
async fn every_answer_says_that_it_is_simulated() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    let anonymous = cluster.anonymous().await?;
    for path in ["/version", "/api/v1/namespaces", "/api/v1/widgets", "/nothing"] {
        for caller in [&*cluster, &anonymous] {
            let answer = caller.ask(Method::GET, path, &[], "").await?;
            assert_eq!(answer.headers()[SIMULATED_HEADER], "true", "{path}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn faults_strike_and_requests_are_counted() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    let line = RequestLine { verb: "list".to_owned(), resource: "namespaces".to_owned() };
    let before: u64 = sim(&cluster).requests().values().sum();
    sim(&cluster).fail_next(2, 429)?;
    let response = cluster.ask(Method::GET, "/api/v1/namespaces", &[], "").await?;
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].as_bytes()), (429, &b"1"[..]));
    assert_eq!(cluster.get("/api/v1/namespaces").await?.1["reason"], "TooManyRequests");
    assert_eq!(cluster.get("/api/v1/namespaces").await?.0, 200);
    assert_eq!(sim(&cluster).requests().get(&line), Some(&3));
    cluster.get("/api/v1/nowhere").await?;
    assert_eq!(sim(&cluster).requests().values().sum::<u64>(), before + 4);

    sim(&cluster).set_latency(Duration::from_millis(50));
    let asked = Instant::now();
    cluster.get("/version").await?;
    assert!(asked.elapsed() >= Duration::from_millis(50));
    Ok(())
}

#[tokio::test]
async fn a_port_is_held_until_the_simulator_goes() -> Result<()> {
    let first = Sim::start(Options { seed: Seed::Empty, ..Options::default() }).await?;
    let options = |listen| Options {
        listen,
        seed: Seed::Empty,
        admin_token: Some("known".to_owned()),
        ..Options::default()
    };
    let address = first.addr();
    match Sim::start(options(address)).await {
        Err(error @ SimError::Listen { .. }) => {
            assert!(error.to_string().contains(&address.to_string()), "{error}");
        }
        Err(other) => bail!("unexpected: {other}"),
        Ok(_) => bail!("two servers on one port"),
    }
    let watch = trusting(&first.ca_pem())?
        .get(format!("{}/api/v1/pods?watch=1", first.url()))
        .bearer_auth(first.admin_token())
        .send()
        .await?;
    first.stop().await;
    assert!(watch.bytes().await.is_err(), "the watch is cut");

    let second = Sim::start(options(address)).await?;
    assert_eq!(second.admin_token(), "known");
    let token = second.token_for("default", "agent");
    let watch = trusting(&second.ca_pem())?
        .get(format!("{}/api/v1/pods?watch=1", second.url()))
        .bearer_auth("known")
        .send()
        .await?;
    drop(second);
    assert!(watch.bytes().await.is_err(), "dropping cuts the watch, too");
    let third = Sim::start(Options { admin_token: Some("known".to_owned()), ..Options::default() }).await?;
    assert_eq!(
        third.token_for("default", "agent"),
        token,
        "tokens outlive a restart with the same admin token"
    );
    Ok(())
}
