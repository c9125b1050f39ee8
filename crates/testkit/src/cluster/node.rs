//! Nodes of a test's own.

use std::{collections::BTreeMap, sync::PoisonError, time::Duration};

use anyhow::Result;
use k8s_openapi::{
    api::core::v1::{Node, Taint},
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{Cluster, LABEL};

/// How often a kubelet says that it is there: in a quarter of the time after which it is missed.
const HEARTBEAT: Duration = Duration::from_secs(10);

impl Cluster {
    /// Makes a ready node with two processors and more room than any test needs of all else, whose name only this test
    /// uses. Only pods [for own nodes](Self::for_own_nodes) come to it; they run only where the cluster has a kubelet
    /// for whatever node there is, as the simulator has.
    ///
    /// # Errors
    /// What the cluster answers.
    pub async fn node(&self, name: &str, labels: &[(&str, &str)]) -> Result<String> {
        let name = self.unique(name);
        let mut all = BTreeMap::from([(LABEL, &*self.namespace), ("kubernetes.io/hostname", &*name)]);
        all.extend(labels.iter().copied());
        let room = json!({ "cpu": "2", "memory": "256Gi", "ephemeral-storage": "100Gi", "pods": "500" });
        let node = json!({
            "metadata": { "name": name, "labels": all },
            "spec": { "taints": [{ "key": LABEL, "value": self.namespace, "effect": "NoSchedule" }] },
            "status": {
                "capacity": room,
                "allocatable": room,
                "conditions": [ready()],
                "nodeInfo": {
                    "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "none://1", "kernelVersion": "6",
                    "kubeProxyVersion": "", "kubeletVersion": "v1.36.0", "machineID": "", "operatingSystem": "linux",
                    "osImage": "none", "systemUUID": "",
                },
            },
        });
        self.create::<Node>(&serde_json::from_value(node)?).await?;
        if self.sim.is_none() {
            let mut heartbeats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
            heartbeats.spawn(beat(self.client(), name.clone()));
        }
        Ok(name)
    }

    /// Adds a taint to a node.
    ///
    /// # Errors
    /// What the cluster answers.
    pub async fn taint(&self, node: &str, key: &str, effect: &str) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.client());
        let mut taints = nodes.get(node).await?.spec.unwrap_or_default().taints.unwrap_or_default();
        let (key, effect) = (key.to_owned(), effect.to_owned());
        taints.push(Taint { key, effect, ..Taint::default() });
        let taints = Patch::Merge(json!({ "spec": { "taints": taints } }));
        nodes.patch(node, &PatchParams::default(), &taints).await?;
        Ok(())
    }

    /// What the specification of a pod says that goes to nodes of the test's own and nowhere else.
    pub fn for_own_nodes(&self) -> Value {
        json!({
            "nodeSelector": { LABEL: self.namespace },
            "tolerations": [{ "key": LABEL, "operator": "Equal", "value": self.namespace }],
        })
    }
}

/// Says that a node is well, as its kubelet would, until it is gone.
async fn beat(client: Client, node: String) {
    let nodes: Api<Node> = Api::all(client);
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let status = Patch::Strategic(json!({ "status": { "conditions": [ready()] } }));
        match nodes.patch_status(&node, &PatchParams::default(), &status).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => return,
            // The next one may come through.
            _ => {}
        }
    }
}

fn ready() -> Value {
    json!({
        "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "a test's own node",
        "lastHeartbeatTime": Timestamp::now().to_string(),
    })
}
