use anyhow::{Result, ensure};

use crate::common::{IMAGE, Kubectl, has, tests};

tests! { "rollout" on AnyCluster:
    scales,
    rolls_out_and_back,
    restarts,
    pauses_and_resumes,
    waits_for_a_condition,
    exposes,
    autoscales,
    of_a_daemon_set_and_a_stateful_set,
    of_a_replication_controller,
}

async fn scales(kubectl: Kubectl) -> Result<()> {
    kubectl.deployment("web", 1).await?;
    assert_eq!(
        kubectl.ok(&["scale", "deployment", "web", "--replicas=3"]).await?,
        "deployment.apps/web scaled\n"
    );
    let status = kubectl.ok(&["rollout", "status", "deployment/web", "--timeout=30s"]).await?;
    has(&status, &["deployment \"web\" successfully rolled out"])?;
    assert_eq!(kubectl.table(&["get", "pods", "-l", "app=web"]).await?.rows.len(), 3);
    let error =
        kubectl.fails(&["scale", "deployment", "web", "--current-replicas=7", "--replicas=2"]).await?;
    has(&error, &["Expected replicas to be 7, was 3"])
}

async fn rolls_out_and_back(kubectl: Kubectl) -> Result<()> {
    kubectl.deployment("web", 2).await?;
    kubectl.ok(&["set", "env", "deployment/web", "COLOR=blue"]).await?;
    kubectl.ok(&["rollout", "status", "deployment/web", "--timeout=30s"]).await?;
    let history = kubectl.ok(&["rollout", "history", "deployment/web"]).await?;
    has(&history, &["REVISION  CHANGE-CAUSE", "1         <none>", "2         <none>"])?;
    has(&kubectl.ok(&["rollout", "history", "deployment/web", "--revision=2"]).await?, &["COLOR:"])?;
    let undone = kubectl.ok(&["rollout", "undo", "deployment/web"]).await?;
    assert_eq!(undone, "deployment.apps/web rolled back\n");
    kubectl.ok(&["rollout", "status", "deployment/web", "--timeout=30s"]).await?;
    let history = kubectl.ok(&["rollout", "history", "deployment/web"]).await?;
    has(&history, &["2         <none>", "3         <none>"])?;
    let env = "jsonpath={.spec.template.spec.containers[0].env}";
    assert_eq!(kubectl.ok(&["get", "deployment", "web", "-o", env]).await?, "");
    Ok(())
}

async fn restarts(kubectl: Kubectl) -> Result<()> {
    kubectl.deployment("web", 1).await?;
    let names = ["get", "pods", "-l", "app=web", "-o", "name"];
    let before = kubectl.ok(&names).await?;
    assert_eq!(
        kubectl.ok(&["rollout", "restart", "deployment/web"]).await?,
        "deployment.apps/web restarted\n"
    );
    kubectl.ok(&["rollout", "status", "deployment/web", "--timeout=30s"]).await?;
    kubectl.ok(&["wait", "--for=delete", before.trim(), "--timeout=30s"]).await?;
    let after = kubectl.ok(&names).await?;
    ensure!(!after.is_empty() && after != before, "{after}");
    Ok(())
}

async fn pauses_and_resumes(kubectl: Kubectl) -> Result<()> {
    kubectl.deployment("web", 1).await?;
    assert_eq!(kubectl.ok(&["rollout", "pause", "deployment/web"]).await?, "deployment.apps/web paused\n");
    let error = kubectl.fails(&["rollout", "restart", "deployment/web"]).await?;
    has(&error, &["can't restart paused deployment"])?;
    assert_eq!(kubectl.ok(&["rollout", "resume", "deployment/web"]).await?, "deployment.apps/web resumed\n");
    Ok(())
}

async fn waits_for_a_condition(kubectl: Kubectl) -> Result<()> {
    kubectl.deployment("web", 1).await?;
    let met = kubectl.ok(&["wait", "--for=condition=Available", "deployment/web", "--timeout=30s"]).await?;
    assert_eq!(met, "deployment.apps/web condition met\n");
    let phase = "--for=jsonpath={.status.phase}=Running";
    has(&kubectl.ok(&["wait", phase, "pod", "-l", "app=web"]).await?, &["condition met"])?;
    let error = kubectl.fails(&["wait", "--for=condition=Nope", "deployment/web", "--timeout=1s"]).await?;
    has(&error, &["timed out waiting for the condition on deployments/web"])
}

async fn exposes(kubectl: Kubectl) -> Result<()> {
    kubectl.deployment("web", 1).await?;
    let exposed = kubectl.ok(&["expose", "deployment", "web", "--port=80", "--target-port=8080"]).await?;
    assert_eq!(exposed, "service/web exposed\n");
    let service = kubectl.object("service", "web").await?;
    assert_eq!(service["spec"]["selector"], serde_json::json!({ "app": "web" }));
    assert_eq!(service["spec"]["ports"][0]["targetPort"], 8080);
    Ok(())
}

async fn autoscales(kubectl: Kubectl) -> Result<()> {
    kubectl.deployment("web", 1).await?;
    let made =
        kubectl.ok(&["autoscale", "deployment", "web", "--min=1", "--max=4", "--cpu-percent=80"]).await?;
    assert_eq!(made, "horizontalpodautoscaler.autoscaling/web autoscaled\n");
    let table = kubectl.table(&["get", "hpa", "web"]).await?;
    assert_eq!([table.cell("REFERENCE")?, table.cell("MAXPODS")?], ["Deployment/web", "4"]);
    has(table.cell("TARGETS")?, &["cpu: ", "/80%"])
}

/// On a node that runs pods: others may have made nodes that do not, and every node counts for a daemon set.
async fn of_a_daemon_set_and_a_stateful_set(kubectl: Kubectl) -> Result<()> {
    kubectl.pod("solo").await?;
    let solo = kubectl.object("pod", "solo").await?;
    let node = kubectl.object("node", solo["spec"]["nodeName"].as_str().unwrap_or_default()).await?;
    let host = &node["metadata"]["labels"]["kubernetes.io/hostname"];
    for (kind, rest) in [("DaemonSet", ""), ("StatefulSet", "  serviceName: own\n  replicas: 2\n")] {
        let name = kind.to_lowercase();
        kubectl
            .apply(&format!(
                "apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}}}
spec:
{rest}  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      nodeSelector: {{kubernetes.io/hostname: {host}}}
      containers: [{{name: main, image: '{IMAGE}'}}]
"
            ))
            .await?;
        let resource = format!("{name}/{name}");
        kubectl.ok(&["rollout", "status", &resource, "--timeout=30s"]).await?;
        kubectl.ok(&["rollout", "restart", &resource]).await?;
        kubectl.ok(&["rollout", "status", &resource, "--timeout=30s"]).await?;
        has(&kubectl.ok(&["rollout", "history", &resource]).await?, &["1 ", "2 "])?;
    }
    let table = kubectl.table(&["get", "statefulset", "statefulset"]).await?;
    assert_eq!(table.cell("READY")?, "2/2");
    let table = kubectl.table(&["get", "daemonset", "daemonset"]).await?;
    assert_eq!([table.cell("DESIRED")?, table.cell("READY")?], ["1", "1"]);
    Ok(())
}

async fn of_a_replication_controller(kubectl: Kubectl) -> Result<()> {
    kubectl
        .apply(&format!(
            "apiVersion: v1
kind: ReplicationController
metadata: {{name: web}}
spec:
  replicas: 1
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers: [{{name: main, image: '{IMAGE}'}}]
"
        ))
        .await?;
    let scaled = kubectl.ok(&["scale", "rc", "web", "--replicas=2"]).await?;
    assert_eq!(scaled, "replicationcontroller/web scaled\n");
    kubectl.ok(&["wait", "--for=jsonpath={.status.readyReplicas}=2", "rc/web", "--timeout=30s"]).await?;
    let table = kubectl.table(&["get", "rc", "web"]).await?;
    assert_eq!([table.cell("DESIRED")?, table.cell("CURRENT")?, table.cell("READY")?], ["2", "2", "2"]);
    has(&kubectl.ok(&["describe", "rc", "web"]).await?, &["app=web", "2 Running", "Created pod: web-"])
}
