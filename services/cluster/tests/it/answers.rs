//! What is asked of agents, and how their answers are passed on.

use anyhow::{Context, Result, ensure};
use contracts::{Timestamp, queues};
use serde_json::{Value, json};
use testkit::{TestBus, on_both_brokers};

use crate::world::{json as body, start};

on_both_brokers!(
    namespaces_have_the_shape_of_the_interface,
    each_path_asks_its_command,
    parameters_are_handed_on,
    logs_are_asked_for_by_pod,
    the_result_is_passed_on_byte_for_byte,
    the_envelope_has_the_last_word,
    a_large_result_is_passed_on,
    connected_agents_are_the_callers_own,
    the_trace_is_carried_on,
);

const NAMESPACES: &str = r#"{"namespaces":[{"name":"default","status":"Active","created_at":"2024-01-01T12:00:00Z","labels":{},"annotations":{}}],"total_count":1}"#;

/// Checks that a time is written as everywhere, and is now.
fn ensure_now(time: &Value) -> Result<()> {
    let text = time.as_str().context("a time")?;
    let read: Timestamp = serde_json::from_value(time.clone())?;
    ensure!(text.len() == "2024-01-01T12:00:00.000Z".len() && read.to_string() == text, "{text}");
    ensure!(Timestamp::now().millis_since(read).abs() < 60_000, "{text} is not now");
    Ok(())
}

async fn namespaces_have_the_shape_of_the_interface(test: TestBus) -> Result<()> {
    let world = start(&test).await?;
    world.onboarding.agent_answers(NAMESPACES)?;
    let uuid = "6f9619ff-8b86-d011-b42d-00c04fc964ff";
    for (given, echoed) in [
        ("", Value::Null),
        ("&cluster_id=123", json!(123)),
        (&format!("&cluster_id={uuid}"), json!(uuid)),
        (&format!("&cluster_id={}", uuid.to_uppercase()), json!(uuid)),
    ] {
        let mut answer = world.json(&format!("/namespaces?agent_id=agent-1{given}")).await?;
        ensure_now(&answer["timestamp"].take())?;
        let expected = json!({
            "success": true, "agent_id": "agent-1", "cluster_id": echoed,
            "namespaces": [{"name": "default", "status": "Active", "created_at": "2024-01-01T12:00:00Z",
                            "labels": {}, "annotations": {}}],
            "total_count": 1, "message": "Successfully retrieved namespaces from cluster", "timestamp": null,
        });
        assert_eq!(answer, expected);
        let asked = world.onboarding.take_asked()?.request;
        assert_eq!(asked["cluster_config"].get("cluster_id").cloned().unwrap_or_default(), echoed);
    }
    Ok(())
}

async fn each_path_asks_its_command(test: TestBus) -> Result<()> {
    let world = start(&test).await?;
    world.onboarding.agent_answers(r#"{"anything":[]}"#)?;
    for (path, command, what) in [
        ("/namespaces", "get-namespaces", "namespaces"),
        ("/nodes", "get-nodes", "nodes"),
        ("/pods", "get-pods", "pods"),
        ("/deployments", "get-deployments", "deployments"),
        ("/services", "get-services", "services"),
        ("/resources", "get-cluster-resources", "resources"),
        ("/pods/default/web-0/logs", "get-pod-logs", "logs"),
    ] {
        let answer = world.json(&format!("{path}?agent_id=agent-1")).await?;
        assert_eq!(answer["message"], format!("Successfully retrieved {what} from cluster"));
        assert_eq!((&answer["success"], &answer["anything"]), (&json!(true), &json!([])));
        assert_eq!((&answer["agent_id"], &answer["cluster_id"]), (&json!("agent-1"), &Value::Null));
        ensure_now(&answer["timestamp"])?;
        let asked = world.onboarding.take_asked()?;
        assert_eq!((asked.queue, &asked.request["command"]), (queues::QUERIES.requests, &json!(command)));
        assert_eq!(asked.request["agent_id"], "agent-1");
    }
    Ok(())
}

async fn parameters_are_handed_on(test: TestBus) -> Result<()> {
    let world = start(&test).await?;
    world.onboarding.agent_answers("{}")?;
    let all = "namespace=kube-system&label_selector=app%20in%20(web,%20db),tier!%3Dx&limit=500&continue=a%2Bb%3D%3D&fresh=true";
    for (query, params) in [
        ("", json!({})),
        (
            all,
            json!({"namespace": "kube-system", "label_selector": "app in (web, db),tier!=x", "limit": 500,
                     "continue": "a+b==", "fresh": true}),
        ),
        ("limit=1&fresh=false", json!({"limit": 1})),
        ("limit=100000&label_selector=", json!({"limit": 100_000, "label_selector": ""})),
    ] {
        for path in ["/pods", "/deployments", "/services"] {
            body(world.get(&format!("{path}?agent_id=a.b_C-9&{query}")).await?).await?;
            let asked = world.onboarding.take_asked()?.request;
            assert_eq!(
                (&asked["params"], &asked["agent_id"]),
                (&params, &json!("a.b_C-9")),
                "{path}?{query}"
            );
        }
    }

    for (path, params) in [
        ("/nodes?namespace=x&limit=5&label_selector=a", json!({"limit": 5, "label_selector": "a"})),
        ("/namespaces?namespace=x&fresh=true", json!({"fresh": true})),
        ("/resources?namespace=x&label_selector=a", json!({"namespace": "x", "label_selector": "a"})),
    ] {
        body(world.get(&format!("{path}&agent_id=a")).await?).await?;
        assert_eq!(world.onboarding.take_asked()?.request["params"], params, "{path}");
    }
    for name in ["limit", "continue"] {
        let refused = world.get(&format!("/resources?agent_id=a&{name}=1")).await?;
        assert_eq!(refused.status(), 422, "{name} of counts");
    }

    body(world.service.get_as(&world.service.bob, "/pods?agent_id=agent-1").await?).await?;
    let asked = world.onboarding.take_asked()?.request;
    assert_eq!((&asked["user_id"], &asked["cluster_config"]), (&json!("id of bob"), &json!({})));
    let time = |field: &str| serde_json::from_value::<Timestamp>(asked[field].clone());
    // What is left of WEBSOCKET_TIMEOUT.
    let patience = time("deadline")?.millis_since(time("timestamp")?);
    assert!((50_000..=60_000).contains(&patience), "{patience}");
    Ok(())
}

async fn logs_are_asked_for_by_pod(test: TestBus) -> Result<()> {
    let world = start(&test).await?;
    world.onboarding.agent_answers("{}")?;
    for (path, params) in [
        ("/pods/default/web-0/logs?", json!({"namespace": "default", "name": "web-0", "lines": 100})),
        (
            "/pods/kube-system/dns.example/logs?container=side-car&lines=10000&",
            json!({"namespace": "kube-system", "name": "dns.example", "container": "side-car", "lines": 10_000}),
        ),
        ("/pods/default/web%2D0/logs?lines=1&", json!({"namespace": "default", "name": "web-0", "lines": 1})),
    ] {
        world.json(&format!("{path}agent_id=agent-1&cluster_id=7")).await?;
        let asked = world.onboarding.take_asked()?.request;
        assert_eq!(
            (&asked["params"], &asked["cluster_config"]),
            (&params, &json!({"cluster_id": 7})),
            "{path}"
        );
    }
    Ok(())
}

async fn the_result_is_passed_on_byte_for_byte(test: TestBus) -> Result<()> {
    let world = start(&test).await?;
    let odd = r#""nodes" : [ {"n":1.0e+2,"big":123456789012345678901234567890.10,"u":"\u00e4\/ä\ud83d\ude00","a":1,"a":2} ],
        "of_a_newer_agent":{"deep":[[[[null]]]]},"total_count":1 "#;
    world.onboarding.agent_answers(&format!("{{{odd}}}"))?;
    let text = world.get("/nodes?agent_id=agent-1").await?.text().await?;
    ensure!(text.contains(odd), "{text}");
    let answer: Value = serde_json::from_str(&text)?;
    assert_eq!((&answer["success"], &answer["total_count"]), (&json!(true), &json!(1)));

    for empty in ["{}", "{ }", " {\n} "] {
        world.onboarding.agent_answers(empty)?;
        let answer = world.json("/nodes?agent_id=agent-1").await?;
        let names: Vec<&String> = answer.as_object().context("an object")?.keys().collect();
        assert_eq!(names, ["agent_id", "cluster_id", "message", "success", "timestamp"], "{empty:?}");
    }
    Ok(())
}

async fn the_envelope_has_the_last_word(test: TestBus) -> Result<()> {
    let world = start(&test).await?;
    world.onboarding.agent_answers(
        r#"{"success":false,"agent_id":"another","cluster_id":"x","message":"pwned","timestamp":"never","nodes":[]}"#,
    )?;
    let answer = world.json("/nodes?agent_id=agent-1&cluster_id=5").await?;
    assert_eq!((&answer["success"], &answer["agent_id"]), (&json!(true), &json!("agent-1")));
    assert_eq!((&answer["cluster_id"], &answer["nodes"]), (&json!(5), &json!([])));
    assert_eq!(answer["message"], "Successfully retrieved nodes from cluster");
    ensure_now(&answer["timestamp"])
}

async fn a_large_result_is_passed_on(test: TestBus) -> Result<()> {
    let world = start(&test).await?;
    let lines = "x".repeat(8 << 20);
    world.onboarding.agent_answers(&format!(r#"{{"logs":"{lines}"}}"#))?;
    let answer = world.json("/pods/default/web-0/logs?agent_id=agent-1").await?;
    assert!(answer["logs"] == lines);
    Ok(())
}

async fn connected_agents_are_the_callers_own(test: TestBus) -> Result<()> {
    let world = start(&test).await?;
    for agents in [json!(["agent-1", "agent-2"]), json!([])] {
        let message = json!({"request_id": "r", "agents": agents, "timestamp": "2024-01-01T12:00:00Z"});
        world.onboarding.answers(&message.to_string())?;
        let mut answer = world.json("/agents/connected").await?;
        ensure_now(&answer["timestamp"].take())?;
        let count = agents.as_array().map(Vec::len);
        let expected =
            json!({"success": true, "connected_agents": agents, "total_count": count, "timestamp": null});
        assert_eq!(answer, expected);
        let asked = world.onboarding.take_asked()?;
        assert_eq!(asked.queue, queues::CONNECTED_AGENTS.requests);
        assert_eq!(asked.request["user_id"], "id of ann");
    }
    Ok(())
}

async fn the_trace_is_carried_on(test: TestBus) -> Result<()> {
    let world = start(&test).await?;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (path, answer) in [
        (
            "/nodes?agent_id=agent-1",
            r#"{"request_id":"r","agent_id":"a","result":{},"timestamp":"2024-01-01T12:00:00Z"}"#,
        ),
        ("/agents/connected", r#"{"request_id":"r","agents":[],"timestamp":"2024-01-01T12:00:00Z"}"#),
    ] {
        world.onboarding.answers(answer)?;
        let request =
            world.service.request(reqwest::Method::GET, path).header("X-API-Key", &world.service.ann);
        let request = request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
        body(request.send().await?).await?;
        let carried = world.onboarding.take_asked()?.context.trace.context("a trace")?;
        assert_eq!(carried.trace_id(), trace);
        // Without one, one is started.
        world.json(path).await?;
        let started = world.onboarding.take_asked()?.context.trace.context("a trace")?;
        assert_ne!(started.trace_id(), trace);
    }
    Ok(())
}
