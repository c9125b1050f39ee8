//! How `kubectl` is run. A program of the test's own stands in where it is to be seen what it is given, or to misbehave; the real one
//! runs in `journey`.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use futures_util::FutureExt;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{TestBus, eventually};
use tokio::net::TcpListener;

use super::{fields, nowhere, simulated, texts};
use crate::world::{Service, Setup, json as answered, problem};

/// A program in a folder, of these lines of `sh`.
fn program(folder: &TempDir, lines: &str) -> Result<PathBuf> {
    let path = folder.path().join("program");
    fs::write(&path, format!("#!/bin/sh\n{lines}\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

async fn started(program: &Path, change: impl FnOnce(&mut Setup)) -> Result<(Service, String)> {
    let mut setup = Setup::on(&TestBus::memory());
    setup.kubectl.kubectl = program.to_owned();
    change(&mut setup);
    let service = setup.service().await?;
    let mut given = nowhere("c");
    given["token"] = "hunter2token".into();
    let id = service.onboard(&service.bob, &given).await?;
    Ok((service, format!("/execute-kubectl-direct/{id}")))
}

async fn run(service: &Service, path: &str, command: &str) -> Result<Value> {
    answered(service.post(&service.bob, path, &json!({"command": command})).await?).await
}

#[tokio::test]
async fn nothing_secret_is_in_arguments_or_environment_and_nothing_is_left() -> Result<()> {
    let folder = TempDir::new()?;
    let lines = "/usr/bin/env; echo \"args: $*\"; pwd; /bin/ls -la; /bin/cat kubeconfig; echo; /bin/cat /proc/$$/stat";
    let program = program(&folder, lines)?;
    let (service, path) = started(&program, |_| {}).await?;
    let ran = run(&service, &path, "get pods -n kube-system").await?;
    let output = ran["output"].as_str().context("output")?;
    let (before, kubeconfig) = output.split_once("{\"apiVersion\"").context(output.to_owned())?;
    ensure!(kubeconfig.contains("hunter2token") && !before.contains("hunter2token"), "{output}");

    let lines: Vec<&str> = before.lines().collect();
    let args = lines.iter().position(|line| line.starts_with("args: ")).context("args")?;
    let mut names: Vec<&str> =
        lines[..args].iter().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.sort_unstable();
    // The shell adds PWD and more of its own.
    names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    ensure!(names == ["HOME", "KUBERC"], "{names:?}");
    ensure!(lines[args].ends_with("get pods --namespace=kube-system"), "{}", lines[args]);

    let home = Path::new(lines[args + 1]);
    ensure!(!home.exists(), "{} is left", home.display());
    ensure!(before.contains("drwx------") && before.contains("-rw-------"), "{before}");
    // It leads a process group of its own.
    let stat = output.lines().last().context("stat")?;
    let stat: Vec<&str> = stat.split_whitespace().collect();
    ensure!(stat[0] == stat[4], "{stat:?}");
    Ok(())
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed_with_all_it_started() -> Result<()> {
    let folder = TempDir::new()?;
    let pid = folder.path().join("pid");
    let lines = format!("echo begun; /bin/sleep 600 & echo $! > {}; wait", pid.display());
    let program = program(&folder, &lines)?;
    let (service, path) = started(&program, |setup| setup.kubectl.kubectl_timeout = 1).await?;
    let ran = run(&service, &path, "get pods").await?;
    ensure!(ran["timed_out"] == true && ran["exit_code"].is_null(), "{ran}");
    ensure!(ran["output"] == "begun\n", "{ran}");
    let child = fs::read_to_string(pid)?;
    let stat = format!("/proc/{}/stat", child.trim());
    // Killed, it is gone or waits for whoever adopted it.
    let is_gone = async || match fs::read_to_string(&stat) {
        Ok(text) if !text.contains(") Z ") => None,
        _ => Some(()),
    };
    eventually("the child to be gone", is_gone).await?;
    let events = service.audit(&service.bob, "?type=cluster_kubectl_executed", 1).await?;
    ensure!(events[0]["data"]["exit_code"].is_null(), "{events:?}");
    Ok(())
}

#[tokio::test]
async fn output_is_cut_and_said_to_be() -> Result<()> {
    let folder = TempDir::new()?;
    let program = program(&folder, "/usr/bin/yes | /usr/bin/head -c 5000000; echo done >&2; exit 3")?;
    let (service, path) = started(&program, |setup| setup.kubectl.kubectl_max_output_kib = 8).await?;
    let ran = run(&service, &path, "get pods").await?;
    ensure!(ran["output"].as_str().context("output")?.len() == 8192 && ran["truncated"] == true);
    ensure!(ran["error"] == "done\n" && ran["exit_code"] == 3, "{ran}");
    Ok(())
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_and_nothing_is_run() -> Result<()> {
    let folder = TempDir::new()?;
    let ran = folder.path().join("ran");
    let program = program(&folder, &format!("echo x > {}", ran.display()))?;
    let (service, path) = started(&program, |_| {}).await?;
    for command in [
        "exec -it web -- sh",
        "delete pod web",
        "get secrets",
        "get pods --kubeconfig=/etc/shadow",
        "get pods; rm -rf /",
        "apply -f http://169.254.169.254/",
        "",
    ] {
        let refused = service.post(&service.bob, &path, &json!({"command": command})).await?;
        let document = problem(refused, 422, "invalid").await.with_context(|| command.to_owned())?;
        ensure!(document.errors[0].field == "command", "{document:?}");
        let setting = match command {
            "delete pod web" => "KUBECTL_WRITES",
            "get secrets" => "KUBECTL_SECRETS",
            _ => "",
        };
        ensure!(document.errors[0].message.contains(setting), "{document:?}");
    }
    let refused = service.post(&service.ann, &path, &json!({"command": "get pods"})).await?;
    problem(refused, 403, "forbidden").await?;
    ensure!(!ran.exists());
    Ok(())
}

#[tokio::test]
async fn without_the_program_it_is_said_what_is_missing() -> Result<()> {
    let (service, path) = started(Path::new("/nowhere/kubectl"), |_| {}).await?;
    let refused = service.post(&service.bob, &path, &json!({"command": "get pods"})).await?;
    let document = problem(refused, 503, "unavailable").await?;
    ensure!(document.detail.contains("KUBECTL") && !document.detail.contains("nowhere"), "{document:?}");
    Ok(())
}

/// A change is told before it is done, and done to the end when its caller goes away.
#[tokio::test]
async fn a_change_is_told_before_and_after_also_without_its_caller() -> Result<()> {
    let folder = TempDir::new()?;
    let (begun, go) = (folder.path().join("begun"), folder.path().join("go"));
    let lines =
        format!("echo x > {}; while [ ! -e {} ]; do /bin/sleep 0.05; done", begun.display(), go.display());
    let program = program(&folder, &lines)?;
    let (service, path) = started(&program, |setup| setup.kubectl.kubectl_writes = true).await?;
    let request = service.call(&service.bob, Method::POST, &path).json(&json!({"command": "delete pod web"}));
    let asking = tokio::spawn(request.send());
    eventually("the command to begin", async || begun.exists().then_some(())).await?;
    asking.abort();
    let events = service.audit(&service.bob, "", 2).await?;
    ensure!(texts(&events, "event_type") == ["cluster_kubectl_started", "cluster_onboarded"], "{events:?}");
    fs::write(go, "")?;
    let events = service.audit(&service.bob, "", 3).await?;
    ensure!(events[0]["event_type"] == "cluster_kubectl_executed", "{events:?}");
    ensure!(events[0]["data"]["run_id"] == events[1]["data"]["run_id"]);
    ensure!(events[0]["data"]["exit_code"] == 0);
    Ok(())
}

/// A server that sends the real program elsewhere sends it nowhere.
#[tokio::test]
async fn redirects_lead_nowhere_else() -> Result<()> {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await?;
    let location = format!("http://{}/secret", elsewhere.local_addr()?);
    let redirecting = axum::Router::new().fallback(move || {
        let location = location.clone();
        async move { axum::response::Redirect::temporary(&location) }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let _serving = tokio::spawn(async move { drop(axum::serve(listener, redirecting).await) });
    let service = Setup::on(&TestBus::memory()).service().await?;
    let mut given = nowhere("c");
    given["server_url"] = url.into();
    let id = service.onboard(&service.bob, &given).await?;
    let ran = run(&service, &format!("/execute-kubectl-direct/{id}"), "get pods").await?;
    ensure!(ran["exit_code"] != 0 && ran["output"] == "", "{ran}");
    ensure!(elsewhere.accept().now_or_never().is_none(), "somebody came");
    Ok(())
}

/// A simulated cluster says that it is one, also through the real program.
#[tokio::test]
async fn a_simulated_cluster_says_so() -> Result<()> {
    let cluster = simulated().await?;
    let service = Setup::on(&TestBus::memory()).service().await?;
    let id = service.onboard(&service.bob, &fields("c", cluster.kubeconfig())?).await?;
    let ran = run(&service, &format!("/execute-kubectl-direct/{id}"), "get ns default -o name").await?;
    ensure!(ran["output"] == "namespace/default\n" && ran["simulated"] == true, "{ran}");
    Ok(())
}

/// The real program reaches a server by its name, through the tunnel, and no other.
#[tokio::test]
async fn a_name_is_reached_through_the_tunnel() -> Result<()> {
    let cluster = simulated().await?;
    let service = Setup::on(&TestBus::memory()).service().await?;
    let mut given = fields("by-name", cluster.kubeconfig())?;
    let by_address = given["server_url"].as_str().context("server")?.to_owned();
    given["server_url"] = by_address.replace("127.0.0.1", "localhost").into();
    let id = service.onboard(&service.bob, &given).await?;
    let path = format!("/execute-kubectl-direct/{id}");
    let ran = run(&service, &path, "get namespaces -o name").await?;
    ensure!(ran["exit_code"] == 0, "{ran}");
    ensure!(ran["output"].as_str().context("output")?.contains("namespace/default"), "{ran}");
    Ok(())
}
