//! What happens while the database is away, and afterwards.

use std::time::Duration;

use anyhow::{Context, Result};
use contracts::ErrorCode;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection, Executor};
use store::{Options, testing::TestDatabase};
use testkit::{Proxy, TestBus, eventually};
use tokio::time::Instant;
use url::Url;

use crate::{
    agent::Agent,
    world::{CLUSTERS, GENERATE, Made, Setup, User, World, refused},
};

/// How long the service waits for its database here.
const TIMEOUT: Duration = Duration::from_millis(300);
const STATEMENT_TIMEOUT: Duration = Duration::from_millis(900);
/// Long enough for all that an endpoint does: it looks for the cluster and then changes it.
const BOUND: Duration = Duration::from_secs(5);

fn quick() -> Options {
    Options { timeout: TIMEOUT, statement_timeout: STATEMENT_TIMEOUT, ..Options::default() }
}

/// A connected agent, and a cluster without one.
struct Scene {
    world: World,
    cluster: Made,
    agent: Agent,
    idle: Made,
}

impl Scene {
    async fn set(setup: Setup) -> Result<Self> {
        let world = setup.start().await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        let idle = world.cluster(User::Ada, "b").await?;
        agent.beat(1, 1).await?;
        let mut scene = Self { world, cluster, agent, idle };
        scene.nodes_become(1).await?;
        scene.answers().await?;
        Ok(scene)
    }

    /// The connected agent answers a query.
    async fn answers(&mut self) -> Result<()> {
        self.agent.answers(&self.world, &self.cluster.query()).await
    }

    /// Waits until what an agent said has been written.
    async fn nodes_become(&self, nodes: u64) -> Result<()> {
        eventually("the heartbeat", async || {
            let answer = self.world.get(User::Ada, &self.cluster.path("")).await.ok()?;
            (answer.body["nodes"] == nodes).then_some(())
        })
        .await
    }

    /// What changes the database is refused in time.
    async fn changes_are_unavailable(&self) -> Result<()> {
        let started = Instant::now();
        let generate = self.world.post(User::Ada, GENERATE, json!({"provider": "eks", "cluster_name": "c"}));
        let (keys, cluster) = (self.idle.path("/agent-keys"), self.idle.path(""));
        let new_key = self.world.post(User::Ada, &keys, Value::Null);
        let delete = self.world.delete(User::Ada, &cluster);
        let knock = Agent::connect(&self.world, &self.idle);
        let (generate, new_key, delete, knock) = tokio::join!(generate, new_key, delete, knock);
        for answer in [generate?, new_key?, delete?] {
            let detail = answer.problem(503, "unavailable")?;
            assert!(!detail.contains("locked") && !detail.contains("sql"), "{detail}");
        }
        let refusal = knock.err().context("the key cannot be checked")?.to_string();
        assert!(refusal.contains("503"), "{refusal}");
        assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
        Ok(())
    }

    /// What only reads the database, too.
    async fn reads_are_unavailable(&self) -> Result<()> {
        let started = Instant::now();
        let (keys, cluster) = (self.idle.path("/agent-keys"), self.idle.path(""));
        let verify = self.idle.path("/verify-connection");
        let query = self.idle.query();
        let (list, get, keys, verify, answer) = tokio::join!(
            self.world.get(User::Ada, CLUSTERS),
            self.world.get(User::Ada, &cluster),
            self.world.get(User::Ada, &keys),
            self.world.post(User::Ada, &verify, Value::Null),
            self.world.ask(&query),
        );
        for answer in [list?, get?, keys?, verify?] {
            answer.problem(503, "unavailable")?;
        }
        refused(&answer?, &ErrorCode::Unavailable)?;
        assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
        Ok(())
    }

    /// Queries are answered while nothing else is.
    async fn lives_without_database(&mut self) -> Result<()> {
        self.agent.beat(2, 2).await?;
        self.answers().await?;
        self.changes_are_unavailable().await?;
        self.reads_are_unavailable().await?;
        self.answers().await
    }

    /// All is well again, and nothing was forgotten.
    async fn recovers(&mut self, nodes: u64) -> Result<()> {
        self.nodes_become(nodes).await?;
        eventually("a change", async || {
            let keys = self.idle.path("/agent-keys");
            let made = self.world.post(User::Ada, &keys, Value::Null).await.ok()?;
            (made.status == 201).then_some(())
        })
        .await?;
        // A connection from before may still be in the pool, and dead.
        eventually("who is connected to be read", async || {
            let answer = self.world.ask(&self.idle.query()).await.ok()?;
            refused(&answer, &ErrorCode::AgentNotConnected).ok()
        })
        .await?;
        Agent::open(&self.world, &self.idle).await?;
        self.answers().await
    }
}

#[tokio::test]
async fn a_locked_sqlite_file_stops_changes_and_no_queries() -> Result<()> {
    let database = TestDatabase::sqlite();
    let mut scene = Scene::set(Setup { database: quick(), ..Setup::on(&database) }).await?;
    let file = database.url().expose_secret().replace("sqlite:", "sqlite://");
    let mut other = AnyConnection::connect(&format!("{file}onboarding.db")).await?;
    other.execute("BEGIN IMMEDIATE").await?;

    scene.agent.beat(2, 2).await?;
    scene.answers().await?;
    scene.changes_are_unavailable().await?;
    // Reading does not wait for those who write.
    for path in [CLUSTERS.to_owned(), scene.idle.path(""), scene.idle.path("/agent-keys")] {
        scene.world.get(User::Ada, &path).await?.json(200)?;
    }
    scene.answers().await?;

    other.execute("ROLLBACK").await?;
    scene.recovers(2).await
}

/// PostgreSQL behind a proxy.
async fn behind_a_proxy(database: &TestDatabase, options: Options) -> Result<(Proxy, Scene)> {
    let mut url: Url = database.url().expose_secret().parse()?;
    let server = format!("{}:{}", url.host_str().unwrap_or("127.0.0.1"), url.port().unwrap_or(5432));
    let proxy = Proxy::start(server).await?;
    url.set_host(Some(&proxy.address().ip().to_string()))?;
    url.set_port(Some(proxy.address().port())).map_err(|()| anyhow::anyhow!("the URL takes no port"))?;
    let setup = Setup {
        database_url: String::from(url).into(),
        bus: TestBus::memory(),
        database: options,
        ..Setup::on(database)
    };
    Ok((proxy, Scene::set(setup).await?))
}

#[tokio::test]
async fn a_postgres_that_is_gone_stops_no_queries() -> Result<()> {
    let database = TestDatabase::postgres().await;
    let (proxy, mut scene) = behind_a_proxy(&database, quick()).await?;
    proxy.cut();
    scene.lives_without_database().await?;
    proxy.resume();
    scene.recovers(2).await
}

#[tokio::test]
async fn a_postgres_that_falls_silent_stops_no_queries() -> Result<()> {
    let database = TestDatabase::postgres().await;
    let (proxy, mut scene) = behind_a_proxy(&database, quick()).await?;
    proxy.swallow();
    scene.lives_without_database().await?;
    // Connections from before stay dead: what was swallowed is lost.
    proxy.resume();
    scene.recovers(2).await
}

/// Waits until so many statements wait for a lock.
async fn waiting_for_locks(connection: &mut AnyConnection, expected: i64) -> Result<()> {
    let count = "SELECT COUNT(*) FROM pg_stat_activity \
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("statements to wait for a lock, or none", async || {
        let waiting: i64 = sqlx::query_scalar(count).fetch_one(&mut *connection).await.ok()?;
        (waiting == expected).then_some(())
    })
    .await
}

/// Statements that wait for a lock when the server falls silent wait for ever, unless somebody bounds them.
#[tokio::test]
async fn a_postgres_that_falls_silent_in_the_midst_of_statements_is_given_up() -> Result<()> {
    let database = TestDatabase::postgres().await;
    let timeout = Duration::from_secs(3);
    let options = Options { timeout, statement_timeout: timeout, ..Options::default() };
    let (proxy, mut scene) = behind_a_proxy(&database, options).await?;
    let mut locking = AnyConnection::connect(database.url().expose_secret()).await?;
    let mut watching = AnyConnection::connect(database.url().expose_secret()).await?;
    locking.execute("BEGIN; LOCK TABLE onboarding.clusters IN ACCESS EXCLUSIVE MODE").await?;
    scene.agent.beat(2, 2).await?;
    let falling_silent = async {
        // Three requests and the heartbeats.
        waiting_for_locks(&mut watching, 4).await?;
        proxy.swallow();
        anyhow::Ok(())
    };
    let started = Instant::now();
    let (silent, generate, list, knock) = tokio::join!(
        falling_silent,
        scene.world.post(User::Ada, GENERATE, json!({"provider": "eks", "cluster_name": "c"})),
        scene.world.get(User::Ada, CLUSTERS),
        Agent::connect(&scene.world, &scene.idle),
    );
    silent?;
    generate?.problem(503, "unavailable")?;
    list?.problem(503, "unavailable")?;
    assert!(knock.err().context("the key cannot be checked")?.to_string().contains("503"));
    assert!(started.elapsed() < timeout + BOUND, "{:?}", started.elapsed());
    scene.answers().await?;

    // The server has given up too, and that has been swallowed.
    waiting_for_locks(&mut watching, 0).await?;
    locking.execute("ROLLBACK").await?;
    proxy.resume();
    scene.recovers(2).await
}

#[tokio::test]
async fn connections_that_postgres_ends_are_not_noticed_by_callers() -> Result<()> {
    let database = TestDatabase::postgres().await;
    let mut scene = Scene::set(Setup::on(&database)).await?;
    for _ in 0..3 {
        database.cut_connections().await?;
        scene.world.get(User::Ada, CLUSTERS).await?.json(200)?;
        scene.answers().await?;
    }
    Ok(())
}

/// The last words of a process whose database is gone: it stops all the same.
#[tokio::test]
async fn a_process_stops_without_its_database() -> Result<()> {
    let database = TestDatabase::postgres().await;
    let (proxy, mut scene) = behind_a_proxy(&database, quick()).await?;
    proxy.swallow();
    scene.agent.beat(9, 9).await?;
    scene.answers().await?;
    let stopped = scene.world.stop();
    scene.agent.receive().await?;
    scene.agent.closed(1001).await?;
    assert_eq!(stopped.await?, web::Outcome::Clean);
    Ok(())
}
