//! A cluster, a relay and an agent between them.

use std::{fs::File, time::Duration};

use agent::{Agent, ClusterSource, Config, Endpoint, Proxy, Timing};
use anyhow::{Context, Result};
use backon::ExponentialBuilder;
use contracts::{Token, TokenKind};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        authentication::v1::TokenRequest,
        core::v1::{Namespace, Pod, ServiceAccount},
        rbac::v1::{ClusterRole, ClusterRoleBinding},
    },
};
use kube::{
    Api, Client, Resource,
    api::{ListParams, Patch, PatchParams, PostParams},
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sim::{Options, Seed, Sim};
use tempfile::TempDir;
use testkit::Cluster;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::relay::{Connection, PATIENCE, RelayServer};

const SERVICE_ACCOUNT: &str = "spot-optimizer-agent";

/// Everything that a test needs; the agent ends with it.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) relay: RelayServer,
    pub(crate) config: Config,
    _files: TempDir,
}

/// An agent that runs.
pub(crate) struct Running {
    pub(crate) readiness: web::Readiness,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl World {
    /// On a simulator of its own, for tests that inject faults, count requests or need what a seed has planted.
    pub(crate) async fn simulated(seed: Seed) -> Result<Self> {
        Self::on(Cluster::simulated(Options { seed, ..Options::default() }).await?).await
    }

    /// On a simulator or in a real cluster, where others may be at work. The test's namespace has one pod, `waits`, which
    /// never gets a node.
    pub(crate) async fn anywhere() -> Result<Self> {
        let options = Options { seed: Seed::Empty, ..Options::default() };
        let world = Self::on(Cluster::simulated_or_real(options).await?).await?;
        world.make::<Pod>(waiting_pod("waits")).await?;
        Ok(world)
    }

    async fn on(cluster: Cluster) -> Result<Self> {
        let kubeconfig = install(&cluster).await?;
        let relay = RelayServer::start().await?;
        let files = TempDir::new()?;
        let path = files.path().join("kubeconfig");
        serde_json::to_writer(File::create(&path)?, &kubeconfig)?;
        let config = Config {
            endpoint: Endpoint::parse(&relay.url, false)?,
            agent_id: "agent-1".to_owned(),
            cluster_id: "cluster-1".to_owned(),
            cluster_name: Some("test".to_owned()),
            key: Token::generate(TokenKind::AgentKey, &mut rand::rng()),
            ca_file: None,
            proxy: Proxy::default(),
            cluster: ClusterSource { kubeconfig: Some(path), context: None },
            timing: quick(),
        };
        let world = Self { cluster, relay, config, _files: files };
        world.until_allowed(true).await?;
        Ok(world)
    }

    pub(crate) fn sim(&self) -> &Sim {
        self.cluster.sim().expect("the test is one for a simulator")
    }

    /// Makes an object in the test's namespace.
    pub(crate) async fn make<K>(&self, object: Value) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
    {
        let object: K = serde_json::from_value(object)?;
        self.cluster.namespaced().create(&PostParams::default(), &object).await?;
        Ok(())
    }

    /// Gives the agent other rights.
    pub(crate) async fn set_rules(&self, rules: &Value) -> Result<()> {
        let roles: Api<ClusterRole> = Api::all(self.cluster.client());
        let rules = Patch::Merge(json!({ "rules": rules }));
        roles.patch(&self.cluster.unique("reader"), &PatchParams::default(), &rules).await?;
        Ok(())
    }

    /// Waits until the API server lets the agent see the namespaces, or not: it hears of roles a moment later.
    pub(crate) async fn until_allowed(&self, allowed: bool) -> Result<()> {
        let kubeconfig = self.config.cluster.kubeconfig.clone().unwrap_or_default();
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let namespaces: Api<Namespace> = Api::all(Client::try_from(config)?);
        let page = ListParams::default().limit(1);
        let as_wanted = async || Ok((namespaces.list_metadata(&page).await.is_ok() == allowed).then_some(()));
        until("the agent's rights", as_wanted).await
    }

    /// Starts an agent.
    pub(crate) async fn start(&self) -> Result<Running> {
        let agent = Agent::new(self.config.clone()).await?;
        let shutdown = CancellationToken::new();
        let readiness = agent.readiness();
        let task = tokio::spawn(agent.run(shutdown.clone()));
        Ok(Running { readiness, shutdown, task })
    }

    /// Starts an agent and opens its session.
    pub(crate) async fn open(&mut self) -> Result<(Running, Connection)> {
        let running = self.start().await?;
        let connection = self.relay.session().await?;
        Ok((running, connection))
    }

    /// How often the API server was asked so; only a simulator knows.
    pub(crate) fn asked(&self, verb: &str, resource: &str) -> u64 {
        let requests = self.cluster.sim().map(Sim::requests).unwrap_or_default();
        requests
            .iter()
            .filter(|(line, _)| line.verb == verb && line.resource == resource)
            .map(|(_, n)| n)
            .sum()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Short times, so that tests wait for events and not for the clock.
pub(crate) fn quick() -> Timing {
    let backoff = |min, max| {
        let (min, max) = (Duration::from_millis(min), Duration::from_millis(max));
        ExponentialBuilder::new().with_min_delay(min).with_max_delay(max).without_max_times()
    };
    Timing { reconnect: backoff(10, 50), watch_retry: backoff(10, 50), ..Timing::default() }
}

/// Makes what the install script does: an account with the rights that the agent has, and no more. With it, the kubeconfig
/// is the agent's.
async fn install(cluster: &Cluster) -> Result<Kubeconfig> {
    let metadata = |name: &str| json!({ "name": name });
    let (role, namespace) = (cluster.unique("reader"), cluster.namespace());
    let account = json!({ "metadata": metadata(SERVICE_ACCOUNT) });
    let accounts: Api<ServiceAccount> = cluster.namespaced();
    accounts.create(&PostParams::default(), &serde_json::from_value(account)?).await?;
    let mut rules: Value = serde_saphyr::from_str(include_str!("../../../../k8s/agent/cluster-role.yaml"))?;
    rules["metadata"] = metadata(&role);
    cluster.create::<ClusterRole>(&serde_json::from_value(rules)?).await?;
    let binding = json!({
        "metadata": metadata(&role),
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [{ "kind": "ServiceAccount", "namespace": namespace, "name": SERVICE_ACCOUNT }],
    });
    cluster.create::<ClusterRoleBinding>(&serde_json::from_value(binding)?).await?;

    let request: TokenRequest = serde_json::from_value(json!({ "spec": { "audiences": [] } }))?;
    let issued = accounts.create_token_request(SERVICE_ACCOUNT, &PostParams::default(), &request).await?;
    let token = issued.status.and_then(|status| status.token).context("a token is issued")?;
    let mut kubeconfig = Kubeconfig::read_from(cluster.kubeconfig())?;
    for user in &mut kubeconfig.auth_infos {
        user.auth_info = Some(AuthInfo { token: Some(token.clone().into()), ..AuthInfo::default() });
    }
    Ok(kubeconfig)
}

/// A pod that no node is for.
pub(crate) fn waiting_pod(name: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": waiting_spec(),
    })
}

/// What such a pod, or a template of such pods, specifies.
pub(crate) fn waiting_spec() -> Value {
    json!({
        "nodeSelector": { "kubernetes.io/hostname": "nowhere" },
        "containers": [{ "name": "main", "image": "registry.k8s.io/pause:3.10" }],
    })
}

pub(crate) fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// Asks again until the answer is as wanted.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let asking = async {
        loop {
            if let Some(found) = ask().await? {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.with_context(|| format!("never seen: {what}"))?
}

/// The names in a list of an answer.
pub(crate) fn names(answer: &Value, field: &str) -> Vec<String> {
    let items = answer[field].as_array().cloned().unwrap_or_default();
    items.iter().filter_map(|item| item["name"].as_str().map(str::to_owned)).collect()
}
