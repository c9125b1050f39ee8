use anyhow::{Result, ensure};

use crate::common::{Kubectl, has, tests};

tests! { "delete" on AnyCluster:
    waits_until_it_is_gone,
    without_grace,
    by_label,
    orphans_stay,
    children_go_along,
    several_at_once,
    a_namespace_takes_its_objects_along,
    what_is_not_there,
}

async fn waits_until_it_is_gone(kubectl: Kubectl) -> Result<()> {
    kubectl.pod("solo").await?;
    let deleted = kubectl.ok(&["delete", "pod", "solo", "--timeout=30s"]).await?;
    has(&deleted, &["pod \"solo\" deleted"])?;
    has(&kubectl.fails(&["get", "pod", "solo"]).await?, &["NotFound"])
}

async fn without_grace(kubectl: Kubectl) -> Result<()> {
    kubectl.pod("solo").await?;
    let said = kubectl.say(&["delete", "pod", "solo", "--grace-period=0", "--force"]).await?;
    assert_eq!(said.code, 0, "{}", said.err);
    has(&said.err, &["Immediate deletion does not wait"])?;
    has(&said.out, &["pod \"solo\" force deleted"])?;
    has(&kubectl.fails(&["get", "pod", "solo"]).await?, &["NotFound"])
}

async fn by_label(kubectl: Kubectl) -> Result<()> {
    for (name, label) in [("one", "a=b"), ("two", "a=b"), ("three", "a=c")] {
        kubectl.ok(&["create", "configmap", name]).await?;
        kubectl.ok(&["label", "configmap", name, label]).await?;
    }
    let deleted = kubectl.ok(&["delete", "configmaps", "-l", "a=b"]).await?;
    has(&deleted, &["configmap \"one\" deleted", "configmap \"two\" deleted"])?;
    assert_eq!(kubectl.ok(&["get", "cm", "-l", "a", "-o", "name"]).await?, "configmap/three\n");
    Ok(())
}

async fn orphans_stay(kubectl: Kubectl) -> Result<()> {
    kubectl.deployment("web", 1).await?;
    kubectl.ok(&["delete", "deployment", "web", "--cascade=orphan", "--timeout=30s"]).await?;
    let set = kubectl.table(&["get", "rs", "-l", "app=web"]).await?;
    assert_eq!(set.cell("READY")?, "1");
    let owners = "jsonpath={.items[0].metadata.ownerReferences}";
    assert_eq!(kubectl.ok(&["get", "rs", "-l", "app=web", "-o", owners]).await?, "");
    Ok(())
}

async fn children_go_along(kubectl: Kubectl) -> Result<()> {
    kubectl.deployment("web", 1).await?;
    kubectl.ok(&["delete", "deployment", "web", "--cascade=foreground", "--timeout=30s"]).await?;
    assert_eq!(kubectl.ok(&["get", "rs,pods", "-l", "app=web", "-o", "name"]).await?, "");
    kubectl.deployment("next", 1).await?;
    kubectl.ok(&["delete", "deployment", "next"]).await?;
    kubectl.ok(&["wait", "--for=delete", "pod", "-l", "app=next", "--timeout=30s"]).await?;
    Ok(())
}

async fn several_at_once(kubectl: Kubectl) -> Result<()> {
    kubectl.ok(&["create", "configmap", "one"]).await?;
    kubectl.ok(&["create", "secret", "generic", "two"]).await?;
    let deleted = kubectl.ok(&["delete", "configmap/one", "secret/two"]).await?;
    has(&deleted, &["configmap \"one\" deleted", "secret \"two\" deleted"])
}

async fn a_namespace_takes_its_objects_along(kubectl: Kubectl) -> Result<()> {
    kubectl.deployment("web", 1).await?;
    kubectl.ok(&["delete", "namespace", kubectl.namespace(), "--timeout=80s"]).await?;
    has(&kubectl.fails(&["get", "namespace", kubectl.namespace()]).await?, &["NotFound"])?;
    let left = kubectl.ok(&["get", "pods", "-o", "name"]).await?;
    ensure!(left.is_empty(), "{left}");
    Ok(())
}

async fn what_is_not_there(kubectl: Kubectl) -> Result<()> {
    let error = kubectl.fails(&["delete", "configmap", "absent"]).await?;
    assert_eq!(error, "Error from server (NotFound): configmaps \"absent\" not found\n");
    kubectl.ok(&["delete", "configmap", "absent", "--ignore-not-found"]).await?;
    let said = kubectl.say(&["delete", "configmap", "-l", "no=such"]).await?;
    assert_eq!((said.code, said.out.as_str()), (0, "No resources found\n"));
    Ok(())
}
