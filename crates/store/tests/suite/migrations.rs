//! Migrations by one and by several, by older and by newer.

use anyhow::Result;
use store::test_on_both;

use super::*;

const TEAMS: &str = "CREATE TABLE teams (id TEXT PRIMARY KEY)";

test_on_both! {
    async fn run_once_each(database: TestDatabase) -> Result<()> {
        let store = store_with_users(&database).await?;
        add_user(&store, "1").await?;
        store.migrate(&migrator(&[USERS, TEAMS])).await?;
        store.migrate(&migrator(&[USERS, TEAMS])).await?;
        assert_eq!(count_users(&store).await?, 1);
        store.ping().await?;
        Ok(())
    }

    async fn replicas_that_start_together_migrate_once(database: TestDatabase) -> Result<()> {
        let open = || async {
            let store = database.open(SERVICE, Options::default()).await?;
            store.migrate(&migrator(&[USERS, TEAMS])).await
        };
        let (a, b, c) = tokio::join!(open(), open(), open());
        a.and(b).and(c)?;
        Ok(())
    }

    async fn an_older_version_refuses_a_newer_database(database: TestDatabase) -> Result<()> {
        let store = store_with_users(&database).await?;
        store.migrate(&migrator(&[USERS, TEAMS])).await?;
        let error = store.migrate(&migrator(&[USERS])).await.expect_err("it refuses");
        assert!(matches!(error, StoreError::Newer { migration: 2 }), "{error:?}");
        // The refusal holds no lock.
        store.migrate(&migrator(&[USERS, TEAMS])).await?;
        Ok(())
    }

    async fn a_failing_migration_leaves_nothing_behind(database: TestDatabase) -> Result<()> {
        let store = database.open(SERVICE, Options::default()).await?;
        let error = store.migrate(&migrator(&[USERS, "CREATE NONSENSE"])).await.expect_err("it refuses");
        assert!(matches!(error, StoreError::Migration(_)), "{error:?}");
        assert!(count_users(&store).await.is_err());
        store.migrate(&migrator(&[USERS])).await?;
        assert_eq!(count_users(&store).await?, 0);
        Ok(())
    }

    async fn a_changed_migration_is_noticed(database: TestDatabase) -> Result<()> {
        let store = store_with_users(&database).await?;
        let error = store.migrate(&migrator(&[TEAMS])).await.expect_err("it refuses");
        assert!(matches!(error, StoreError::Migration(_)), "{error:?}");
        Ok(())
    }

    async fn an_unmigrated_database_is_not_ready(database: TestDatabase) -> Result<()> {
        let store = database.open(SERVICE, Options::default()).await?;
        assert!(store.ping().await.is_err());
        Ok(())
    }
}
