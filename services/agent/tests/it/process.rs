//! The agent as a process of its own.

use std::process::{Output, Stdio};

use anyhow::{Context, Result};
use contracts::agent::{RefusalCode, Refused};
use http::StatusCode;
use secrecy::ExposeSecret;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{
    relay::{PATIENCE, Received},
    world::World,
};

/// The agent's binary, with the settings of the install script.
pub(crate) fn agent(world: &World, endpoint: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    let kubeconfig = world.config.cluster.kubeconfig.clone().unwrap_or_default();
    command
        .env_clear()
        .env("API_ENDPOINT", endpoint)
        .env("AGENT_ID", &world.config.agent_id)
        .env("CLUSTER_ID", &world.config.cluster_id)
        .env("API_KEY", world.config.key.secret().expose_secret())
        .env("HOST", "127.0.0.1")
        .env("PORT", "0")
        .env("LOG_FORMAT", "json")
        .env("RUST_LOG", "trace")
        .args(["--kubeconfig".as_ref(), kubeconfig.as_os_str()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// What the process said when it has ended. Reads from the beginning: a full pipe would stop the process.
async fn ended(child: Child) -> Result<(Output, String)> {
    let output =
        tokio::time::timeout(PATIENCE, child.wait_with_output()).await.context("it did not end")??;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok((output, said))
}

/// The next line of the log in which the text stands.
async fn logged(child: &mut Child, text: &str) -> Result<String> {
    let mut lines = BufReader::new(child.stderr.take().context("it is piped")?).lines();
    let reading = async {
        while let Some(line) = lines.next_line().await? {
            if line.contains(text) {
                return Ok(line);
            }
        }
        anyhow::bail!("it ended")
    };
    tokio::time::timeout(PATIENCE, reading).await.context("it did not say so")?
}

#[tokio::test]
async fn a_signal_ends_it_politely_and_no_log_holds_the_key() -> Result<()> {
    let mut world = World::anywhere().await?;
    let child = agent(&world, &world.relay.url).spawn()?;
    let id = child.id().context("it runs")?;
    let ended = tokio::spawn(ended(child));
    let mut connection = world.relay.session().await?;
    let told = Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
    assert!(told.success());
    assert!(matches!(connection.receive().await?, Received::GoingAway));
    assert_eq!(connection.closed().await?, Some(1001));
    let (output, said) = ended.await??;
    assert!(output.status.success(), "{said}");
    assert!(said.contains("session with the relay is open"), "{said}");
    assert!(!said.contains(&world.config.key.secret().expose_secret()[3..]), "{said}");
    Ok(())
}

#[tokio::test]
async fn it_says_why_the_relay_does_not_accept_it() -> Result<()> {
    let world = World::anywhere().await?;
    world.relay.refuse_upgrades(Some(StatusCode::FORBIDDEN));
    let mut child = agent(&world, &world.relay.url).env("RUST_LOG", "info").spawn()?;
    let line = logged(&mut child, "403 Forbidden").await?;
    assert!(line.contains("this key was revoked") && line.contains("API_KEY"), "{line}");
    Ok(())
}

#[tokio::test]
async fn it_says_that_another_agent_with_its_id_is_connected() -> Result<()> {
    let mut world = World::anywhere().await?;
    let mut child = agent(&world, &world.relay.url).env("RUST_LOG", "info").spawn()?;
    let mut connection = world.relay.session().await?;
    let detail = "the newer wins".to_owned();
    connection.send(&Refused { code: RefusalCode::Replaced, detail, retry: false }).await?;
    let line = logged(&mut child, "another agent with this id is connected").await?;
    assert!(line.contains("the newer wins"), "{line}");
    Ok(())
}

#[tokio::test]
async fn wrong_settings_are_refused_in_one_line() -> Result<()> {
    let world = World::anywhere().await?;
    let (output, said) = ended(agent(&world, "http://relay.example").spawn()?).await?;
    assert!(!output.status.success());
    assert!(said.contains("API_ENDPOINT") && said.contains("ALLOW_INSECURE_ENDPOINT=true"), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");

    let mistyped = "ka_00000000000000000000000000000000000000";
    let (output, said) = ended(agent(&world, &world.relay.url).env("API_KEY", mistyped).spawn()?).await?;
    assert!(!output.status.success());
    assert!(said.contains("API_KEY") && !said.contains(mistyped), "{said}");

    let (output, said) = ended(agent(&world, &world.relay.url).arg("--kubeconfig=/nowhere").spawn()?).await?;
    assert!(!output.status.success(), "{said}");
    Ok(())
}

#[tokio::test]
async fn help_names_every_setting() -> Result<()> {
    let world = World::anywhere().await?;
    let (_, said) = ended(agent(&world, &world.relay.url).arg("--help").spawn()?).await?;
    for setting in [
        "API_ENDPOINT",
        "AGENT_ID",
        "CLUSTER_ID",
        "API_KEY",
        "CLUSTER_NAME",
        "ALLOW_INSECURE_ENDPOINT",
        "KUBECONFIG",
        "HOST",
        "PORT",
        "LOG_FORMAT",
        "DEBUG",
    ] {
        assert!(said.contains(setting), "{setting} is not in {said}");
    }
    assert!(!said.contains(world.config.key.secret().expose_secret()), "{said}");
    Ok(())
}
