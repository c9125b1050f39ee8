//! The caches of namespaces and nodes.

use std::time::Duration;

use anyhow::Result;
use contracts::{
    ErrorCode,
    query::{Command, Params},
};
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use sim::Seed;

use crate::{
    relay::Connection,
    world::{World, names, namespace, until},
};

fn fresh() -> Params {
    Params { fresh: true, ..Params::default() }
}

/// Waits until the cache answers, and as wanted.
async fn cached(
    agent: &mut Connection,
    command: Command,
    is_wanted: impl Fn(&Value) -> bool,
) -> Result<Value> {
    until("such an answer of the cache", async || {
        let answer = agent.get(command.clone(), Params::default()).await?;
        Ok((answer["source"] == "cache" && is_wanted(&answer)).then_some(answer))
    })
    .await
}

fn has(answer: &Value, name: &str) -> bool {
    names(answer, "namespaces").iter().any(|present| present == name)
}

#[tokio::test]
async fn the_cache_answers_without_the_api_server_and_fresh_asks_it() -> Result<()> {
    let mut world = World::simulated(Seed::Shop).await?;
    let (_running, mut agent) = world.open().await?;
    for (command, plural) in [(Command::GetNamespaces, "namespaces"), (Command::GetNodes, "nodes")] {
        cached(&mut agent, command.clone(), |_| true).await?;
        let before = world.asked("list", plural);
        for _ in 0..5 {
            let answer = agent.get(command.clone(), Params::default()).await?;
            assert_eq!((&answer["source"], &answer["simulated"]), (&json!("cache"), &json!(true)));
        }
        assert_eq!(world.asked("list", plural), before);

        let of_cache = agent.get(command.clone(), Params::default()).await?;
        let of_server = agent.get(command, fresh()).await?;
        assert_eq!((&of_server["source"], &of_server["age_ms"]), (&json!("api"), &json!(0)));
        assert_eq!(of_cache[plural], of_server[plural]);
        assert_eq!(world.asked("list", plural), before + 1);
    }
    Ok(())
}

#[tokio::test]
async fn the_cache_follows_what_happens() -> Result<()> {
    let mut world = World::anywhere().await?;
    let (_running, mut agent) = world.open().await?;
    cached(&mut agent, Command::GetNamespaces, |_| true).await?;
    let lists = world.asked("list", "namespaces");

    let new = world.cluster.unique("new");
    world.cluster.create::<Namespace>(&serde_json::from_value(namespace(&new))?).await?;
    cached(&mut agent, Command::GetNamespaces, |answer| has(answer, &new)).await?;
    let namespaces: Api<Namespace> = Api::all(world.cluster.client());
    namespaces.delete(&new, &DeleteParams::default()).await?;
    cached(&mut agent, Command::GetNamespaces, |answer| !has(answer, &new)).await?;

    let node = world.cluster.node("node", &[]).await?;
    let is_cordoned = |answer: &Value, is_so: bool| {
        let nodes = answer["nodes"].as_array().into_iter().flatten();
        nodes.into_iter().any(|found| found["name"] == *node && found["unschedulable"] == is_so)
    };
    cached(&mut agent, Command::GetNodes, |answer| is_cordoned(answer, false)).await?;
    let cordon = Patch::Merge(json!({ "spec": { "unschedulable": true } }));
    Api::<Node>::all(world.cluster.client()).patch(&node, &PatchParams::default(), &cordon).await?;
    cached(&mut agent, Command::GetNodes, |answer| is_cordoned(answer, true)).await?;
    assert_eq!(world.asked("list", "namespaces"), lists, "listed instead of watched");
    Ok(())
}

#[tokio::test]
async fn a_cut_watch_goes_on_where_it_was() -> Result<()> {
    let mut world = World::simulated(Seed::Shop).await?;
    let (_running, mut agent) = world.open().await?;
    cached(&mut agent, Command::GetNamespaces, |_| true).await?;
    let lists = world.asked("list", "namespaces");
    for round in 0..3 {
        let name = format!("round-{round}");
        world.sim().drop_watches();
        world.sim().api().create(namespace(&name))?;
        cached(&mut agent, Command::GetNamespaces, |answer| has(answer, &name)).await?;
    }
    assert_eq!(world.asked("list", "namespaces"), lists, "listed instead of resumed");
    Ok(())
}

#[tokio::test]
async fn a_version_that_has_expired_is_listed_anew() -> Result<()> {
    let mut world = World::simulated(Seed::Shop).await?;
    let (_running, mut agent) = world.open().await?;
    cached(&mut agent, Command::GetNamespaces, |_| true).await?;
    let lists = world.asked("list", "namespaces");
    // While no watch can be opened, the history goes on and is forgotten.
    world.sim().set_latency(Duration::from_millis(100));
    world.sim().drop_watches();
    world.sim().api().create(namespace("missed"))?;
    world.sim().compact();
    world.sim().set_latency(Duration::ZERO);
    cached(&mut agent, Command::GetNamespaces, |answer| has(answer, "missed")).await?;
    assert!(world.asked("list", "namespaces") > lists);
    Ok(())
}

#[tokio::test]
async fn a_quiet_cluster_is_confirmed_again_and_again() -> Result<()> {
    let mut world = World::simulated(Seed::Empty).await?;
    world.config.timing.watch = Duration::from_secs(1);
    let (_running, mut agent) = world.open().await?;
    cached(&mut agent, Command::GetNamespaces, |_| true).await?;
    let watches = world.asked("watch", "namespaces");
    let renewed = async || Ok((world.asked("watch", "namespaces") >= watches + 3).then_some(()));
    until("three more watches", renewed).await?;
    let answer = cached(&mut agent, Command::GetNamespaces, |_| true).await?;
    assert!(answer["age_ms"].as_u64().is_some_and(|age| age < 1500), "{}", answer["age_ms"]);
    Ok(())
}

#[tokio::test]
async fn what_is_too_old_is_not_told() -> Result<()> {
    let mut world = World::simulated(Seed::Shop).await?;
    world.config.timing.cache_max_age = Duration::from_secs(2);
    let (_running, mut agent) = world.open().await?;
    cached(&mut agent, Command::GetNamespaces, |_| true).await?;
    world.cluster.stop().await;
    // For a while the cache answers, and says how old it is.
    let error =
        until("an error", async || match agent.ask(Command::GetNamespaces, Params::default()).await? {
            Ok(answer) => {
                assert_eq!(answer["source"], "cache");
                assert!(answer["age_ms"].as_u64().is_some_and(|age| age <= 2000), "{}", answer["age_ms"]);
                Ok(None)
            }
            Err(error) => Ok(Some(error)),
        })
        .await?;
    assert_eq!(error.code, ErrorCode::ClusterUnreachable);
    Ok(())
}
