//! What the administrator does to the account over HTTP.

use std::time::Duration;

use anyhow::{Context as _, Result};
use cloud::{CloudReads as _, Lifecycle, MemberState};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually_within;

use crate::common::{PATIENCE, World, group};

async fn command(world: &World, method: Method, path: &str, body: Option<Value>) -> Result<(u16, Value)> {
    world.cluster.call(method, &format!("/simulator/v1/cloud/{path}"), body).await
}

#[tokio::test]
async fn shortages_faults_and_interruptions_are_ordered() -> Result<()> {
    let world = World::shop().await?;
    let pool = json!({ "instance_type": "m6i.xlarge", "zone": "us-east-1a", "lifecycle": "spot" });
    let (status, short) = command(&world, Method::POST, "shortages", Some(pool.clone())).await?;
    assert_eq!((status, short), (200, json!([pool])));
    assert!(world.launched("one", Lifecycle::Spot).await.is_err());
    let (_, short) = command(&world, Method::DELETE, "shortages", None).await?;
    assert_eq!(short, json!([]));
    let id = world.launched("one", Lifecycle::Spot).await?;

    let fault = json!({ "operation": "group", "times": 2, "fault": "throttled" });
    let (status, faults) = command(&world, Method::POST, "faults", Some(fault.clone())).await?;
    assert_eq!((status, faults), (200, json!([fault])));
    assert!(world.cloud.group(&group("eks-core")).await.is_err());
    assert_eq!(command(&world, Method::DELETE, "faults", None).await?.1, json!([]));
    assert!(world.cloud.group(&group("eks-core")).await.is_ok());

    assert_eq!(command(&world, Method::POST, &format!("instances/{id}/interrupt"), None).await?.0, 200);
    let (_, instances) = command(&world, Method::GET, "instances", None).await?;
    let instances = instances.as_array().context("no list")?;
    let interrupted =
        instances.iter().find(|instance| instance["id"] == id.as_str()).context("it is gone")?;
    assert!(interrupted["interruption"].is_string(), "{interrupted}");
    world.sim().clock().advance(Duration::from_secs(121));
    world.until_no_node(&id).await?;
    let (_, calls) = command(&world, Method::GET, "calls", None).await?;
    assert_eq!((&calls["launch"], &calls["group"]), (&json!(2), &json!(2)));
    for missing in [format!("instances/{id}/explode"), "instances/i-00000000/interrupt".to_owned()] {
        assert_eq!(command(&world, Method::POST, &missing, None).await?.0, 404, "{missing}");
    }
    Ok(())
}

#[tokio::test]
async fn groups_are_changed() -> Result<()> {
    let world = World::shop().await?;
    let hooks = json!([{
        "name": "drain", "transition": "terminating", "heartbeat_timeout_seconds": 600, "default_result": "CONTINUE",
    }]);
    assert_eq!(command(&world, Method::PUT, "groups/eks-core/hooks", Some(hooks)).await?.0, 200);
    let sizes = json!({ "desired": 1 });
    assert_eq!(command(&world, Method::POST, "groups/eks-core/sizes", Some(sizes)).await?.0, 200);
    let waiting = eventually_within(PATIENCE, "a hook", async || {
        let told = world.cloud.group(&group("eks-core")).await.ok()??;
        told.members.into_iter().find(|member| member.state == MemberState::TerminatingWait)
    })
    .await?;
    let (_, told) = command(&world, Method::GET, "groups", None).await?;
    assert_eq!((&told[0]["name"], &told[0]["desired"]), (&json!("eks-core"), &json!(1)));
    let done = json!({ "id": waiting.id, "result": "CONTINUE" });
    let path = "groups/eks-core/hooks/drain/complete";
    assert_eq!(command(&world, Method::POST, path, Some(done.clone())).await?.0, 200);
    assert_eq!(command(&world, Method::POST, path, Some(done)).await?.0, 400);
    world.until_no_node(&waiting.id).await?;
    let protect = json!({ "id": waiting.id, "protected": true });
    assert_eq!(command(&world, Method::POST, "groups/eks-core/protect", Some(protect)).await?.0, 400);
    let (status, error) =
        command(&world, Method::POST, "groups/eks-core/sizes", Some(json!({ "min": 5, "max": 1 }))).await?;
    assert_eq!((status, &error["code"]), (400, &json!("ValidationError")));
    Ok(())
}

#[tokio::test]
async fn only_administrators_command() -> Result<()> {
    let world = World::shop().await?;
    let token = world.cluster.token_of(world.cluster.namespace(), "default").await?;
    let somebody = world.cluster.with_token(&token).await?;
    for path in ["instances", "groups", "faults", "shortages", "calls"] {
        assert_eq!(somebody.get(&format!("/simulator/v1/cloud/{path}")).await?.0, 403, "{path}");
    }
    Ok(())
}
