//! What is added and removed while somebody else works on it.

use anyhow::{Result, ensure};

use crate::world::{ACCOUNTS, INSTANCES, User, World};

store::test_on_both! {
    async fn only_one_removes_it(database: TestDatabase) -> Result<()> {
        let world = World::start(&database).await?;
        for _ in 0..5 {
            let account = world.account(User::Ada).await?;
            let instance = world.instance(&account, &world.old().await?, true).await?;
            for path in [instance, format!("{ACCOUNTS}/{account}")] {
                let (one, other) = tokio::join!(world.delete(User::Ada, &path), world.delete(User::Ada, &path));
                let mut statuses = [one?.status.as_u16(), other?.status.as_u16()];
                statuses.sort_unstable();
                assert_eq!(statuses, [204, 404], "{path}");
            }
        }
        Ok(())
    }

    async fn an_instance_that_comes_while_its_account_goes_is_refused(database: TestDatabase) -> Result<()> {
        let world = World::start(&database).await?;
        for _ in 0..10 {
            let account = world.account(User::Ada).await?;
            let (path, new) = (format!("{ACCOUNTS}/{account}"), World::new_instance(&account, &world.old().await?));
            let (removed, added) =
                tokio::join!(world.delete(User::Ada, &path), world.post(User::Ada, INSTANCES, new));
            removed?.json(204)?;
            // It was sooner, or is told that the account is gone: while it comes, or before.
            let added = added?;
            ensure!([201, 409, 422].contains(&added.status.as_u16()), "{}", added.body);
            ensure!(world.get(User::Ada, INSTANCES).await?.json(200)?["instances"] == serde_json::json!([]));
        }
        Ok(())
    }

    async fn two_that_come_at_once_do_not_pass_a_limit(database: TestDatabase) -> Result<()> {
        let world = World::start(&database).await?;
        let account = world.account(User::Ada).await?;
        let old = world.old().await?;
        world.instance(&account, &old, true).await?;
        let store = store::Store::open(database.url(), optimizer::NAME).await?;
        // With the one that is there, all but one of those that are allowed.
        let fill = "INSERT INTO lab_instances (id, user_id, account_id, instance_id, instance_type, availability_zone, pipeline_mode, \
             is_shadow_mode, is_simulated, created_at, updated_at) \
             WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 998) \
             SELECT 'filler-' || n, user_id, account_id, 'i-filler-' || n, instance_type, availability_zone, pipeline_mode, \
             is_shadow_mode, is_simulated, created_at, updated_at FROM lab_instances CROSS JOIN numbers";
        sqlx::query(fill).execute(store.pool()).await?;
        let add = |id: &str| {
            let mut new = World::new_instance(&account, &old);
            new["instance_id"] = id.into();
            world.post(User::Ada, INSTANCES, new)
        };
        let (one, other) = tokio::join!(add("i-00000000000000aaa"), add("i-00000000000000bbb"));
        let (one, other) = (one?, other?);
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
        let refused = if one.status.as_u16() == 409 { one } else { other };
        ensure!(refused.body.to_string().contains("1000 instances already"), "{}", refused.body);
        Ok(())
    }
}
