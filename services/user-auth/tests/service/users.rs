//! `/api/v1/users`.

use anyhow::Result;
use serde_json::{Value, json};
use store::test_on_both;

use crate::harness::start;

const USERS: &str = "/api/v1/users";

test_on_both! {
    async fn a_user_is_made_listed_and_changed(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let user = json!({"username": "ada.l-1", "email": "ada@example.com", "roles": ["viewer", "viewer"]});
        let made = service.post(&service.admin, USERS, user).await?;
        let id = made.text(201, "/id")?;
        assert_eq!(made.body["username"], "ada.l-1");
        assert_eq!(made.body["roles"], json!(["viewer"]));
        assert_eq!(made.body["is_active"], true);
        assert!(made.text(201, "/created_at")?.ends_with('Z'));

        let path = format!("{USERS}/{id}");
        assert_eq!(service.get(&service.admin, &path).await?.json(200)?, &made.body);
        let listed = service.get(&service.admin, USERS).await?;
        assert_eq!(listed.json(200)?["users"][1], made.body);
        assert_eq!(listed.body["next_cursor"], Value::Null);

        let changed = service.patch(&service.admin, &path, json!({"roles": ["editor"], "is_active": false})).await?;
        assert_eq!(changed.json(200)?["roles"], json!(["editor"]));
        assert_eq!(changed.body["is_active"], false);
        assert!(changed.text(200, "/deactivated_at")?.ends_with('Z'));
        let again = service.patch(&service.admin, &path, json!({"is_active": true})).await?;
        assert_eq!(again.json(200)?["deactivated_at"], Value::Null);
        assert_eq!(again.body["roles"], json!(["editor"]));
        let unchanged = service.patch(&service.admin, &path, json!({})).await?;
        assert_eq!(unchanged.json(200)?, &again.body);
        Ok(())
    }

    async fn a_deactivated_users_keys_are_valid_again_when_the_user_is(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let (id, key) = service.user_with_key("ada", &["read"]).await?;
        let path = format!("{USERS}/{id}");
        for (is_active, status) in [(false, 401), (true, 200)] {
            service.patch(&service.admin, &path, json!({"is_active": is_active})).await?.json(200)?;
            service.me(&key).await?.json(status)?;
        }
        Ok(())
    }

    async fn usernames_are_unique(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        service.user("ada", &[]).await?;
        let again = json!({"username": "ada", "email": "other@example.com", "roles": []});
        service.post(&service.admin, USERS, again).await?.problem(409, "conflict")?;
        Ok(())
    }

    async fn what_cannot_be_accepted_is_named(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let post = |body| service.post(&service.admin, USERS, body);
        let all = json!({"username": "Ada", "email": "ada", "roles": ["\"admin\""]});
        post(all).await?.refuses_fields(&["username", "email", "roles"])?;
        post(json!({"email": "a@b.c", "roles": []})).await?.refuses_fields(&["username"])?;
        post(json!({"username": "a", "email": "a@b.c", "is_admin": true})).await?.refuses_fields(&["is_admin"])?;
        post(json!({"username": "a", "email": "a@b.c", "roles": "admin"})).await?.refuses_fields(&["roles"])?;
        post(json!({"username": "a\u{0}", "email": "a@b.c"})).await?.refuses_fields(&["username"])?;
        let path = format!("{USERS}/{}", service.user_id(&service.admin).await?);
        let patch = |body| service.patch(&service.admin, &path, body);
        patch(json!({"username": "root"})).await?.refuses_fields(&["username"])?;
        patch(json!({"roles": ["A"]})).await?.refuses_fields(&["roles"])?;
        Ok(())
    }

    async fn there_are_404_and_422_for_unknown_and_malformed_ids(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let unknown = "/api/v1/users/01890000-0000-7000-8000-000000000000";
        service.get(&service.admin, unknown).await?.problem(404, "not_found")?;
        service.patch(&service.admin, unknown, json!({})).await?.problem(404, "not_found")?;
        service.get(&service.admin, "/api/v1/users/%00").await?.refuses_fields(&["id"])?;
        Ok(())
    }

    /// It takes the role and the scope.
    async fn only_administrators_manage_users(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let (user, without_role) = service.user_with_key("ada", &["admin"]).await?;
        let admin = service.user_id(&service.admin).await?;
        let (_, without_scope) = service.key_of(&admin, &["read", "operate"]).await?;
        let new = json!({"username": "eve", "email": "eve@example.com", "roles": ["admin"]});
        for key in [without_role, without_scope] {
            service.post(&key, USERS, new.clone()).await?.problem(403, "forbidden")?;
            service.get(&key, USERS).await?.problem(403, "forbidden")?;
            let path = format!("{USERS}/{user}");
            service.get(&key, &path).await?.problem(403, "forbidden")?;
            service.patch(&key, &path, json!({"roles": ["admin"]})).await?.problem(403, "forbidden")?;
            service.me(&key).await?.json(200)?;
        }
        Ok(())
    }

    async fn the_last_active_administrator_stays(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let first = format!("{USERS}/{}", service.user_id(&service.admin).await?);
        let patch = |path, body| service.patch(&service.admin, path, body);
        for change in [json!({"is_active": false}), json!({"roles": []}), json!({"roles": ["administrator"]})] {
            patch(&first, change).await?.problem(409, "conflict")?;
        }
        let second = format!("{USERS}/{}", service.user("second", &["admin"]).await?);
        // One who is not active does not count.
        patch(&second, json!({"is_active": false})).await?.json(200)?;
        patch(&first, json!({"roles": []})).await?.problem(409, "conflict")?;
        patch(&second, json!({"is_active": true})).await?.json(200)?;

        // Each is not the last one, until the other is gone.
        let (a, b) = tokio::join!(
            patch(&first, json!({"is_active": false})),
            patch(&second, json!({"is_active": false})),
        );
        let mut statuses = [a?.status.as_u16(), b?.status.as_u16()];
        statuses.sort_unstable();
        assert!(statuses[0] == 200 && [401, 409].contains(&statuses[1]), "{statuses:?}");
        Ok(())
    }

    async fn long_lists_come_in_parts(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        for name in ["a", "b", "c", "d"] {
            service.user(name, &[]).await?;
        }
        let mut seen = Vec::new();
        let mut path = format!("{USERS}?limit=2");
        loop {
            let part = service.get(&service.admin, &path).await?;
            let users = part.json(200)?["users"].as_array().cloned().unwrap_or_default();
            assert!(users.len() <= 2);
            seen.extend(users.into_iter().map(|user| user["username"].clone()));
            let Some(cursor) = part.body["next_cursor"].as_str() else { break };
            path = format!("{USERS}?limit=2&cursor={cursor}");
        }
        assert_eq!(seen, ["admin", "a", "b", "c", "d"]);
        for (query, field) in [("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("cursor=x", "cursor"), ("page=1", "page")] {
            let answer = service.get(&service.admin, &format!("{USERS}?{query}")).await?;
            answer.refuses_fields(&[field])?;
        }
        Ok(())
    }
}
