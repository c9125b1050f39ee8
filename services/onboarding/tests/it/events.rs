//! What the others are told.

use anyhow::{Result, bail, ensure};
use bus::{EventWatch, Notice};
use contracts::events::{Event, EventType};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::world::{GENERATE, Made, PATIENCE, User, start};

async fn next(watch: &mut EventWatch) -> Result<Event> {
    match timeout(PATIENCE, watch.next()).await? {
        Some(Notice::Event(event)) => Ok(event),
        other => bail!("{other:?} instead of an event"),
    }
}

store::test_on_both! {
    async fn what_happens_to_a_cluster_is_told_without_secrets(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let bus = world.another_bus().await?;
        let mut watch = bus.watch_events(&["cluster.*", "agent_key.*"]);
        ensure!(timeout(PATIENCE, watch.next()).await? == Some(Notice::Gap));

        let body = json!({"provider": "eks", "cluster_name": "a"});
        let created = world.post(User::Ada, GENERATE, body).await?;
        let cluster_id = created.text(200, "/cluster_id")?;
        let cluster = Made { agent_id: created.text(200, "/agent_id")?, key: String::new(), cluster_id };
        let made = world.post(User::Ada, &cluster.path("/agent-keys"), Value::Null).await?;
        let (key_id, key) = (made.text(201, "/id")?, made.text(201, "/key")?);
        world.delete(User::Ada, &cluster.path(&format!("/agent-keys/{key_id}"))).await?.json(204)?;
        // What fails is not told.
        world.delete(User::Ada, &cluster.path(&format!("/agent-keys/{key_id}"))).await?.json(404)?;
        world.delete(User::Bob, &cluster.path("")).await?.json(404)?;
        // Of two at once only one deletes it.
        let path = cluster.path("");
        let (one, other) = tokio::join!(world.delete(User::Ada, &path), world.delete(User::Ada, &path));
        let mut statuses = [one?.status.as_u16(), other?.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 404]);
        let second = world.post(User::Bob, GENERATE, json!({"provider": "gke", "cluster_name": "b"})).await?;

        let (cluster_id, agent_id) = (&cluster.cluster_id, &cluster.agent_id);
        let expected = [
            (EventType::ClusterCreated, User::Ada, json!({"cluster_id": cluster_id, "agent_id": agent_id,
                "cluster_name": "a", "provider": "eks"})),
            (EventType::AgentKeyCreated, User::Ada,
             json!({"cluster_id": cluster_id, "agent_id": agent_id, "key_id": key_id})),
            (EventType::AgentKeyRevoked, User::Ada,
             json!({"cluster_id": cluster_id, "agent_id": agent_id, "key_id": key_id})),
            (EventType::ClusterDeleted, User::Ada,
             json!({"cluster_id": cluster_id, "agent_id": agent_id, "cluster_name": "a"})),
            (EventType::ClusterCreated, User::Bob, json!({"cluster_id": second.text(200, "/cluster_id")?,
                "agent_id": second.text(200, "/agent_id")?, "cluster_name": "b", "provider": "gke"})),
        ];
        for (event_type, user, data) in expected {
            let event = next(&mut watch).await?;
            assert_eq!((&event.event_type, Value::Object(event.data.clone())), (&event_type, data));
            assert_eq!((event.user_id.as_str(), event.username.as_str()), (user.id(), user.name()));
            let text = serde_json::to_string(&event)?;
            assert!(!text.contains(&key) && !text.contains("ka_") && !text.contains("ki_"));
        }
        Ok(())
    }
}
