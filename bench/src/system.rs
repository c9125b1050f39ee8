//! The services as processes of their own, on the real broker and the real database.

use std::{collections::HashMap, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use contracts::{Token, TokenKind};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Store, testing::TestDatabase};
use testkit::{TestBus, eventually_within};

use crate::{
    client::{self, Client},
    program::Program,
};

const READY: Duration = Duration::from_secs(30);

/// How a [`System`] differs from the usual one.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Whether callers who ask the same share an answer.
    pub(crate) share_answers: bool,
    /// Seconds that the cluster service gives an agent.
    pub(crate) websocket_timeout: u32,
    /// What onboarding is told besides.
    pub(crate) onboarding: Vec<(&'static str, String)>,
    /// Where a service reaches the broker, if not directly, by its name.
    pub(crate) bus_urls: HashMap<&'static str, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { share_answers: false, websocket_timeout: 30, onboarding: Vec::new(), bus_urls: HashMap::new() }
    }
}

/// The running services.
pub(crate) struct System {
    pub(crate) cluster: Program,
    pub(crate) onboarding: Program,
    pub(crate) user_auth: Program,
    pub(crate) addresses: Addresses,
    pub(crate) api_key: String,
    /// What each replica of onboarding is told.
    onboarding_variables: Vec<(&'static str, String)>,
    database: TestDatabase,
    bus: TestBus,
}

/// Where they serve.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) cluster: SocketAddr,
    pub(crate) onboarding: SocketAddr,
}

/// Who an agent is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Credentials {
    pub(crate) agent_id: String,
    pub(crate) cluster_id: String,
    pub(crate) agent_key: String,
}

impl System {
    /// Starts them; their logs go to this directory.
    pub(crate) async fn start(directory: &Path, options: Options) -> Result<Self> {
        let (database, bus) = (TestDatabase::postgres().await, TestBus::rabbitmq());
        let key = |kind| Token::generate(kind, &mut rand::rng()).secret().expose_secret().to_owned();
        let (api_key, service_token) = (key(TokenKind::ApiKey), key(TokenKind::ServiceToken));
        let secrets_key = BASE64_STANDARD.encode([7; 32]);
        let told = |name: &'static str, more: Vec<(&'static str, String)>| {
            let broker = options.bus_urls.get(name).cloned().unwrap_or_else(testkit::amqp_url);
            let common = [
                ("BUS_URL", broker),
                ("QUEUE_PREFIX", bus.prefix.clone()),
                ("SERVICE_TOKEN", service_token.clone()),
                ("RATE_LIMIT_ENABLED", "false".to_owned()),
                ("SHARE_ANSWERS", options.share_answers.to_string()),
            ];
            serving().into_iter().chain(common).chain(more).collect::<Vec<_>>()
        };
        let start = |name: &'static str, more: Vec<(&'static str, String)>| {
            Program::start(name, directory, &[], told(name, more))
        };
        let stored = || {
            vec![
                ("DATABASE_URL", database.url().expose_secret().to_owned()),
                ("SECRETS_KEY", secrets_key.clone()),
            ]
        };
        let mut variables = stored();
        variables.push(("BOOTSTRAP_API_KEY", api_key.clone()));
        let user_auth = start("user-auth", variables)?;
        let users = ("USER_SERVICE_URL", format!("http://{}", user_auth.address().await?));
        let mut variables = stored();
        variables.push(users.clone());
        variables.extend(options.onboarding.clone());
        let onboarding_variables = told("onboarding", variables);
        let onboarding = Program::start("onboarding", directory, &[], onboarding_variables.clone())?;
        let patience = ("WEBSOCKET_TIMEOUT", options.websocket_timeout.to_string());
        let mut variables = stored();
        variables.extend([users, patience]);
        let cluster = start("cluster", variables)?;
        let addresses =
            Addresses { cluster: cluster.address().await?, onboarding: onboarding.address().await? };
        for address in [user_auth.address().await?, addresses.onboarding, addresses.cluster] {
            ready(address).await?;
        }
        Ok(Self { cluster, onboarding, user_auth, addresses, api_key, onboarding_variables, database, bus })
    }

    /// Starts one more replica of onboarding, and waits until it is ready.
    pub(crate) async fn join(&self, directory: &Path) -> Result<Program> {
        let replica = Program::start("onboarding", directory, &[], self.onboarding_variables.clone())?;
        ready(replica.address().await?).await?;
        Ok(replica)
    }

    /// The database as onboarding has it.
    pub(crate) async fn store(&self) -> Result<Store> {
        Ok(self.database.open("onboarding", store::Options::default()).await?)
    }

    /// What stands before the names of its queues.
    pub(crate) fn queue_prefix(&self) -> &str {
        &self.bus.prefix
    }

    /// Makes a cluster over HTTP, as a user does.
    pub(crate) async fn make_cluster(&self, name: &str) -> Result<Credentials> {
        let client = reqwest::Client::new();
        make_cluster(&client, self.addresses.onboarding, &self.api_key, name).await
    }

    /// Starts an agent on the cluster of this kubeconfig; it finds onboarding at this address.
    pub(crate) fn start_agent(
        &self,
        directory: &Path,
        credentials: &Credentials,
        kubeconfig: &Path,
        onboarding: SocketAddr,
    ) -> Result<Program> {
        let own = [
            ("API_ENDPOINT", format!("http://{onboarding}")),
            ("AGENT_ID", credentials.agent_id.clone()),
            ("CLUSTER_ID", credentials.cluster_id.clone()),
            ("API_KEY", credentials.agent_key.clone()),
        ];
        let kubeconfig = kubeconfig.to_str().context("not a plain path")?;
        Program::start("agent", directory, &["--kubeconfig", kubeconfig], serving().into_iter().chain(own))
    }
}

/// What every program that serves is told.
pub(crate) fn serving() -> Vec<(&'static str, String)> {
    [("HOST", "127.0.0.1"), ("PORT", "0"), ("LOG_FORMAT", "json")]
        .map(|(name, value)| (name, value.to_owned()))
        .to_vec()
}

/// Makes a cluster over HTTP, as a user does.
pub(crate) async fn make_cluster(
    client: &reqwest::Client,
    onboarding: SocketAddr,
    api_key: &str,
    name: &str,
) -> Result<Credentials> {
    let post = async |path: &str, body: Value| -> Result<Value> {
        let url = format!("http://{onboarding}/api/v1/clusters/{path}");
        let response = client.post(url).header("x-api-key", api_key).json(&body).send().await?;
        ensure!(response.status().is_success(), "no cluster is made: {}", response.text().await?);
        Ok(response.json().await?)
    };
    let text =
        |answer: &Value, field: &str| answer[field].as_str().map(str::to_owned).context(field.to_owned());
    let made = post("generate-install-script", json!({"provider": "other", "cluster_name": name})).await?;
    let (cluster_id, agent_id) = (text(&made, "cluster_id")?, text(&made, "agent_id")?);
    let key = post(&format!("{cluster_id}/agent-keys"), Value::Null).await?;
    Ok(Credentials { agent_id, cluster_id, agent_key: text(&key, "key")? })
}

/// Waits until a service says that it is ready.
pub(crate) async fn ready(address: SocketAddr) -> Result<()> {
    answers(address, "/readyz", "", "").await
}

/// Waits until a path answers 200 with this text in it.
pub(crate) async fn answers(address: SocketAddr, path: &str, api_key: &str, text: &str) -> Result<()> {
    let request = client::get(address, path, api_key);
    let mut last = Vec::new();
    let asked = eventually_within(READY, path, async || {
        let answer = Client::connect(address).await.ok()?.ask(&request, &mut last).await.ok()?;
        (answer.status == 200 && contains(&last, text)).then_some(())
    });
    asked.await.with_context(|| format!("the last answer was {}", String::from_utf8_lossy(&last)))
}

/// Whether an answer's body holds this text.
pub(crate) fn contains(body: &[u8], text: &str) -> bool {
    std::str::from_utf8(body).is_ok_and(|body| body.contains(text))
}
