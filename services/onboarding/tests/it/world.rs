//! A running service, and those who ask it.

use std::{rc::Rc, time::Duration};

use anyhow::{Context, Result, ensure};
use aws_access::{Sts, StsOptions};
use bus::{Answer as Answered, Bus, BusOptions, PublishError, RequestError, RequestOptions};
use contracts::{
    ErrorCode, Timestamp,
    query::{Command, ConnectedAgentsRequest, ConnectedAgentsResult, Params, QueryRequest, QueryResult},
    queues,
};
use onboarding::{AgentArgs, NAME, Onboarding, Parts, SessionTiming};
use reqwest::{Client, Method, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use sqlx::AssertSqlSafe;
use store::{Backend, Options, Store, testing::TestDatabase};
pub(crate) use testkit::{Answer, User, send};
use testkit::{Keys, Metrics, TestBus, eventually};
use tokio::{sync::mpsc, task::JoinHandle};
use web::{App, Outcome, RateLimit, Server, ServerConfig, Shutdown, config::RateLimitArgs};

pub(crate) const CLUSTERS: &str = "/api/v1/clusters";
pub(crate) const GENERATE: &str = "/api/v1/clusters/generate-install-script";

/// Far longer than anything takes here; only a failure waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Where a service's surroundings are, and what it is told.
pub(crate) struct Setup {
    pub(crate) database_url: SecretString,
    pub(crate) bus: TestBus,
    pub(crate) database: Options,
    pub(crate) agents: AgentArgs,
    pub(crate) timing: SessionTiming,
    /// Where AWS is; by default nowhere.
    pub(crate) aws_url: String,
}

impl Setup {
    /// SQLite comes with the in-process bus, PostgreSQL with RabbitMQ.
    pub(crate) fn on(database: &TestDatabase) -> Self {
        Self {
            database_url: database.url().clone(),
            bus: match database.backend() {
                Backend::Sqlite => TestBus::memory(),
                Backend::Postgres => TestBus::rabbitmq(),
            },
            database: Options::default(),
            // Tests ask the same again and again, and tell the questions apart.
            agents: AgentArgs { share_answers: false, ..AgentArgs::default() },
            timing: SessionTiming::default(),
            aws_url: "http://127.0.0.1:9".to_owned(),
        }
    }

    pub(crate) async fn start(self) -> Result<World> {
        self.start_with(Keys::generate(), Rc::new(Metrics::of_this_thread())).await
    }

    async fn start_with(self, keys: Keys, metrics: Rc<Metrics>) -> Result<World> {
        let store = Store::open_with(&self.database_url, NAME, self.database.clone()).await?;
        let shutdown = Shutdown::new();
        let serving = self.connect()?;
        let parts = Parts {
            store: store.clone(),
            bus: serving.clone(),
            verifier: keys.verifier(),
            rate_limit: RateLimit::new(&RateLimitArgs {
                rate_limit_enabled: false,
                rate_limit_requests_per_minute: std::num::NonZeroU32::MIN,
            }),
            own_url: "http://127.0.0.1:8009".parse()?,
            agents: self.agents.clone(),
            timing: self.timing,
            aws: Sts::new(&StsOptions {
                endpoint_url: Some(self.aws_url.parse()?),
                credentials: Some(("AKIAEXAMPLE".to_owned(), "secret".to_owned().into())),
            })
            .await,
            aws_principal: None,
        };
        let service = Onboarding::start(parts, &shutdown).await?;
        let server = Server::bind(&ServerConfig::new("127.0.0.1", 0)).await?;
        let address = server.local_addr();
        let router = App::new(NAME, "0").routes(service.routes.clone()).into_router();
        shutdown.spawn_critical("http", server.run(router, shutdown.token()));
        let bus = self.connect()?;
        bus.ready().await;
        // Of the many tests of this process the first one installs it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(PATIENCE).build()?;
        let world =
            World { address, client, store, bus, serving, keys, service, shutdown, metrics, setup: self };
        eventually("queries to be served", async || {
            let unrouted = |error: &RequestError| {
                matches!(error, RequestError::Publish(PublishError::Unroutable { .. }))
            };
            let query = query_for(User::Ada, "nobody");
            let asked: Result<QueryResult, _> =
                world.bus.request(queues::QUERIES, &query, RequestOptions::within(PATIENCE)).await;
            let connected = world.connected_agents(User::Ada).await;
            let served = !asked.is_err_and(|error| unrouted(&error)) && connected.is_ok();
            served.then_some(())
        })
        .await?;
        Ok(world)
    }

    /// Another process on the same bus.
    fn connect(&self) -> Result<Bus> {
        let options = BusOptions { prefix: self.bus.prefix.clone(), ..BusOptions::default() };
        Ok(Bus::connect(&self.bus.url, options)?)
    }
}

/// A service on a free port; it stops when this is dropped.
pub(crate) struct World {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) client: Client,
    pub(crate) store: Store,
    /// Of another process, which asks.
    pub(crate) bus: Bus,
    /// The service's own.
    pub(crate) serving: Bus,
    pub(crate) service: Onboarding,
    pub(crate) shutdown: Shutdown,
    /// What all replicas and their askers record.
    pub(crate) metrics: Rc<Metrics>,
    keys: Keys,
    setup: Setup,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.token().cancel();
    }
}

/// A cluster that was just made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) cluster_id: String,
    pub(crate) agent_id: String,
    pub(crate) key: String,
}

impl Made {
    /// The path of the cluster, and of what is below it.
    pub(crate) fn path(&self, below: &str) -> String {
        format!("{CLUSTERS}/{}{below}", self.cluster_id)
    }

    /// `get-pods` of its agent, asked by ada.
    pub(crate) fn query(&self) -> QueryRequest {
        query_for(User::Ada, &self.agent_id)
    }
}

pub(crate) async fn start(database: &TestDatabase) -> Result<World> {
    Setup::on(database).start().await
}

/// `get-pods` of the agent.
pub(crate) fn query_for(user: User, agent_id: &str) -> QueryRequest {
    QueryRequest {
        request_id: uuid::Uuid::now_v7().to_string(),
        agent_id: agent_id.to_owned(),
        command: Command::GetPods,
        cluster_config: Map::new(),
        params: Params::default(),
        user_id: Some(user.id().to_owned()),
        deadline: None,
        timestamp: Timestamp::now(),
    }
}

impl World {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// Calls with the user's key and, unless it is null, a body.
    pub(crate) async fn call(&self, user: User, method: Method, path: &str, body: Value) -> Result<Answer> {
        let request =
            self.request(method, path).header("X-API-Key", self.keys.of(user).secret().expose_secret());
        let request = if body.is_null() { request } else { request.json(&body) };
        send(request).await
    }

    pub(crate) async fn get(&self, user: User, path: &str) -> Result<Answer> {
        self.call(user, Method::GET, path, Value::Null).await
    }

    pub(crate) async fn post(&self, user: User, path: &str, body: Value) -> Result<Answer> {
        self.call(user, Method::POST, path, body).await
    }

    pub(crate) async fn delete(&self, user: User, path: &str) -> Result<Answer> {
        self.call(user, Method::DELETE, path, Value::Null).await
    }

    pub(crate) fn api_key(&self, user: User) -> &str {
        self.keys.of(user).secret().expose_secret()
    }

    /// Makes a cluster with an agent.
    pub(crate) async fn cluster(&self, user: User, name: &str) -> Result<Made> {
        let body = json!({"provider": "eks", "cluster_name": name});
        self.with_key(user, &self.post(user, GENERATE, body).await?).await
    }

    /// Makes a key for the agent of a cluster that was just made.
    pub(crate) async fn with_key(&self, user: User, made: &Answer) -> Result<Made> {
        let (cluster_id, agent_id) = (made.text(200, "/cluster_id")?, made.text(200, "/agent_id")?);
        let keys = format!("{CLUSTERS}/{cluster_id}/agent-keys");
        let key = self.post(user, &keys, Value::Null).await?.text(201, "/key")?;
        Ok(Made { cluster_id, agent_id, key })
    }

    pub(crate) async fn state(&self, user: User, cluster: &Made) -> Result<String> {
        self.get(user, &cluster.path("")).await?.text(200, "/state")
    }

    /// Waits until the cluster has that state.
    pub(crate) async fn state_becomes(&self, cluster: &Made, state: &str) -> Result<()> {
        eventually(state, async || (self.state(User::Ada, cluster).await.ok()? == state).then_some(())).await
    }

    /// Waits until the cluster's agent has no session.
    pub(crate) async fn until_absent(&self, cluster: &Made) -> Result<()> {
        eventually("the end of the session", async || {
            let answer = self.get(User::Ada, &cluster.path("")).await.ok()?;
            (answer.body["connected"] == false).then_some(())
        })
        .await
    }

    /// Asks as the cluster service does, with ample time.
    pub(crate) async fn ask(&self, query: &QueryRequest) -> Result<QueryResult> {
        Ok(self.bus.request(queues::QUERIES, query, RequestOptions::within(PATIENCE)).await?)
    }

    /// The same in the background, with time of one's choice.
    pub(crate) fn asking(
        &self,
        query: QueryRequest,
        patience: Duration,
    ) -> JoinHandle<Result<QueryResult, RequestError>> {
        let bus = self.bus.clone();
        let options = RequestOptions::within(patience);
        tokio::spawn(async move { bus.request(queues::QUERIES, &query, options).await })
    }

    /// Asks as the cluster service does now: for an answer in parts.
    pub(crate) async fn ask_in_parts(
        &self,
        query: &QueryRequest,
        patience: Duration,
    ) -> Result<Answered<QueryResult>, RequestError> {
        self.bus.ask(queues::QUERIES, query, RequestOptions::within(patience)).await
    }

    /// The same in the background, to its end.
    pub(crate) fn asking_in_parts(&self, query: &QueryRequest) -> JoinHandle<Result<Vec<u8>>> {
        let (bus, query) = (self.bus.clone(), query.clone());
        tokio::spawn(async move {
            let answer = bus.ask(queues::QUERIES, &query, RequestOptions::within(PATIENCE)).await?;
            read(answer).await
        })
    }

    pub(crate) async fn connected_agents(&self, user: User) -> Result<Vec<String>> {
        let request = ConnectedAgentsRequest {
            request_id: "r-1".to_owned(),
            user_id: user.id().to_owned(),
            timestamp: Timestamp::now(),
        };
        let options = RequestOptions::within(PATIENCE);
        let result: ConnectedAgentsResult =
            self.bus.request(queues::CONNECTED_AGENTS, &request, options).await?;
        ensure!(result.request_id == "r-1" && result.code.is_none(), "{result:?}");
        Ok(result.agents)
    }

    /// Changes a row behind the service's back.
    pub(crate) async fn sql(&self, sql: &str, id: &str) -> Result<()> {
        let changed = sqlx::query(AssertSqlSafe(sql.to_owned())).bind(id);
        let changed = changed.execute(self.store.pool()).await?;
        ensure!(changed.rows_affected() == 1, "{sql} changed nothing");
        Ok(())
    }

    /// Tells the service to stop; answers how it did.
    pub(crate) fn stop(&self) -> JoinHandle<Outcome> {
        let (signal, signals) = mpsc::channel(1);
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            let signalled = signal.send(()).await.is_ok();
            let outcome = shutdown.run_with_signals(signals).await;
            assert!(signalled);
            outcome
        })
    }

    /// Another replica.
    pub(crate) async fn replica(&self) -> Result<Self> {
        let Setup { database_url, bus, database, agents, timing, aws_url } = &self.setup;
        let bus = TestBus { url: bus.url.clone(), prefix: bus.prefix.clone(), cleanup: bus.cleanup.clone() };
        let setup = Setup {
            database_url: database_url.clone(),
            bus,
            database: database.clone(),
            agents: agents.clone(),
            timing: *timing,
            aws_url: aws_url.clone(),
        };
        let replica = setup.start_with(self.keys.clone(), Rc::clone(&self.metrics)).await?;
        for world in [self, &replica] {
            eventually("the replicas to know of each other", async || {
                let replica = world.service.replica();
                replica.clone().readiness().await.ok().filter(|()| replica.has_others())
            })
            .await?;
        }
        Ok(replica)
    }

    /// Another handle on its bus.
    pub(crate) async fn another_bus(&self) -> Result<Bus> {
        let bus = self.setup.connect()?;
        bus.ready().await;
        Ok(bus)
    }
}

/// Reads an answer to its end; it is as the agent sent it, packed or not.
pub(crate) async fn read(answer: Answered<QueryResult>) -> Result<Vec<u8>> {
    let mut body = answer.body.with_context(|| format!("no result: {:?}", answer.head))?;
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await {
        bytes.extend_from_slice(&part?);
    }
    Ok(bytes)
}

/// Checks that a query has no result, but this code.
pub(crate) fn refused(answer: &QueryResult, code: &ErrorCode) -> Result<String> {
    ensure!(answer.code.as_ref() == Some(code), "not {code}: {answer:?}");
    ensure!(answer.result.is_none(), "a result too: {answer:?}");
    answer.error.clone().context("an error says what is wrong")
}
