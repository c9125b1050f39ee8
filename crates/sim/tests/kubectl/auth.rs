use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::common::{Kubectl, has, tests};

tests! { "auth" on AnyCluster:
    the_administrator_may_everything,
    a_service_account_may_what_it_was_given,
    who_am_i,
    impersonation,
    refusals_say_who_may_not_what,
}

/// A kubeconfig for a service account that may read pods.
async fn as_reader(kubectl: &Kubectl) -> Result<String> {
    kubectl.ok(&["create", "serviceaccount", "reader"]).await?;
    kubectl.ok(&["create", "role", "read", "--verb=get,list,watch", "--resource=pods"]).await?;
    let account = format!("--serviceaccount={}:reader", kubectl.namespace());
    kubectl.ok(&["create", "rolebinding", "readers", "--role=read", &account]).await?;
    let token = kubectl.ok(&["create", "token", "reader"]).await?;
    let config = kubectl.ok(&["config", "view", "--raw", "--minify", "-o", "json"]).await?;
    let mut config: Value = serde_json::from_str(&config)?;
    config["users"][0]["user"] = serde_json::json!({ "token": token.trim() });
    let file = kubectl.file("reader.kubeconfig", &config.to_string())?;
    Ok(format!("--kubeconfig={}", file.to_str().context("a path in UTF-8")?))
}

async fn the_administrator_may_everything(kubectl: Kubectl) -> Result<()> {
    assert_eq!(kubectl.ok(&["auth", "can-i", "delete", "nodes"]).await?, "yes\n");
    assert_eq!(kubectl.ok(&["auth", "can-i", "*", "*", "-A"]).await?, "yes\n");
    has(&kubectl.ok(&["auth", "can-i", "--list"]).await?, &["Resources", "*.*"])
}

async fn a_service_account_may_what_it_was_given(kubectl: Kubectl) -> Result<()> {
    let reader = as_reader(&kubectl).await?;
    assert_eq!(kubectl.ok(&[&reader, "auth", "can-i", "list", "pods"]).await?, "yes\n");
    let no = kubectl.say(&[&reader, "auth", "can-i", "delete", "pods"]).await?;
    assert_eq!((no.code, no.out.as_str()), (1, "no\n"));
    let no = kubectl.say(&[&reader, "auth", "can-i", "get", "pods", "--subresource=log"]).await?;
    assert_eq!(no.out, "no\n");
    let list = kubectl.ok(&[&reader, "auth", "can-i", "--list"]).await?;
    let pods = list.lines().find(|line| line.starts_with("pods ")).context("a line about pods")?;
    has(pods, &["[get list watch]"])?;
    ensure!(kubectl.say(&[&reader, "get", "pods"]).await?.code == 0, "it may list pods");
    Ok(())
}

async fn who_am_i(kubectl: Kubectl) -> Result<()> {
    let reader = as_reader(&kubectl).await?;
    let user = format!("system:serviceaccount:{}:reader", kubectl.namespace());
    let said = kubectl.ok(&[&reader, "auth", "whoami"]).await?;
    has(&said, &["Username", &user, "system:serviceaccounts", "system:authenticated"])
}

async fn impersonation(kubectl: Kubectl) -> Result<()> {
    as_reader(&kubectl).await?;
    let user = format!("--as=system:serviceaccount:{}:reader", kubectl.namespace());
    assert_eq!(kubectl.ok(&["auth", "can-i", "list", "pods", &user]).await?, "yes\n");
    assert_eq!(kubectl.say(&["auth", "can-i", "list", "secrets", &user]).await?.out, "no\n");
    assert_eq!(kubectl.say(&["auth", "can-i", "list", "pods", "--as=nobody"]).await?.out, "no\n");
    Ok(())
}

async fn refusals_say_who_may_not_what(kubectl: Kubectl) -> Result<()> {
    let reader = as_reader(&kubectl).await?;
    let namespace = kubectl.namespace();
    let error = kubectl.fails(&[&reader, "get", "secrets"]).await?;
    let expected = format!(
        "Error from server (Forbidden): secrets is forbidden: User \"system:serviceaccount:{namespace}:reader\" \
         cannot list resource \"secrets\" in API group \"\" in the namespace \"{namespace}\"\n"
    );
    assert_eq!(error, expected);
    let error = kubectl.fails(&[&reader, "delete", "pod", "x"]).await?;
    has(&error, &["Forbidden", "cannot delete resource \"pods\""])?;
    let error = kubectl.fails(&[&reader, "get", "nodes"]).await?;
    has(&error, &["cannot list resource \"nodes\" in API group \"\" at the cluster scope"])
}
