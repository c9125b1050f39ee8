//! Operations that are under way stand in others' way, until they are cancelled.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bus::Notice;
use contracts::events::EventType;
use serde_json::{Value, json};
use sim::Delays;
use tokio::time::timeout;

use crate::{
    events::next,
    world::{ACCOUNTS, Old, PATIENCE, User, World},
};

/// Pods take so long to stop, and a node to be drained.
fn slow() -> Delays {
    Delays { stop: Duration::from_secs(25), ..Delays::none() }
}

/// What is left of an operation that was undone: nothing.
async fn is_as_before(world: &World, old: &Old, operation: &str, report: &Value) -> Result<()> {
    let node = world.nodes().get(&old.node).await?;
    ensure!(
        node.spec.unwrap_or_default().unschedulable != Some(true),
        "{operation} has left {} cordoned",
        old.node
    );
    let bought = report["replacement"]["instance_id"].as_str().context("something was bought")?;
    let (instances, groups) = world.things();
    let instance = instances.iter().find(|it| it.id.as_str() == bought);
    ensure!(instance.is_none_or(|it| it.state.is_over()), "{instance:?}");
    for group in groups {
        ensure!(group.member(&bought.parse()?).is_none(), "{group:?}");
        assert_eq!(group.members.len(), group.desired as usize);
    }
    let there = instances.iter().find(|it| it.id.as_str() == old.instance).context("the old one is there")?;
    ensure!(!there.state.is_over() && there.group.is_some(), "{there:?}");
    Ok(())
}

store::test_on_both! {
    async fn an_operation_is_cancelled_in_the_middle_and_undone(database: TestDatabase) -> Result<()> {
        let world = World::with(&database, slow()).await?;
        let (account, old) = (world.account(User::Ada).await?, world.old().await?);
        let instance = world.instance(&account, &old, false).await?;
        let bus = world.another_bus()?;
        bus.ready().await;
        let mut told = bus.watch_events(&["operation.*"]);
        ensure!(timeout(PATIENCE, told.next()).await? == Some(Notice::Gap));
        let operation = world.evaluate(&instance).await?;
        world.until_in(&operation, "drain").await?;

        // Nobody else works on the same, and what it needs stays.
        let second = world.post(User::Ada, &format!("{instance}/evaluate"), Value::Null).await?;
        let (detail, id) = (second.problem(409, "conflict")?, operation.rsplit_once('/').unwrap().1);
        ensure!(detail.contains(id), "{detail}");
        let path = format!("{ACCOUNTS}/{account}");
        let detail = world.delete(User::Ada, &path).await?.problem(409, "conflict")?;
        ensure!(detail.contains(id), "{detail}");
        // In shadow mode it is told all the same what would be done.
        world.patch(User::Ada, &instance, json!({ "is_shadow_mode": true })).await?.json(200)?;
        let shadow = world.evaluate(&instance).await?;
        let events = world.events(&shadow, None).await?;
        ensure!(events.last().is_some_and(|event| event["what"] == "ended"), "{events:?}");

        let cancelled = world.post(User::Ada, &format!("{operation}/cancel"), Value::Null).await?;
        ensure!(cancelled.json(202)?["cancel_requested_at"].is_string(), "{}", cancelled.body);
        // Once more does not matter.
        world.post(User::Ada, &format!("{operation}/cancel"), Value::Null).await?.json(202)?;
        let events = world.events(&operation, None).await?;
        let end = events.last().context("no events")?;
        ensure!(end["what"] == "ended" && end["ending"] == "cancelled", "{events:#?}");
        let report = world.get(User::Ada, &operation).await?;
        assert_eq!(report.json(200)?["state"], "cancelled");
        let mut told_of = Vec::new();
        while told_of.last() != Some(&EventType::OperationEnded) {
            let event = next(&mut told).await?;
            if event.data["operation_id"] == id {
                told_of.push(event.event_type);
            }
        }
        assert_eq!(
            told_of,
            [EventType::OperationStarted, EventType::OperationCancelRequested, EventType::OperationEnded],
        );
        is_as_before(&world, &old, &operation, &report.body).await?;

        world.post(User::Ada, &format!("{operation}/cancel"), Value::Null).await?.problem(409, "conflict")?;
        world.delete(User::Ada, &path).await?.json(204)?;
        // What was done is still told.
        assert_eq!(world.get(User::Ada, &operation).await?.json(200)?["state"], "cancelled");
        Ok(())
    }
}
