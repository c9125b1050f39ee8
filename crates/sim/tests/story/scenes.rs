//! What happened between the recordings, as their numbers and versions tell.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;

use crate::narrator::Narrator;
use crate::recording::Recording;

const GUARDED: [&str; 4] = ["guarded-0", "guarded-1", "guarded-2", "guarded-3"];
const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];
/// Longer than any pod of the story may take to stop.
const STOPPED: Duration = Duration::from_secs(5);

/// Why the scene with this number cannot be played on a real cluster.
pub(crate) fn simulated_only(number: u32) -> Option<&'static str> {
    match number {
        1 => Some("every cluster has its own version"),
        10 | 11 => Some("the namespaces of others are in the pages"),
        34 => Some("kubelets, and what stands for them, may be done with the pod already"),
        66 => Some("the namespace may be gone already"),
        _ => None,
    }
}

/// Does what was done before the recording with this number.
pub(crate) async fn before(narrator: &mut Narrator, number: u32, story: &[Recording]) -> Result<()> {
    match number {
        1 => first(narrator, story).await,
        // The table of namespaces and the node are looked at when the controllers have seen them.
        18 => nodes_are_ready(narrator).await,
        23 => account_is_there(narrator).await,
        25 => guarded_pods(narrator).await,
        30 => budget_counts(narrator, 0, 4).await,
        36 => gone(narrator, "solo").await,
        38 => {
            let budget = budget(narrator);
            narrator.does(Method::PATCH, &budget, json!({ "spec": { "minAvailable": 3 } })).await?;
            budget_counts(narrator, 1, 4).await
        }
        39 => budget_counts(narrator, 0, 3).await,
        42 => gone(narrator, "guarded-0").await,
        49 => changes_to_watch(narrator).await,
        61 => reader(narrator).await,
        _ => Ok(()),
    }
}

/// Three nodes whose kubelets report once. The sixth namespace of the recorded run is here the test's own.
async fn first(narrator: &Narrator, story: &[Recording]) -> Result<()> {
    let recorded = story.iter().find(|recording| recording.number == 18);
    let recorded = recorded.map(|recording| recording.response.body.to_string()).unwrap_or_default();
    for (name, zone) in narrator.cast.nodes.iter().zip(ZONES) {
        let text = recorded.replace(&narrator.cast.nodes[0], name).replace(ZONES[0], zone);
        let mut node: Value = serde_json::from_str(&text)?;
        let metadata = json!({ "name": name, "labels": node["metadata"]["labels"], "annotations": node["metadata"]["annotations"] });
        node["metadata"] = metadata;
        narrator.does(Method::POST, "/api/v1/nodes", node).await?;
    }
    Ok(())
}

async fn nodes_are_ready(narrator: &Narrator) -> Result<()> {
    for name in &narrator.cast.nodes {
        let path = format!("/api/v1/nodes/{name}");
        narrator.sees(&path, |_, node| node["spec"]["taints"].is_null()).await?;
    }
    Ok(())
}

async fn account_is_there(narrator: &Narrator) -> Result<()> {
    let path = narrator.core("serviceaccounts/default");
    narrator.sees(&path, |status, _| status == 200).await.map(drop)
}

/// Four pods like the recorded one, on the same node.
async fn guarded_pods(narrator: &Narrator) -> Result<()> {
    for name in GUARDED {
        let pod = json!({
            "metadata": { "name": name, "labels": { "app": "guarded" } },
            "spec": {
                "nodeName": narrator.cast.pods_on,
                "terminationGracePeriodSeconds": 2,
                "containers": [{ "name": "c", "image": "nginx:1.27" }],
            },
        });
        narrator.does(Method::POST, &narrator.core("pods"), pod).await?;
    }
    Ok(())
}

fn budget(narrator: &Narrator) -> String {
    format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets/guard", narrator.cast.namespace)
}

/// The disruption controller has counted this much.
async fn budget_counts(narrator: &Narrator, allowed: u32, healthy: u32) -> Result<()> {
    let right = |_, budget: &Value| {
        let status = &budget["status"];
        status["observedGeneration"] == budget["metadata"]["generation"]
            && status["disruptionsAllowed"] == allowed
            && status["currentHealthy"] == healthy
    };
    narrator.sees(&budget(narrator), right).await.map(drop)
}

/// Lets the time pass that pods may take to stop; a real cluster's passes by itself.
fn pods_stop(narrator: &Narrator) {
    if let Some(sim) = narrator.cluster.sim() {
        sim.api().clock().advance(STOPPED);
    }
}

/// The kubelet has stopped the pod.
async fn gone(narrator: &Narrator, pod: &str) -> Result<()> {
    pods_stop(narrator);
    narrator.sees(&narrator.core(&format!("pods/{pod}")), |status, _| status == 404).await.map(drop)
}

/// A change, a creation and a deletion since a list.
async fn changes_to_watch(narrator: &mut Narrator) -> Result<()> {
    let maps = narrator.core("configmaps");
    let list = narrator.does(Method::GET, &maps, Value::Null).await?;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    narrator.names.insert("910", version);
    narrator.does(Method::PATCH, &format!("{maps}/c"), json!({ "data": { "k": "4" } })).await?;
    narrator.does(Method::POST, &maps, json!({ "metadata": { "name": "w" } })).await?;
    narrator.does(Method::DELETE, &format!("{maps}/w"), Value::Null).await.map(drop)
}

/// A service account that may read some kinds, when only one pod is left.
async fn reader(narrator: &mut Narrator) -> Result<()> {
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let name = narrator.cast.reader.clone();
    narrator.cluster.remove_at_end::<ClusterRole>(&name);
    narrator.cluster.remove_at_end::<ClusterRoleBinding>(&name);
    let account = json!({ "metadata": { "name": "agent" } });
    narrator.does(Method::POST, &narrator.core("serviceaccounts"), account).await?;
    let role = json!({
        "metadata": { "name": name },
        "rules": [{
            "apiGroups": [""],
            "resources": ["nodes", "pods", "services", "namespaces"],
            "verbs": ["get", "list", "watch"],
        }],
    });
    narrator.does(Method::POST, &format!("{rbac}/clusterroles"), role).await?;
    let binding = json!({
        "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
        "subjects": [{ "kind": "ServiceAccount", "name": "agent", "namespace": narrator.cast.namespace }],
    });
    narrator.does(Method::POST, &format!("{rbac}/clusterrolebindings"), binding).await?;
    let token = narrator.cluster.token_of(&narrator.cast.namespace, "agent").await?;
    narrator.other = narrator.cluster.with_token(&token).await?;

    pods_stop(narrator);
    let pods = narrator.core("pods");
    let known = async || (narrator.other.get(&pods).await.ok()?.0 == 200).then_some(());
    eventually("the reader's rights", known).await?;
    let one = |_, list: &Value| list["items"].as_array().is_some_and(|pods| pods.len() == 1);
    narrator.sees(&pods, one).await.map(drop)
}
