//! What happened between the recordings, as their numbers and versions tell.

use std::time::Duration;

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use crate::narrator::Narrator;
use crate::recording;

const GUARDED: [&str; 4] = ["guarded-0", "guarded-1", "guarded-2", "guarded-3"];
const BUDGET: &str = "/apis/policy/v1/namespaces/rec/poddisruptionbudgets/guard";
const MAPS: &str = "/api/v1/namespaces/rec/configmaps";
const PODS: &str = "/api/v1/namespaces/rec/pods";
/// Longer than any pod of the story may take to stop.
const STOPPED: Duration = Duration::from_secs(5);

/// Does what was done before the recording with this number.
pub(crate) async fn before(narrator: &mut Narrator, number: u32) -> Result<()> {
    match number {
        1 => first(narrator).await,
        // The table of namespaces and the node are looked at when the controllers have seen them.
        18 => nodes_are_ready(narrator).await,
        23 => account_is_there(narrator).await,
        25 => guarded_pods(narrator).await,
        30 => budget_counts(narrator, 0, 4).await,
        36 => gone(narrator, "solo").await,
        38 => {
            narrator.does(Method::PATCH, BUDGET, json!({ "spec": { "minAvailable": 3 } })).await?;
            budget_counts(narrator, 1, 4).await
        }
        39 => budget_counts(narrator, 0, 3).await,
        42 => gone(narrator, "guarded-0").await,
        49 => changes_to_watch(narrator).await,
        61 => reader(narrator).await,
        _ => Ok(()),
    }
}

/// Three nodes whose kubelets report once, and a sixth namespace.
async fn first(narrator: &Narrator) -> Result<()> {
    let recorded = recording::all()?.into_iter().find(|recording| recording.number == 18);
    let recorded = recorded.map(|recording| recording.response.body).unwrap_or_default();
    for (index, zone) in ["us-east-1a", "us-east-1b", "us-east-1c"].into_iter().enumerate() {
        let name = format!("ip-10-0-0-{}.ec2.internal", index + 1);
        let text =
            recorded.to_string().replace("ip-10-0-0-1.ec2.internal", &name).replace("us-east-1a", zone);
        let mut node: Value = serde_json::from_str(&text)?;
        let metadata = json!({ "name": name, "labels": node["metadata"]["labels"], "annotations": node["metadata"]["annotations"] });
        node["metadata"] = metadata;
        narrator.does(Method::POST, "/api/v1/nodes", node).await?;
    }
    let namespace = json!({ "metadata": { "name": "other" } });
    narrator.does(Method::POST, "/api/v1/namespaces", namespace).await.map(drop)
}

async fn nodes_are_ready(narrator: &Narrator) -> Result<()> {
    for number in 1..=3 {
        let path = format!("/api/v1/nodes/ip-10-0-0-{number}.ec2.internal");
        narrator.sees(&path, |_, node| node["spec"]["taints"].is_null()).await?;
    }
    Ok(())
}

async fn account_is_there(narrator: &Narrator) -> Result<()> {
    let path = "/api/v1/namespaces/rec/serviceaccounts/default";
    narrator.sees(path, |status, _| status == 200).await.map(drop)
}

/// Four pods like the recorded one, on the same node.
async fn guarded_pods(narrator: &Narrator) -> Result<()> {
    for name in GUARDED {
        let pod = json!({
            "metadata": { "name": name, "labels": { "app": "guarded" } },
            "spec": {
                "nodeName": "ip-10-0-0-1.ec2.internal",
                "terminationGracePeriodSeconds": 2,
                "containers": [{ "name": "c", "image": "nginx:1.27" }],
            },
        });
        narrator.does(Method::POST, PODS, pod).await?;
    }
    Ok(())
}

/// The disruption controller has counted this much.
async fn budget_counts(narrator: &Narrator, allowed: u32, healthy: u32) -> Result<()> {
    let right = |_, budget: &Value| {
        let status = &budget["status"];
        status["observedGeneration"] == budget["metadata"]["generation"]
            && status["disruptionsAllowed"] == allowed
            && status["currentHealthy"] == healthy
    };
    narrator.sees(BUDGET, right).await.map(drop)
}

/// The kubelet has stopped the pod.
async fn gone(narrator: &Narrator, pod: &str) -> Result<()> {
    narrator.sim.api().clock().advance(STOPPED);
    narrator.sees(&format!("{PODS}/{pod}"), |status, _| status == 404).await.map(drop)
}

/// A change, a creation and a deletion since a list.
async fn changes_to_watch(narrator: &mut Narrator) -> Result<()> {
    let list = narrator.does(Method::GET, MAPS, Value::Null).await?;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    narrator.names.insert("910", version);
    narrator.does(Method::PATCH, &format!("{MAPS}/c"), json!({ "data": { "k": "4" } })).await?;
    narrator.does(Method::POST, MAPS, json!({ "metadata": { "name": "w" } })).await?;
    narrator.does(Method::DELETE, &format!("{MAPS}/w"), Value::Null).await.map(drop)
}

/// A service account that may read some kinds, when only one pod is left.
async fn reader(narrator: &mut Narrator) -> Result<()> {
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let account = json!({ "metadata": { "name": "agent" } });
    narrator.does(Method::POST, "/api/v1/namespaces/rec/serviceaccounts", account).await?;
    let role = json!({
        "metadata": { "name": "reader" },
        "rules": [{
            "apiGroups": [""],
            "resources": ["nodes", "pods", "services", "namespaces"],
            "verbs": ["get", "list", "watch"],
        }],
    });
    narrator.does(Method::POST, &format!("{rbac}/clusterroles"), role).await?;
    let binding = json!({
        "metadata": { "name": "reader" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader" },
        "subjects": [{ "kind": "ServiceAccount", "name": "agent", "namespace": "rec" }],
    });
    narrator.does(Method::POST, &format!("{rbac}/clusterrolebindings"), binding).await?;
    narrator.other_token = narrator.sim.token_for("rec", "agent");

    narrator.sim.api().clock().advance(STOPPED);
    let one = |_, list: &Value| list["items"].as_array().is_some_and(|pods| pods.len() == 1);
    narrator.sees(PODS, one).await.map(drop)
}
