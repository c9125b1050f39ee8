//! One SQL text for both databases.

use anyhow::Result;
use contracts::Timestamp;
use store::{Store, StoreError, test_on_both};

use super::*;

const UPSERT: &str = "INSERT INTO users (id, username, seen, photo, score) VALUES ($1, $2, $3, $4, $5)
                      ON CONFLICT (id) DO UPDATE SET username = excluded.username, seen = excluded.seen
                      RETURNING id, username, seen, photo, score";

type User = (String, String, Option<i64>, Option<Vec<u8>>, Option<f64>);

async fn upsert(store: &Store, id: &str, username: &str, seen: Option<i64>) -> Result<User, StoreError> {
    Ok(sqlx::query_as(UPSERT)
        .bind(id)
        .bind(username)
        .bind(seen)
        .bind(vec![0_u8, 255])
        .bind(0.5)
        .fetch_one(store.pool())
        .await?)
}

test_on_both! {
    async fn an_upsert_returns_the_row(database: TestDatabase) -> Result<()> {
        let store = store_with_users(&database).await?;
        let user = upsert(&store, "1", "ada", None).await?;
        assert_eq!(user, ("1".into(), "ada".into(), None, Some(vec![0, 255]), Some(0.5)));
        let user = upsert(&store, "1", "grace", Some(i64::MAX)).await?;
        assert_eq!((user.1.as_str(), user.2), ("grace", Some(i64::MAX)));
        assert_eq!(count_users(&store).await?, 1);
        Ok(())
    }

    async fn a_duplicate_names_its_columns(database: TestDatabase) -> Result<()> {
        let store = store_with_users(&database).await?;
        upsert(&store, "1", "ada", Some(1)).await?;
        let error = upsert(&store, "2", "ada", Some(2)).await.expect_err("a duplicate");
        assert!(error.is_duplicate("username") && !error.is_duplicate("id"), "{error:?}");
        let error = upsert(&store, "2", "grace", Some(1)).await.expect_err("a duplicate");
        assert!(error.is_duplicate("seen") && error.is_duplicate("score"), "{error:?}");
        Ok(())
    }

    async fn a_missing_row_and_wrong_sql_are_told_apart(database: TestDatabase) -> Result<()> {
        let store = store_with_users(&database).await?;
        let find = async |sql| {
            let row = sqlx::query(sql).fetch_one(store.pool()).await;
            row.map(drop).map_err(StoreError::from)
        };
        let missing = find("SELECT id FROM users").await;
        assert!(matches!(missing, Err(StoreError::NotFound)), "{missing:?}");
        let wrong = find("SELECT nothing FROM users").await;
        assert!(matches!(wrong, Err(StoreError::Other(_))), "{wrong:?}");
        Ok(())
    }

    async fn what_is_not_committed_is_undone(database: TestDatabase) -> Result<()> {
        let store = store_with_users(&database).await?;
        for explicitly in [true, false] {
            let mut transaction = store.begin().await?;
            sqlx::query("INSERT INTO users (id, username) VALUES ('1', 'ada')")
                .execute(&mut *transaction)
                .await?;
            if explicitly {
                transaction.rollback().await?;
            } else {
                drop(transaction);
            }
            assert_eq!(count_users(&store).await?, 0);
        }
        Ok(())
    }

    /// Ten replicas each add one unless there are three.
    async fn exclusive_transactions_keep_a_rule_over_several_rows(database: TestDatabase) -> Result<()> {
        let store = store_with_users(&database).await?;
        let add = |id: usize| {
            let store = store.clone();
            async move {
                let mut transaction = store.begin_exclusive("three users").await?;
                let users: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM users")
                    .fetch_one(&mut *transaction)
                    .await?;
                if users < 3 {
                    sqlx::query("INSERT INTO users (id, username) VALUES ($1, $1)")
                        .bind(id.to_string())
                        .execute(&mut *transaction)
                        .await?;
                }
                transaction.commit().await
            }
        };
        let replicas: Vec<_> = (0..10).map(|id| tokio::spawn(add(id))).collect();
        for replica in replicas {
            replica.await??;
        }
        assert_eq!(count_users(&store).await?, 3);
        Ok(())
    }

    async fn the_databases_clock_is_in_epoch_milliseconds(database: TestDatabase) -> Result<()> {
        let store = store_with_users(&database).await?;
        let minute = 60_000;
        assert!((store.now().await? - Timestamp::now().as_millis()).abs() < minute);
        Ok(())
    }

    async fn services_in_one_place_do_not_see_each_other(database: TestDatabase) -> Result<()> {
        let store = store_with_users(&database).await?;
        add_user(&store, "1").await?;
        let other = database.open("other", Options::default()).await?;
        other.migrate(&migrator(&[USERS])).await?;
        assert_eq!(count_users(&other).await?, 0);
        Ok(())
    }
}
