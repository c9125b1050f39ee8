//! `/api/v1/api-keys`.

use anyhow::{Context, Result};
use contracts::{Timestamp, Token, TokenKind};
use serde_json::{Value, json};
use store::test_on_both;
use testkit::eventually;

use crate::harness::{KEYS, Running, start};

/// The service goes by the database's clock, of which the test's may be milliseconds off.
const CLOCKS: i64 = 1000;
const DAY: i64 = 24 * 60 * 60 * 1000;

fn millis(value: &Value) -> Result<i64> {
    Ok(serde_json::from_value::<Timestamp>(value.clone())?.as_millis())
}

/// How the caller's list shows one of its keys.
async fn listed(service: &Running, key: &str, id: &str) -> Result<Value> {
    let list = service.get(key, KEYS).await?;
    let keys = list.json(200)?["api_keys"].as_array().context("keys")?;
    let found = keys.iter().find(|key| key["id"] == id);
    found.cloned().context("the key is listed")
}

/// Waits until a use of the key is noted; answers when it was.
async fn noted(service: &Running, key: &str, id: &str) -> Result<i64> {
    eventually("the use is noted", async || {
        let shown = listed(service, key, id).await.ok()?;
        millis(&shown["last_used_at"]).ok()
    })
    .await
}

test_on_both! {
    async fn a_key_is_shown_once_and_works(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let (_, first) = service.user_with_key("ada", &["admin"]).await?;
        let body = json!({"name": "CI ü", "scopes": ["operate", "read", "read"], "expires_in_days": 30});
        let made = service.post(&first, KEYS, body).await?;
        let (id, key) = (made.text(201, "/id")?, made.text(201, "/key")?);
        assert!(Token::parse(TokenKind::ApiKey, &key).is_ok());
        assert!(key.starts_with(made.text(201, "/preview")?.trim_end_matches('…')));
        let lifetime = millis(&made.body["expires_at"])? - Timestamp::now().as_millis();
        assert!((29 * DAY..=30 * DAY + CLOCKS).contains(&lifetime));

        let me = service.me(&key).await?;
        assert_eq!(me.json(200)?["scopes"], json!(["operate", "read"]));
        let list = service.get(&key, KEYS).await?;
        assert!(!list.json(200)?.to_string().contains(&key));
        let shown = listed(&service, &key, &id).await?;
        assert_eq!((&shown["name"], &shown["preview"]), (&json!("CI ü"), &made.body["preview"]));
        assert_eq!(shown["expires_at"], made.body["expires_at"]);
        assert_eq!(shown["revoked_at"], Value::Null);
        Ok(())
    }

    async fn what_cannot_be_accepted_is_named(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let post = |body| service.post(&service.admin, KEYS, body);
        let all = json!({"name": "\n", "scopes": [], "expires_in_days": 0});
        post(all).await?.refuses_fields(&["name", "scopes", "expires_in_days"])?;
        let long = json!({"name": "a".repeat(101), "scopes": ["root"], "expires_in_days": 3651});
        post(long).await?.refuses_fields(&["name", "scopes", "expires_in_days"])?;
        post(json!({"name": "a", "scopes": ["read"], "key": "ks_x"})).await?.refuses_fields(&["key"])?;
        post(json!({"name": "a", "scopes": ["read"], "expires_in_days": -1})).await?.refuses_fields(&["expires_in_days"])?;
        post(json!({"name": "a", "scopes": ["read"], "user_id": "x"})).await?.refuses_fields(&["user_id"])?;
        post(json!({"scopes": ["read"]})).await?.refuses_fields(&["name"])?;
        Ok(())
    }

    async fn a_key_makes_none_that_may_do_more(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let (user, _) = service.user_with_key("ada", &["read"]).await?;
        let body = json!({"name": "a", "scopes": ["read"]});
        for scopes in [&["read"][..], &["read", "operate"]] {
            let (id, key) = service.key_of(&user, scopes).await?;
            service.post(&key, KEYS, body.clone()).await?.problem(403, "forbidden")?;
            service.revoke(&key, &id).await?.problem(403, "forbidden")?;
            service.rotate(&key, &id, json!({})).await?.problem(403, "forbidden")?;
            service.get(&key, KEYS).await?.json(200)?;
        }
        // A key with a scope of another version, that the admin scope does not include.
        let (id, _) = service.key_of(&user, &["read"]).await?;
        service.sql(r#"UPDATE api_keys SET scopes = '["audit"]' WHERE id = $1"#, &id).await?;
        let (_, admin) = service.key_of(&user, &["admin"]).await?;
        let rotate = service.rotate(&admin, &id, json!({})).await?;
        assert!(rotate.problem(403, "forbidden")?.contains("audit"));
        Ok(())
    }

    async fn other_users_keys_are_out_of_sight(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let (ada, _) = service.user_with_key("ada", &["admin"]).await?;
        let (id, hers) = service.key_of(&ada, &["read"]).await?;
        let (_, eve) = service.user_with_key("eve", &["admin"]).await?;
        service.revoke(&eve, &id).await?.problem(404, "not_found")?;
        service.rotate(&eve, &id, json!({})).await?.problem(404, "not_found")?;
        let for_ada = json!({"name": "a", "scopes": ["read"], "user_id": ada});
        service.post(&eve, KEYS, for_ada).await?.problem(403, "forbidden")?;
        service.get(&eve, &format!("{KEYS}?user_id={ada}")).await?.problem(403, "forbidden")?;
        assert!(!service.get(&eve, KEYS).await?.json(200)?.to_string().contains(&id));
        service.me(&hers).await?.json(200)?;

        // An administrator sees and revokes them, but cannot have one made in its place.
        let list = service.get(&service.admin, &format!("{KEYS}?user_id={ada}")).await?;
        assert!(list.json(200)?.to_string().contains(&id));
        let (_, reader) = service.key_of(&service.user_id(&service.admin).await?, &["operate"]).await?;
        service.get(&reader, &format!("{KEYS}?user_id={ada}")).await?.problem(403, "forbidden")?;
        service.rotate(&service.admin, &id, json!({})).await?.problem(404, "not_found")?;
        service.revoke(&service.admin, &id).await?.json(204)?;
        service.me(&hers).await?.json(401)?;
        Ok(())
    }

    async fn keys_are_made_for_active_users_only(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let make = |user: &str| service.post(&service.admin, KEYS, json!({"name": "a", "scopes": ["read"], "user_id": user}));
        make("01890000-0000-7000-8000-000000000000").await?.problem(404, "not_found")?;
        let user = service.user("ada", &[]).await?;
        let path = format!("/api/v1/users/{user}");
        service.patch(&service.admin, &path, json!({"is_active": false})).await?.json(200)?;
        make(&user).await?.problem(409, "conflict")?;
        Ok(())
    }

    async fn a_revoked_key_stays_revoked(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let (user, key) = service.user_with_key("ada", &["admin"]).await?;
        let (id, other) = service.key_of(&user, &["read"]).await?;
        service.revoke(&key, &id).await?.json(204)?;
        let revoked_at = listed(&service, &key, &id).await?["revoked_at"].clone();
        assert!(revoked_at.is_string());
        service.revoke(&key, &id).await?.json(204)?;
        assert_eq!(listed(&service, &key, &id).await?["revoked_at"], revoked_at);
        service.me(&other).await?.json(401)?;
        service.rotate(&key, &id, json!({})).await?.problem(409, "conflict")?;
        service.revoke(&key, "01890000-0000-7000-8000-000000000000").await?.problem(404, "not_found")?;
        service.revoke(&key, "x").await?.refuses_fields(&["id"])?;
        Ok(())
    }

    async fn a_rotated_key_overlaps_with_its_successor(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let (_, old) = service.user_with_key("ada", &["admin"]).await?;
        let body = json!({"name": "CI", "scopes": ["operate"], "expires_in_days": 10});
        let made = service.post(&old, KEYS, body).await?;
        let (id, key) = (made.text(201, "/id")?, made.text(201, "/key")?);

        // Without a body: the default overlap.
        let rotated = service.rotate(&old, &id, Value::Null).await?;
        let (new_id, new) = (rotated.text(201, "/id")?, rotated.text(201, "/key")?);
        for valid in [&key, &new] {
            let me = service.me(valid).await?;
            assert_eq!(me.json(200)?["scopes"], json!(["operate"]));
        }
        let before = listed(&service, &old, &id).await?;
        assert_eq!(before["replaced_by"], json!(new_id));
        let overlap = millis(&before["expires_at"])? - Timestamp::now().as_millis();
        assert!((DAY - 60_000..=DAY + CLOCKS).contains(&overlap), "{overlap}");
        let after = listed(&service, &old, &new_id).await?;
        assert_eq!(after["name"], "CI");
        let lifetime = millis(&after["expires_at"])? - millis(&after["created_at"])?;
        assert_eq!(lifetime, 10 * DAY);

        service.rotate(&old, &id, json!({})).await?.problem(409, "conflict")?;
        Ok(())
    }

    async fn an_overlap_has_bounds(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let (user, caller) = service.user_with_key("ada", &["admin"]).await?;
        let (id, key) = service.key_of(&user, &["read"]).await?;
        for bad in [json!({"overlap_seconds": -1}), json!({"overlap_seconds": 2_592_001}), json!({"overlap_seconds": "1"})] {
            service.rotate(&caller, &id, bad).await?.refuses_fields(&["overlap_seconds"])?;
        }
        service.rotate(&caller, &id, json!({"overlap": 1})).await?.refuses_fields(&["overlap"])?;
        service.me(&key).await?.json(200)?;
        let rotated = service.rotate(&caller, &id, json!({"overlap_seconds": 0})).await?;
        service.me(&rotated.text(201, "/key")?).await?.json(200)?;
        service.me(&key).await?.json(401)?;
        Ok(())
    }

    /// Of two that rotate the same key at the same time one wins.
    async fn a_key_is_rotated_once(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let (user, caller) = service.user_with_key("ada", &["admin"]).await?;
        let (id, _) = service.key_of(&user, &["read"]).await?;
        let (a, b) = tokio::join!(
            service.rotate(&caller, &id, json!({})),
            service.rotate(&caller, &id, json!({})),
        );
        let mut statuses = [a?.status.as_u16(), b?.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
        Ok(())
    }

    async fn the_last_use_is_noted_at_most_once_a_minute(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let (user, caller) = service.user_with_key("ada", &["admin"]).await?;
        let (id, key) = service.key_of(&user, &["read"]).await?;
        assert_eq!(listed(&service, &caller, &id).await?["last_used_at"], Value::Null);
        service.verify(&key).await?;
        let first = noted(&service, &caller, &id).await?;
        service.verify(&key).await?;
        // Another key's use is noted after this one's would have been.
        let (other_id, other) = service.key_of(&user, &["read"]).await?;
        service.verify(&other).await?;
        noted(&service, &caller, &other_id).await?;
        assert_eq!(noted(&service, &caller, &id).await?, first);

        service.sql("UPDATE api_keys SET last_used_at = last_used_at - 60001 WHERE id = $1", &id).await?;
        service.verify(&key).await?;
        eventually("the later use is noted", async || (noted(&service, &caller, &id).await.ok()? >= first).then_some(())).await?;
        Ok(())
    }

    async fn a_user_has_a_hundred_usable_keys_at_most(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let (user, caller) = service.user_with_key("ada", &["admin"]).await?;
        let body = json!({"name": "a", "scopes": ["read"]});
        let mut last = String::new();
        for _ in 1..100 {
            last = service.post(&caller, KEYS, body.clone()).await?.text(201, "/id")?;
        }
        service.post(&caller, KEYS, body.clone()).await?.problem(409, "conflict")?;
        service.revoke(&caller, &last).await?.json(204)?;
        service.post(&caller, KEYS, body).await?.json(201)?;

        let page = service.get(&caller, &format!("{KEYS}?limit=100&user_id={user}")).await?;
        let cursor = page.text(200, "/next_cursor")?;
        let rest = service.get(&caller, &format!("{KEYS}?cursor={cursor}")).await?;
        assert_eq!(rest.json(200)?["api_keys"].as_array().map(Vec::len), Some(1));
        Ok(())
    }
}
