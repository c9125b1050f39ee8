use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Taint};

use crate::common::{IMAGE, Kubectl, has, tests};

tests! { "nodes" on AnyCluster:
    cordons_and_uncordons,
    taints,
    drains,
    a_budget_holds_up_a_drain,
    a_drain_needs_consent,
}

/// A node of the test's own, which the pods of others keep away from.
async fn own_node(kubectl: &mut Kubectl) -> Result<String> {
    let name = kubectl.cluster.unique("node");
    let mut node = Node::default();
    node.metadata.name = Some(name.clone());
    let mut taint = Taint::default();
    (taint.key, taint.effect) = ("kubesage.io/test".to_owned(), "NoSchedule".to_owned());
    node.spec.get_or_insert_default().taints = Some(vec![taint]);
    kubectl.cluster.create(&node).await?;
    Ok(name)
}

async fn cordons_and_uncordons(mut kubectl: Kubectl) -> Result<()> {
    let node = own_node(&mut kubectl).await?;
    assert_eq!(kubectl.ok(&["cordon", &node]).await?, format!("node/{node} cordoned\n"));
    has(kubectl.table(&["get", "node", &node]).await?.cell("STATUS")?, &["SchedulingDisabled"])?;
    assert_eq!(kubectl.ok(&["cordon", &node]).await?, format!("node/{node} already cordoned\n"));
    assert_eq!(kubectl.ok(&["uncordon", &node]).await?, format!("node/{node} uncordoned\n"));
    let status = kubectl.table(&["get", "node", &node]).await?;
    ensure!(!status.cell("STATUS")?.contains("SchedulingDisabled"), "{status:?}");
    Ok(())
}

async fn taints(mut kubectl: Kubectl) -> Result<()> {
    let node = own_node(&mut kubectl).await?;
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

/// The node of the first pod of an application.
async fn node_of(kubectl: &Kubectl, app: &str) -> Result<String> {
    // No pod of a daemon set, which may be where none of the others are.
    let selector = format!("app={app},part!=each");
    let node = "jsonpath={.items[0].spec.nodeName}";
    kubectl.ok(&["get", "pods", "-l", &selector, "-o", node]).await
}

/// Only pods of the test's own label are drained: others may be using the node. The label is the namespace's name.
fn drain<'a>(node: &'a str, selector: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&["drain", node, selector, "--ignore-daemonsets", "--delete-emptydir-data"], rest].concat()
}

async fn drains(kubectl: Kubectl) -> Result<()> {
    let app = kubectl.namespace();
    let selector = format!("--pod-selector=app={app}");
    kubectl.deployment(app, 2).await?;
    kubectl
        .apply(&format!(
            "apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: each}}
spec:
  selector: {{matchLabels: {{app: {app}, part: each}}}}
  template:
    metadata: {{labels: {{app: {app}, part: each}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{{name: main, image: '{IMAGE}'}}]
"
        ))
        .await?;
    kubectl.ok(&["rollout", "status", "daemonset/each", "--timeout=30s"]).await?;
    let node = node_of(&kubectl, app).await?;
    let said = kubectl.say(&drain(&node, &selector, &["--timeout=30s"])).await?;
    // Others must be able to use the node again before anything is looked at.
    kubectl.ok(&["uncordon", &node]).await?;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    has(&said.out, &["cordoned", "evicting pod", "drained"])?;
    has(&said.err, &["ignoring DaemonSet-managed Pods"])?;
    kubectl.ok(&["rollout", "status", "deployment", app, "--timeout=30s"]).await?;
    Ok(())
}

async fn a_budget_holds_up_a_drain(kubectl: Kubectl) -> Result<()> {
    let app = kubectl.namespace();
    let (pods, selector) = (format!("--selector=app={app}"), format!("--pod-selector=app={app}"));
    kubectl.deployment(app, 1).await?;
    kubectl.ok(&["create", "pdb", "guard", &pods, "--min-available=1"]).await?;
    let healthy = "--for=jsonpath={.status.currentHealthy}=1";
    kubectl.ok(&["wait", healthy, "pdb/guard", "--timeout=30s"]).await?;
    let node = node_of(&kubectl, app).await?;
    let said = kubectl.say(&drain(&node, &selector, &["--timeout=2s"])).await?;
    kubectl.ok(&["uncordon", &node]).await?;
    ensure!(said.code != 0, "{}", said.out);
    has(&said.err, &["Cannot evict pod as it would violate the pod's disruption budget."])?;
    assert_eq!(kubectl.table(&["get", "pods"]).await?.cell("STATUS")?, "Running");
    Ok(())
}

async fn a_drain_needs_consent(kubectl: Kubectl) -> Result<()> {
    let app = kubectl.namespace();
    let selector = format!("--pod-selector=app={app}");
    kubectl.pod(app).await?;
    let node = node_of(&kubectl, app).await?;
    let refused = kubectl.say(&drain(&node, &selector, &["--timeout=30s"])).await?;
    let forced = kubectl.say(&drain(&node, &selector, &["--force", "--timeout=30s"])).await?;
    kubectl.ok(&["uncordon", &node]).await?;
    ensure!(refused.code != 0, "{}", refused.out);
    has(&refused.err, &["cannot delete", "use --force to override"])?;
    assert_eq!(forced.code, 0, "{}", forced.err);
    has(&forced.err, &["Warning: deleting Pods that declare no controller"])?;
    let error = kubectl.fails(&["get", "pod", app]).await?;
    has(&error, &["NotFound"]).context("a pod without a controller does not come back")
}
