//! What is over is kept for a while, and then forgotten.

use std::time::Duration;

use anyhow::Result;
use contracts::Timestamp;
use optimizer::{
    Database, NAME,
    saga::{Ending, Entry, Event, Log},
};
use serde_json::json;
use store::Options;
use testkit::eventually_within;
use uuid::Uuid;

use crate::{
    sagas::taken,
    world::{OPERATIONS, PATIENCE, User, World},
};

const DAY: Duration = Duration::from_hours(24);

/// An operation of Ada's that has ended then.
async fn ended(database: &Database, at: Timestamp) -> Result<Uuid> {
    let lease = taken(database, User::Ada).await?;
    let event = Event::Ended { ending: Ending::Succeeded, why: "done".to_owned() };
    database.append(lease, &Entry { seq: 1, at, epoch: lease.epoch, event }).await?;
    Ok(lease.saga)
}

store::test_on_both! {
    async fn operations_are_forgotten_when_they_are_long_over(database: TestDatabase) -> Result<()> {
        let store = database.open(NAME, Options::default()).await?;
        let before = Database::open(store.clone()).await?;
        let (now, mut old) = (store.clock().now(), Vec::new());
        // More than are forgotten at once.
        for _ in 0..101 {
            old.push(ended(&before, now.minus(91 * DAY)).await?);
        }
        let young = ended(&before, now.minus(89 * DAY)).await?;
        let live = taken(&before, User::Ada).await?.saga;

        let world = World::start(&database).await?;
        eventually_within(PATIENCE, "all but two to be forgotten", async || {
            let list = world.get(User::Ada, OPERATIONS).await.ok()?;
            let list = list.body["operations"].as_array()?;
            let ids: Vec<_> = list.iter().map(|operation| operation["operation_id"].clone()).collect();
            (ids == [json!(live), json!(young)]).then_some(())
        })
        .await?;
        for id in old {
            world.get(User::Ada, &format!("{OPERATIONS}/{id}")).await?.problem(404, "not_found")?;
        }
        let entries: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM journal").fetch_one(store.pool()).await?;
        assert_eq!(entries, 3, "of the two that are kept");
        Ok(())
    }
}
