use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testkit::eventually;

use crate::common::{IMAGE, Kubectl, has, tests};

tests! { "nodes" on AnyCluster:
    cordons_and_uncordons,
    taints,
    drains,
    a_budget_holds_up_a_drain,
    a_drain_needs_consent,
}

async fn cordons_and_uncordons(kubectl: Kubectl) -> Result<()> {
    let node = kubectl.cluster.node("node", &[]).await?;
    assert_eq!(kubectl.ok(&["cordon", &node]).await?, format!("node/{node} cordoned\n"));
    has(kubectl.table(&["get", "node", &node]).await?.cell("STATUS")?, &["SchedulingDisabled"])?;
    assert_eq!(kubectl.ok(&["cordon", &node]).await?, format!("node/{node} already cordoned\n"));
    assert_eq!(kubectl.ok(&["uncordon", &node]).await?, format!("node/{node} uncordoned\n"));
    let status = kubectl.table(&["get", "node", &node]).await?;
    ensure!(!status.cell("STATUS")?.contains("SchedulingDisabled"), "{status:?}");
    Ok(())
}

async fn taints(kubectl: Kubectl) -> Result<()> {
    let node = kubectl.cluster.node("node", &[]).await?;
    assert_eq!(
        kubectl.ok(&["taint", "node", &node, "a=b:NoSchedule"]).await?,
        format!("node/{node} tainted\n")
    );
    let taints = "jsonpath={.spec.taints[?(@.key==\"a\")].effect}";
    assert_eq!(kubectl.ok(&["get", "node", &node, "-o", taints]).await?, "NoSchedule");
    has(&kubectl.fails(&["taint", "node", &node, "a=c:NoSchedule"]).await?, &["already has a taint"])?;
    assert_eq!(kubectl.ok(&["taint", "node", &node, "a-"]).await?, format!("node/{node} untainted\n"));
    Ok(())
}

/// A node of the test's own, and what the pods of a workload say to come to it. They end at once, because it may have
/// no kubelet.
async fn node(kubectl: &Kubectl) -> Result<(String, Value)> {
    let node = kubectl.cluster.node("node", &[]).await?;
    let mut spec = kubectl.cluster.for_own_nodes();
    spec["containers"] = json!([{ "name": "main", "image": IMAGE }]);
    spec["terminationGracePeriodSeconds"] = 0.into();
    Ok((node, spec))
}

/// A deployment or a daemon set with pods on the test's node.
async fn workload(kubectl: &Kubectl, kind: &str, name: &str, pod: &Value) -> Result<String> {
    let labels = json!({ "app": name });
    let workload = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": name },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": pod },
        },
    });
    kubectl.apply(&workload.to_string()).await?;
    bound(kubectl, name).await
}

/// The name of the pod of an application, once it has a node.
async fn bound(kubectl: &Kubectl, app: &str) -> Result<String> {
    let selector = format!("app={app}");
    let name = ["get", "pods", "-l", &selector, "-o", "jsonpath={.items[0].metadata.name}"];
    let name = eventually("the pod", async || kubectl.ok(&name).await.ok().filter(|name| !name.is_empty()));
    let name = name.await?;
    let has_node = ["wait", "--for=condition=PodScheduled", "--timeout=30s", "pod", &name];
    kubectl.ok(&has_node).await?;
    Ok(name)
}

fn drain<'a>(node: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&["drain", node, "--ignore-daemonsets", "--delete-emptydir-data"], rest].concat()
}

async fn drains(kubectl: Kubectl) -> Result<()> {
    let (node, spec) = node(&kubectl).await?;
    let pod = workload(&kubectl, "Deployment", "web", &spec).await?;
    let stays = workload(&kubectl, "DaemonSet", "each", &spec).await?;
    let said = kubectl.say(&drain(&node, &["--timeout=30s"])).await?;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    has(&said.out, &["cordoned", &format!("evicting pod {}/{pod}", kubectl.namespace()), "drained"])?;
    has(&said.err, &["ignoring DaemonSet-managed Pods", &stays])?;
    kubectl.object("pod", &stays).await?;
    has(&kubectl.fails(&["get", "pod", &pod]).await?, &["NotFound"])?;
    // Another one comes as soon as there is a node for it.
    kubectl.ok(&["uncordon", &node]).await?;
    bound(&kubectl, "web").await?;
    Ok(())
}

/// A budget protects pods that run, which the test says in place of the kubelet that its node may lack.
async fn a_budget_holds_up_a_drain(kubectl: Kubectl) -> Result<()> {
    let (node, spec) = node(&kubectl).await?;
    let pod = workload(&kubectl, "Deployment", "web", &spec).await?;
    let pods: Api<Pod> = kubectl.cluster.namespaced();
    let ready = json!({ "type": "Ready", "status": "True" });
    let running = Patch::Strategic(json!({ "status": { "phase": "Running", "conditions": [ready] } }));
    pods.patch_status(&pod, &PatchParams::default(), &running).await?;
    kubectl.ok(&["create", "pdb", "guard", "--selector=app=web", "--min-available=1"]).await?;
    let healthy = "--for=jsonpath={.status.currentHealthy}=1";
    kubectl.ok(&["wait", healthy, "pdb/guard", "--timeout=30s"]).await?;
    let error = kubectl.fails(&drain(&node, &["--timeout=2s"])).await?;
    has(&error, &["Cannot evict pod as it would violate the pod's disruption budget."])?;
    assert_eq!(kubectl.table(&["get", "pods"]).await?.cell("STATUS")?, "Running");
    Ok(())
}

async fn a_drain_needs_consent(kubectl: Kubectl) -> Result<()> {
    let (node, spec) = node(&kubectl).await?;
    let metadata = json!({ "name": "solo", "labels": { "app": "solo" } });
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec });
    kubectl.apply(&pod.to_string()).await?;
    bound(&kubectl, "solo").await?;
    let refused = kubectl.fails(&drain(&node, &["--timeout=30s"])).await?;
    has(&refused, &["cannot delete", "use --force to override"])?;
    let forced = kubectl.say(&drain(&node, &["--force", "--timeout=30s"])).await?;
    assert_eq!(forced.code, 0, "{}", forced.err);
    has(&forced.err, &["Warning: deleting Pods that declare no controller"])?;
    let error = kubectl.fails(&["get", "pod", "solo"]).await?;
    has(&error, &["NotFound"]).context("a pod without a controller does not come back")
}
