//! Clusters that are killed.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use sim::{Options, Sim};
use tempfile::TempDir;
use testkit::{Cluster, eventually_within};

/// How long what takes no time may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The file in the directory.
pub(crate) const FILE: &str = "cluster.log";

/// A cluster that is kept in a directory.
pub(crate) async fn kept(directory: &Path, options: Options) -> Result<Cluster> {
    Cluster::simulated(Options { state_dir: Some(directory.to_owned()), ..options }).await
}

/// What would be found if the process were killed just now: a file has what was written to it, whoever writes on.
pub(crate) fn killed_now(directory: &Path) -> Result<TempDir> {
    let image = TempDir::new()?;
    fs::copy(directory.join(FILE), image.path().join(FILE))?;
    Ok(image)
}

/// Lets so much time pass until the next process begins: its clock is ahead of the machine's by so much.
pub(crate) fn stay_away(image: &Path, time: Duration) -> Result<()> {
    let line = json!({ "kept": { "name": "clock", "value": format!("PT{}S", time.as_secs()) } }).to_string();
    let mut file = OpenOptions::new().append(true).open(image.join(FILE))?;
    writeln!(file, "{:08x} {line}", crc32fast::hash(line.as_bytes()))?;
    Ok(())
}

/// The cluster that goes on in another process, while the first has not noticed that it was killed.
pub(crate) async fn after_kill(directory: &Path, options: Options) -> Result<(Cluster, TempDir)> {
    let image = killed_now(directory)?;
    Ok((kept(image.path(), options).await?, image))
}

pub(crate) fn sim(cluster: &Cluster) -> &Sim {
    cluster.sim().expect("the cluster is simulated")
}

/// The object at a path, as soon as something holds of it.
pub(crate) async fn until(cluster: &Cluster, path: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
    let ask = async || {
        let (status, object) = cluster.get(path).await.ok()?;
        (status == 200 && holds(&object)).then_some(object)
    };
    eventually_within(PATIENCE, path, ask).await
}

/// Waits until nothing is at a path.
pub(crate) async fn until_gone(cluster: &Cluster, path: &str) -> Result<()> {
    let ask = async || (cluster.get(path).await.ok()?.0 == 404).then_some(());
    eventually_within(PATIENCE, path, ask).await
}
