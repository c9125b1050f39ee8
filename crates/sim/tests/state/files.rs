//! The file.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::json;
use sim::{Options, Seed, Sim, SimError, StateError};
use tempfile::TempDir;

use crate::common::{FILE, kept, killed_now, sim};

fn options(directory: &Path) -> Options {
    let state_dir = Some(directory.to_owned());
    Options { seed: Seed::Empty, controllers: false, state_dir, ..Options::default() }
}

/// The file of a cluster that was killed.
async fn left() -> Result<TempDir> {
    let directory = TempDir::new()?;
    let cluster = kept(directory.path(), options(directory.path())).await?;
    let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "last" } });
    cluster.post("/api/v1/namespaces/default/configmaps", object).await?;
    killed_now(directory.path())
}

async fn refusal(directory: &Path) -> Result<String> {
    let error = Sim::start(options(directory)).await.err().context("it is read")?;
    Ok(error.to_string())
}

#[tokio::test]
async fn a_line_that_was_not_written_to_its_end_is_none() -> Result<()> {
    let image = left().await?;
    let mut file = OpenOptions::new().append(true).open(image.path().join(FILE))?;
    file.write_all(b"00c0ffee {\"put\":{\"apiVersion\":\"v1\",\"ki")?;
    let cluster = kept(image.path(), options(image.path())).await?;
    let path = "/api/v1/namespaces/default/configmaps/last";
    assert_eq!(cluster.get(path).await?.0, 200);
    // And it does not stand in the way of those that follow.
    let again = killed_now(image.path())?;
    assert_eq!(kept(again.path(), options(again.path())).await?.get(path).await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn what_is_damaged_or_of_another_version_is_refused_and_stays() -> Result<()> {
    let image = left().await?;
    let path = image.path().join(FILE);
    let good = fs::read_to_string(&path)?;
    let cases = [
        (good.replacen("\"default\"", "\"DEFAULT\"", 1), "it is damaged in line"),
        (good.lines().take(5).map(|line| format!("{line}\n")).collect(), "its end is missing"),
        (good.replacen("format 1", "format 9", 1), "another version of kubesage has written it, in format 9"),
        (String::new(), "it is damaged"),
    ];
    for (text, why) in cases {
        fs::write(&path, &text)?;
        let said = refusal(image.path()).await?;
        assert!(said.contains(why), "{said}");
        assert!(said.contains(&path.display().to_string()), "{said}");
        assert!(
            said.contains(&format!("delete the directory {} to begin", image.path().display())),
            "{said}"
        );
        assert_eq!(fs::read_to_string(&path)?, text, "it is left as it was");
    }
    fs::write(&path, good)?;
    Sim::start(options(image.path())).await?;
    Ok(())
}

/// Nobody is told of what would be gone, and the cluster ends.
#[tokio::test]
async fn what_cannot_be_written_is_not_answered() -> Result<()> {
    let directory = TempDir::new()?;
    let state = directory.path().join("state");
    let cluster = kept(&state, options(&state)).await?;
    // What follows is long enough for the file to be written anew.
    fs::remove_dir_all(&state)?;
    let text = "x".repeat(900_000);
    let mut answers = Vec::new();
    for number in 0..10 {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": number.to_string() },
            "data": { "text": text },
        });
        let body = Some(object);
        match cluster.call(Method::POST, "/api/v1/namespaces/default/configmaps", body).await {
            Ok((status, _)) => answers.push(status),
            // It has ended.
            Err(_) => break,
        }
    }
    let first_bad = answers.iter().position(|status| *status != 201).context("all was answered")?;
    assert!(first_bad > 0 && answers[first_bad..].iter().all(|status| *status == 500), "{answers:?}");
    sim(&cluster).ended().await;
    Ok(())
}

#[tokio::test]
async fn a_directory_is_for_one_cluster_and_its_owner() -> Result<()> {
    let directory = TempDir::new()?;
    let state = directory.path().join("a/b");
    let _cluster = kept(&state, options(&state)).await?;
    let second = Sim::start(options(&state)).await.err();
    assert!(matches!(second, Some(SimError::State(StateError::InUse { .. }))), "{second:?}");
    for (name, mode) in [("", 0o700), (FILE, 0o600)] {
        assert_eq!(fs::metadata(state.join(name))?.permissions().mode() & 0o777, mode, "{name}");
    }
    fs::write(directory.path().join("file"), "")?;
    let said = refusal(&directory.path().join("file")).await?;
    assert!(said.contains("cannot be kept in"), "{said}");
    Ok(())
}
