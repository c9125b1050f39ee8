//! The simulated cluster of the quick start, and the rights of the agent in it.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf};

use onboarding::{Feature, role_rules};
use serde_json::{Value, json};
use sim::{Options, Seed, Sim};
use web::process::Failure;

use crate::{data_dir::DataDir, installed_agents};

/// The agent of the quick start runs outside of the cluster; what an install script makes has other names.
const NAMESPACE: &str = "kubesage-demo";
const SERVICE_ACCOUNT: &str = "agent";
const ROLE: &str = "kubesage-demo-agent";

/// A simulated cluster, and the kubeconfigs for it.
pub(crate) struct SimulatedCluster {
    /// It ends when this is dropped.
    pub(crate) _sim: Sim,
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
    for object in agent_objects() {
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
        _sim: sim,
    })
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
