//! What the pods of the services must have: settings that the service takes, probes, bounds, and few rights.

use std::ffi::OsStr;

use anyhow::{Context, Result, bail, ensure};
use clap::{Arg, Command, CommandFactory};
use serde_json::{Value, json};

use crate::{
    kustomizations::Rendered,
    objects::{container, fields, list, name, pod},
    services::installations,
    site::tests,
};

tests! {
    variables_are_settings_that_the_service_takes needs ["kubectl"],
    pods_are_probed_where_the_service_answers needs ["kubectl"],
    pods_are_bounded_spread_and_unprivileged needs ["kubectl"],
    pods_have_the_time_that_the_services_take_to_stop needs ["kubectl"],
    pods_that_run_kubectl_do_so_in_memory needs ["kubectl"],
}

/// Read by AWS's libraries in onboarding and the optimizer, and so no settings of theirs.
const OF_AWS: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_SECRET_ACCESS_KEY"];

/// For how long a service may take to stop, in seconds (`web::Shutdown`).
const TIME_TO_STOP: u64 = 30;
/// For how long one check behind `/readyz` may take, in seconds (`web::Readiness`).
const TIME_TO_CHECK: u64 = 2;

/// A service's command line.
fn command_line(service: &str) -> Result<Command> {
    Ok(match service {
        "cluster" => cluster::Config::command(),
        "onboarding" => onboarding::Config::command(),
        "optimizer" => optimizer::Config::command(),
        "user-auth" => user_auth::Config::command(),
        other => bail!("{other} is no service"),
    })
}

/// The setting that is read from this variable.
fn setting<'a>(command: &'a Command, variable: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|argument| argument.get_env().and_then(OsStr::to_str) == Some(variable))
}

/// A variable of a container.
struct Variable {
    name: String,
    /// `None`: it may be unset.
    value: Option<String>,
}

/// The variables of a workload. What they are read from must be there, but for Secrets, which come from outside.
fn variables(one: &Rendered, workload: &Value) -> Result<Vec<Variable>> {
    let mut all = Vec::new();
    let container = container(workload)?;
    for source in list(&container["envFrom"]) {
        let settings = source["configMapRef"]["name"].as_str().with_context(|| source.to_string())?;
        for (name, value) in fields(&one.find("ConfigMap", settings)?["data"]) {
            all.push(Variable { name: name.clone(), value: value.as_str().map(str::to_owned) });
        }
    }
    for variable in list(&container["env"]) {
        let secret = &variable["valueFrom"]["secretKeyRef"];
        ensure!(secret.is_object(), "{variable}: what is no secret belongs into the ConfigMap");
        let value = (secret["optional"] != true).then(|| "from-the-secret".to_owned());
        let name = variable["name"].as_str().context("a name")?.to_owned();
        all.push(Variable { name, value });
    }
    Ok(all)
}

async fn variables_are_settings_that_the_service_takes() -> Result<()> {
    for one in installations().await? {
        for deployment in one.of_kind("Deployment") {
            let service = name(deployment);
            let what = || format!("{}: {service}", one.folder);
            let command = command_line(service)?;
            let mut arguments = vec![service.to_owned()];
            for Variable { name, value } in variables(&one, deployment).with_context(what)? {
                if ["onboarding", "optimizer"].contains(&service) && OF_AWS.contains(&name.as_str()) {
                    continue;
                }
                let flag = setting(&command, &name).and_then(Arg::get_long);
                let flag = flag.with_context(|| format!("{}: {name} is no setting", what()))?;
                arguments.extend(value.map(|value| format!("--{flag}={value}")));
            }
            command_line(service)?.try_get_matches_from(arguments).with_context(what)?;
        }
    }
    Ok(())
}

/// As the program itself says it: one process has but one default for all services.
fn own_port(service: &str) -> Result<u64> {
    let help = std::process::Command::new(testkit::program(service)?).arg("--help").output()?;
    let help = String::from_utf8(help.stdout)?;
    let of_port = help.split_once("[env: PORT=").and_then(|(_, rest)| rest.split_once("[default: "));
    let port = of_port.and_then(|(_, rest)| rest.split_once(']'));
    Ok(port.with_context(|| format!("{service} tells no port of its own"))?.0.parse()?)
}

async fn pods_are_probed_where_the_service_answers() -> Result<()> {
    for one in installations().await? {
        for deployment in one.of_kind("Deployment") {
            let (service, container) = (name(deployment), container(deployment)?);
            let what = format!("{}: {service}", one.folder);
            let port = own_port(service)?;
            assert_eq!(container["ports"], json!([{"name": "http", "containerPort": port}]), "{what}");
            let probes =
                [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")];
            for (probe, path) in probes {
                assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "http"}), "{what}");
            }
            let patience = container["readinessProbe"]["timeoutSeconds"].as_u64();
            assert!(patience.is_some_and(|seconds| seconds > TIME_TO_CHECK), "{what}: {patience:?}");
        }
    }
    Ok(())
}

async fn pods_are_bounded_spread_and_unprivileged() -> Result<()> {
    for one in installations().await? {
        for deployment in one.of_kind("Deployment") {
            let (pod, container) = (pod(deployment), container(deployment)?);
            let what = format!("{}: {}", one.folder, name(deployment));

            for bound in [&container["resources"]["requests"], &container["resources"]["limits"]] {
                assert!(bound["cpu"].is_string() && bound["memory"].is_string(), "{what}: {bound}");
            }
            let spread = list(&pod["topologySpreadConstraints"]).iter();
            let over: Vec<&Value> = spread.map(|constraint| &constraint["topologyKey"]).collect();
            assert_eq!(over, ["topology.kubernetes.io/zone", "kubernetes.io/hostname"], "{what}");

            assert_eq!(pod["automountServiceAccountToken"], false, "{what}");
            // The variables of a Service `rabbitmq` would be taken for settings.
            assert_eq!(pod["enableServiceLinks"], false, "{what}");
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{what}");
            assert_eq!(pod["securityContext"]["seccompProfile"], json!({"type": "RuntimeDefault"}), "{what}");
            let context = json!({
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            });
            assert_eq!(container["securityContext"], context, "{what}");
        }
    }
    Ok(())
}

/// The root file system cannot be written, and credentials are not to be on a disk.
async fn pods_that_run_kubectl_do_so_in_memory() -> Result<()> {
    for one in installations().await? {
        let deployment = one.find("Deployment", "cluster")?;
        let mut mounts = list(&container(deployment)?["volumeMounts"]).iter();
        let tmp = mounts.find(|mount| mount["mountPath"] == "/tmp").context("nothing at /tmp")?;
        let mut volumes = list(&pod(deployment)["volumes"]).iter();
        let volume = volumes.find(|volume| volume["name"] == tmp["name"]).context("no such volume")?;
        assert_eq!(volume["emptyDir"]["medium"], "Memory", "{}", one.folder);
        assert!(volume["emptyDir"]["sizeLimit"].is_string(), "{}: {volume}", one.folder);
    }
    Ok(())
}

async fn pods_have_the_time_that_the_services_take_to_stop() -> Result<()> {
    for one in installations().await? {
        for deployment in one.of_kind("Deployment") {
            let (pod, container) = (pod(deployment), container(deployment)?);
            let before = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().context("a pause")?;
            let all = pod["terminationGracePeriodSeconds"].as_u64().context("a period")?;
            assert!(all > before + TIME_TO_STOP, "{}: {}", one.folder, name(deployment));
            let update = json!({"maxSurge": 1, "maxUnavailable": 0});
            assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"], update, "{}", one.folder);
        }
    }
    Ok(())
}
