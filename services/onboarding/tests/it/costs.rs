//! What a cluster costs.

use anyhow::{Context, Result};
use contracts::{agent::Hello, query::Command};
use serde_json::{Value, json};
use testkit::eventually;

use crate::{
    agent::{Agent, hello},
    world::{Made, Setup, User, World, start},
};

const GIB: u64 = 1 << 30;

/// An agent that counts, with two nodes of 2 processors and 4 GiB.
async fn counting(world: &World, cluster: &Made) -> Result<Agent> {
    let mut agent = Agent::connect(world, cluster).await?;
    let capabilities = vec![Command::GetAllocation.as_str().to_owned()];
    agent.send(&Hello { capabilities, ..hello(&cluster.agent_id) }).await?;
    agent.receive().await?;
    let beat = json!({"type": "heartbeat", "nodes": 2, "pods": 3, "cpu_millis": 4000, "memory_bytes": 8 * GIB,
                      "at": "2026-01-01T00:00:00Z"});
    agent.send(&beat).await?;
    Ok(agent)
}

/// Answers the next request.
async fn count(agent: &mut Agent) -> Result<()> {
    let request = agent.request().await?;
    assert_eq!(request.command, Command::GetAllocation);
    let share = |namespace: &str, workload: &str, node: &str, cpu_millis: u64| {
        json!({"namespace": namespace, "workload": workload, "node": node, "pods": 1, "cpu_millis": cpu_millis,
               "memory_bytes": GIB})
    };
    let nodes = ["a", "b"].map(|name| json!({"name": name, "cpu_millis": 2000, "memory_bytes": 4 * GIB}));
    let workloads = [
        share("shop", "Deployment/web", "a", 500),
        share("shop", "Deployment/web", "b", 500),
        share("ops", "DaemonSet/log", "a", 100),
    ];
    let allocation = json!({"nodes": nodes, "workloads": workloads, "usage_known": false, "total_count": 3,
                            "source": "api", "age_ms": 0, "simulated": true});
    agent.answer(&request, &allocation.to_string()).await
}

store::test_on_both! {
    async fn costs_are_checked_field_by_field(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let path = cluster.path("/resource-costs");
        for (field, value) in [
            ("cpu_cost", json!(-0.01)),
            ("memory_cost", json!(0.00001)),
            ("egress_cost", json!("1")),
            ("storage_cost", json!(1e9)),
            ("gpu_cost", json!(1)),
        ] {
            world.post(User::Ada, &path, json!({field: value})).await?.refuses_field(field)
                .with_context(|| format!("{field} = {value}"))?;
        }
        world.post(User::Bob, &path, json!({"cpu_cost": 1})).await?.problem(404, "not_found")?;
        let entered = json!({"cpu_cost": 3.56, "memory_cost": 1.27, "ingress_cost": null, "egress_cost": null,
                             "storage_cost": null});
        let answer = world.post(User::Ada, &path, entered).await?;
        let expected = json!({"success": true, "cluster_id": cluster.cluster_id, "costs_updated": true});
        assert_eq!(answer.json(200)?, &expected);
        let seen = world.get(User::Ada, &cluster.path("")).await?;
        assert_eq!((&seen.body["cpu_cost_per_hour"], &seen.body["memory_cost_per_hour"]), (&json!(3.56), &json!(1.27)));
        assert_eq!(seen.body["cost"], Value::Null, "nothing is known of the nodes yet");
        assert_eq!(seen.body["next_steps"][1], json!({"step": "enter_costs", "done": true,
            "detail": format!("see GET {}", cluster.path("/costs"))}));
        Ok(())
    }

    async fn a_cluster_costs_what_its_nodes_have(database: TestDatabase) -> Result<()> {
        // Answers are asked for one by one here.
        let world = Setup::on(&database).start().await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let costs = cluster.path("/costs");
        world.get(User::Ada, &costs).await?.problem(503, "agent_not_connected")?;
        world.get(User::Bob, &costs).await?.problem(404, "not_found")?;
        let mut agent = counting(&world, &cluster).await?;

        let (answer, counted) = tokio::join!(world.get(User::Ada, &costs), count(&mut agent));
        counted?;
        let unknown = answer?;
        assert_eq!(unknown.json(200)?["unknown"], json!(["cpu_cost", "memory_cost"]));
        assert_eq!(unknown.body["total"], Value::Null);

        let entered = json!({"cpu_cost": 0.04, "memory_cost": 0.01});
        world.post(User::Ada, &cluster.path("/resource-costs"), entered).await?.json(200)?;
        let (answer, counted) = tokio::join!(world.get(User::Ada, &costs), count(&mut agent));
        counted?;
        let answer = answer?;
        let body = answer.json(200)?;
        // 4 processors at 4 cents and 8 GiB at one.
        assert_eq!(body["total"], json!({"hourly": 0.24, "monthly": 175.2}));
        assert_eq!(body["allocated"], json!({"hourly": 0.074, "monthly": 54.02}));
        assert_eq!(body["idle"], json!({"cpu_cores": 2.9, "memory_gib": 5.0, "hourly": 0.166, "monthly": 121.18}));
        assert_eq!(body["namespaces"][0]["namespace"], "shop");
        assert_eq!(body["namespaces"][0]["workloads"][0], json!({"workload": "Deployment/web", "pods": 2,
            "cpu_cores": 1.0, "memory_gib": 2.0, "hourly": 0.06, "monthly": 43.8}));
        assert_eq!((&body["currency"], &body["simulated"]), (&json!("USD"), &json!(true)));
        let seen = eventually("the cost", async || {
            let answer = world.get(User::Ada, &cluster.path("")).await.ok()?;
            Some(answer.body["cost"].clone()).filter(Value::is_object)
        })
        .await?;
        assert_eq!(seen, body["total"]);
        Ok(())
    }
}
