//! What is removed while somebody else works on it.

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
}
