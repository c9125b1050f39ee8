//! The administrator's endpoint for faults and for the clock.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use sim::Seed;

use crate::common::{Cluster, answer, cluster};

async fn call(cluster: &Cluster, method: Method, path: &str, body: Option<Value>) -> Result<(u16, Value)> {
    cluster.call(method, &format!("/simulator/v1/{path}"), body).await
}

#[tokio::test]
async fn faults_are_planned_over_http() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    let fault = json!({ "verb": "list", "resource": "namespaces", "times": 1, "status": 429, "retryAfterSeconds": 7 });
    let (status, plan) = call(&cluster, Method::POST, "faults", Some(fault)).await?;
    assert_eq!((status, plan["requests"].as_array().map(Vec::len)), (200, Some(1)));
    assert_eq!(cluster.get("/api/v1/nodes").await?.0, 200, "it is about other requests");
    let struck = cluster.request(Method::GET, "/api/v1/namespaces").send().await?;
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
    let cluster = cluster(Seed::Sized { nodes: 1, pods: 1 }).await?;
    let name = |list: &Value, field: &str| {
        list["items"][0]["metadata"][field].as_str().unwrap_or_default().to_owned()
    };
    let (_, nodes) = cluster.get("/api/v1/nodes").await?;
    let (_, pods) = cluster.get("/api/v1/pods").await?;
    let node = name(&nodes, "name");
    let pod = format!("{}/{}", name(&pods, "namespace"), name(&pods, "name"));
    call(&cluster, Method::POST, &format!("nodes/{node}/die"), None).await?;
    call(&cluster, Method::POST, &format!("pods/{pod}/stick"), None).await?;
    let plan = cluster.sim.fault_plan();
    assert!(plan.dead_nodes.contains(&node) && plan.stuck_pods.contains(&pod));
    call(&cluster, Method::POST, &format!("nodes/{node}/revive"), None).await?;
    call(&cluster, Method::POST, &format!("pods/{pod}/release"), None).await?;
    assert_eq!(cluster.sim.fault_plan(), sim::FaultPlan::default());
    for missing in ["nodes/none/die", "pods/none/none/stick", "nodes/x/explode", "nothing"] {
        assert_eq!(call(&cluster, Method::POST, missing, None).await?.0, 404, "{missing}");
    }
    Ok(())
}

#[tokio::test]
async fn the_clock_is_moved() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    let before = cluster.sim.api().clock().now();
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
    let cluster = cluster(Seed::Empty).await?;
    let path = "/simulator/v1/faults";
    let token = cluster.sim.token_for("default", "agent");
    let (status, body) = answer(cluster.anonymous(Method::DELETE, path).bearer_auth(token)).await?;
    let message =
        "forbidden: User \"system:serviceaccount:default:agent\" cannot delete path \"/simulator/v1/faults\"";
    assert_eq!((status, &body["message"]), (403, &json!(message)));
    assert_eq!(answer(cluster.anonymous(Method::GET, path)).await?.0, 403);
    assert_eq!(answer(cluster.anonymous(Method::GET, path).bearer_auth("wrong")).await?.0, 401);
    for plan in [json!({ "requests": [{ "status": 200 }] }), json!({ "surprise": 1 }), json!([[[]]])] {
        let (status, _) = call(&cluster, Method::PUT, "faults", Some(plan.clone())).await?;
        assert_eq!(status, 400, "{plan}");
    }
    Ok(())
}
