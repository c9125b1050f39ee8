//! The objects of the install script, of the kustomize base and of the Helm chart are the same.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::site::{Installation, Site, output, tests};

tests! {
    kustomize_makes_what_the_script_applies needs ["kubectl"],
    helm_makes_what_the_script_applies needs ["helm"],
}

pub(crate) const K8S: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../k8s");
const CASES: [(&str, &[&str]); 6] = [
    ("eks", &[]),
    ("aks", &["logs"]),
    ("gke", &["usage"]),
    ("openshift", &["logs", "analysis", "usage"]),
    ("kops", &["analysis"]),
    ("other", &[]),
];

/// The objects of a text of YAML documents, by kind, in the form in which all three ways write them.
pub(crate) fn objects(yaml: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml)?;
    let mut objects: Vec<Value> = documents.into_iter().filter(|object| !object.is_null()).collect();
    for object in &mut objects {
        if let Some(data) = object["data"].as_object().cloned().filter(|_| object["kind"] == "Secret") {
            let plain = |(name, value): (String, Value)| -> Result<(String, Value)> {
                let bytes = BASE64_STANDARD.decode(value.as_str().context("a text")?)?;
                Ok((name, String::from_utf8(bytes)?.into()))
            };
            object["stringData"] = Value::Object(data.into_iter().map(plain).collect::<Result<_>>()?);
            object.as_object_mut().context("an object")?.remove("data");
        }
    }
    objects.sort_by_key(|object| object["kind"].as_str().unwrap_or_default().to_owned());
    Ok(objects)
}

/// A cluster's objects as its install script gets them, and the key among them.
async fn of_the_script(site: &Site, installation: &Installation) -> Result<(Vec<Value>, String)> {
    let (status, manifest) = site.fetch_manifest(installation).await?;
    anyhow::ensure!(status == 200, "{status}: {manifest}");
    let objects = objects(&manifest)?;
    let secret = objects.iter().find(|object| object["kind"] == "Secret").context(manifest.clone())?;
    let key = secret["stringData"]["api-key"].as_str().context("a key")?.to_owned();
    Ok((objects, key))
}

async fn kustomize_makes_what_the_script_applies() -> Result<()> {
    let site = Site::start().await?;
    for (provider, features) in CASES {
        let installation = site.cluster(provider, provider, features).await?;
        let (mut expected, key) = of_the_script(&site, &installation).await?;
        let deployment = expected.iter_mut().find(|object| object["kind"] == "Deployment");
        forget_key_hash(&mut deployment.context("a deployment")?["spec"]["template"]["metadata"])?;
        let directory = TempDir::new_in(K8S)?;
        write_overlay(directory.path(), &installation, &site, &key, provider, features)?;
        let built = output("kubectl", &["kustomize", &directory.path().display().to_string()], "").await?;
        assert_eq!(objects(&built)?, expected, "{provider}");
    }
    Ok(())
}

/// Who uses kustomize restarts the agent by themselves when the key is another.
fn forget_key_hash(metadata: &mut Value) -> Result<()> {
    let annotations = metadata["annotations"].as_object_mut().context("annotations")?;
    annotations.remove("kubesage.io/key-hash").context("a hash of the key")?;
    if annotations.is_empty() {
        metadata.as_object_mut().context("metadata")?.remove("annotations");
    }
    Ok(())
}

/// `k8s/agent-example`, used as its comment says.
fn write_overlay(
    directory: &Path,
    installation: &Installation,
    site: &Site,
    key: &str,
    provider: &str,
    features: &[&str],
) -> Result<()> {
    let example = fs::read_to_string(format!("{K8S}/agent-example/kustomization.yaml"))?;
    let has_patch = Path::new(&format!("{K8S}/agent/providers/{provider}")).exists();
    let providers = has_patch.then(|| format!("  - ../agent/providers/{provider}\n"));
    let features = features.iter().map(|feature| format!("  - ../agent/features/{feature}\n"));
    let components: String = providers.into_iter().chain(features).collect();
    let components = if components.is_empty() { components } else { format!("components:\n{components}") };
    let url = site.kubesage.env["KUBESAGE_URL"].as_str();
    let text = example
        .replace("00000000-0000-4000-8000-000000000001", &installation.cluster_id)
        .replace("00000000-0000-4000-8000-000000000002", &installation.agent_id)
        .replace("https://kubesage.example.com", url);
    fs::write(directory.join("kustomization.yaml"), format!("{text}\n{components}"))?;
    Ok(fs::write(directory.join("api-key"), key)?)
}

async fn helm_makes_what_the_script_applies() -> Result<()> {
    let site = Site::start().await?;
    for (provider, features) in CASES {
        let installation = site.cluster(provider, provider, features).await?;
        let (expected, key) = of_the_script(&site, &installation).await?;
        let values = json!({
            "clusterId": installation.cluster_id,
            "agentId": installation.agent_id,
            "endpoint": site.kubesage.env["KUBESAGE_URL"],
            "apiKey": key,
            "provider": provider,
            "features": features,
            "createNamespace": true,
        });
        let chart = format!("{K8S}/charts/agent");
        let arguments =
            ["template", "agent", &chart, "--namespace", "spot-optimizer-system", "--values", "-"];
        let built = output("helm", &arguments, &values.to_string()).await?;
        assert_eq!(objects(&built)?, expected, "{provider}");
        output("helm", &["lint", "--strict", &chart, "--values", "-"], &values.to_string()).await?;
    }
    Ok(())
}
