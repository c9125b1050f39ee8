//! What happens while the database or the broker is away, and afterwards.

use anyhow::Result;
use bus::Notice;
use contracts::{ErrorCode, Token, TokenKind, events::EventType, queues::Service as Asking};
use secrecy::ExposeSecret;
use serde_json::json;
use sqlx::{AnyConnection, Connection, Executor};
use store::{Options, testing::TestDatabase};
use testkit::{Proxy, TestBus, amqp_address, amqp_url_at, eventually};
use tokio::time::{Duration, timeout};
use url::Url;
use web::auth::{RemoteVerifier, Verifier};

use crate::harness::{KEYS, Running, Setup, auth_args, verify_for};

/// How long the service waits for its database here.
const TIMEOUT: Duration = Duration::from_millis(500);

fn quick(database: &TestDatabase) -> Setup {
    Setup { database: Options { timeout: TIMEOUT, ..Options::default() }, ..Setup::on(database) }
}

#[tokio::test]
async fn a_locked_sqlite_file_is_503_for_changes_and_none_for_verification() -> Result<()> {
    let database = TestDatabase::sqlite();
    let service = quick(&database).start().await?;
    let file = database.url().expose_secret().replace("sqlite:", "sqlite://");
    let mut other = AnyConnection::connect(&format!("{file}user-auth.db")).await?;
    other.execute("BEGIN EXCLUSIVE").await?;

    let key = json!({"name": "a", "scopes": ["read"]});
    let refused = service.post(&service.admin, KEYS, key.clone()).await?;
    assert!(!refused.problem(503, "unavailable")?.contains("locked"));
    assert!(service.verify(&service.admin).await?.valid);

    other.execute("ROLLBACK").await?;
    service.post(&service.admin, KEYS, key).await?.json(201)?;
    Ok(())
}

/// PostgreSQL behind a proxy.
async fn behind_a_proxy(database: &TestDatabase) -> Result<(Proxy, Running)> {
    let mut url: Url = database.url().expose_secret().parse()?;
    let server = format!("{}:{}", url.host_str().unwrap_or("127.0.0.1"), url.port().unwrap_or(5432));
    let proxy = Proxy::start(server).await?;
    url.set_host(Some(&proxy.address().ip().to_string()))?;
    url.set_port(Some(proxy.address().port())).map_err(|()| anyhow::anyhow!("the URL takes no port"))?;
    let setup = Setup { database_url: String::from(url).into(), bus: TestBus::memory(), ..quick(database) };
    let service = setup.start().await?;
    Ok((proxy, service))
}

#[tokio::test]
async fn a_postgres_that_is_gone_is_503_until_it_is_back() -> Result<()> {
    let database = TestDatabase::postgres().await;
    let (proxy, service) = behind_a_proxy(&database).await?;
    proxy.cut();
    let me = service.me(&service.admin).await?;
    me.problem(503, "unavailable")?;
    let result = service.verify(&service.admin).await?;
    assert_eq!((result.valid, result.code), (false, Some(ErrorCode::Unavailable)));

    proxy.resume();
    eventually("the service is back", async || {
        let me = service.me(&service.admin).await.ok()?;
        (me.status == 200).then_some(())
    })
    .await
}

#[tokio::test]
async fn connections_that_postgres_ends_are_not_noticed_by_callers() -> Result<()> {
    let database = TestDatabase::postgres().await;
    let service = quick(&database).start().await?;
    for _ in 0..3 {
        database.cut_connections().await?;
        service.me(&service.admin).await?.json(200)?;
    }
    Ok(())
}

/// The broker is away: keys are verified over HTTP, changes are made, and what happened is told when it is back.
#[tokio::test]
async fn without_the_broker_work_goes_on_and_events_wait() -> Result<()> {
    let database = TestDatabase::postgres().await;
    let proxy = Proxy::start(amqp_address()?).await?;
    let setup = Setup {
        bus: TestBus { url: amqp_url_at(proxy.address())?.into(), ..TestBus::rabbitmq() },
        ..quick(&database)
    };
    let service = setup.start().await?;
    let bus = setup.connect()?;
    bus.ready().await;
    let verifier = RemoteVerifier::start(&bus, Asking::Cluster, &auth_args(Some(&service))?)?;
    let direct = Setup {
        bus: TestBus { prefix: setup.bus.prefix.clone(), ..TestBus::rabbitmq() },
        ..quick(&database)
    }
    .connect()?;
    let mut watch = direct.watch_events(&["api_key.revoked"]);
    anyhow::ensure!(watch.next().await == Some(Notice::Gap));
    let user = service.user("ada", &[]).await?;
    let (id, key) = service.key_of(&user, &["read"]).await?;

    proxy.cut();
    let answer = verifier.verify(Token::parse(TokenKind::ApiKey, &key)?).await;
    assert!(answer.valid, "{answer:?}");
    service.revoke(&service.admin, &id).await?.json(204)?;

    proxy.resume();
    match timeout(Duration::from_secs(30), watch.next()).await? {
        Some(Notice::Event(event)) => {
            assert_eq!(event.event_type, EventType::ApiKeyRevoked);
            assert_eq!(event.text("key_id"), Some(id.as_str()));
        }
        other => anyhow::bail!("{other:?}"),
    }
    eventually("the bus answers", async || {
        verify_for(&direct, Asking::Cluster, &service.admin).await.ok().filter(|result| result.valid)
    })
    .await?;
    Ok(())
}
