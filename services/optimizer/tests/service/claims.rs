//! Which operation is carried on next.

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use optimizer::{
    Database, NAME,
    saga::{Log, Owner},
};
use store::Options;
use testkit::Metrics;

use crate::{
    sagas::{LONG, begun, taken},
    world::{OPERATIONS, User, World},
};

const SPOILT_SAGA: &str = "UPDATE sagas SET saga = '{' WHERE id = $1";
const SPOILT_JOURNAL: &str = "UPDATE journal SET entry = '{}' WHERE saga_id = $1";

fn owner() -> Owner {
    Owner("a test".to_owned())
}

store::test_on_both! {
    async fn who_has_fewer_under_way_comes_first(database: TestDatabase) -> Result<()> {
        let database = Database::open(database.open(NAME, Options::default()).await?).await?;
        let mut begun_by = Vec::new();
        for user in [User::Ada, User::Ada, User::Ada, User::Bob, User::Bob] {
            begun_by.push(begun(&database, user).await?.id);
        }
        let mut claimed = Vec::new();
        while let Some(next) = database.claim(&owner(), LONG).await? {
            claimed.push(next.saga.id);
        }
        let [ada, ada_2, ada_3, bob, bob_2] = begun_by[..] else { unreachable!() };
        assert_eq!(claimed, [ada, bob, ada_2, bob_2, ada_3]);
        Ok(())
    }

    async fn one_that_cannot_be_read_hides_no_other(database: TestDatabase) -> Result<()> {
        let store = database.open(NAME, Options::default()).await?;
        let another = Database::open(store.clone()).await?;
        let mut taken_on = Vec::new();
        for _ in 0..3 {
            taken_on.push(taken(&another, User::Ada).await?.saga);
        }
        let world = World::start(&database).await?;
        for (spoil, id) in [SPOILT_SAGA, SPOILT_JOURNAL].into_iter().zip(&taken_on) {
            sqlx::query(spoil).bind(id.to_string()).execute(store.pool()).await?;
        }
        let listed = world.get(User::Ada, OPERATIONS).await?;
        let listed = listed.json(200)?["operations"].as_array().context("a list")?;
        let ids: Vec<_> = listed.iter().map(|operation| operation["operation_id"].clone()).collect();
        assert_eq!(ids, [taken_on[2].to_string()]);
        Ok(())
    }

    async fn one_that_cannot_be_read_keeps_nobody_waiting(database: TestDatabase) -> Result<()> {
        let metrics = Metrics::of_this_thread();
        let store = database.open(NAME, Options::default()).await?;
        let database = Database::open(store.clone()).await?;
        let [saga, journal, good] =
            [begun(&database, User::Ada).await?, begun(&database, User::Ada).await?, begun(&database, User::Ada).await?];
        for (spoil, id) in [
            (SPOILT_SAGA, saga.id),
            (SPOILT_JOURNAL, journal.id),
        ] {
            sqlx::query(spoil).bind(id.to_string()).execute(store.pool()).await?;
        }
        let claimed = database.claim(&owner(), LONG).await?.context("there is one")?;
        assert_eq!(claimed.saga, good);
        ensure!(database.claim(&owner(), LONG).await?.is_none(), "the others are not tried again at once");
        let told = metrics.value("operations_unreadable_total")?;
        ensure!(told.total_cmp(&2.0).is_eq(), "{told}");
        // It is good again, and was not let go meanwhile.
        let text = serde_json::to_string(&saga)?;
        let mend = sqlx::query("UPDATE sagas SET saga = $1, lease_until = 0 WHERE id = $2");
        mend.bind(text).bind(saga.id.to_string()).execute(store.pool()).await?;
        let claimed = database.claim(&owner(), LONG).await?.context("there is one")?;
        assert_eq!((claimed.saga, claimed.lease.epoch), (saga, 2));
        Ok(())
    }

    async fn of_those_who_claim_at_once_nobody_gets_nothing(database: TestDatabase) -> Result<()> {
        let first = Database::open(database.open(NAME, Options::default()).await?).await?;
        let second = Database::open(database.open(NAME, Options::default()).await?).await?;
        for _ in 0..5 {
            for _ in 0..8 {
                begun(&first, User::Ada).await?;
            }
            let replicas = [&first, &second].into_iter().cycle().take(8);
            let claimed = try_join_all(replicas.map(async |database| database.claim(&owner(), LONG).await)).await?;
            ensure!(claimed.iter().all(Option::is_some), "{claimed:?}");
            let ids: std::collections::HashSet<_> = claimed.iter().flatten().map(|claimed| claimed.saga.id).collect();
            assert_eq!(ids.len(), 8);
        }
        Ok(())
    }
}
