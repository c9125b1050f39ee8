//! The command line as a client.

use std::{fs, process::Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::site::{Said, Site, tests};

tests! {
    a_cluster_is_connected_through_a_pipe needs ["kubectl", "curl"],
    lists_are_tables_for_people_and_json_for_programs needs [],
    exit_codes_tell_failures_apart needs [],
    profiles_are_kept_for_their_owner_alone needs [],
    keys_are_made_and_revoked needs [],
}

/// The client, told of the site by its environment.
fn client(site: &Site, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(testkit::program("kubesage")?);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var("PATH")?)
        .env("HOME", site.directory.path());
    for name in ["KUBESAGE_URL", "KUBESAGE_API_KEY"] {
        command.env(name, &site.kubesage.env[name]);
    }
    command.stdin(Stdio::null()).kill_on_drop(true).current_dir(site.directory.path());
    Ok(command)
}

async fn run(site: &Site, arguments: &[&str]) -> Result<Said> {
    Ok(client(site, arguments)?.output().await?.into())
}

async fn json(site: &Site, arguments: &[&str]) -> Result<Value> {
    let output = client(site, arguments)?.args(["-o", "json"]).output().await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&said).context(said)
}

async fn a_cluster_is_connected_through_a_pipe() -> Result<()> {
    let site = Site::start().await?;
    let program = testkit::program("kubesage")?;
    let line = format!("{} connect --provider eks --name prod --timeout 60 | sh", program.display());
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", &line])
        .env("KUBECONFIG", site.admin())
        .env("HOME", site.directory.path())
        .kill_on_drop(true);
    for name in ["KUBESAGE_URL", "KUBESAGE_API_KEY"] {
        shell.env(name, &site.kubesage.env[name]);
    }
    let said: Said = shell.output().await?.into();
    ensure!(said.succeeded && said.text.contains("CONNECTED: the agent of cluster prod"), "{}", said.text);
    ensure!(said.text.contains("prod is connected: 4 nodes, "), "{}", said.text);

    // Again there is a new script for it, and it goes to a file.
    let again = run(
        &site,
        &["connect", "--provider", "eks", "--name", "prod", "--script", "again.sh", "--timeout", "0"],
    )
    .await?;
    ensure!(again.succeeded && again.text.contains("is known already"), "{}", again.text);
    let script = fs::read_to_string(site.directory.path().join("again.sh"))?;
    ensure!(script.starts_with("#!/bin/sh"), "{script}");
    Ok(())
}

async fn lists_are_tables_for_people_and_json_for_programs() -> Result<()> {
    let site = Site::start().await?;
    let clusters = run(&site, &["clusters"]).await?;
    let lines: Vec<&str> = clusters.text.lines().collect();
    ensure!(
        lines.len() == 2 && lines[0].starts_with("NAME") && lines[1].starts_with("demo"),
        "{}",
        clusters.text
    );
    // A pipe gets no colours, unless they are asked for and NO_COLOR does not say otherwise.
    ensure!(!clusters.text.contains('\u{1b}'), "{}", clusters.text);
    let coloured: Said = client(&site, &["clusters"])?.env("CLICOLOR_FORCE", "1").output().await?.into();
    ensure!(coloured.text.contains('\u{1b}'), "{}", coloured.text);
    let plain: Said =
        client(&site, &["clusters"])?.env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").output().await?.into();
    ensure!(!plain.text.contains('\u{1b}'), "{}", plain.text);
    assert_eq!(json(&site, &["clusters"]).await?["clusters"][0]["cluster_name"], "demo");
    for (resource, field) in [("namespaces", "namespaces"), ("nodes", "nodes"), ("pods", "pods")] {
        let told = json(&site, &[resource]).await?;
        let count = told[field].as_array().map(Vec::len).unwrap_or_default();
        let table = run(&site, &[resource, "--cluster", "demo"]).await?;
        ensure!(count > 0 && table.text.lines().count() == count + 1, "{}", table.text);
    }
    let few = run(&site, &["pods", "-n", "checkout", "--limit", "1"]).await?;
    ensure!(
        few.succeeded && few.text.lines().filter(|line| line.starts_with("checkout ")).count() == 1,
        "{}",
        few.text
    );
    let pods = json(&site, &["pods", "-n", "checkout"]).await?;
    let pod = pods["pods"][0]["name"].as_str().context(pods.to_string())?;
    let logs = run(&site, &["logs", pod, "-n", "checkout", "--lines", "3"]).await?;
    ensure!(logs.succeeded && !logs.text.is_empty(), "{}", logs.text);
    let shown = run(&site, &["clusters", "show", "demo"]).await?;
    ensure!(
        shown.text.contains("next: run_script") && shown.text.contains("next: enter_costs"),
        "{}",
        shown.text
    );
    let set =
        run(&site, &["costs", "set", "--cluster", "demo", "--cpu", "0.0316", "--memory", "0.0042"]).await?;
    ensure!(set.succeeded, "{}", set.text);
    let costs = run(&site, &["costs"]).await?;
    ensure!(
        costs.text.contains("checkout") && costs.text.contains("(idle)") && !costs.text.contains("unknown"),
        "{}",
        costs.text
    );
    let completions = run(&site, &["completions", "bash"]).await?;
    ensure!(completions.succeeded && completions.text.contains("connect"), "{}", completions.text);
    Ok(())
}

async fn exit_codes_tell_failures_apart() -> Result<()> {
    let site = Site::start().await?;
    let code = async |mut command: Command| -> Result<i32> {
        command.output().await?.status.code().context("an exit code")
    };
    assert_eq!(code(client(&site, &["clusters", "show", "nope"])?).await?, 4);
    assert_eq!(code(client(&site, &["pods", "--bogus"])?).await?, 2);
    let mut stranger = client(&site, &["clusters"])?;
    stranger.env("KUBESAGE_API_KEY", "ks_wrong");
    assert_eq!(code(stranger).await?, 3);
    let mut nowhere = client(&site, &["clusters"])?;
    nowhere.env("KUBESAGE_URL", "http://127.0.0.1:9");
    assert_eq!(code(nowhere).await?, 5);
    let mut lost = client(&site, &["clusters"])?;
    lost.env_remove("KUBESAGE_URL").env_remove("KUBESAGE_API_KEY");
    assert_eq!(code(lost).await?, 2);
    let waiting = ["connect", "--provider", "eks", "--name", "slow", "--timeout", "1"];
    assert_eq!(code(client(&site, &waiting)?).await?, 6);
    Ok(())
}

async fn profiles_are_kept_for_their_owner_alone() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::start().await?;
    let (url, key) = (&site.kubesage.env["KUBESAGE_URL"], &site.kubesage.env["KUBESAGE_API_KEY"]);
    let with_profile = |arguments: &[&str]| -> Result<Command> {
        let mut command = client(&site, arguments)?;
        command.env_remove("KUBESAGE_URL").env_remove("KUBESAGE_API_KEY");
        Ok(command)
    };
    let mut set = with_profile(&["profiles", "set", "home", "--url", url])?;
    let mut child = set.stdin(Stdio::piped()).spawn()?;
    child.stdin.take().context("a pipe")?.write_all(key.as_bytes()).await?;
    ensure!(child.wait().await?.success());
    let file = site.directory.path().join(".config/kubesage/config.toml");
    assert_eq!(fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    let listed: Said = with_profile(&["profiles"])?.output().await?.into();
    ensure!(listed.text.contains("home") && !listed.text.contains(key.as_str()), "{}", listed.text);
    let clusters: Said = with_profile(&["clusters"])?.output().await?.into();
    ensure!(clusters.succeeded && clusters.text.contains("demo"), "{}", clusters.text);
    let removed: Said = with_profile(&["profiles", "remove", "home"])?.output().await?.into();
    ensure!(removed.succeeded && !fs::read_to_string(&file)?.contains(key.as_str()), "{}", removed.text);
    Ok(())
}

async fn keys_are_made_and_revoked() -> Result<()> {
    let site = Site::start().await?;
    let made = json(&site, &["keys", "create"]).await?;
    let (id, key) = (made["id"].as_str().context("an id")?, made["key"].as_str().context("a key")?);
    ensure!(key.starts_with("ka_"), "{key}");
    let listed = run(&site, &["keys"]).await?;
    ensure!(listed.text.contains(id) && !listed.text.contains(key), "{}", listed.text);
    ensure!(run(&site, &["keys", "revoke", id]).await?.succeeded);
    let left = json(&site, &["keys"]).await?;
    assert_eq!(left["total_count"], json!(1), "{left}");
    Ok(())
}
