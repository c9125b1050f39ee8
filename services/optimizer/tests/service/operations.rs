//! Operations: in shadow mode nothing is changed, and otherwise the node is replaced.

use anyhow::{Context, Result, ensure};
use cloud::{InstanceState, MemberState};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams};
use optimizer::phases::KUBERNETES;
use serde_json::{Value, json};
use store::testing::TestDatabase;
use testkit::{Metrics, eventually_within};

use crate::world::{OPERATIONS, PATIENCE, User, World};

/// The names and specifications of all nodes.
async fn nodes(world: &World) -> Result<Vec<(String, Value)>> {
    let nodes = world.nodes().list(&ListParams::default()).await?.items;
    nodes.iter().map(|node| Ok((node.name_any(), serde_json::to_value(&node.spec)?))).collect()
}

/// There is no room for the last pod of the shop: on the new node it would take that of one that has to move.
async fn make_room(world: &World) -> Result<()> {
    let path = "/apis/apps/v1/namespaces/search/statefulsets/search-index";
    let (_, mut index) = world.cluster.get(path).await?;
    index["spec"]["replicas"] = 2.into();
    let (status, told) = world.cluster.call("PUT".parse()?, path, Some(index)).await?;
    ensure!(status == 200, "{told}");
    let pods: Api<Pod> = Api::namespaced(world.cluster.client(), "search");
    eventually_within(PATIENCE, "the last pod to go", async || {
        pods.get_opt("search-index-2").await.ok()?.is_none().then_some(())
    })
    .await
}

store::test_on_both! {
    async fn unless_one_says_otherwise_it_is_only_told_what_would_be_done(database: TestDatabase) -> Result<()> {
        let metrics = Metrics::of_this_thread();
        let world = World::start(&database).await?;
        let (account, old) = (world.account(User::Ada).await?, world.old().await?);
        let added = world.post(User::Ada, crate::world::INSTANCES, World::new_instance(&account, &old)).await?;
        let instance = format!("{}/{}", crate::world::INSTANCES, added.text(201, "/id")?);
        let (things, before) = (world.things(), nodes(&world).await?);

        let operation = world.evaluate(&instance).await?;
        let events = world.events(&operation, None).await?;
        let whats: Vec<_> = events.iter().map(|event| event["what"].as_str().unwrap_or_default()).collect();
        let rehearsed = whats.len() - 2;
        ensure!(whats[0] == "started" && whats[1..=rehearsed].iter().all(|what| *what == "rehearsed"), "{whats:?}");
        let phases: Vec<_> = events[1..=rehearsed].iter().map(|event| event["phase"].clone()).collect();
        assert_eq!(json!(phases), json!(KUBERNETES));
        let end = &events[events.len() - 1];
        assert_eq!((&end["what"], &end["ending"]), (&json!("ended"), &json!("succeeded")));

        ensure!(world.things() == things, "an instance or a group has changed");
        assert_eq!(nodes(&world).await?, before);
        let report = world.get(User::Ada, &operation).await?;
        let report = report.json(200)?;
        assert_eq!((&report["state"], &report["is_shadow_mode"]), (&json!("succeeded"), &json!(true)));
        assert_eq!(report["simulated"], true);
        for phase in report["phases"].as_array().into_iter().flatten() {
            ensure!(phase["state"] == "rehearsed" && phase["decision"].is_string(), "{phase}");
        }
        for counted in ["operations_begun_total", "operations_ended_total{ending=\"succeeded\"}"] {
            ensure!(metrics.value(counted)?.total_cmp(&1.0).is_eq(), "{counted}");
        }
        eventually_within(PATIENCE, "nothing to be under way", async || {
            metrics.value("operations_running").is_ok_and(|running| running.total_cmp(&0.0).is_eq()).then_some(())
        })
        .await?;
        ensure!(report["replacement"].is_null() && report["ended_at"].is_string(), "{report}");
        assert_eq!(world.get(User::Ada, OPERATIONS).await?.json(200)?["operations"], json!([report]));
        Ok(())
    }

    async fn events_go_on_after_the_last_that_was_seen(database: TestDatabase) -> Result<()> {
        let world = World::start(&database).await?;
        let account = world.account(User::Ada).await?;
        let instance = world.instance(&account, &world.old().await?, true).await?;
        let operation = world.evaluate(&instance).await?;
        let events = world.events(&operation, None).await?;
        for seen in 0..events.len() - 1 {
            let rest = world.events(&operation, Some(&seen.to_string())).await?;
            assert_eq!(rest, events[seen + 1..]);
        }
        // Who says to have seen what is not there hears all.
        for nonsense in ["nonsense", "4294967295", &events.len().to_string()] {
            assert_eq!(world.events(&operation, Some(nonsense)).await?, events);
        }
        Ok(())
    }
}

#[tokio::test]
async fn the_node_is_replaced() -> Result<()> {
    let database = TestDatabase::sqlite();
    let world = World::start(&database).await?;
    make_room(&world).await?;
    let (account, old) = (world.account(User::Ada).await?, world.old().await?);
    let (_, groups) = world.things();
    let instance = world.instance(&account, &old, false).await?;
    let operation = world.evaluate(&instance).await?;
    let events = world.events(&operation, None).await?;
    let end = events.last().context("no events")?;
    ensure!(end["what"] == "ended" && end["ending"] == "succeeded", "{events:#?}");

    let report = world.get(User::Ada, &operation).await?;
    let report = report.json(200)?;
    assert_eq!((&report["state"], &report["is_shadow_mode"]), (&json!("succeeded"), &json!(false)));
    for phase in report["phases"].as_array().into_iter().flatten() {
        ensure!(phase["state"] == "done", "{phase}");
    }
    let replacement = &report["replacement"];
    let node = world.nodes().get(replacement["node"].as_str().context("no node")?).await?;
    let provider = node.spec.and_then(|spec| spec.provider_id).context("it is an instance")?;
    let bought = replacement["instance_id"].as_str().context("no instance")?;
    ensure!(provider.ends_with(bought), "{provider}");
    ensure!(world.nodes().get_opt(&old.node).await?.is_none());

    let (instances, now) = world.things();
    let is_over = |it: &cloud::Instance| it.state == InstanceState::Terminated;
    ensure!(instances.iter().find(|it| it.id.as_str() == old.instance).is_none_or(is_over));
    let sizes = |groups: &[cloud::Group]| -> Vec<_> {
        groups.iter().map(|it| (it.name.clone(), it.min, it.max, it.desired, it.members.len())).collect()
    };
    assert_eq!(sizes(&now), sizes(&groups));
    let group = now.iter().find(|it| it.member(&bought.parse().unwrap()).is_some()).context("no group")?;
    let member = group.member(&bought.parse()?).context("no member")?;
    assert_eq!(member.state, MemberState::InService);

    // What is gone cannot be replaced again.
    let again = world.evaluate(&instance).await?;
    let events = world.events(&again, None).await?;
    let end = events.last().context("no events")?;
    ensure!(end["what"] == "ended" && end["ending"] == "failed", "{events:#?}");
    Ok(())
}
