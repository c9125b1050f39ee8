use anyhow::Result;

use crate::common::{IMAGE, Kubectl, deployment, has, tests};

tests! { "errors" on AnyCluster:
    no_such_resource,
    conflicts,
    invalid_objects,
    no_such_namespace,
    names_of_two_kinds,
}

async fn no_such_resource(kubectl: Kubectl) -> Result<()> {
    let error = kubectl.fails(&["get", "chairs"]).await?;
    assert_eq!(error, "error: the server doesn't have a resource type \"chairs\"\n");
    let chair = "apiVersion: example.com/v1\nkind: Chair\nmetadata: {name: c}\n";
    let error = kubectl.fails_with(&["apply", "-f", "-"], chair).await?;
    has(&error, &["no matches for kind \"Chair\" in version \"example.com/v1\""])
}

async fn conflicts(kubectl: Kubectl) -> Result<()> {
    kubectl.ok(&["create", "configmap", "map", "--from-literal=a=b"]).await?;
    let stale = kubectl.ok(&["get", "cm", "map", "-o", "yaml"]).await?;
    kubectl.ok(&["label", "cm", "map", "x=y"]).await?;
    let error = kubectl.fails_with(&["replace", "-f", "-"], &stale.replace("a: b", "a: c")).await?;
    has(
        &error,
        &["Error from server (Conflict)", "the object has been modified; please apply your changes"],
    )?;
    let error = kubectl.fails(&["label", "cm", "map", "x=z", "--overwrite", "--resource-version=1"]).await?;
    has(&error, &["Conflict"])
}

async fn invalid_objects(kubectl: Kubectl) -> Result<()> {
    let error = kubectl.fails_with(&["apply", "-f", "-"], &deployment("Web", 1)).await?;
    has(
        &error,
        &["The Deployment \"Web\" is invalid", "metadata.name: Invalid value", "RFC 1123 subdomain"],
    )?;
    let labels = "template:\n    metadata:\n      labels: {app: web}";
    let other = labels.replace("app: web", "app: other");
    let error =
        kubectl.fails_with(&["apply", "-f", "-"], &deployment("web", 1).replace(labels, &other)).await?;
    has(&error, &["`selector` does not match template `labels`"])?;
    let error = kubectl.fails(&["create", "namespace", "Not_Ok"]).await?;
    has(&error, &["The Namespace \"Not_Ok\" is invalid", "RFC 1123 label"])?;
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{containers: [{{image: '{IMAGE}'}}]}}\n"
    );
    let error = kubectl.fails_with(&["create", "-f", "-"], &pod).await?;
    has(&error, &["The Pod \"p\" is invalid", "spec.containers[0].name: Required value"])
}

async fn no_such_namespace(kubectl: Kubectl) -> Result<()> {
    let namespace = kubectl.cluster.unique("absent");
    let error = kubectl.fails(&["create", "configmap", "map", "-n", &namespace]).await?;
    has(&error, &[&format!("namespaces \"{namespace}\" not found")])
}

/// One command about objects of several kinds reports each that is missing.
async fn names_of_two_kinds(kubectl: Kubectl) -> Result<()> {
    kubectl.ok(&["create", "configmap", "map"]).await?;
    let said = kubectl.say(&["get", "configmap/map", "secret/absent", "-o", "name"]).await?;
    assert_eq!((said.code, said.out.as_str()), (1, "configmap/map\n"));
    has(&said.err, &["secrets \"absent\" not found"])
}
