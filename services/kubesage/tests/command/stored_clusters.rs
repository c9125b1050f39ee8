//! Clusters without an agent, from the command line: added by credentials, looked into, removed.

use std::{fs, path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::eventually;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::started::Started;

/// What the client has said, and how it ended.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    output: String,
    error: String,
}

impl Said {
    /// Its output, if all went well.
    fn well(self) -> Result<String> {
        ensure!(self.code == Some(0), "{self:?}");
        Ok(self.output)
    }

    fn failed(&self, code: i32, why: &str) -> Result<()> {
        ensure!(self.code == Some(code) && self.error.contains(why) && self.output.is_empty(), "{self:?}");
        Ok(())
    }
}

/// Runs the client with something on its standard input.
async fn run_with(kubesage: &Started, arguments: &[&str], input: &str) -> Result<Said> {
    let mut command = Command::new(testkit::program("kubesage")?);
    command.args(arguments).env_clear();
    for name in ["KUBESAGE_URL", "KUBESAGE_API_KEY"] {
        command.env(name, &kubesage.env[name]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    child.stdin.take().context("a pipe")?.write_all(input.as_bytes()).await?;
    let ended = child.wait_with_output().await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Said { code: ended.status.code(), output: text(ended.stdout), error: text(ended.stderr) })
}

async fn run(kubesage: &Started, arguments: &[&str]) -> Result<Said> {
    run_with(kubesage, arguments, "").await
}

async fn json(kubesage: &Started, arguments: &[&str]) -> Result<Value> {
    let output = run(kubesage, &[arguments, &["-o", "json"]].concat()).await?.well()?;
    serde_json::from_str(&output).context(output)
}

/// A Kubesage that lets the test ask as often as it wants, and the kubeconfig of the simulated cluster's administrator.
async fn start(directory: &Path) -> Result<(Started, String)> {
    let kubesage = Started::new(directory, &["--rate-limit-requests-per-minute", "100000"]).await?;
    Ok((kubesage, directory.join("demo.kubeconfig").display().to_string()))
}

#[tokio::test]
async fn a_cluster_is_added_by_kubeconfig_used_and_removed() -> Result<()> {
    let directory = TempDir::new()?;
    let (kubesage, kubeconfig) = start(directory.path()).await?;
    run(&kubesage, &["kubectl", "--", "get", "pods"]).await?.failed(2, "kubesage clusters add")?;

    let add = ["clusters", "add", "shop", "--kubeconfig", &kubeconfig, "--provider", "sim"];
    let added = run(&kubesage, &add).await?;
    ensure!(added.code == Some(0) && added.error.contains("kubesage clusters use shop"), "{added:?}");
    let lines: Vec<&str> = added.output.lines().collect();
    ensure!(lines.len() == 2 && lines[0].starts_with("ACTIVE") && lines[1].contains("shop"), "{added:?}");
    run(&kubesage, &add).await?.failed(1, "have a cluster of this name already")?;
    run(&kubesage, &["kubectl", "get", "pods"]).await?.failed(2, "kubesage clusters use NAME")?;

    let agents = run(&kubesage, &["clusters"]).await?.well()?;
    ensure!(agents.starts_with("NAME") && agents.contains("demo") && !agents.contains("shop"), "{agents}");

    let used = run(&kubesage, &["clusters", "use", "shop"]).await?;
    ensure!(
        used.code == Some(0) && used.error.starts_with("shop is the active cluster; it has "),
        "{used:?}"
    );
    let listed = json(&kubesage, &["clusters", "list", "--stored"]).await?;
    ensure!(listed["clusters"][0]["is_active"] == true, "{listed}");
    let id = listed["clusters"][0]["id"].to_string();
    let table = run(&kubesage, &["clusters", "list", "--stored"]).await?.well()?;
    ensure!(table.lines().nth(1).is_some_and(|line| line.starts_with('*')), "{table}");
    // By its name and by its id.
    for cluster in ["shop", &id] {
        let namespaces = run(&kubesage, &["clusters", "namespaces", cluster]).await?.well()?;
        let names: Vec<&str> = namespaces.lines().collect();
        ensure!(names[0] == "NAME" && names.contains(&"checkout"), "{namespaces}");
    }
    commands_are_kubectls(&kubesage).await?;
    events_are_told(&kubesage).await?;

    run(&kubesage, &["clusters", "remove", "shop"]).await?.failed(2, "--yes")?;
    let removed = json(&kubesage, &["clusters", "remove", "shop", "--yes"]).await?;
    ensure!(removed["cluster_name"] == "shop", "{removed}");
    let listed = json(&kubesage, &["clusters", "list", "--stored"]).await?;
    assert_eq!(listed, json!({"clusters": []}));
    run(&kubesage, &["clusters", "namespaces", "shop"]).await?.failed(4, "shop")?;
    kubesage.stop().await
}

/// Output, errors and exit codes are those of kubectl, and so are the words.
async fn commands_are_kubectls(kubesage: &Started) -> Result<()> {
    let pods = run(kubesage, &["kubectl", "--", "get", "pods", "-A", "-o", "wide"]).await?.well()?;
    ensure!(pods.starts_with("NAMESPACE") && pods.contains("checkout") && !pods.ends_with("\n\n"), "{pods}");
    let names = "jsonpath={range .items[*]}{.metadata.name}{' it is\\n'}{end}";
    let names = run(kubesage, &["kubectl", "get", "ns", "-o", names]).await?.well()?;
    ensure!(names.lines().any(|line| line == "checkout it is"), "{names}");
    let missing = ["kubectl", "--cluster", "shop", "--", "get", "pod", "nope", "-n", "checkout"];
    run(kubesage, &missing).await?.failed(1, "NotFound")?;
    let told = run(kubesage, &[&["kubectl", "-o", "json"], &missing[1..]].concat()).await?;
    ensure!(told.code == Some(1), "{told:?}");
    let told: Value = serde_json::from_str(&told.output)?;
    ensure!(
        told["exit_code"] == 1 && told["error"].as_str().is_some_and(|e| e.contains("NotFound")),
        "{told}"
    );
    run(kubesage, &["kubectl", "exec", "web", "--", "sh"]).await?.failed(2, "not allowed")?;
    run(kubesage, &["kubectl", "--cluster", "nope", "get", "ns"]).await?.failed(4, "nope")?;
    Ok(())
}

/// Events come some moments after what they tell of.
async fn events_are_told(kubesage: &Started) -> Result<()> {
    let of_kubectl =
        ["audit", "--cluster", "shop", "--type", "cluster_kubectl_executed", "--since", "1h", "--all"];
    let told = eventually("all commands to be in the audit log", async || {
        let told = json(kubesage, &of_kubectl).await.ok()?;
        (told["events"].as_array()?.len() == 4).then_some(told)
    });
    let told = told.await?;
    ensure!(told["cursor"].is_null() && told["events"][3]["data"]["exit_code"] == 0, "{told}");

    let table = run(kubesage, &["audit", "--cluster", "shop"]).await?.well()?;
    let position = |what: &str| table.lines().position(|line| line.contains(what)).context(table.clone());
    ensure!(position("TIME")? == 0, "{table}");
    let failed = position("get pod nope -n checkout (exit code 1)")?;
    ensure!(failed < position("get pods -A -o wide (exit code 0)")?, "{table}");
    ensure!(position("get pods -A -o wide (exit code 0)")? < position("cluster_onboarded")?, "{table}");

    let newest = run(kubesage, &["audit", "--limit", "1"]).await?;
    ensure!(newest.error.contains("--all") && newest.output.lines().count() == 2, "{newest:?}");
    let none = json(kubesage, &["audit", "--since", "2100-01-01T00:00:00Z"]).await?;
    assert_eq!(none, json!({"events": [], "cursor": null}));
    run(kubesage, &["audit", "--since", "yesterday"]).await?.failed(2, "24h or 7d")?;
    Ok(())
}

#[tokio::test]
async fn of_a_kubeconfig_what_cannot_be_stored_is_told() -> Result<()> {
    let directory = TempDir::new()?;
    let (kubesage, kubeconfig) = start(directory.path()).await?;
    let mut several: Value = serde_json::from_str(&fs::read_to_string(kubeconfig)?)?;
    let good = several["contexts"][0]["name"].as_str().context("a context")?.to_owned();
    let runs_aws = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "aws"}});
    let eks = json!({"name": "eks", "context": {"cluster": good, "user": "eks"}});
    several["users"].as_array_mut().context("users")?.push(json!({"name": "eks", "user": runs_aws}));
    several["contexts"].as_array_mut().context("contexts")?.push(eks);
    let several = several.to_string();

    let add = ["clusters", "add", "--kubeconfig", "-"];
    let added = run_with(&kubesage, &add, &several).await?;
    ensure!(added.code == Some(1) && added.output.contains(&good), "{added:?}");
    ensure!(added.error.starts_with("eks is not added: ") && added.error.contains("exec"), "{added:?}");
    ensure!(added.error.contains("1 of 2 contexts could not be added"), "{added:?}");
    // And where nothing is left to be stored.
    let eks = [&add[..], &["--context", "eks"]].concat();
    run_with(&kubesage, &eks, &several).await?.failed(2, "exec")?;
    run_with(&kubesage, &add, "no kubeconfig").await?.failed(2, "kubeconfig")?;
    kubesage.stop().await
}

#[tokio::test]
async fn a_cluster_is_added_by_its_token() -> Result<()> {
    let directory = TempDir::new()?;
    let (kubesage, kubeconfig) = start(directory.path()).await?;
    let kubeconfig: Value = serde_json::from_str(&fs::read_to_string(kubeconfig)?)?;
    let cluster = &kubeconfig["clusters"][0]["cluster"];
    let server = cluster["server"].as_str().context("a server")?;
    let authority = cluster["certificate-authority-data"].as_str().context("an authority")?;
    let token = kubeconfig["users"][0]["user"]["token"].as_str().context("a token")?;
    let [ca_file, token_file] =
        ["ca.pem", "token"].map(|name| directory.path().join(name).display().to_string());
    fs::write(&ca_file, BASE64_STANDARD.decode(authority)?)?;
    fs::write(&token_file, format!("{token}\n"))?;

    let add = ["clusters", "add", "my shop", "--server", server, "--ca-file", &ca_file];
    let wrong = run_with(&kubesage, &[&add[..], &["--token-file", "-"]].concat(), "wrong").await?;
    ensure!(wrong.code == Some(3) && !wrong.error.contains("wrong"), "{wrong:?}");
    let added = run(&kubesage, &[&add[..], &["--token-file", &token_file]].concat()).await?;
    ensure!(added.code == Some(0) && added.output.contains("my shop"), "{added:?}");
    ensure!(added.error.contains("Kubernetes v1.") && added.error.contains("simulated"), "{added:?}");

    // One that cannot be reached can be added, but only if that is meant.
    let away = ["clusters", "add", "away", "--server", "https://127.0.0.1:9", "--insecure"];
    let refused = run_with(&kubesage, &away, token).await?;
    ensure!(refused.code == Some(5) && refused.error.contains("not checked"), "{refused:?}");
    let stored = run_with(&kubesage, &[&away[..], &["--no-verify"]].concat(), token).await?.well()?;
    ensure!(stored.contains("unchecked"), "{stored}");
    let used = run(&kubesage, &["clusters", "use", "away"]).await?;
    ensure!(used.code == Some(5), "{used:?}");

    let shown = run(&kubesage, &["clusters", "credentials", "my shop", "-o", "json"]).await?;
    ensure!(shown.error.starts_with("This is secret"), "{shown:?}");
    let shown: Value = serde_json::from_str(&shown.well()?)?;
    ensure!(
        shown["token"] == token && shown["server_url"].as_str().is_some_and(|url| url.starts_with(server))
    );
    let table = run(&kubesage, &["clusters", "credentials", "my shop"]).await?.well()?;
    ensure!(table.starts_with("FIELD") && table.contains(token), "{table}");
    credentials_are_replaced(&kubesage, token).await?;
    kubesage.stop().await
}

/// What is not given stays: the address and the authority. What the cluster does not take is not stored.
async fn credentials_are_replaced(kubesage: &Started, token: &str) -> Result<()> {
    let update = ["clusters", "update", "my shop", "--token-file", "-"];
    run_with(kubesage, &update, "wrong").await?.failed(3, "401")?;
    run(kubesage, &["clusters", "namespaces", "my shop"]).await?.well()?;
    run_with(kubesage, &[&update[..], &["--no-verify"]].concat(), "wrong").await?.well()?;
    run(kubesage, &["clusters", "namespaces", "my shop"]).await?.failed(3, "401")?;
    let updated = run_with(kubesage, &update, token).await?.well()?;
    ensure!(updated.contains("my shop") && updated.contains("checked"), "{updated}");
    run(kubesage, &["clusters", "namespaces", "my shop"]).await?.well()?;

    // Values are named as they are on the command line.
    let server = ["clusters", "update", "my shop", "--token-file", "-", "--server", "http://127.0.0.1:9"];
    let refused = run_with(kubesage, &server, token).await?;
    refused.failed(2, "--server: ")?;
    ensure!(refused.error.contains("--insecure") && !refused.error.contains('_'), "{refused:?}");
    run_with(kubesage, &["clusters", "update", "nope"], token).await?.failed(4, "nope")
}
