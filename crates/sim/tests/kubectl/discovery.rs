use anyhow::{Context, Result, ensure};

use crate::common::{Kubectl, has, tests};

tests! { "discovery" on AnyCluster:
    resources,
    versions,
    explanations,
    the_version_of_the_server,
    where_the_cluster_is,
    no_metrics,
    raw_paths,
}

async fn resources(kubectl: Kubectl) -> Result<()> {
    let table = kubectl.table(&["api-resources"]).await?;
    assert_eq!(table.columns, ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]);
    for expected in [
        ["pods", "po", "v1", "true", "Pod"],
        ["nodes", "no", "v1", "false", "Node"],
        ["deployments", "deploy", "apps/v1", "true", "Deployment"],
        ["poddisruptionbudgets", "pdb", "policy/v1", "true", "PodDisruptionBudget"],
        ["selfsubjectaccessreviews", "", "authorization.k8s.io/v1", "false", "SelfSubjectAccessReview"],
    ] {
        ensure!(table.rows.iter().any(|row| *row == expected), "no {expected:?} in {table:?}");
    }
    let wide = kubectl.ok(&["api-resources", "-o", "wide", "--api-group=apps"]).await?;
    let deployments = wide.lines().find(|line| line.starts_with("deployments")).context("deployments")?;
    has(deployments, &["create,delete,deletecollection,get,list,patch,update,watch", "all"])?;
    let names = kubectl.ok(&["api-resources", "--namespaced=false", "-o", "name"]).await?;
    ensure!(names.lines().any(|name| name == "nodes") && !names.contains("pods\n"), "{names}");
    Ok(())
}

async fn versions(kubectl: Kubectl) -> Result<()> {
    let versions = kubectl.ok(&["api-versions"]).await?;
    for expected in
        ["v1", "apps/v1", "batch/v1", "policy/v1", "rbac.authorization.k8s.io/v1", "autoscaling/v2"]
    {
        ensure!(versions.lines().any(|version| version == expected), "no {expected} in {versions}");
    }
    Ok(())
}

async fn explanations(kubectl: Kubectl) -> Result<()> {
    let pod = kubectl.ok(&["explain", "pod"]).await?;
    has(&pod, &["KIND:       Pod", "VERSION:    v1", "DESCRIPTION:", "FIELDS:", "spec", "<PodSpec>"])?;
    let field = kubectl.ok(&["explain", "deployment.spec.template.spec.containers.imagePullPolicy"]).await?;
    has(&field, &["GROUP:      apps", "FIELD: imagePullPolicy <string>", "IfNotPresent"])?;
    has(&kubectl.ok(&["explain", "pdb.spec", "--recursive"]).await?, &["maxUnavailable", "matchLabels"])?;
    has(&kubectl.fails(&["explain", "pod.nope"]).await?, &["field \"nope\" does not exist"])
}

async fn the_version_of_the_server(kubectl: Kubectl) -> Result<()> {
    let version = kubectl.ok(&["version", "-o", "json"]).await?;
    let version: serde_json::Value = serde_json::from_str(&version)?;
    assert_eq!(version["serverVersion"]["major"], "1");
    Ok(())
}

async fn where_the_cluster_is(kubectl: Kubectl) -> Result<()> {
    has(&kubectl.ok(&["cluster-info"]).await?, &["Kubernetes control plane", "is running at", "https://"])
}

async fn no_metrics(kubectl: Kubectl) -> Result<()> {
    let said = kubectl.say(&["top", "nodes"]).await?;
    if said.code == 0 {
        ensure!(kubectl.cluster.sim().is_none(), "the simulator measures nothing");
        return Ok(());
    }
    has(&said.err, &["Metrics API not available"])
}

async fn raw_paths(kubectl: Kubectl) -> Result<()> {
    assert_eq!(kubectl.ok(&["get", "--raw", "/readyz"]).await?, "ok");
    assert_eq!(kubectl.ok(&["get", "--raw", "/livez/ping"]).await?, "ok");
    let checks = kubectl.ok(&["get", "--raw", "/readyz?verbose"]).await?;
    has(&checks, &["[+]ping ok\n", "[+]etcd ok\n", "readyz check passed\n"])?;
    let paths = kubectl.ok(&["get", "--raw", "/"]).await?;
    has(&paths, &["\"/apis/apps/v1\"", "\"/healthz/ping\"", "\"/metrics\""])?;
    let metrics = kubectl.ok(&["get", "--raw", "/metrics"]).await?;
    has(&metrics, &["# TYPE apiserver_request_total counter\napiserver_request_total{"])?;
    has(&kubectl.ok(&["get", "--raw", "/apis"]).await?, &["APIGroupList", "\"apps\""])?;
    let path = format!("/api/v1/namespaces/{}", kubectl.namespace());
    has(&kubectl.ok(&["get", "--raw", &path]).await?, &["\"kind\":\"Namespace\""])
}
