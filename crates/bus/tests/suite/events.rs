//! Events and those who watch them.

use anyhow::Result;
use bus::Notice;
use contracts::{
    Timestamp,
    events::{Event, EventType},
};
use testkit::{TestBus, on_both_brokers};
use tokio::time::timeout;

use crate::world::{SOON, connect};

on_both_brokers!(every_watcher_sees_an_event,);

fn revoked(key: &str) -> Event {
    Event {
        event_id: key.to_owned(),
        event_type: EventType::ApiKeyRevoked,
        user_id: "u".into(),
        username: "ann".into(),
        occurred_at: Timestamp::now(),
        data: [("key_id".to_owned(), key.into())].into_iter().collect(),
    }
}

async fn every_watcher_sees_an_event(test: TestBus) -> Result<()> {
    let (publishing, watching) = (connect(&test).await?, connect(&test).await?);
    let mut keys = watching.watch_events(&["api_key.*"]);
    let mut all = publishing.watch_events(&["#"]);
    let mut users = watching.watch_events(&["user.updated"]);
    for watch in [&mut keys, &mut all, &mut users] {
        assert_eq!(timeout(SOON, watch.next()).await?, Some(Notice::Gap));
    }
    let (first, other) = (revoked("k1"), Event { event_type: EventType::UserUpdated, ..revoked("k2") });
    publishing.publish_event(&first).await?;
    publishing.publish_event(&other).await?;
    assert_eq!(timeout(SOON, keys.next()).await?, Some(Notice::Event(first.clone())));
    assert_eq!(timeout(SOON, all.next()).await?, Some(Notice::Event(first)));
    assert_eq!(timeout(SOON, all.next()).await?, Some(Notice::Event(other.clone())));
    assert_eq!(timeout(SOON, users.next()).await?, Some(Notice::Event(other)));
    Ok(())
}
