//! The simulated cluster of the quick start, the account that its nodes are in, and who may do what there.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf};

use onboarding::{Feature, role_rules};
use optimizer::{
    Clouds, NewAccount,
    cluster::{ACCESS_GROUP, cluster_role_rules},
};
use serde_json::{Value, json};
use sim::{Options, Seed, Sim};
use simulated_cloud::Settings;
use web::process::Failure;

use crate::{data_dir::DataDir, installed_agents};

/// The agent of the quick start runs outside of the cluster; what an install script makes has other names.
const NAMESPACE: &str = "kubesage-demo";
const SERVICE_ACCOUNT: &str = "agent";
const ROLE: &str = "kubesage-demo-agent";
/// What the optimizer may do in the cluster.
const OPTIMIZER_ROLE: &str = "kubesage-optimizer";
/// What its account is called.
const ACCOUNT: &str = "demo";

/// A simulated cluster, and the kubeconfigs for it.
pub(crate) struct SimulatedCluster {
    /// It ends when this is dropped.
    sim: Sim,
    /// For a person: the administrator's.
    pub(crate) kubeconfig: PathBuf,
    /// For the agent: what the install script would grant it.
    pub(crate) agent_kubeconfig: PathBuf,
}

/// Where it is kept, in the data directory.
const STATE: &str = "simulated-cluster";

/// Starts the shop, or the cluster that it has become since.
pub(crate) async fn start(data_dir: &DataDir) -> Result<SimulatedCluster, Failure> {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let programs = installed_agents::programs();
    let state_dir = Some(data_dir.path().join(STATE));
    let sim =
        Sim::start(Options { listen, seed: Seed::Shop, programs, state_dir, ..Options::default() }).await?;
    for object in agent_objects().into_iter().chain(optimizer_objects()) {
        match sim.api().create(object) {
            // It is there from an earlier start.
            Err(error) if error.code == 409 => {}
            created => drop(created?),
        }
    }
    let agent_token = sim.token_for(NAMESPACE, SERVICE_ACCOUNT);
    Ok(SimulatedCluster {
        kubeconfig: data_dir.write("demo.kubeconfig", &sim.kubeconfig(sim.admin_token()))?,
        agent_kubeconfig: data_dir.write("agent.kubeconfig", &sim.kubeconfig(&agent_token))?,
        sim,
    })
}

impl SimulatedCluster {
    /// The account that the cluster's nodes are in, for the optimizer.
    pub(crate) fn clouds(&self) -> Result<Clouds, Failure> {
        let Some(account) = self.sim.account() else { return Ok(Clouds::default()) };
        let settings = Settings {
            url: self.sim.url(),
            ca_pem: self.sim.ca_pem(),
            role_arn: account.role_arn().to_owned(),
            external_id: account.external_id().to_owned(),
            timeout: None,
        };
        Ok(Clouds::default().and_simulated(settings)?)
    }

    /// How that account is entered.
    pub(crate) fn account(&self) -> Option<NewAccount> {
        self.sim.account().map(|account| NewAccount {
            name: ACCOUNT.to_owned(),
            role_arn: account.role_arn().to_owned(),
            external_id: account.external_id().to_owned(),
            region: account.region().to_owned(),
        })
    }
}

/// What gives the optimizer its rights in the cluster.
fn optimizer_objects() -> [Value; 2] {
    [
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": OPTIMIZER_ROLE}, "rules": cluster_role_rules()}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": OPTIMIZER_ROLE},
            "subjects": [{"kind": "Group", "name": ACCESS_GROUP, "apiGroup": "rbac.authorization.k8s.io"}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": OPTIMIZER_ROLE}}),
    ]
}

/// What gives the agent its rights, those of an install script with the feature `logs`.
fn agent_objects() -> [Value; 3] {
    let rules = role_rules(&BTreeSet::from([Feature::Logs]));
    [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": ROLE},
            "rules": rules}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": ROLE},
            "subjects": [{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": NAMESPACE}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ROLE}}),
    ]
}
