//! A database that is locked, gone or out of reach is an error in time, and is used again when it is back.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use anyhow::Result;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{AnyConnection, Connection, Executor};
use store::{Store, test_on_both};
use tempfile::TempDir;
use testkit::{Proxy, eventually};
use tokio::net::TcpListener;
use url::Url;

use super::*;

/// Generous, for a loaded machine; a hang would be far longer.
const AT_ONCE: Duration = Duration::from_secs(10);

fn unavailable<T>(result: Result<T, StoreError>) {
    match result {
        Err(StoreError::Unavailable(_)) => {}
        Err(other) => panic!("not Unavailable: {other:?}"),
        Ok(_) => panic!("it is available"),
    }
}

test_on_both! {
    async fn what_another_holds_is_unavailable_in_time_and_then_available(database: TestDatabase) -> Result<()> {
        let store = store_with_users(&database).await?;
        let impatient = database.open(SERVICE, impatient()).await?;
        let held = store.begin_exclusive("rule").await?;
        let began = Instant::now();
        unavailable(impatient.begin_exclusive("rule").await);
        assert!(began.elapsed() < AT_ONCE);
        held.rollback().await?;
        impatient.begin_exclusive("rule").await?;
        Ok(())
    }

    async fn an_exhausted_pool_is_unavailable_in_time(database: TestDatabase) -> Result<()> {
        store_with_users(&database).await?;
        let store = database.open(SERVICE, Options { max_connections: 1, ..impatient() }).await?;
        let held = store.begin().await?;
        unavailable(store.ping().await);
        drop(held);
        store.ping().await?;
        Ok(())
    }

    async fn cut_connections_are_replaced(database: TestDatabase) -> Result<()> {
        let store = store_with_users(&database).await?;
        let mut transaction = store.begin().await?;
        sqlx::query("INSERT INTO users (id, username) VALUES ('1', 'ada')")
            .execute(&mut *transaction)
            .await?;
        database.cut_connections().await?;
        if database.backend() == store::Backend::Postgres {
            unavailable(transaction.commit().await);
        } else {
            transaction.rollback().await?;
        }
        assert_eq!(count_users(&store).await?, 0);
        add_user(&store, "1").await?;
        Ok(())
    }
}

#[tokio::test]
async fn an_exclusively_locked_file_is_unavailable_in_time_and_then_available() -> Result<()> {
    let directory = TempDir::new()?;
    let file = directory.path().join("test.db");
    let url = format!("sqlite:{}", file.display());
    let store = Store::open_with(&url.clone().into(), SERVICE, impatient()).await?;
    store.migrate(&migrator(&[USERS])).await?;

    let mut other = AnyConnection::connect(&url).await?;
    other.execute("BEGIN EXCLUSIVE").await?;
    let began = Instant::now();
    unavailable(add_user(&store, "1").await);
    assert!(began.elapsed() < AT_ONCE);
    other.execute("ROLLBACK").await?;
    add_user(&store, "1").await?;
    Ok(())
}

#[tokio::test]
async fn files_are_for_their_owner_alone() -> Result<()> {
    let directory = TempDir::new()?;
    let path = directory.path().join("deep/a b%20#");
    let url = format!("sqlite:{}/", path.display());
    let store = Store::open(&url.into(), SERVICE).await?;
    store.migrate(&migrator(&[USERS])).await?;
    add_user(&store, "1").await?;
    let mode = |path| anyhow::Ok(fs::metadata(path)?.permissions().mode() & 0o777);
    assert_eq!(mode(path.clone())?, 0o700);
    assert_eq!(mode(path.join("test-service.db"))?, 0o600);
    assert_eq!(mode(path.join("test-service.db-wal"))?, 0o600);
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_there_or_says_nothing_is_unavailable_in_time() -> Result<()> {
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let port = silent.local_addr()?.port();
    let open = || async move {
        let url: SecretString = format!("postgres://user:hunter2@127.0.0.1:{port}/db").into();
        let began = Instant::now();
        let result = Store::open_with(&url, SERVICE, impatient()).await;
        assert!(began.elapsed() < AT_ONCE);
        assert!(!format!("{result:?}").contains("hunter2"));
        unavailable(result);
    };
    open().await;
    drop(silent);
    open().await;
    Ok(())
}

/// The only connection of the pool hangs, is given up, and does not keep its place in the pool.
#[tokio::test]
async fn a_server_that_falls_silent_is_unavailable_in_time_and_then_available() -> Result<()> {
    let database = TestDatabase::postgres().await;
    store_with_users(&database).await?;
    let mut url: Url = database.url().expose_secret().parse()?;
    let server = format!("{}:{}", url.host_str().unwrap_or("127.0.0.1"), url.port().unwrap_or(5432));
    let proxy = Proxy::start(server).await?;
    url.set_host(Some(&proxy.address().ip().to_string()))?;
    url.set_port(Some(proxy.address().port())).expect("the URL takes a port");
    let options = Options { max_connections: 1, ..impatient() };
    let store = Store::open_with(&String::from(url).into(), SERVICE, options).await?;

    let mut transaction = store.begin().await?;
    proxy.swallow();
    let began = Instant::now();
    let add = sqlx::query("INSERT INTO users (id, username) VALUES ('1', 'ada')");
    let added = store.bounded(async { Ok(add.execute(&mut *transaction).await?) }).await;
    unavailable(added);
    drop(transaction);
    unavailable(store.ping().await);
    assert!(began.elapsed() < AT_ONCE);

    proxy.resume();
    eventually("the store is back", async || store.ping().await.ok()).await?;
    assert_eq!(count_users(&store).await?, 0);
    Ok(())
}
