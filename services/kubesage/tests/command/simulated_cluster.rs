//! `kubesage sim`.

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
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
    let kubeconfig: Value = serde_json::from_str(&kubeconfig)?;
    assert_eq!(kubeconfig["clusters"][0]["cluster"]["server"], *url);
    let token = kubeconfig["users"][0]["user"]["token"].as_str().context("a token")?;
    let authority = &kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"];
    let authority = BASE64_STANDARD.decode(authority.as_str().context("an authority")?)?;
    // The process's provider of cryptography is set with the other client.
    client();
    let trusted = [reqwest::Certificate::from_pem(&authority)?];
    let client = reqwest::Client::builder().tls_certs_only(trusted).build()?;
    let nodes = client.get(format!("{url}/api/v1/nodes")).bearer_auth(token).send().await?;
    assert_eq!(nodes.headers()["x-kubesage-simulated"], "true");
    let nodes: Value = serde_json::from_str(&nodes.text().await?)?;
    assert_eq!(nodes["items"].as_array().map(Vec::len), Some(3), "{nodes}");
    let out = out.display().to_string();
    assert!(process.output().contains(&format!("kubectl --kubeconfig {out} get pods -A")));
    process.terminate().await?;
    assert!(process.wait().await?.success());
    Ok(())
}
