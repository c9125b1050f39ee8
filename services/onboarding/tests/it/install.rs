//! Install scripts: what is asked, what is refused, and what they do.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use store::testing::TestDatabase;
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::world::{GENERATE, Made, Setup, User, start};

store::test_on_both! {
    async fn what_is_not_acceptable_is_refused_by_its_name(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let valid = json!({"provider": "eks", "cluster_name": "a"});
        let long = "x".repeat(101);
        let changes: [(&str, &str, Value); 10] = [
            ("cluster_name", "cluster_name", json!("")),
            ("cluster_name", "cluster_name", json!("  \t")),
            ("cluster_name", "cluster_name", json!(long)),
            ("cluster_name", "cluster_name", json!("a\u{0}")),
            ("cluster_name", "cluster_name", json!("a'; rm -rf /")),
            ("cluster_name", "cluster_name", json!(7)),
            ("provider", "provider", json!("ibm")),
            ("features", "features[0]", json!(["secrets"])),
            ("features", "features", json!("logs")),
            ("unknown", "unknown", json!(true)),
        ];
        for (field, refused, value) in changes {
            let mut body = valid.clone();
            body[field] = value.clone();
            let answer = world.post(User::Ada, GENERATE, body).await?;
            answer.refuses_field(refused).with_context(|| format!("{field} = {value}"))?;
        }
        world.post(User::Ada, GENERATE, json!({"provider": "eks"})).await?.refuses_field("cluster_name")?;
        world.post(User::Ada, GENERATE, json!({"cluster_name": "a"})).await?.refuses_field("provider")?;
        Ok(())
    }

    async fn a_name_is_taken_once_by_each_user(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        world.cluster(User::Ada, "shop/eu-1: ä").await?;
        let again = json!({"provider": "gke", "cluster_name": " shop/eu-1: ä "});
        world.post(User::Ada, GENERATE, again.clone()).await?.problem(409, "conflict")?;
        world.post(User::Bob, GENERATE, again).await?.made()?;
        Ok(())
    }

    async fn every_provider_gets_a_shell_script_without_gaps(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        for provider in ["eks", "aks", "gke", "openshift", "kops", "other"] {
            for features in [json!([]), json!(["logs", "logs"])] {
                let body = json!({"provider": provider, "cluster_name": format!("{provider} {features}")
                    .replace(['[', ']', '"', ','], "-"), "features": features});
                let made = world.post(User::Ada, GENERATE, body).await?.made()?;
                assert!(!made.script.contains("{{"), "{}", made.script);
                let rules = made.script.matches("pods/log").count();
                assert_eq!(rules, usize::from(features[0].is_string()));
                for held in [&made.cluster_id, &made.agent_id, &made.key] {
                    assert!(made.script.contains(held));
                }
                check_syntax(&made.script).await?;
            }
        }
        Ok(())
    }
}

async fn check_syntax(script: &str) -> Result<()> {
    let mut shell = Command::new("sh").arg("-n").stdin(Stdio::piped()).spawn()?;
    shell.stdin.take().context("a pipe")?.write_all(script.as_bytes()).await?;
    anyhow::ensure!(shell.wait().await?.success(), "not a shell script: {script}");
    Ok(())
}

/// A `kubectl` that writes down how it is called; what `refuses` matches, it refuses.
fn install_kubectl(directory: &Path, refuses: &str) -> Result<()> {
    let kubectl = directory.join("kubectl");
    let log = directory.display();
    let text = format!(
        "#!/bin/sh\necho \"$*\" >>{log}/calls\ncase \"$*\" in {refuses}) exit 1 ;; apply*) cat >{log}/applied ;; esac\n"
    );
    fs::write(&kubectl, text)?;
    Ok(fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755))?)
}

/// Whether the script succeeds, and what it prints.
async fn run(script: &str, path: &str) -> Result<(bool, String)> {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-s").env("PATH", path).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut shell = shell.spawn()?;
    shell.stdin.take().context("a pipe")?.write_all(script.as_bytes()).await?;
    let output = shell.wait_with_output().await?;
    let printed = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8(printed)?))
}

async fn script() -> Result<Made> {
    let database = TestDatabase::sqlite();
    let mut setup = Setup::on(&database);
    setup.agents.public_url = "https://kubesage.example.com/base/".parse()?;
    setup.agents.agent_image = "registry.example.com/agent:7".to_owned();
    let world = setup.start().await?;
    world.cluster(User::Ada, "a").await
}

#[tokio::test]
async fn the_script_applies_the_agent_and_keeps_the_key_out_of_sight() -> Result<()> {
    let made = script().await?;
    let directory = TempDir::new()?;
    install_kubectl(directory.path(), "never")?;
    let path = format!("{}:/usr/bin:/bin", directory.path().display());
    let (succeeded, printed) = run(&made.script, &path).await?;
    assert!(succeeded, "{printed}");
    let last = printed.lines().last().unwrap_or_default();
    assert_eq!(last, format!("The agent of cluster {} is connected.", made.cluster_id));

    let calls = fs::read_to_string(directory.path().join("calls"))?;
    assert!(!calls.contains(&made.key) && !printed.contains(&made.key));
    let applied = fs::read_to_string(directory.path().join("applied"))?;
    for held in [
        format!("api-key: \"{}\"", made.key),
        format!("value: \"{}\"", made.agent_id),
        "value: \"https://kubesage.example.com/base\"".to_owned(),
        "image: registry.example.com/agent:7".to_owned(),
    ] {
        assert!(applied.contains(&held), "{held} in {applied}");
    }
    Ok(())
}

#[tokio::test]
async fn the_script_says_what_is_missing() -> Result<()> {
    let made = script().await?;
    let empty = TempDir::new()?;
    let (succeeded, printed) = run(&made.script, &empty.path().display().to_string()).await?;
    assert!(!succeeded && printed.contains("kubectl is missing"), "{printed}");

    for (refuses, says) in [
        ("*can-i\\ create\\ secrets*", "you may not create secrets"),
        ("apply*", ""),
        ("rollout*", "did not connect within two minutes"),
    ] {
        let directory = TempDir::new()?;
        install_kubectl(directory.path(), refuses)?;
        let path = format!("{}:/usr/bin:/bin", directory.path().display());
        let (succeeded, printed) = run(&made.script, &path).await?;
        assert!(!succeeded && printed.contains(says), "{refuses}: {printed}");
        assert!(!printed.contains("is connected."), "{printed}");
        let applied = directory.path().join("applied").exists();
        assert_eq!(applied, refuses == "rollout*", "{refuses}");
    }
    Ok(())
}
