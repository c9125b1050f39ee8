//! The first administrator, and the process as a whole.

use std::process::{Output, Stdio};

use anyhow::{Context, Result};
use contracts::{Timestamp, Token, TokenKind};
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::json;
use store::test_on_both;
use testkit::eventually;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
};

use crate::harness::{Setup, client, new_token, send, start};

test_on_both! {
    async fn replicas_that_start_together_make_one_administrator(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        for table in ["outbox", "api_keys", "users"] {
            let clear = sqlx::AssertSqlSafe(format!("DELETE FROM {table}"));
            sqlx::query(clear).execute(service.store.pool()).await?;
        }
        let (first, second) = (new_token(), new_token());
        let now = Timestamp::now();
        let (a, b, c) = tokio::join!(
            service.accounts.bootstrap(Some(&first), now),
            service.accounts.bootstrap(Some(&second), now),
            service.accounts.bootstrap(None, now),
        );
        anyhow::ensure!(a?.is_none() && b?.is_none(), "a configured key is not shown");
        let mut valid = 0;
        for key in [Some(first), Some(second), c?].into_iter().flatten() {
            let answer = service.get(key.secret().expose_secret(), "/api/v1/users").await?;
            if answer.status == 200 {
                valid += 1;
                assert_eq!(answer.body["users"].as_array().map(Vec::len), Some(1));
                assert_eq!(answer.body["users"][0]["roles"], json!(["admin"]));
            }
        }
        assert_eq!(valid, 1);
        assert!(service.accounts.bootstrap(None, now).await?.is_none());
        Ok(())
    }

    async fn a_key_for_development_is_kept_between_runs(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let key = new_token();
        let first = service.accounts.ensure_admin(&key, Timestamp::now()).await?;
        let again = service.accounts.ensure_admin(&key, Timestamp::now()).await?;
        assert_eq!(first, again);
        assert!(first.is_admin());
        let key = key.secret().expose_secret();
        assert_eq!(service.user_id(key).await?, first.id);
        let keys = service.get(key, "/api/v1/api-keys").await?;
        assert_eq!(keys.json(200)?["api_keys"].as_array().map(Vec::len), Some(2));
        Ok(())
    }

    async fn the_process_shows_the_first_key_once(database: TestDatabase) -> Result<()> {
        let setup = Setup::on(&database);
        let (process, _) = running(&setup).await?;
        let output = stop(process).await?;
        let shown = String::from_utf8(output.stdout)?;
        let key = shown.trim_end().rsplit(' ').next().context("a key")?;
        assert!(Token::parse(TokenKind::ApiKey, key).is_ok(), "{shown}");

        let (process, url) = running(&setup).await?;
        let me = client()?.request(Method::GET, format!("{url}/api/v1/users/me")).header("X-API-Key", key);
        assert_eq!(send(me).await?.json(200)?["username"], "admin");
        let ready = client()?.get(format!("{url}/readyz")).send().await?;
        let ready: serde_json::Value = ready.json().await?;
        assert_eq!(ready["checks"]["database"], "ok");
        let output = stop(process).await?;
        assert!(output.stdout.is_empty());
        Ok(())
    }

    async fn a_setting_that_cannot_be_used_is_named_and_not_shown(database: TestDatabase) -> Result<()> {
        let setup = Setup::on(&database);
        for (variable, value) in [("BOOTSTRAP_API_KEY", "ks_hunter2"), ("SERVICE_TOKEN", "hunter2"), ("DATABASE_URL", "mysql://hunter2"), ("BUS_URL", "nats://hunter2"), ("SECRETS_KEY", "hunter2")] {
            let output = process(&setup).env(variable, value).output().await?;
            let said = String::from_utf8(output.stderr)?;
            assert!(!output.status.success() && said.contains(variable), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
        Ok(())
    }
}

fn process(setup: &Setup) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_user-auth"));
    command
        .env_clear()
        .env("HOST", "127.0.0.1")
        .env("PORT", "0")
        .env("DATABASE_URL", setup.database_url.expose_secret())
        .env("BUS_URL", setup.bus.url.expose_secret())
        .env("QUEUE_PREFIX", &setup.bus.prefix)
        .env("SECRETS_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
        .env("LOG_FORMAT", "json")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A process that is ready, and where it listens.
async fn running(setup: &Setup) -> Result<(Child, String)> {
    let mut process = process(setup).spawn()?;
    let stderr = process.stderr.take().context("standard error")?;
    let mut lines = BufReader::new(stderr).lines();
    let mut said = String::new();
    while let Some(line) = lines.next_line().await? {
        let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(address) = event["address"].as_str() {
            // Read on, so that the process is not held up by a full pipe.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            let url = format!("http://{address}");
            eventually("the process is ready", async || {
                let answer = client().ok()?.get(format!("{url}/readyz")).send().await.ok()?;
                answer.status().is_success().then_some(())
            })
            .await?;
            return Ok((process, url));
        }
        said.push_str(&line);
    }
    anyhow::bail!("it does not listen: {said}")
}

/// Asks the process to stop and waits until it has.
async fn stop(mut process: Child) -> Result<Output> {
    let id = process.id().context("it runs")?.to_string();
    let asked = Command::new("kill").args(["-TERM", &id]).status().await?;
    anyhow::ensure!(asked.success());
    let mut stdout = Vec::new();
    let mut pipe = process.stdout.take().context("standard output")?;
    pipe.read_to_end(&mut stdout).await?;
    let status = process.wait().await?;
    anyhow::ensure!(status.success(), "it ended with {status}");
    Ok(Output { status, stdout, stderr: Vec::new() })
}
