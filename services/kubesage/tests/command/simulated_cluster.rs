//! `kubesage sim`.

use anyhow::{Context, Result};
use tempfile::TempDir;
use testkit::Process;

use crate::started::client;

#[tokio::test]
async fn it_runs_alone_and_its_kubeconfig_works() -> Result<()> {
    let directory = TempDir::new()?;
    let out = directory.path().join("k.yaml");
    let arguments = ["sim", "--port", "0", "--seed", "3x20", "--kubeconfig-out", &out.display().to_string()];
    let mut process = Process::start("kubesage", arguments, [])?;
    let url = process.output_with(|output| {
        Some(output.lines().next()?.strip_prefix("The simulated cluster is up: ")?.to_owned())
    });
    let url = url.await?;
    let kubeconfig = std::fs::read_to_string(&out)?;
    let token = kubeconfig
        .lines()
        .find_map(|line| line.trim().strip_prefix("token: "))
        .context(kubeconfig.clone())?;
    let nodes =
        client().get(format!("{url}/api/v1/nodes")).bearer_auth(token.trim_matches('"')).send().await?;
    assert_eq!(nodes.headers()["x-kubesage-simulated"], "true");
    let nodes: serde_json::Value = serde_json::from_str(&nodes.text().await?)?;
    assert_eq!(nodes["items"].as_array().map(Vec::len), Some(3), "{nodes}");
    process.terminate().await?;
    assert!(process.wait().await?.success());
    Ok(())
}
