//! A simulated cluster, a relay and an agent between them.

use std::{fs, time::Duration};

use agent::{Agent, ClusterSource, Config, Endpoint, Timing};
use anyhow::{Context, Result};
use backon::ExponentialBuilder;
use contracts::{Token, TokenKind, agent_role};
use serde_json::{Value, json};
use sim::{Options, Seed, Sim};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::relay::{Connection, PATIENCE, RelayServer};

pub(crate) const NAMESPACE: &str = "spot-optimizer-system";
pub(crate) const SERVICE_ACCOUNT: &str = "spot-optimizer-agent";

/// Everything that a test needs; the agent ends with it.
pub(crate) struct World {
    pub(crate) sim: Sim,
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
    pub(crate) async fn new(seed: Seed) -> Result<Self> {
        let sim = Sim::start(Options { seed, ..Options::default() }).await?;
        install_role(&sim)?;
        let relay = RelayServer::start().await?;
        let files = TempDir::new()?;
        let kubeconfig = files.path().join("kubeconfig");
        fs::write(&kubeconfig, sim.kubeconfig(&sim.token_for(NAMESPACE, SERVICE_ACCOUNT)))?;
        let config = Config {
            endpoint: Endpoint::parse(&relay.url, false)?,
            agent_id: "agent-1".to_owned(),
            cluster_id: "cluster-1".to_owned(),
            cluster_name: Some("test".to_owned()),
            key: Token::generate(TokenKind::AgentKey, &mut rand::rng()),
            cluster: ClusterSource { kubeconfig: Some(kubeconfig), context: None },
            timing: quick(),
        };
        Ok(Self { sim, relay, config, _files: files })
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

    /// How often the API server was asked so.
    pub(crate) fn asked(&self, verb: &str, resource: &str) -> u64 {
        let requests = self.sim.requests();
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

/// What the install script makes: the rights that the agent has, and no more.
fn install_role(sim: &Sim) -> Result<()> {
    sim.api().create(namespace(NAMESPACE))?;
    set_rules(sim, &json!(agent_role::READER))?;
    sim.api().create(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "spot-optimizer-reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "spot-optimizer-reader"},
        "subjects": [{"kind": "ServiceAccount", "namespace": NAMESPACE, "name": SERVICE_ACCOUNT}]
    }))?;
    Ok(())
}

/// Gives the agent other rights.
pub(crate) fn set_rules(sim: &Sim, rules: &Value) -> Result<()> {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "spot-optimizer-reader"}, "rules": rules
    });
    let changed = sim.api().update(sim::kinds::CLUSTER_ROLES, "", "spot-optimizer-reader", |present| {
        present["rules"] = rules.clone();
    });
    if changed.is_err() {
        sim.api().create(role)?;
    }
    Ok(())
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
