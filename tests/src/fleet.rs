//! Several replicas of each service on one broker and one database, a balancer before those of onboarding, and a crowd of agents.

mod load;
mod replica;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use contracts::{Token, TokenKind};
use futures_util::{StreamExt, TryStreamExt, stream};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use store::{Options, Store, testing::TestDatabase};
use testkit::{
    Balancer, Crowd, Identity, Process, Proxy, TestBus, amqp_address, amqp_url, amqp_url_at,
    eventually_within,
};

use crate::{Answer, Client};
pub use load::{Asked, Load};
pub use replica::Replica;

const READY: Duration = Duration::from_secs(30);
/// Thousands of agents are let in one after the other.
const CONNECTED: Duration = Duration::from_secs(120);
/// So many clusters are made at a time.
const AT_A_TIME: usize = 16;

/// The replicas.
pub struct Fleet {
    /// Of onboarding. Those that were killed or stopped are not in it.
    pub onboarding: Vec<Replica>,
    /// Before the replicas of onboarding, for agents.
    pub balancer: Balancer,
    /// The administrator.
    pub admin: Client,
    /// Processes of the cluster service.
    pub cluster: Vec<Process>,
    /// Processes of user-auth.
    pub user_auth: Vec<Process>,
    /// Before each of these services, for whoever calls them.
    balancers: Balancers,
    /// What replicas of onboarding are told besides.
    variables: Vec<(&'static str, String)>,
    /// Each agent's cluster.
    clusters: HashMap<String, String>,
    bus: TestBus,
    database: TestDatabase,
    service_token: String,
}

struct Balancers {
    cluster: Balancer,
    user_auth: Balancer,
}

impl Fleet {
    /// Starts so many replicas of onboarding, which are told these variables besides, two of the cluster service and two of
    /// user-auth.
    ///
    /// # Errors
    /// When a process does not come up; the error holds its log.
    pub async fn start(count: usize, variables: &[(&'static str, &str)]) -> Result<Self> {
        let (database, bus) = (TestDatabase::postgres().await, TestBus::rabbitmq());
        let key = |kind| Token::generate(kind, &mut rand::rng()).secret().expose_secret().to_owned();
        let (api_key, service_token) = (key(TokenKind::ApiKey), key(TokenKind::ServiceToken));
        let mut fleet = Self {
            onboarding: Vec::new(),
            balancer: Balancer::start(Vec::new()).await?,
            admin: Client::new(api_key.clone())?,
            cluster: Vec::new(),
            user_auth: Vec::new(),
            balancers: Balancers {
                cluster: Balancer::start(Vec::new()).await?,
                user_auth: Balancer::start(Vec::new()).await?,
            },
            variables: variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            clusters: HashMap::new(),
            bus,
            database,
            service_token,
        };
        // Both at once, so that they meet an empty database together.
        for _ in 0..2 {
            fleet.user_auth.push(fleet.start_user_auth()?);
        }
        fleet.balance_services().await?;
        for _ in 0..2 {
            fleet.cluster.push(fleet.start_cluster()?);
        }
        fleet.balance_services().await?;
        for _ in 0..count {
            fleet.join(&[]).await?;
        }
        Ok(fleet)
    }

    /// Starts one more process of user-auth.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_user_auth(&self) -> Result<Process> {
        let mut variables = self.common(amqp_url());
        variables.extend(self.stored(self.database.url().expose_secret().to_owned()));
        variables.push(("BOOTSTRAP_API_KEY", self.admin.api_key.clone()));
        Process::start("user-auth", [""; 0], variables)
    }

    /// Starts one more process of the cluster service.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_cluster(&self) -> Result<Process> {
        let mut variables = self.common(amqp_url());
        variables.extend(self.stored(self.database.url().expose_secret().to_owned()));
        variables.push(self.user_service_url());
        variables.push(("WEBSOCKET_TIMEOUT", "10".to_owned()));
        Process::start("cluster", [""; 0], variables)
    }

    fn user_service_url(&self) -> (&'static str, String) {
        ("USER_SERVICE_URL", format!("http://{}", self.balancers.user_auth.address()))
    }

    /// Waits until all processes of the cluster service and of user-auth are ready, and has their balancers know which there are.
    ///
    /// # Errors
    /// When one does not become ready.
    pub async fn balance_services(&self) -> Result<()> {
        for (processes, balancer) in
            [(&self.user_auth, &self.balancers.user_auth), (&self.cluster, &self.balancers.cluster)]
        {
            let mut addresses = Vec::new();
            for process in processes {
                let address = process.address().await?;
                ready(&self.admin, &format!("http://{address}")).await.with_context(|| process.log())?;
                addresses.push(address);
            }
            balancer.balance(addresses);
        }
        Ok(())
    }

    fn common(&self, bus_url: String) -> Vec<(&'static str, String)> {
        vec![
            ("HOST", "127.0.0.1".to_owned()),
            ("PORT", "0".to_owned()),
            ("BUS_URL", bus_url),
            ("QUEUE_PREFIX", self.bus.prefix.clone()),
            ("SERVICE_TOKEN", self.service_token.clone()),
            ("RATE_LIMIT_ENABLED", "false".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
        ]
    }

    fn stored(&self, url: String) -> [(&'static str, String); 2] {
        [("DATABASE_URL", url), ("SECRETS_KEY", BASE64_STANDARD.encode([7; 32]))]
    }

    /// Starts one more replica of onboarding, which is told these variables besides, and waits until it takes part.
    ///
    /// # Errors
    /// When it does not come up; the error holds its log.
    pub async fn join(&mut self, more: &[(&'static str, String)]) -> Result<()> {
        let mut url = url(self.database.url().expose_secret())?;
        let upstream = format!("{}:{}", url.host_str().unwrap_or("127.0.0.1"), url.port().unwrap_or(5432));
        let (broker, database) = (Proxy::start(amqp_address()?).await?, Proxy::start(upstream).await?);
        url.set_host(Some("127.0.0.1"))?;
        url.set_port(Some(database.address().port()))
            .map_err(|()| anyhow::anyhow!("the URL takes no port"))?;
        let mut variables = self.common(amqp_url_at(broker.address())?);
        variables.extend(self.stored(url.into()));
        variables.push(self.user_service_url());
        variables.extend(self.variables.iter().cloned().chain(more.iter().cloned()));
        let process = Process::start("onboarding", [""; 0], variables)?;
        let address = process.address().await?;
        let up = ready(&self.admin, &format!("http://{address}")).await;
        up.with_context(|| process.log())?;
        self.onboarding.push(Replica { process, address, broker, database });
        self.balance();
        // What stops hands its agents over only to those that it knows of.
        for replica in &self.onboarding {
            eventually_within(READY, "the replicas to know of each other", async || {
                let known = replica.metric(&self.admin, "replicas_known").await.ok()?;
                (known >= self.onboarding.len() as f64).then_some(())
            })
            .await?;
        }
        Ok(())
    }

    /// Has the balancer know which replicas there are.
    pub fn balance(&self) {
        self.balancer.balance(self.onboarding.iter().map(|replica| replica.address).collect());
    }

    /// Makes so many clusters, and an agent for each.
    ///
    /// # Errors
    /// When one cannot be made.
    pub async fn make_agents(&mut self, count: usize) -> Result<Vec<Identity>> {
        let base = format!("http://{}/api/v1/clusters", self.onboarding[0].address);
        let (admin, first) = (&self.admin, self.clusters.len());
        let made: Vec<(Identity, String)> = stream::iter(first..first + count)
            .map(async |number| {
                let body = json!({"provider": "other", "cluster_name": format!("cluster-{number}")});
                let made = admin.post(&format!("{base}/generate-install-script"), &body).await?;
                let (agent_id, cluster_id) = (text(&made, "agent_id")?, text(&made, "cluster_id")?);
                let key = admin.post(&format!("{base}/{cluster_id}/agent-keys"), &Value::Null).await?;
                anyhow::Ok((Identity { agent_id, key: text(&key, "key")? }, cluster_id))
            })
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await?;
        self.clusters.extend(made.iter().map(|(agent, cluster)| (agent.agent_id.clone(), cluster.clone())));
        Ok(made.into_iter().map(|(agent, _)| agent).collect())
    }

    /// Starts these agents, and waits until all have a session.
    ///
    /// # Errors
    /// When they do not.
    pub async fn connect(&self, agents: &[Identity]) -> Result<Crowd> {
        let crowd = Crowd::start(self.balancer.address(), agents.to_vec());
        crowd.until_connected(agents.len(), CONNECTED).await?;
        Ok(crowd)
    }

    /// Asks an agent for its namespaces by one of the cluster processes.
    ///
    /// # Errors
    /// When there is no HTTP answer.
    pub async fn ask(&self, by: usize, agent_id: &str) -> Result<Answer> {
        let address = self.cluster[by % self.cluster.len()].address().await?;
        self.admin.get(&format!("http://{address}/api/v3.0/cluster/namespaces?agent_id={agent_id}")).await
    }

    /// The agents that are connected, as each cluster process tells it.
    ///
    /// # Errors
    /// When one does not tell.
    pub async fn connected_agents(&self) -> Result<Vec<Vec<String>>> {
        let mut all = Vec::new();
        for process in &self.cluster {
            let url = format!("http://{}/api/v3.0/cluster/agents/connected", process.address().await?);
            let answer = self.admin.get(&url).await?;
            ensure!(answer.status == 200, "{answer:?}");
            all.push(serde_json::from_value(answer.body["connected_agents"].clone())?);
        }
        Ok(all)
    }

    /// Asks all these agents again and again, so many at a time, until the load is stopped.
    pub fn load(&self, agents: &[Identity], at_a_time: usize) -> Load {
        let ids = agents.iter().map(|agent| agent.agent_id.clone()).collect();
        Load::start(&self.admin, self.balancers.cluster.address(), ids, at_a_time)
    }

    /// The database, as onboarding has it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn store(&self) -> Result<Store> {
        Ok(self.database.open("onboarding", Options::default()).await?)
    }

    /// The agents whose sessions a replica holds, as the directory says it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn held_by(&self, replica: &Replica) -> Result<HashSet<String>> {
        let held: Vec<String> = sqlx::query_scalar("SELECT agent_id FROM agent_sessions WHERE replica = $1")
            .bind(replica.bus_address()?)
            .fetch_all(self.store().await?.pool())
            .await?;
        Ok(held.into_iter().collect())
    }

    /// The bus, as another process has it.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn bus(&self) -> Result<bus::Bus> {
        let options = bus::BusOptions { prefix: self.bus.prefix.clone(), ..bus::BusOptions::default() };
        let bus = bus::Bus::connect(&self.bus.url, options)?;
        bus.ready().await;
        Ok(bus)
    }

    /// The URL of the cluster of this agent, at one of the replicas.
    pub fn cluster_of(&self, agent_id: &str, at: usize) -> String {
        let cluster = self.clusters.get(agent_id).map_or("", String::as_str);
        format!("http://{}/api/v1/clusters/{cluster}", self.onboarding[at].address)
    }
}

fn url(text: &str) -> Result<reqwest::Url> {
    Ok(text.parse()?)
}

fn text(answer: &Answer, field: &str) -> Result<String> {
    answer.body[field].as_str().map(str::to_owned).with_context(|| format!("no {field}: {answer:?}"))
}

async fn ready(client: &Client, url: &str) -> Result<()> {
    eventually_within(READY, "a service to be ready", async || {
        client.get(&format!("{url}/readyz")).await.ok().filter(|answer| answer.status == 200)
    })
    .await
    .map(drop)
}
