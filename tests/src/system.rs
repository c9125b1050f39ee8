//! Starts user-auth, cluster, onboarding and an agent, each as its own process.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use contracts::{Token, TokenKind};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sim::Sim;
use store::testing::TestDatabase;
use testkit::{
    Cluster, Process, Proxy, TestBus, amqp_address, amqp_url_at, eventually, eventually_within, series_value,
};
use tokio::task::JoinHandle;

use crate::{Answer, Client};

/// How a [`System`] differs from the usual one.
#[derive(Clone, Debug)]
pub struct Options {
    /// Use the queues' own names, as clients of the earlier system do.
    pub without_prefix: bool,
    /// Seconds that the cluster service gives an agent.
    pub websocket_timeout: u32,
    /// What the processes log, in place of `info`.
    pub rust_log: Option<String>,
    /// Use a simulated cluster even where tests are to run on a real one, for its faults and its seed.
    pub simulated: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { without_prefix: false, websocket_timeout: 10, rust_log: None, simulated: false }
    }
}

/// The running system.
pub struct System {
    /// The cluster of the agent. The test's own namespace has one pod, `waits`, which never gets a node.
    pub kubernetes: Cluster,
    /// Between each service and the broker.
    pub broker: Brokers,
    /// The processes.
    pub user_auth: Process,
    /// See [`user_auth`](Self::user_auth).
    pub cluster: Process,
    /// See [`user_auth`](Self::user_auth).
    pub onboarding: Process,
    /// See [`user_auth`](Self::user_auth); absent until [`connect_agent`](Self::connect_agent).
    pub agent: Option<Process>,
    /// The administrator.
    pub admin: Client,
    /// The agent's id.
    pub agent_id: String,
    /// The cluster's id.
    pub cluster_id: String,
    agent_key: String,
    service_token: String,
    secrets_key: String,
    urls: Urls,
    options: Options,
    database: TestDatabase,
    _bus: TestBus,
}

/// A proxy in front of the broker for each service.
pub struct Brokers {
    /// user-auth's.
    pub user_auth: Proxy,
    /// The cluster service's.
    pub cluster: Proxy,
    /// onboarding's.
    pub onboarding: Proxy,
}

struct Urls {
    user_auth: String,
    cluster: String,
    onboarding: String,
}

impl System {
    /// Starts everything and waits until the agent is connected.
    ///
    /// # Errors
    /// When a process does not come up; the error holds its log.
    pub async fn start(options: Options) -> Result<Self> {
        let mut system = Self::start_services(options).await?;
        system.connect_agent().await?;
        Ok(system)
    }

    /// Starts the services and makes a cluster, but no agent.
    ///
    /// # Errors
    /// When a process does not come up; the error holds its log.
    pub async fn start_services(options: Options) -> Result<Self> {
        let kubernetes = match options.simulated {
            true => Cluster::simulated(sim::Options::default()).await?,
            false => Cluster::simulated_or_real(sim::Options::default()).await?,
        };
        kubernetes.namespaced::<Pod>().create(&PostParams::default(), &waiting_pod()?).await?;
        let database = TestDatabase::postgres().await;
        let (upstream, bus) = (amqp_address()?, TestBus::rabbitmq());
        let broker = Brokers {
            user_auth: Proxy::start(&upstream).await?,
            cluster: Proxy::start(&upstream).await?,
            onboarding: Proxy::start(&upstream).await?,
        };
        let key = |kind| {
            let token = Token::generate(kind, &mut rand::rng());
            token.secret().expose_secret().to_owned()
        };
        let (api_key, service_token) = (key(TokenKind::ApiKey), key(TokenKind::ServiceToken));
        let secrets_key = BASE64_STANDARD.encode([7; 32]);
        let common = |proxy: &Proxy| -> Result<Vec<(&'static str, String)>> {
            let mut variables = vec![
                ("HOST", "127.0.0.1".to_owned()),
                ("PORT", "0".to_owned()),
                ("BUS_URL", amqp_url_at(proxy.address())?),
                ("QUEUE_PREFIX", if options.without_prefix { String::new() } else { bus.prefix.clone() }),
                ("SERVICE_TOKEN", service_token.clone()),
                ("RATE_LIMIT_ENABLED", "false".to_owned()),
                ("LOG_FORMAT", "json".to_owned()),
            ];
            variables.extend(options.rust_log.clone().map(|directives| ("RUST_LOG", directives)));
            Ok(variables)
        };
        let stored = || {
            [
                ("DATABASE_URL", database.url().expose_secret().to_owned()),
                ("SECRETS_KEY", secrets_key.clone()),
            ]
        };

        let mut variables = common(&broker.user_auth)?;
        variables.extend(stored());
        variables.push(("BOOTSTRAP_API_KEY", api_key.clone()));
        let user_auth = Process::start("user-auth", [""; 0], variables)?;
        let user_service_url = format!("http://{}", user_auth.address().await?);

        let mut variables = common(&broker.onboarding)?;
        variables.extend(stored());
        variables.push(("USER_SERVICE_URL", user_service_url.clone()));
        variables.push(("HEARTBEAT_SECONDS", "5".to_owned()));
        let onboarding = Process::start("onboarding", [""; 0], variables)?;

        let mut variables = common(&broker.cluster)?;
        variables.extend(stored());
        variables.push(("USER_SERVICE_URL", user_service_url.clone()));
        variables.push(("WEBSOCKET_TIMEOUT", options.websocket_timeout.to_string()));
        let cluster = Process::start("cluster", [""; 0], variables)?;

        let urls = Urls {
            user_auth: user_service_url,
            cluster: format!("http://{}", cluster.address().await?),
            onboarding: format!("http://{}", onboarding.address().await?),
        };
        let admin = Client::new(api_key)?;
        for url in [&urls.user_auth, &urls.cluster, &urls.onboarding] {
            ready(&admin, url).await?;
        }
        let mut system = Self {
            kubernetes,
            broker,
            user_auth,
            cluster,
            onboarding,
            agent: None,
            admin,
            agent_id: String::new(),
            cluster_id: String::new(),
            agent_key: String::new(),
            service_token,
            secrets_key,
            urls,
            options,
            database,
            _bus: bus,
        };
        system.make_cluster().await?;
        Ok(system)
    }

    /// Makes a cluster over HTTP, as a user does.
    async fn make_cluster(&mut self) -> Result<()> {
        let url = self.onboarding_url("/api/v1/clusters/generate-install-script");
        let made = self.admin.post(&url, &json!({"provider": "other", "cluster_name": "shop"})).await?;
        ensure!(made.status == 200, "{made:?}");
        let text = |name: &str| made.body[name].as_str().map(ToOwned::to_owned).context(name.to_owned());
        self.agent_id = text("agent_id")?;
        self.cluster_id = text("cluster_id")?;
        let url = self.onboarding_url(&format!("/api/v1/clusters/{}/agent-keys", self.cluster_id));
        let key = self.admin.post(&url, &json!(null)).await?;
        self.agent_key = key.body["key"].as_str().context(format!("{key:?}"))?.to_owned();
        Ok(())
    }

    /// Starts the agent on the cluster, as its administrator, and waits until it is connected.
    ///
    /// # Errors
    /// When it does not connect; the error holds its log.
    pub async fn connect_agent(&mut self) -> Result<()> {
        let kubeconfig = self.kubernetes.kubeconfig();
        let mut variables = vec![
            ("HOST", "127.0.0.1".to_owned()),
            ("PORT", "0".to_owned()),
            ("API_ENDPOINT", self.urls.onboarding.clone()),
            ("AGENT_ID", self.agent_id.clone()),
            ("CLUSTER_ID", self.cluster_id.clone()),
            ("API_KEY", self.agent_key.clone()),
            ("LOG_FORMAT", "json".to_owned()),
        ];
        variables.extend(self.options.rust_log.clone().map(|directives| ("RUST_LOG", directives)));
        let arguments = ["--kubeconfig".to_owned(), kubeconfig.display().to_string()];
        let agent = Process::start("agent", arguments, variables)?;
        self.agent = Some(agent);
        self.agent_connected().await
    }

    /// Waits until the agent answers.
    ///
    /// # Errors
    /// When it does not; the error holds its log.
    pub async fn agent_connected(&self) -> Result<()> {
        let answering = eventually("the agent to answer", async || {
            self.namespaces().await.ok().filter(|answer| answer.status == 200)
        });
        answering.await.map(drop).with_context(|| self.agent.as_ref().map(Process::log).unwrap_or_default())
    }

    /// Asks the cluster service for the agent's namespaces.
    ///
    /// # Errors
    /// When there is no HTTP answer.
    pub async fn namespaces(&self) -> Result<Answer> {
        self.query("namespaces", "").await
    }

    /// Asks the cluster service for something of the agent's; `more` begins with `&`.
    ///
    /// # Errors
    /// When there is no HTTP answer.
    pub async fn query(&self, what: &str, more: &str) -> Result<Answer> {
        let path = format!("/api/v3.0/cluster/{what}?agent_id={}{more}", self.agent_id);
        self.admin.get(&self.cluster_url(&path)).await
    }

    /// Asks in the background, to be abandoned.
    pub fn asking(&self, what: &str, more: &str) -> JoinHandle<Result<Answer>> {
        let path = format!("/api/v3.0/cluster/{what}?agent_id={}{more}", self.agent_id);
        let (client, url) = (self.admin.clone(), self.cluster_url(&path));
        tokio::spawn(async move { client.get(&url).await })
    }

    /// The value of a series in the `/metrics` of a process; 0 when it is not there.
    ///
    /// # Errors
    /// When the process does not answer.
    pub async fn metric(&self, process: &Process, series: &str) -> Result<f64> {
        let text = self.admin.text(&format!("http://{}/metrics", process.address().await?)).await?;
        series_value(&text, series)
    }

    /// Waits until nothing is under way in any process.
    ///
    /// # Errors
    /// Says what is still under way.
    pub async fn at_rest(&self, within: Duration) -> Result<()> {
        let gauges = [
            (&self.cluster, "queries_in_flight"),
            (&self.cluster, "bus_requests_in_flight"),
            (&self.onboarding, "agent_questions_in_flight"),
            (&self.onboarding, "agent_answer_bytes_queued"),
            (&self.onboarding, "bus_requests_in_flight"),
        ];
        let agent = self.agent.iter().map(|agent| (agent, "agent_requests_in_flight"));
        for (process, gauge) in gauges.into_iter().chain(agent) {
            eventually_within(within, gauge, async || {
                (self.metric(process, gauge).await.ok()? < 1.0).then_some(())
            })
            .await?;
        }
        Ok(())
    }

    /// The simulated cluster of a system that asked for one.
    ///
    /// # Panics
    /// Where the cluster is real.
    pub fn sim(&self) -> &Sim {
        self.kubernetes.sim().expect("the options say that it is simulated")
    }

    /// A path of user-auth.
    pub fn user_auth_url(&self, path: &str) -> String {
        format!("{}{path}", self.urls.user_auth)
    }

    /// A path of the cluster service.
    pub fn cluster_url(&self, path: &str) -> String {
        format!("{}{path}", self.urls.cluster)
    }

    /// A path of onboarding.
    pub fn onboarding_url(&self, path: &str) -> String {
        format!("{}{path}", self.urls.onboarding)
    }

    /// Everything that the processes have logged and written so far.
    pub fn all_output(&self) -> String {
        let processes = [&self.user_auth, &self.cluster, &self.onboarding].into_iter().chain(&self.agent);
        processes.map(|process| process.log() + &process.output()).collect()
    }

    /// The keys that must never be seen.
    pub fn secrets(&self) -> Vec<&str> {
        vec![&self.admin.api_key, &self.agent_key, &self.service_token, &self.secrets_key]
    }

    /// The database, to be cut off or looked into.
    pub fn database(&self) -> &TestDatabase {
        &self.database
    }
}

fn waiting_pod() -> Result<Pod> {
    let spec = json!({
        "nodeSelector": {"kubernetes.io/hostname": "nowhere"},
        "containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10"}],
    });
    Ok(serde_json::from_value(json!({"metadata": {"name": "waits"}, "spec": spec}))?)
}

async fn ready(client: &Client, url: &str) -> Result<()> {
    let asked = eventually("a service to be ready", async || {
        client.get(&format!("{url}/readyz")).await.ok().filter(|answer| answer.status == 200)
    });
    asked.await.map(drop)
}

/// The names in a list of objects.
pub fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(|object| object["name"].as_str()).collect()
}
