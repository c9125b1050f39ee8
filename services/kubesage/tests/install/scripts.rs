//! What the scripts do, and what they say when they cannot.

use std::{fs, os::unix::fs::PermissionsExt};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::site::{Installation, Site, kubectl, output, run, tests};

tests! {
    every_provider_is_connected_and_taken_out_again needs ["kubectl", "curl"],
    the_agent_may_do_all_that_it_is_asked_for needs ["kubectl", "curl"],
    a_script_runs_again_and_hands_out_one_key needs ["kubectl", "curl"],
    who_lacks_rights_is_told_which_and_nothing_changes needs ["kubectl", "curl"],
    a_script_that_is_too_old_says_so needs ["kubectl", "curl"],
    a_key_that_ended_unused_is_refused_and_a_new_script_helps needs ["kubectl", "curl"],
    settings_of_the_cluster_come_with_the_agent needs ["kubectl", "curl"],
    the_key_is_nowhere_to_be_seen needs ["kubectl", "curl"],
    what_is_missing_is_said needs [],
    scripts_have_no_fault_that_shellcheck_knows needs ["shellcheck"],
}

const PROVIDERS: [&str; 6] = ["eks", "aks", "gke", "openshift", "kops", "other"];
const UNINSTALL: &str = include_str!("../../../../k8s/agent/uninstall.sh");

fn is_connected(said: &str, name: &str, installation: &Installation) -> bool {
    said == format!("CONNECTED: the agent of cluster {name} ({}) is connected.", installation.cluster_id)
}

async fn every_provider_is_connected_and_taken_out_again() -> Result<()> {
    let site = Site::start().await?;
    for provider in PROVIDERS {
        let installation = site.cluster(provider, provider, &[]).await?;
        let said = run(&installation.script, &site.admin(), &[]).await?;
        ensure!(said.succeeded && is_connected(said.last_line(), provider, &installation), "{}", said.text);
        let verified = site.verify(&installation).await?;
        assert_eq!(verified["connected"], true, "{provider}: {verified}");

        let removed = run(UNINSTALL, &site.admin(), &[]).await?;
        ensure!(removed.succeeded && removed.last_line().starts_with("REMOVED: "), "{}", removed.text);
        let left =
            kubectl(&site.admin(), &["get", "clusterroles,clusterrolebindings,namespaces", "-o", "name"], "")
                .await?;
        assert!(!left.contains("spot-optimizer"), "{provider}: {left}");
        // Again there is nothing to do.
        assert!(run(UNINSTALL, &site.admin(), &[]).await?.succeeded);
    }
    Ok(())
}

/// Whatever the agent reads, the script has granted: each list is asked for through it, and each kind is counted.
async fn the_agent_may_do_all_that_it_is_asked_for() -> Result<()> {
    let site = Site::start().await?;
    let installation = site.cluster("eks", "prod", &["logs", "usage", "analysis"]).await?;
    let said = run(&installation.script, &site.admin(), &[]).await?;
    ensure!(said.succeeded, "{}", said.text);
    let ask = async |resource: &str| {
        let separator = if resource.contains('?') { '&' } else { '?' };
        site.get(&format!("/api/v3.0/cluster/{resource}{separator}agent_id={}", installation.agent_id)).await
    };
    for resource in ["namespaces", "nodes", "pods", "deployments", "services"] {
        let answer = ask(resource).await?;
        assert!(answer["total_count"].as_u64().is_some_and(|count| count > 0), "{resource}: {answer}");
    }
    let counted = ask("resources").await?;
    let kinds: Vec<&String> = counted["resources"].as_object().context("resources")?.keys().collect();
    let all = [
        "cronjobs",
        "daemonsets",
        "deployments",
        "jobs",
        "namespaces",
        "nodes",
        "pods",
        "services",
        "statefulsets",
    ];
    assert_eq!(kinds, all, "a kind is missing that the agent may not list");
    let pods = ask("pods?namespace=spot-optimizer-system").await?;
    let pod = pods["pods"][0]["name"].as_str().context(pods.to_string())?;
    let logs = ask(&format!("pods/spot-optimizer-system/{pod}/logs?lines=5")).await?;
    assert!(logs["total_count"].as_u64().is_some_and(|count| count > 0), "{logs}");

    let rates = json!({"cpu_cost": 0.04, "memory_cost": 0.01, "storage_cost": 0.0001});
    site.post(&format!("/api/v1/clusters/{}/resource-costs", installation.cluster_id), &rates).await?;
    let costs = site.get(&format!("/api/v1/clusters/{}/costs", installation.cluster_id)).await?;
    assert!(costs["total"]["monthly"].as_f64().is_some_and(|dollars| dollars > 100.0), "{costs}");
    // The shop has no volumes; that there are none is known, because they may be listed.
    assert!(costs["storage"]["gib"].is_number(), "{costs}");

    // It is one agent of two on the same cluster, and counts what kubectl counts.
    let verified = testkit::eventually("the counts", async || {
        site.verify(&installation).await.ok().filter(|verified| verified["pods_discovered"].is_number())
    })
    .await?;
    let nodes = kubectl(&site.admin(), &["get", "nodes", "-o", "name"], "").await?;
    assert_eq!(verified["nodes_discovered"], nodes.lines().count(), "{verified}");
    Ok(())
}

async fn a_script_runs_again_and_hands_out_one_key() -> Result<()> {
    let site = Site::start().await?;
    let installation = site.cluster("gke", "prod", &[]).await?;
    for _ in 0..2 {
        let said = run(&installation.script, &site.admin(), &[]).await?;
        ensure!(said.succeeded && is_connected(said.last_line(), "prod", &installation), "{}", said.text);
    }
    let keys = site.get(&format!("/api/v1/clusters/{}/agent-keys", installation.cluster_id)).await?;
    assert_eq!(keys["total_count"], 1, "{keys}");
    let again = ["rollout", "history", "deployment/spot-optimizer-agent", "-n", "spot-optimizer-system"];
    let history = kubectl(&site.admin(), &again, "").await?;
    assert_eq!(
        history.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).count(),
        1,
        "{history}"
    );

    // Another cluster's script does not take its place unless it is told to.
    let other = site.cluster("gke", "other", &[]).await?;
    let said = run(&other.script, &site.admin(), &[]).await?;
    assert!(!said.succeeded && said.last_line().contains("--replace takes its place"), "{}", said.text);
    assert_eq!(site.verify(&installation).await?["connected"], true);

    // Its Secret is gone, and the key was handed out.
    kubectl(&site.admin(), &["delete", "secret", "spot-optimizer-agent", "-n", "spot-optimizer-system"], "")
        .await?;
    let said = run(&installation.script, &site.admin(), &[]).await?;
    assert!(!said.succeeded && said.last_line().contains("make a new script"), "{}", said.text);
    let path = format!("/api/v1/clusters/{}/install-script", installation.cluster_id);
    let renewed = Installation::read(&site.post(&path, &Value::Null).await?)?;
    let said = run(&renewed.script, &site.admin(), &[]).await?;
    ensure!(said.succeeded, "{}", said.text);
    Ok(())
}

async fn who_lacks_rights_is_told_which_and_nothing_changes() -> Result<()> {
    let site = Site::start().await?;
    let installation = site.cluster("eks", "prod", &["logs"]).await?;
    // May make everything, but not grant what they may not do themselves.
    let rules = json!([
        {"apiGroups": [""], "resources": ["namespaces", "serviceaccounts", "secrets"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["pods", "nodes", "services"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["*"]},
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["create", "patch"]},
    ]);
    let helper = json!([
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "helper", "namespace": "default"}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "helper"}, "rules": rules},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "helper"},
         "subjects": [{"kind": "ServiceAccount", "name": "helper", "namespace": "default"}],
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "helper"}},
    ]);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": helper});
    kubectl(&site.admin(), &["apply", "-f", "-"], &list.to_string()).await?;
    let token = kubectl(&site.admin(), &["create", "token", "helper"], "").await?;
    let mut kubeconfig: Value = serde_json::from_str(&fs::read_to_string(site.admin())?)?;
    kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
    let path = site.directory.path().join("helper.kubeconfig");
    fs::write(&path, kubeconfig.to_string())?;

    let said = run(&installation.script, &path, &[]).await?;
    assert!(!said.succeeded && said.text.contains("NOT CONNECTED: you lack rights"), "{}", said.text);
    for missing in
        ["create clusterrolebindings", "get pods --all-namespaces --subresource=log", "watch jobs.batch"]
    {
        assert!(said.text.contains(&format!("- {missing}")), "{missing}: {}", said.text);
    }
    assert!(
        !said.text.contains("create secrets") && said.text.contains("aws eks update-kubeconfig"),
        "{}",
        said.text
    );
    let namespaces = kubectl(&site.admin(), &["get", "namespaces", "-o", "name"], "").await?;
    assert!(!namespaces.contains("spot-optimizer"), "{namespaces}");
    // The token was not spent.
    let said = run(&installation.script, &site.admin(), &["--check"]).await?;
    assert!(said.succeeded && said.last_line() == "Nothing was changed.", "{}", said.text);
    ensure!(run(&installation.script, &site.admin(), &[]).await?.succeeded);
    Ok(())
}

/// What time does to a token or a key, done to the database.
async fn expire(site: &Site, statement: &str) -> Result<()> {
    let url = format!("sqlite:{}/", site.directory.path().display()).into();
    let store = store::Store::open(&url, "onboarding").await?;
    sqlx::query(sqlx::AssertSqlSafe(statement)).execute(store.pool()).await?;
    Ok(())
}

async fn a_script_that_is_too_old_says_so() -> Result<()> {
    let site = Site::start().await?;
    let installation = site.cluster("other", "prod", &[]).await?;
    expire(&site, "UPDATE install_tokens SET expires_at = 1").await?;
    let said = run(&installation.script, &site.admin(), &[]).await?;
    assert!(!said.succeeded && said.last_line().contains("has expired; make a new one"), "{}", said.text);
    Ok(())
}

async fn a_key_that_ended_unused_is_refused_and_a_new_script_helps() -> Result<()> {
    let site = Site::start().await?;
    let installation = site.cluster("kops", "prod", &[]).await?;
    let (status, manifest) = site.fetch_manifest(&installation).await?;
    assert_eq!(status, 200, "{manifest}");
    kubectl(
        &site.admin(),
        &["apply", "--server-side", "-f", "-", "--dry-run=server"],
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n",
    )
    .await?;
    expire(&site, "UPDATE agent_keys SET unused_until = 1 WHERE first_used_at IS NULL").await?;
    kubectl(&site.admin(), &["apply", "--server-side", "-f", "-"], &manifest).await?;
    let said = run(&installation.script, &site.admin(), &["--timeout", "3"]).await?;
    assert!(!said.succeeded && said.last_line().starts_with("NOT CONNECTED: "), "{}", said.text);
    assert!(said.text.contains("was not used within 24 hours and has expired"), "{}", said.text);

    let path = format!("/api/v1/clusters/{}/install-script", installation.cluster_id);
    let renewed = Installation::read(&site.post(&path, &Value::Null).await?)?;
    let said = run(&renewed.script, &site.admin(), &[]).await?;
    ensure!(said.succeeded && is_connected(said.last_line(), "prod", &installation), "{}", said.text);
    Ok(())
}

/// Options become objects that the Deployment mounts and reads; the agent's own tests show that it heeds them.
async fn settings_of_the_cluster_come_with_the_agent() -> Result<()> {
    let site = Site::start().await?;
    let installation = site.cluster("eks", "prod", &[]).await?;
    let certificate = site.directory.path().join("ca.pem");
    fs::write(&certificate, "-----BEGIN CERTIFICATE-----\n")?;
    let certificate = certificate.display().to_string();
    let options = [
        "--https-proxy",
        "http://ada:secret@proxy:3128",
        "--no-proxy",
        "127.0.0.1,.svc",
        "--ca-file",
        &certificate,
    ];
    let said = run(&installation.script, &site.admin(), &options).await?;
    ensure!(said.succeeded && !said.text.contains("ada:secret"), "{}", said.text);
    let get = |kind: &'static str, name: &'static str, path: &'static str| {
        let arguments = vec!["get", kind, name, "-n", "spot-optimizer-system", "-o", path];
        let admin = site.admin();
        async move { kubectl(&admin, &arguments, "").await }
    };
    let proxy =
        get("secret", "spot-optimizer-agent-settings", "go-template={{.data.HTTPS_PROXY | base64decode}}")
            .await?;
    assert_eq!(proxy, "http://ada:secret@proxy:3128");
    let authority = get("configmap", "spot-optimizer-agent-ca", "jsonpath={.data.ca\\.crt}").await?;
    assert!(authority.starts_with("-----BEGIN"), "{authority}");
    // Again with another proxy: the agent starts anew.
    let before =
        get("pods", "--selector=app=spot-optimizer-agent", "jsonpath={.items[*].metadata.name}").await?;
    let said = run(&installation.script, &site.admin(), &["--no-proxy", "127.0.0.1"]).await?;
    ensure!(said.succeeded, "{}", said.text);
    let after =
        get("pods", "--selector=app=spot-optimizer-agent", "jsonpath={.items[*].metadata.name}").await?;
    assert_ne!(before, after);
    Ok(())
}

/// A kubectl and a curl that write down how they are called, before they do it.
fn watched(directory: &TempDir) -> Result<String> {
    for name in ["kubectl", "curl"] {
        let path = directory.path().join(name);
        let log = directory.path().join("calls").display().to_string();
        let text = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$* https_proxy=$https_proxy\" >>{log}\nunset https_proxy\nPATH=${{PATH#*:}} exec {name} \"$@\"\n"
        );
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(format!("{}:{}", directory.path().display(), std::env::var("PATH")?))
}

async fn the_key_is_nowhere_to_be_seen() -> Result<()> {
    let site = Site::start().await?;
    let installation = site.cluster("aks", "prod", &[]).await?;
    assert!(!installation.script.contains("ka_"), "{}", installation.script);
    let directory = TempDir::new()?;
    let path = watched(&directory)?;
    let script =
        format!("PATH='{path}' https_proxy=http://own\nexport PATH https_proxy\n{}", installation.script);
    let said = run(&script, &site.admin(), &[]).await?;
    ensure!(said.succeeded, "{}", said.text);
    let calls = fs::read_to_string(directory.path().join("calls"))?;
    assert!(calls.contains("--server-side") && calls.contains("--config -"), "{calls}");
    // The proxy of whoever runs it stays theirs.
    assert!(calls.lines().all(|call| call.ends_with("https_proxy=http://own")), "{calls}");
    for place in [&calls, &said.text, &site.kubesage.process.log()] {
        assert!(!place.contains("ka_") && !place.contains(installation.token()?), "{place}");
    }
    // Not even in the copy that client-side apply would keep of the Secret.
    let get = [
        "get",
        "secret",
        "spot-optimizer-agent",
        "-n",
        "spot-optimizer-system",
        "-o",
        "jsonpath={.metadata}",
    ];
    let metadata = kubectl(&site.admin(), &get, "").await?;
    assert!(!metadata.contains("ka_"), "{metadata}");
    // Whoever fetches it again gets no key.
    let (status, manifest) = site.fetch_manifest(&installation).await?;
    assert!(status == 200 && !manifest.contains("ka_") && !manifest.contains("kind: Secret"), "{manifest}");
    Ok(())
}

async fn what_is_missing_is_said() -> Result<()> {
    let site = Site::start().await?;
    let installation = site.cluster("openshift", "prod", &[]).await?;
    let tools = TempDir::new()?;
    let alone = |script: &str| format!("PATH={}\n{script}", tools.path().display());
    let nothing = tools.path().join("none");
    let said = run(&alone(&installation.script), &nothing, &[]).await?;
    assert!(
        !said.succeeded && said.last_line().starts_with("NOT CONNECTED: kubectl is missing"),
        "{}",
        said.text
    );
    let kubectl = tools.path().join("oc");
    fs::write(&kubectl, "#!/bin/sh\nexit 1\n")?;
    fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755))?;
    let said = run(&alone(&installation.script), &nothing, &[]).await?;
    assert!(!said.succeeded && said.last_line().contains("curl is missing"), "{}", said.text);

    // Whatever ends it, the last line is a verdict.
    let broken = installation.script.replace("  check_cluster\n", "  false\n");
    let said = run(&broken, &nothing, &[]).await?;
    assert!(!said.succeeded && said.last_line().starts_with("NOT CONNECTED: "), "{}", said.text);

    for (options, says) in [
        (&["--timeout"][..], "--timeout needs a value"),
        (&["--timeout", "soon"], "must be a number"),
        (&["--ca-file", "/nowhere"], "cannot be read"),
        (&["--https-proxy", "http://a'b"], "has no place there"),
        (&["--force"], "there is no option --force"),
    ] {
        let said = run(&installation.script, &nothing, options).await?;
        assert!(!said.succeeded && said.last_line().contains(says), "{options:?}: {}", said.text);
    }
    let said = run(&installation.script, &nothing, &["--help"]).await?;
    assert!(said.succeeded && said.text.starts_with("Usage: "), "{}", said.text);
    Ok(())
}

async fn scripts_have_no_fault_that_shellcheck_knows() -> Result<()> {
    let site = Site::start().await?;
    for provider in PROVIDERS {
        let name = format!("it-s \u{e4} {provider}");
        let installation = site.cluster(provider, &name, &["logs", "usage", "analysis"]).await?;
        output("shellcheck", &["--shell=sh", "-"], &installation.script).await?;
    }
    output("shellcheck", &["--shell=sh", "-"], UNINSTALL).await?;
    Ok(())
}
