//! Of two who remove the same at once, only one does.

use anyhow::Result;

use crate::world::{ACCOUNTS, User, World};

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
}
