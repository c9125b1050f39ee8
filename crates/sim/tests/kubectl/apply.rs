use anyhow::{Result, ensure};
use serde_json::Value;

use crate::common::{Kubectl, deployment, has, tests};

tests! { "apply" on AnyCluster:
    creates_changes_and_leaves_alone,
    prunes_what_was_left_out,
    a_list_of_documents,
    keeps_what_others_wrote,
    on_the_server,
    conflicts_on_the_server,
    goes_over_to_the_server,
    tells_who_set_what,
    unknown_fields_are_refused,
    a_dry_run_changes_nothing,
    diff_shows_what_would_change,
    replaces,
}

const MAP: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: map, labels: {keep: a, drop: b}}
data: {keep: a, drop: b}
";
const LESS: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: map, labels: {keep: a}}
data: {keep: c}
";

async fn creates_changes_and_leaves_alone(kubectl: Kubectl) -> Result<()> {
    assert_eq!(kubectl.apply(&deployment("web", 1)).await?, "deployment.apps/web created\n");
    assert_eq!(kubectl.apply(&deployment("web", 1)).await?, "deployment.apps/web unchanged\n");
    assert_eq!(kubectl.apply(&deployment("web", 2)).await?, "deployment.apps/web configured\n");
    assert_eq!(kubectl.object("deployment", "web").await?["spec"]["replicas"], 2);
    Ok(())
}

async fn prunes_what_was_left_out(kubectl: Kubectl) -> Result<()> {
    kubectl.apply(MAP).await?;
    assert_eq!(kubectl.apply(LESS).await?, "configmap/map configured\n");
    let map = kubectl.object("configmap", "map").await?;
    assert_eq!(map["data"], serde_json::json!({ "keep": "c" }));
    assert_eq!(map["metadata"]["labels"], serde_json::json!({ "keep": "a" }));
    Ok(())
}

async fn a_list_of_documents(kubectl: Kubectl) -> Result<()> {
    let documents = format!("{MAP}---\n{}---\n", deployment("web", 0));
    assert_eq!(kubectl.apply(&documents).await?, "configmap/map created\ndeployment.apps/web created\n");
    assert_eq!(kubectl.apply(&documents).await?, "configmap/map unchanged\ndeployment.apps/web unchanged\n");
    Ok(())
}

/// Lists of objects are merged by their keys: a container that somebody added stays.
async fn keeps_what_others_wrote(kubectl: Kubectl) -> Result<()> {
    kubectl.apply(&deployment("web", 0)).await?;
    let patch = r#"{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"side:1"}]}}}}"#;
    kubectl.ok(&["patch", "deployment", "web", "-p", patch]).await?;
    let changed = deployment("web", 0).replace("10m", "20m");
    kubectl.apply(&changed).await?;
    let pod = kubectl.object("deployment", "web").await?["spec"]["template"]["spec"].take();
    let containers = pod["containers"].as_array().map_or(0, Vec::len);
    assert_eq!(containers, 2, "{pod}");
    let main = &pod["containers"].as_array().into_iter().flatten().find(|one| one["name"] == "main");
    ensure!(main.is_some_and(|main| main["resources"]["requests"]["cpu"] == "20m"), "{pod}");
    Ok(())
}

async fn on_the_server(kubectl: Kubectl) -> Result<()> {
    let apply = ["apply", "--server-side", "-f", "-"];
    assert_eq!(kubectl.ok_with(&apply, MAP).await?, "configmap/map serverside-applied\n");
    kubectl.ok_with(&apply, LESS).await?;
    let map = kubectl.object("configmap", "map").await?;
    assert_eq!(map["data"], serde_json::json!({ "keep": "c" }));
    Ok(())
}

async fn conflicts_on_the_server(kubectl: Kubectl) -> Result<()> {
    kubectl.ok_with(&["apply", "--server-side", "-f", "-"], MAP).await?;
    let other = ["apply", "--server-side", "--field-manager=other", "-f", "-"];
    let error = kubectl.fails_with(&other, LESS).await?;
    has(&error, &["conflict", "kubectl", ".data.keep", "--force-conflicts"])?;
    kubectl.ok_with(&[&other[..], &["--force-conflicts"]].concat(), LESS).await?;
    assert_eq!(kubectl.object("configmap", "map").await?["data"]["keep"], "c");
    Ok(())
}

/// What kubectl has applied on its own side it may apply on the server's, others may not.
async fn goes_over_to_the_server(kubectl: Kubectl) -> Result<()> {
    kubectl.apply(&deployment("web", 0)).await?;
    let changed = deployment("web", 0).replace("10m", "20m");
    let other = ["apply", "--server-side", "--field-manager=other", "-f", "-"];
    let error = kubectl.fails_with(&other, &changed).await?;
    has(
        &error,
        &[
            "conflict with \"kubectl-client-side-apply\" using apps/v1",
            ".spec.template.spec.containers[name=\"main\"].resources.requests.cpu",
        ],
    )?;
    let apply = ["apply", "--server-side", "-f", "-"];
    for manifest in [&changed, &changed.replace("20m", "30m")] {
        let said = kubectl.ok_with(&apply, manifest).await?;
        assert_eq!(said, "deployment.apps/web serverside-applied\n");
    }
    let web = kubectl.object("deployment", "web").await?;
    assert_eq!(web["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"], "30m");
    let last = &web["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    has(last.as_str().unwrap_or_default(), &["30m"])?;
    let managers = managers(&kubectl, "deployment", "web").await?;
    assert_eq!(managers.iter().filter(|manager| manager.starts_with("kubectl ")).count(), 1, "{managers:?}");
    ensure!(managers.contains(&"kubectl Apply ".to_owned()), "{managers:?}");
    ensure!(!managers.iter().any(|manager| manager.contains("client-side")), "{managers:?}");
    Ok(())
}

/// The managers of an object: the name, the operation and the subresource of each.
async fn managers(kubectl: &Kubectl, kind: &str, name: &str) -> Result<Vec<String>> {
    let said = kubectl.ok(&["get", kind, name, "-o", "json", "--show-managed-fields"]).await?;
    let object: Value = serde_json::from_str(&said)?;
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let fields = ["manager", "operation", "subresource"];
    Ok(entries.map(|entry| fields.map(|field| text(entry, field)).join(" ")).collect())
}

async fn tells_who_set_what(kubectl: Kubectl) -> Result<()> {
    kubectl.ok_with(&["create", "-f", "-"], &deployment("web", 0)).await?;
    kubectl.ok(&["label", "deployment", "web", "a=b"]).await?;
    kubectl.ok(&["patch", "deployment", "web", "-p", r#"{"spec":{"paused":true}}"#]).await?;
    kubectl.ok(&["scale", "deployment", "web", "--replicas=1"]).await?;
    let managers = managers(&kubectl, "deployment", "web").await?;
    for expected in
        ["kubectl-create Update ", "kubectl-label Update ", "kubectl-patch Update ", "kubectl Update scale"]
    {
        ensure!(managers.iter().any(|manager| manager == expected), "{expected}: {managers:?}");
    }
    let error = kubectl.fails_with(&["apply", "--server-side", "-f", "-"], &deployment("web", 2)).await?;
    has(&error, &["conflict with \"kubectl\" with subresource \"scale\" using apps/v1", ".spec.replicas"])
}

async fn unknown_fields_are_refused(kubectl: Kubectl) -> Result<()> {
    let wrong = deployment("web", 1).replace("replicas:", "replics:");
    let error = kubectl.fails_with(&["apply", "-f", "-"], &wrong).await?;
    has(&error, &["strict decoding error", "unknown field \"spec.replics\""])?;
    let warned = kubectl.say_with(&["apply", "--validate=warn", "-f", "-"], &wrong).await?;
    assert_eq!((warned.code, warned.out.as_str()), (0, "deployment.apps/web created\n"));
    has(&warned.err, &["Warning", "unknown field \"spec.replics\""])
}

async fn a_dry_run_changes_nothing(kubectl: Kubectl) -> Result<()> {
    let created = kubectl.ok_with(&["apply", "--dry-run=server", "-f", "-"], MAP).await?;
    assert_eq!(created, "configmap/map created (server dry run)\n");
    has(&kubectl.fails(&["get", "cm", "map"]).await?, &["NotFound"])
}

async fn diff_shows_what_would_change(kubectl: Kubectl) -> Result<()> {
    kubectl.apply(MAP).await?;
    let same = kubectl.say_with(&["diff", "-f", "-"], MAP).await?;
    assert_eq!((same.code, same.out.as_str()), (0, ""), "{}", same.err);
    let other = kubectl.say_with(&["diff", "-f", "-"], LESS).await?;
    assert_eq!(other.code, 1, "{}", other.err);
    has(&other.out, &["-  drop: b", "-  keep: a", "+  keep: c"])
}

async fn replaces(kubectl: Kubectl) -> Result<()> {
    kubectl.ok_with(&["create", "-f", "-"], MAP).await?;
    let replaced = kubectl.ok_with(&["replace", "-f", "-"], LESS).await?;
    assert_eq!(replaced, "configmap/map replaced\n");
    assert_eq!(kubectl.object("configmap", "map").await?["data"], serde_json::json!({ "keep": "c" }));
    kubectl.ok_with(&["replace", "--force", "-f", "-"], MAP).await?;
    assert_eq!(kubectl.object("configmap", "map").await?["data"]["drop"], "b");
    Ok(())
}
