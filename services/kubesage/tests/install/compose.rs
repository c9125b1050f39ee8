//! What `docker-compose.yml` and the build of its images need of other files.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result};

use crate::{
    kustomizations::KUBERNETES,
    site::{output, tests},
};

tests! {
    the_load_balancer_can_read_its_file needs ["haproxy"],
    the_load_balancer_has_the_published_ports_and_finds_the_services needs [],
    the_images_are_built_from_all_that_is_read needs [],
    what_runs_kubectl_has_one needs [],
    what_has_a_database_is_told_where needs [],
}

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn read(file: &str) -> Result<String> {
    fs::read_to_string(format!("{ROOT}/{file}")).with_context(|| file.to_owned())
}

async fn the_load_balancer_can_read_its_file() -> Result<()> {
    output("haproxy", &["-c", "-f", &format!("{ROOT}/compose/load-balancer.cfg")], "").await.map(drop)
}

async fn the_load_balancer_has_the_published_ports_and_finds_the_services() -> Result<()> {
    let (compose, balancer) = (read("docker-compose.yml")?, read("compose/load-balancer.cfg")?);
    let after = |start: &'static str| {
        let lines = balancer.lines().map(str::trim);
        lines.filter_map(move |line| line.strip_prefix(start))
    };
    let bound: BTreeSet<&str> = after("bind :").collect();
    assert_eq!(bound, BTreeSet::from(["8001", "8008", "8009", "8010"]));
    for port in &bound {
        assert!(compose.contains(&format!("- \"{port}:{port}\"\n")), "{port} is not published");
    }
    let found: BTreeSet<&str> = after("server-template replica 10 ").collect();
    assert_eq!(
        found,
        BTreeSet::from(["cluster:8008", "onboarding:8009", "optimizer:8010", "user-auth:8001"])
    );
    for address in found {
        let (service, _) = address.split_once(':').context("a port")?;
        let start = format!("\n  {service}:\n");
        let (_, section) =
            compose.split_once(&start).with_context(|| format!("there is no service {service}"))?;
        let section = section.split("\n\n").next().unwrap_or_default();
        assert!(!section.contains("ports:"), "of {service} there could not be two");
    }
    Ok(())
}

/// The build sees only what `.dockerignore` lets through.
async fn the_images_are_built_from_all_that_is_read() -> Result<()> {
    let ignored = read(".dockerignore")?;
    let passed: BTreeSet<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let manifest: toml::Table = toml::from_str(&read("Cargo.toml")?)?;
    let members = manifest.get("workspace").and_then(|workspace| workspace.get("members"));
    let members = members.and_then(toml::Value::as_array).context("the workspace has members")?;
    for member in members {
        let folder = member.as_str().and_then(|member| member.split('/').next()).context("a folder")?;
        assert!(passed.contains(folder), "cargo does not find the member {folder}");
    }
    // Onboarding has the agent's manifests in it.
    assert!(passed.contains("k8s/agent"));
    Ok(())
}

/// The images have no other programs, so `kubectl` has to be put there, and the service be told where it is.
async fn what_runs_kubectl_has_one() -> Result<()> {
    let file = read("Dockerfile")?;
    assert!(
        file.contains(&format!("\nARG KUBECTL_VERSION={KUBERNETES}.")),
        "another version than the tests know"
    );
    for target in ["cluster", "kubesage"] {
        let (_, image) = file.split_once(&format!("\nFROM base AS {target}\n")).context(target)?;
        let image = image.split("\nFROM ").next().unwrap_or_default();
        let mut lines = image.lines();
        let copied = lines.find_map(|line| line.strip_prefix("COPY --from=kubectl /bin/kubectl "));
        let told = image.lines().find_map(|line| line.strip_prefix("ENV KUBECTL="));
        assert!(copied.is_some_and(|path| Some(path) == told), "{target}: {copied:?}, {told:?}");
    }
    Ok(())
}

async fn what_has_a_database_is_told_where() -> Result<()> {
    let compose = read("docker-compose.yml")?;
    for service in ["user-auth", "cluster", "onboarding", "optimizer"] {
        let (_, section) = compose.split_once(&format!("\n  {service}:\n")).context(service)?;
        let section = section.split("\n\n").next().unwrap_or_default();
        assert!(section.contains("<<: [*settings, *database]"), "{service}");
    }
    Ok(())
}
