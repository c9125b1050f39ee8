use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::common::{Kubectl, has, tests};

tests! { "get" on AnyCluster:
    pods_in_columns,
    wide_shows_more_columns,
    workloads_in_columns,
    nodes_in_columns,
    all_namespaces,
    names_and_nothing_else,
    yaml_and_json,
    jsonpath_and_custom_columns,
    a_watch_shows_what_arrives,
    labels_and_fields_select,
    rows_are_sorted,
    chunks_add_up,
    everything_of_an_application,
    events_of_an_object,
    nothing_found,
}

const SMALL: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: NAME, labels: {size: SIZE}}
data: {key: value}
---
";

fn config_map(name: &str, size: &str) -> String {
    SMALL.replace("NAME", name).replace("SIZE", size)
}

async fn three_config_maps(kubectl: &Kubectl) -> Result<()> {
    let maps = [config_map("one", "small"), config_map("two", "small"), config_map("zero", "large")];
    kubectl.apply(&maps.concat()).await?;
    Ok(())
}

async fn pods_in_columns(kubectl: Kubectl) -> Result<()> {
    kubectl.pod("solo").await?;
    let table = kubectl.table(&["get", "pods"]).await?;
    assert_eq!(table.columns, ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]);
    assert_eq!(table.rows[0][..4], ["solo", "1/1", "Running", "0"]);
    ensure!(table.cell("AGE")?.ends_with('s'), "an age in seconds: {table:?}");
    Ok(())
}

async fn wide_shows_more_columns(kubectl: Kubectl) -> Result<()> {
    kubectl.pod("solo").await?;
    let table = kubectl.table(&["get", "pod", "solo", "-o", "wide"]).await?;
    assert_eq!(table.columns[5..], ["IP", "NODE", "NOMINATED NODE", "READINESS GATES"]);
    let node = kubectl.object("pod", "solo").await?["spec"]["nodeName"].clone();
    assert_eq!(node, table.cell("NODE")?);
    ensure!(table.cell("IP")?.contains('.') || table.cell("IP")?.contains(':'), "an address: {table:?}");
    assert_eq!(table.cell("NOMINATED NODE")?, "<none>");
    Ok(())
}

async fn workloads_in_columns(kubectl: Kubectl) -> Result<()> {
    kubectl.deployment("web", 2).await?;
    let table = kubectl.table(&["get", "deployments", "-o", "wide"]).await?;
    let expected = ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"];
    assert_eq!(table.columns, expected);
    assert_eq!(
        [table.cell("READY")?, table.cell("UP-TO-DATE")?, table.cell("AVAILABLE")?],
        ["2/2", "2", "2"]
    );
    assert_eq!([table.cell("CONTAINERS")?, table.cell("SELECTOR")?], ["main", "app=web"]);
    let table = kubectl.table(&["get", "rs"]).await?;
    assert_eq!([table.cell("DESIRED")?, table.cell("CURRENT")?, table.cell("READY")?], ["2", "2", "2"]);
    Ok(())
}

async fn nodes_in_columns(kubectl: Kubectl) -> Result<()> {
    let table = kubectl.table(&["get", "nodes", "-o", "wide"]).await?;
    let expected = ["NAME", "STATUS", "ROLES", "AGE", "VERSION", "INTERNAL-IP", "EXTERNAL-IP", "OS-IMAGE"];
    assert_eq!(table.columns[..8], expected);
    let (statuses, versions) = (table.column("STATUS")?, table.column("VERSION")?);
    // Other tests may have nodes there that are not ready.
    let mut ready = statuses.iter().zip(versions).filter(|(status, _)| status.starts_with("Ready"));
    let (_, version) = ready.next().with_context(|| format!("none is ready: {table:?}"))?;
    ensure!(version.starts_with("v1."), "{table:?}");
    Ok(())
}

async fn all_namespaces(kubectl: Kubectl) -> Result<()> {
    kubectl.apply(&config_map("here", "small")).await?;
    let table = kubectl.table(&["get", "configmaps", "-A"]).await?;
    assert_eq!(table.columns[..2], ["NAMESPACE", "NAME"]);
    let found = table.rows.iter().any(|row| row[..2] == [kubectl.namespace(), "here"]);
    ensure!(found, "{table:?}");
    Ok(())
}

async fn names_and_nothing_else(kubectl: Kubectl) -> Result<()> {
    three_config_maps(&kubectl).await?;
    let names = kubectl.ok(&["get", "cm", "-l", "size", "-o", "name"]).await?;
    assert_eq!(names, "configmap/one\nconfigmap/two\nconfigmap/zero\n");
    Ok(())
}

async fn yaml_and_json(kubectl: Kubectl) -> Result<()> {
    kubectl.apply(&config_map("one", "small")).await?;
    has(
        &kubectl.ok(&["get", "cm", "one", "-o", "yaml"]).await?,
        &["apiVersion: v1\n", "kind: ConfigMap\n", "  key: value\n", "    size: small\n"],
    )?;
    let list: Value = serde_json::from_str(&kubectl.ok(&["get", "cm", "-l", "size", "-o", "json"]).await?)?;
    assert_eq!((&list["kind"], &list["items"][0]["kind"]), (&"List".into(), &"ConfigMap".into()));
    Ok(())
}

async fn jsonpath_and_custom_columns(kubectl: Kubectl) -> Result<()> {
    three_config_maps(&kubectl).await?;
    let names = kubectl.ok(&["get", "cm", "-l", "size", "-o", "jsonpath={.items[*].metadata.name}"]).await?;
    assert_eq!(names, "one two zero");
    let columns = "-o=custom-columns=MAP:.metadata.name,KEY:.data.key,NONE:.data.none";
    let table = kubectl.table(&["get", "cm", "one", columns]).await?;
    assert_eq!(table.columns, ["MAP", "KEY", "NONE"]);
    assert_eq!(table.rows, [["one", "value", "<none>"]]);
    Ok(())
}

async fn a_watch_shows_what_arrives(kubectl: Kubectl) -> Result<()> {
    kubectl.apply(&config_map("before", "small")).await?;
    let mut watch = kubectl.follow(&["get", "configmaps", "--watch", "--output-watch-events"])?;
    has(&watch.until("before").await?, &["ADDED"])?;
    kubectl.apply(&config_map("after", "small")).await?;
    has(&watch.until("after").await?, &["ADDED"])?;
    kubectl.ok(&["label", "cm", "after", "x=y"]).await?;
    has(&watch.until("after").await?, &["MODIFIED"])?;
    kubectl.ok(&["delete", "cm", "after"]).await?;
    has(&watch.until("after").await?, &["DELETED"])
}

async fn labels_and_fields_select(kubectl: Kubectl) -> Result<()> {
    three_config_maps(&kubectl).await?;
    for (selector, expected) in [
        ("-l=size=small", "one two"),
        ("-l=size!=small,size", "zero"),
        ("-l=size in (large, huge)", "zero"),
        ("-l=size notin (large), size", "one two"),
        ("--field-selector=metadata.name=two", "two"),
    ] {
        let names = kubectl.ok(&["get", "cm", selector, "-o", "jsonpath={.items[*].metadata.name}"]).await?;
        assert_eq!(names, expected, "{selector}");
    }
    kubectl.pod("solo").await?;
    let running =
        kubectl.ok(&["get", "pods", "--field-selector", "status.phase=Running", "-o", "name"]).await?;
    assert_eq!(running, "pod/solo\n");
    let error = kubectl.fails(&["get", "pods", "--field-selector", "spec.nope=1"]).await?;
    has(&error, &["field label not supported: spec.nope"])
}

async fn rows_are_sorted(kubectl: Kubectl) -> Result<()> {
    three_config_maps(&kubectl).await?;
    let table = kubectl.table(&["get", "cm", "-l", "size", "--sort-by=.metadata.labels.size"]).await?;
    assert_eq!(table.column("NAME")?[0], "zero");
    Ok(())
}

async fn chunks_add_up(kubectl: Kubectl) -> Result<()> {
    three_config_maps(&kubectl).await?;
    let table = kubectl.table(&["get", "cm", "-l", "size", "--chunk-size=1"]).await?;
    assert_eq!(table.column("NAME")?, ["one", "two", "zero"]);
    Ok(())
}

async fn everything_of_an_application(kubectl: Kubectl) -> Result<()> {
    kubectl.deployment("web", 1).await?;
    kubectl.ok(&["expose", "deployment", "web", "--port=80"]).await?;
    has(
        &kubectl.ok(&["get", "all"]).await?,
        &["pod/web-", "service/web", "deployment.apps/web", "replicaset.apps/web-"],
    )
}

async fn events_of_an_object(kubectl: Kubectl) -> Result<()> {
    kubectl.apply(&config_map("one", "small")).await?;
    let (namespace, now) = (kubectl.namespace(), jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ"));
    let event = format!(
        "apiVersion: v1
kind: Event
metadata: {{name: one.1, namespace: {namespace}}}
involvedObject: {{apiVersion: v1, kind: ConfigMap, name: one, namespace: {namespace}}}
type: Warning
reason: TooSmall
message: It could be larger
count: 3
firstTimestamp: {now}
lastTimestamp: {now}
source: {{component: tests}}
"
    );
    kubectl.ok_with(&["create", "-f", "-"], &event).await?;
    let table = kubectl.table(&["get", "events", "--field-selector", "involvedObject.name=one"]).await?;
    assert_eq!(table.columns, ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]);
    assert_eq!(table.rows[0][1..], ["Warning", "TooSmall", "configmap/one", "It could be larger"]);
    let same = ["get", "events.v1.events.k8s.io", "--field-selector", "regarding.name=one"];
    assert_eq!(kubectl.table(&same).await?.rows[0][1..], table.rows[0][1..]);
    has(&kubectl.ok(&["events", "--for", "configmap/one"]).await?, &["TooSmall", "ConfigMap/one"])
}

async fn nothing_found(kubectl: Kubectl) -> Result<()> {
    let said = kubectl.say(&["get", "pods"]).await?;
    let expected = format!("No resources found in {} namespace.\n", kubectl.namespace());
    assert_eq!((said.code, said.err.as_str()), (0, expected.as_str()));
    let error = kubectl.fails(&["get", "pods", "absent"]).await?;
    assert_eq!(error, "Error from server (NotFound): pods \"absent\" not found\n");
    kubectl.ok(&["get", "pods", "absent", "--ignore-not-found"]).await.context("it is no error then")?;
    Ok(())
}
