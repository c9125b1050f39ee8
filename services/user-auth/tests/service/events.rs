//! What the others are told.

use anyhow::{Result, bail};
use bus::{EventWatch, Notice};
use contracts::{
    Token, TokenKind,
    events::{Event, EventType},
    queues::Service as Asking,
};
use serde_json::json;
use store::test_on_both;
use testkit::eventually;
use tokio::time::{Duration, timeout};
use web::auth::{RemoteVerifier, Verifier};

use crate::harness::{Setup, auth_args};

/// The next event of this type that is not about the first administrator, who may have been made just before.
async fn next(watch: &mut EventWatch, wanted: EventType) -> Result<Event> {
    loop {
        match timeout(Duration::from_secs(10), watch.next()).await? {
            Some(Notice::Event(event)) if event.event_type == wanted && event.username != "admin" => {
                return Ok(event);
            }
            Some(_) => {}
            None => bail!("the bus is gone"),
        }
    }
}

test_on_both! {
    async fn every_change_is_told(database: TestDatabase) -> Result<()> {
        let setup = Setup::on(&database);
        let service = setup.start().await?;
        let listener = setup.connect()?;
        let mut watch = listener.watch_events(&["#"]);
        anyhow::ensure!(watch.next().await == Some(Notice::Gap));

        let user = service.user("ada", &["viewer"]).await?;
        let event = next(&mut watch, EventType::UserCreated).await?;
        assert_eq!((event.user_id.as_str(), event.username.as_str()), (user.as_str(), "ada"));
        assert_eq!(event.data["user_id"], json!(user));
        assert_eq!(event.data["roles"], json!(["viewer"]));

        let (_, caller) = service.key_of(&user, &["admin"]).await?;
        next(&mut watch, EventType::ApiKeyCreated).await?;
        let (id, _) = service.key_of(&user, &["read"]).await?;
        let event = next(&mut watch, EventType::ApiKeyCreated).await?;
        assert_eq!(event.user_id, user);
        assert_eq!(serde_json::Value::from(event.data), json!({"key_id": id, "name": "test", "scopes": ["read"]}));

        let rotated = service.rotate(&caller, &id, json!({})).await?;
        let event = next(&mut watch, EventType::ApiKeyRotated).await?;
        assert_eq!(event.text("key_id"), Some(id.as_str()));
        assert_eq!(event.text("replaced_by"), Some(rotated.text(201, "/id")?.as_str()));
        assert!(event.text("expires_at").is_some());

        // Twice revoked is told once.
        service.revoke(&service.admin, &id).await?.json(204)?;
        service.revoke(&service.admin, &id).await?.json(204)?;
        let event = next(&mut watch, EventType::ApiKeyRevoked).await?;
        assert_eq!((event.text("key_id"), event.username.as_str()), (Some(id.as_str()), "ada"));

        let path = format!("/api/v1/users/{user}");
        service.patch(&service.admin, &path, json!({"is_active": false})).await?.json(200)?;
        match timeout(Duration::from_secs(10), watch.next()).await? {
            Some(Notice::Event(event)) => {
                assert_eq!(event.event_type, EventType::UserUpdated);
                let expected = json!({"user_id": user, "is_active": false, "roles": ["viewer"]});
                assert_eq!(serde_json::Value::from(event.data), expected);
            }
            other => bail!("{other:?}"),
        }
        Ok(())
    }

    /// Two replicas of another service remember a key for minutes.
    async fn a_revocation_empties_the_memory_of_every_replica(database: TestDatabase) -> Result<()> {
        let setup = Setup::on(&database);
        let service = setup.start().await?;
        let user = service.user("ada", &[]).await?;
        let (id, key) = service.key_of(&user, &["read"]).await?;
        let token = Token::parse(TokenKind::ApiKey, &key)?;
        let mut replicas = Vec::new();
        for _ in 0..2 {
            let bus = setup.connect()?;
            bus.ready().await;
            let verifier = RemoteVerifier::start(&bus, Asking::Cluster, &auth_args(None)?)?;
            assert!(verifier.verify(token.clone()).await.valid);
            replicas.push(verifier);
        }

        // It is remembered: a change that nobody was told of is not seen.
        eventually("the key is remembered", async || {
            service.sql("UPDATE api_keys SET revoked_at = 1 WHERE id = $1", &id).await.ok()?;
            let answer = replicas[0].verify(token.clone()).await;
            service.sql("UPDATE api_keys SET revoked_at = NULL WHERE id = $1", &id).await.ok()?;
            replicas[0].verify(token.clone()).await;
            answer.valid.then_some(())
        })
        .await?;

        service.delete(&service.admin, &format!("/api/v1/api-keys/{id}")).await?.json(204)?;
        for replica in &replicas {
            eventually("the key is refused", async || (!replica.verify(token.clone()).await.valid).then_some(())).await?;
        }
        Ok(())
    }
}
