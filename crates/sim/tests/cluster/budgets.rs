use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, EvictParams};
use serde_json::{Value, json};

use crate::common::{condition, create, is_true, objects, pod, until, until_gone, with_nodes};

fn budget(name: &str, mut spec: Value, app: &str) -> Value {
    spec["selector"] = json!({ "matchLabels": { "app": app } });
    json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": name }, "spec": spec })
}

#[tokio::test]
async fn a_budget_follows_its_pods_and_their_evictions() -> Result<()> {
    let cluster = with_nodes().await?;
    let (pods, budgets) =
        (objects(&cluster, "v1", "Pod"), objects(&cluster, "policy/v1", "PodDisruptionBudget"));
    create(&cluster, budget("guard", json!({ "minAvailable": 2 }), "guarded")).await?;
    for name in ["a", "b", "c"] {
        let mut pod = pod(name, json!({ "terminationGracePeriodSeconds": 1 }));
        pod["metadata"]["labels"]["app"] = "guarded".into();
        create(&cluster, pod).await?;
    }
    let full = until(&budgets, "guard", |budget| budget["status"]["disruptionsAllowed"] == 1).await?;
    let status = &full["status"];
    assert_eq!(status["currentHealthy"], 3);
    assert_eq!(status["desiredHealthy"], 2);
    assert_eq!(status["expectedPods"], 3);
    assert_eq!(status["observedGeneration"], 1);
    assert_eq!(condition(&full, "DisruptionAllowed").unwrap()["reason"], "SufficientPods");

    let typed: Api<Pod> = cluster.namespaced();
    typed.evict("a", &EvictParams::default()).await?;
    until_gone(&pods, "a").await?;
    let used = until(&budgets, "guard", |budget| budget["status"]["expectedPods"] == 2).await?;
    assert_eq!(used["status"]["disruptionsAllowed"], 0);
    assert!(used["status"]["disruptedPods"].is_null());
    let condition = condition(&used, "DisruptionAllowed").unwrap();
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("InsufficientPods")));
    let refused = typed.evict("b", &EvictParams::default()).await.unwrap_err();
    assert!(refused.to_string().contains("disruption budget"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_budget_that_cannot_be_counted_says_so() -> Result<()> {
    let cluster = with_nodes().await?;
    let (pods, budgets) =
        (objects(&cluster, "v1", "Pod"), objects(&cluster, "policy/v1", "PodDisruptionBudget"));
    let mut owned = pod("owned", json!({ "terminationGracePeriodSeconds": 1 }));
    let config =
        create(&cluster, json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "owner" } }))
            .await?;
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": config.metadata.uid, "controller": true,
    }]);
    create(&cluster, owned).await?;
    until(&pods, "owned", |pod| is_true(pod, "Ready")).await?;
    create(&cluster, budget("doubtful", json!({ "maxUnavailable": 1 }), "owned")).await?;
    let failed =
        until(&budgets, "doubtful", |budget| condition(budget, "DisruptionAllowed").is_some()).await?;
    let condition = condition(&failed, "DisruptionAllowed").unwrap();
    assert_eq!(condition["reason"], "SyncFailed");
    assert_eq!(condition["message"], "configmaps does not implement the scale subresource");
    assert_eq!(failed["status"]["disruptionsAllowed"], 0);
    pods.delete("owned", &DeleteParams::default()).await?;
    Ok(())
}
