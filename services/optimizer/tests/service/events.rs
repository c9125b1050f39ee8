//! What the others are told.

use anyhow::{Result, bail, ensure};
use bus::{EventWatch, Notice};
use contracts::events::{Event, EventType};
use serde_json::json;
use tokio::time::timeout;

use crate::world::{ACCOUNTS, PATIENCE, User, World};

/// What is told next.
pub(crate) async fn next(watch: &mut EventWatch) -> Result<Event> {
    match timeout(PATIENCE, watch.next()).await? {
        Some(Notice::Event(event)) => Ok(event),
        other => bail!("{other:?} instead of an event"),
    }
}

store::test_on_both! {
    async fn what_is_done_is_told_without_secrets(database: TestDatabase) -> Result<()> {
        let world = World::start(&database).await?;
        let bus = world.another_bus()?;
        bus.ready().await;
        let mut watch = bus.watch_events(&["account.*", "lab_instance.*", "operation.*"]);
        ensure!(timeout(PATIENCE, watch.next()).await? == Some(Notice::Gap));

        let (account, old) = (world.account(User::Ada).await?, world.old().await?);
        let instance = world.instance(&account, &old, true).await?;
        world.patch(User::Ada, &instance, json!({})).await?.json(200)?;
        let operation = world.evaluate(&instance).await?;
        world.events(&operation, None).await?;
        // What fails is not told.
        world.delete(User::Bob, &instance).await?.json(404)?;
        world.delete(User::Ada, &instance).await?.json(204)?;
        world.delete(User::Ada, &format!("{ACCOUNTS}/{account}")).await?.json(204)?;

        let id = |path: &str| json!(path.rsplit_once('/').unwrap().1);
        for (event_type, field, value) in [
            (EventType::AccountAdded, "account_id", json!(account)),
            (EventType::LabInstanceAdded, "lab_instance_id", id(&instance)),
            (EventType::LabInstanceUpdated, "lab_instance_id", id(&instance)),
            (EventType::OperationStarted, "operation_id", id(&operation)),
            (EventType::OperationEnded, "operation_id", id(&operation)),
            (EventType::LabInstanceRemoved, "lab_instance_id", id(&instance)),
            (EventType::AccountRemoved, "account_id", json!(account)),
        ] {
            let event = next(&mut watch).await?;
            assert_eq!((&event.event_type, event.data.get(field)), (&event_type, Some(&value)));
            assert_eq!((event.user_id.as_str(), event.username.as_str()), (User::Ada.id(), User::Ada.name()));
            assert_eq!(event.data["simulated"], true);
            assert_eq!(event.data["account_id"], account);
            if event_type == EventType::OperationEnded {
                assert_eq!((&event.data["ending"], &event.data["instance_id"]), (&json!("succeeded"), &json!(old.instance)));
            }
            let text = serde_json::to_string(&event)?;
            ensure!(!text.contains(world.simulated().external_id()), "{text}");
        }
        Ok(())
    }
}
