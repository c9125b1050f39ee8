use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;

use crate::common::{IMAGE, Kubectl, has, tests};

tests! { "create" on AnyCluster:
    a_deployment,
    a_namespace,
    configuration,
    services,
    roles_and_bindings,
    jobs,
    quotas_and_classes,
    a_dry_run_changes_nothing,
    the_same_twice,
    from_a_file_with_a_generated_name,
    a_pod_that_ends,
}

async fn a_deployment(kubectl: Kubectl) -> Result<()> {
    let image = format!("--image={IMAGE}");
    let created = kubectl.ok(&["create", "deployment", "web", &image, "--replicas=2"]).await?;
    assert_eq!(created, "deployment.apps/web created\n");
    kubectl.ok(&["wait", "--for=condition=Available", "deployment/web", "--timeout=30s"]).await?;
    let table = kubectl.table(&["get", "deployment", "web"]).await?;
    assert_eq!(table.cell("READY")?, "2/2");
    Ok(())
}

async fn a_namespace(kubectl: Kubectl) -> Result<()> {
    let name = kubectl.cluster.unique("more");
    kubectl.cluster.remove_at_end::<Namespace>(&name);
    assert_eq!(kubectl.ok(&["create", "namespace", &name]).await?, format!("namespace/{name} created\n"));
    let table = kubectl.table(&["get", "ns", &name]).await?;
    assert_eq!(table.cell("STATUS")?, "Active");
    kubectl.ok(&["delete", "namespace", &name, "--timeout=30s"]).await?;
    has(&kubectl.fails(&["get", "ns", &name]).await?, &["NotFound"])
}

async fn configuration(kubectl: Kubectl) -> Result<()> {
    let file = kubectl.file("key.txt", "from a file")?;
    let from_file = format!("--from-file={}", file.display());
    kubectl.ok(&["create", "configmap", "map", "--from-literal=a=b", &from_file]).await?;
    let map = kubectl.object("cm", "map").await?;
    assert_eq!(map["data"], serde_json::json!({ "a": "b", "key.txt": "from a file" }));
    kubectl.ok(&["create", "secret", "generic", "hidden", "--from-literal=a=b"]).await?;
    assert_eq!(kubectl.object("secret", "hidden").await?["data"]["a"], "Yg==");
    let table = kubectl.table(&["get", "secret", "hidden"]).await?;
    assert_eq!([table.cell("TYPE")?, table.cell("DATA")?], ["Opaque", "1"]);
    Ok(())
}

async fn services(kubectl: Kubectl) -> Result<()> {
    kubectl.ok(&["create", "service", "clusterip", "inner", "--tcp=80:8080"]).await?;
    kubectl.ok(&["create", "service", "nodeport", "outer", "--tcp=80"]).await?;
    kubectl.ok(&["create", "service", "externalname", "away", "--external-name=example.com"]).await?;
    let inner = kubectl.table(&["get", "service", "inner"]).await?;
    assert_eq!([inner.cell("TYPE")?, inner.cell("PORT(S)")?], ["ClusterIP", "80/TCP"]);
    assert_ne!(inner.cell("CLUSTER-IP")?, "<none>");
    let outer = kubectl.table(&["get", "service", "outer"]).await?;
    has(outer.cell("PORT(S)")?, &["80:3", "/TCP"])?;
    let away = kubectl.table(&["get", "service", "away"]).await?;
    assert_eq!([away.cell("CLUSTER-IP")?, away.cell("EXTERNAL-IP")?], ["<none>", "example.com"]);
    Ok(())
}

async fn roles_and_bindings(kubectl: Kubectl) -> Result<()> {
    kubectl.ok(&["create", "serviceaccount", "reader"]).await?;
    kubectl.ok(&["create", "role", "read", "--verb=get,list", "--resource=pods,deployments.apps"]).await?;
    let account = format!("--serviceaccount={}:reader", kubectl.namespace());
    kubectl.ok(&["create", "rolebinding", "readers", "--role=read", &account, "--group=people"]).await?;
    let role = kubectl.object("role", "read").await?;
    assert_eq!(role["rules"][1]["apiGroups"], serde_json::json!(["apps"]));
    let table = kubectl.table(&["get", "rolebinding", "readers", "-o", "wide"]).await?;
    let account = format!("{}/reader", kubectl.namespace());
    let cells = [table.cell("ROLE")?, table.cell("GROUPS")?, table.cell("SERVICEACCOUNTS")?];
    assert_eq!(cells, ["Role/read", "people", &account]);
    Ok(())
}

async fn jobs(kubectl: Kubectl) -> Result<()> {
    let image = format!("--image={IMAGE}");
    kubectl.ok(&["create", "cronjob", "often", &image, "--schedule=*/5 * * * *", "--", "true"]).await?;
    let table = kubectl.table(&["get", "cronjob", "often"]).await?;
    let cells =
        [table.cell("SCHEDULE")?, table.cell("TIMEZONE")?, table.cell("SUSPEND")?, table.cell("ACTIVE")?];
    assert_eq!(cells, ["*/5 * * * *", "<none>", "False", "0"]);
    kubectl.ok(&["create", "job", "now", "--from=cronjob/often"]).await?;
    let job = kubectl.object("job", "now").await?;
    assert_eq!(job["metadata"]["ownerReferences"][0]["name"], "often");
    Ok(())
}

async fn quotas_and_classes(kubectl: Kubectl) -> Result<()> {
    kubectl.ok(&["create", "quota", "bounds", "--hard=pods=10,limits.cpu=2"]).await?;
    assert_eq!(kubectl.object("quota", "bounds").await?["spec"]["hard"]["pods"], "10");
    let rule = "--rule=example.com/path*=web:80";
    kubectl.ok(&["create", "ingress", "front", "--class=none-such", rule]).await?;
    let table = kubectl.table(&["get", "ingress", "front"]).await?;
    let cells = [table.cell("CLASS")?, table.cell("HOSTS")?, table.cell("PORTS")?];
    assert_eq!(cells, ["none-such", "example.com", "80"]);
    Ok(())
}

async fn a_dry_run_changes_nothing(kubectl: Kubectl) -> Result<()> {
    let map = ["create", "configmap", "map", "--from-literal=a=b"];
    let client = kubectl.ok(&[&map[..], &["--dry-run=client", "-o", "yaml"]].concat()).await?;
    has(&client, &["kind: ConfigMap", "  a: b"])?;
    let server = kubectl.ok(&[&map[..], &["--dry-run=server", "-o", "yaml"]].concat()).await?;
    has(&server, &["kind: ConfigMap", "  a: b", "  uid: "])?;
    has(&kubectl.fails(&["get", "cm", "map"]).await?, &["NotFound"])
}

async fn the_same_twice(kubectl: Kubectl) -> Result<()> {
    kubectl.ok(&["create", "configmap", "map"]).await?;
    let error = kubectl.fails(&["create", "configmap", "map"]).await?;
    has(&error, &["configmaps \"map\" already exists"])
}

async fn from_a_file_with_a_generated_name(kubectl: Kubectl) -> Result<()> {
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: map-}\n";
    let created = kubectl.ok_with(&["create", "-f", "-", "-o", "name"], map).await?;
    let name = created.trim().strip_prefix("configmap/map-").unwrap_or_default();
    assert_eq!(name.len(), 5, "{created}");
    Ok(())
}

async fn a_pod_that_ends(kubectl: Kubectl) -> Result<()> {
    let image = format!("--image={IMAGE}");
    kubectl.ok(&["create", "job", "once", &image, "--", "true"]).await?;
    if kubectl.cluster.sim().is_some() {
        kubectl.ok(&["wait", "--for=condition=Complete", "job/once", "--timeout=30s"]).await?;
        let table = kubectl.table(&["get", "job", "once"]).await?;
        assert_eq!([table.cell("STATUS")?, table.cell("COMPLETIONS")?], ["Complete", "1/1"]);
    }
    Ok(())
}
