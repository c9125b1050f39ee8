use anyhow::Result;
use serde_json::json;

use crate::common::{IMAGE, Kubectl, deployment, has, tests};

tests! { "patch" on AnyCluster:
    strategic,
    merge,
    json_operations,
    the_status_alone,
    labels,
    annotations,
    images_and_environment,
    an_edit_that_is_refused,
}

async fn strategic(kubectl: Kubectl) -> Result<()> {
    kubectl.apply(&deployment("web", 0)).await?;
    let patch = r#"{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"other:1"}]}}}}"#;
    assert_eq!(
        kubectl.ok(&["patch", "deployment", "web", "-p", patch]).await?,
        "deployment.apps/web patched\n"
    );
    let web = kubectl.object("deployment", "web").await?;
    let container = &web["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        (&container["image"], &container["resources"]["requests"]["cpu"]),
        (&json!("other:1"), &json!("10m"))
    );
    let again = kubectl.ok(&["patch", "deployment", "web", "-p", patch]).await?;
    assert_eq!(again, "deployment.apps/web patched (no change)\n");
    Ok(())
}

async fn merge(kubectl: Kubectl) -> Result<()> {
    kubectl.ok(&["create", "configmap", "map", "--from-literal=a=b", "--from-literal=c=d"]).await?;
    kubectl.ok(&["patch", "cm", "map", "--type=merge", "-p", r#"{"data":{"a":null,"e":"f"}}"#]).await?;
    assert_eq!(kubectl.object("cm", "map").await?["data"], json!({ "c": "d", "e": "f" }));
    Ok(())
}

async fn json_operations(kubectl: Kubectl) -> Result<()> {
    kubectl.ok(&["create", "configmap", "map", "--from-literal=a=b"]).await?;
    let patch = r#"[{"op":"test","path":"/data/a","value":"b"},{"op":"add","path":"/data/c","value":"d"},
                    {"op":"remove","path":"/data/a"}]"#;
    kubectl.ok(&["patch", "cm", "map", "--type=json", "-p", patch]).await?;
    assert_eq!(kubectl.object("cm", "map").await?["data"], json!({ "c": "d" }));
    let wrong = r#"[{"op":"remove","path":"/data/none"}]"#;
    let error = kubectl.fails(&["patch", "cm", "map", "--type=json", "-p", wrong]).await?;
    has(&error, &["the server rejected our request due to an error in our request"])
}

async fn the_status_alone(kubectl: Kubectl) -> Result<()> {
    kubectl.apply(&deployment("web", 0)).await?;
    let table = kubectl.table(&["get", "deployment", "web", "--subresource=scale"]).await?;
    assert_eq!(table.columns, ["NAME", "DESIRED", "AVAILABLE", "AGE"]);
    let patch = r#"{"spec":{"replicas":2}}"#;
    let scale = ["patch", "deployment", "web", "--subresource=scale", "--type=merge", "-p", patch];
    has(&kubectl.ok(&scale).await?, &["web patched"])?;
    assert_eq!(kubectl.object("deployment", "web").await?["spec"]["replicas"], 2);
    Ok(())
}

async fn labels(kubectl: Kubectl) -> Result<()> {
    kubectl.ok(&["create", "configmap", "map"]).await?;
    assert_eq!(kubectl.ok(&["label", "cm", "map", "a=b"]).await?, "configmap/map labeled\n");
    let error = kubectl.fails(&["label", "cm", "map", "a=c"]).await?;
    has(&error, &["already has a value (b), and --overwrite is false"])?;
    kubectl.ok(&["label", "cm", "map", "a=c", "--overwrite"]).await?;
    let table = kubectl.table(&["get", "cm", "map", "-L", "a", "--show-labels"]).await?;
    assert_eq!([table.cell("A")?, table.cell("LABELS")?], ["c", "a=c"]);
    assert_eq!(kubectl.ok(&["label", "cm", "map", "a-"]).await?, "configmap/map unlabeled\n");
    let error = kubectl.fails(&["label", "cm", "map", "a=not ok"]).await?;
    has(&error, &["a valid label must be an empty string or consist of alphanumeric characters"])
}

async fn annotations(kubectl: Kubectl) -> Result<()> {
    kubectl.ok(&["create", "configmap", "map"]).await?;
    assert_eq!(kubectl.ok(&["annotate", "cm", "map", "a=b c"]).await?, "configmap/map annotated\n");
    assert_eq!(kubectl.object("cm", "map").await?["metadata"]["annotations"]["a"], "b c");
    kubectl.ok(&["annotate", "cm", "map", "a-"]).await?;
    assert_eq!(kubectl.object("cm", "map").await?["metadata"]["annotations"], json!(null));
    Ok(())
}

async fn images_and_environment(kubectl: Kubectl) -> Result<()> {
    kubectl.apply(&deployment("web", 0)).await?;
    let image = format!("main={IMAGE}-x");
    assert_eq!(
        kubectl.ok(&["set", "image", "deployment/web", &image]).await?,
        "deployment.apps/web image updated\n"
    );
    kubectl.ok(&["set", "env", "deployment/web", "COLOR=blue"]).await?;
    kubectl.ok(&["set", "resources", "deployment/web", "--limits=memory=64Mi"]).await?;
    let web = kubectl.object("deployment", "web").await?;
    let container = &web["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], format!("{IMAGE}-x"));
    assert_eq!(container["env"], json!([{ "name": "COLOR", "value": "blue" }]));
    assert_eq!(container["resources"]["limits"]["memory"], "64Mi");
    Ok(())
}

async fn an_edit_that_is_refused(kubectl: Kubectl) -> Result<()> {
    kubectl.apply(&deployment("web", 0)).await?;
    let patch = r#"{"spec":{"selector":{"matchLabels":{"app":"other"}}}}"#;
    let error = kubectl.fails(&["patch", "deployment", "web", "--type=merge", "-p", patch]).await?;
    has(&error, &["The Deployment \"web\" is invalid", "field is immutable"])
}
