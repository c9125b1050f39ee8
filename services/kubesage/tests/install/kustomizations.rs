//! Every kustomization of `k8s/`, as kubectl renders it, is what Kubernetes takes.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use optimizer::cluster::{ACCESS_GROUP, cluster_role_rules};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    manifests::{K8S, objects},
    site::{output, tests},
};

tests! {
    every_kustomization_is_what_the_schemas_say needs ["kubectl", "kubernetes-validate"],
    the_optimizers_access_is_what_it_asks_for needs ["kubectl"],
}

/// Whose schemas are asked. The simulated cluster is of this version, too.
pub(crate) const KUBERNETES: &str = "1.36";

/// Custom resources. Kubernetes has no schemas of them: these kinds, and no others, are not checked.
const CUSTOM: [(&str, &str); 3] = [
    ("external-secrets.io/v1", "ExternalSecret"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
];

/// A kustomization and what it makes.
pub(crate) struct Rendered {
    /// Its folder, below `k8s/`.
    pub(crate) folder: String,
    pub(crate) objects: Vec<Value>,
}

/// Renders every kustomization below this folder of `k8s/`; components on top of what they are for.
pub(crate) async fn render(below: &str) -> Result<Vec<Rendered>> {
    let mut all = Vec::new();
    for folder in kustomizations(&Path::new(K8S).join(below))? {
        let folder = folder.strip_prefix(K8S)?.display().to_string();
        let yaml = render_one(&folder).await.with_context(|| folder.clone())?;
        all.push(Rendered { objects: objects(&yaml)?, folder });
    }
    ensure!(!all.is_empty(), "no kustomization below {below}");
    Ok(all)
}

/// The folders that have a kustomization.
fn kustomizations(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if folder.join("kustomization.yaml").is_file() {
        found.push(folder.to_owned());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Those of other tests, which are there for a moment only, begin with a dot.
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !is_hidden && entry.file_type()?.is_dir() {
            found.extend(kustomizations(&entry.path())?);
        }
    }
    found.sort();
    Ok(found)
}

async fn render_one(folder: &str) -> Result<String> {
    let own = Path::new(K8S).join(folder);
    let text = fs::read_to_string(own.join("kustomization.yaml"))?;
    let kustomization: Value = serde_saphyr::from_str(&text)?;
    let other = TempDir::new_in(K8S)?;
    let rendered = if kustomization["kind"] == "Component" {
        fs::write(other.path().join("kustomization.yaml"), with_component(folder).to_string())?;
        other.path()
    } else if folder == "agent-example" {
        // It is to be copied, and the agent's key put beside it.
        fs::write(other.path().join("kustomization.yaml"), text)?;
        fs::write(other.path().join("api-key"), "ka_none")?;
        other.path()
    } else {
        own.as_path()
    };
    output("kubectl", &["kustomize", &rendered.display().to_string()], "").await
}

/// A kustomization that has this component.
fn with_component(folder: &str) -> Value {
    let (base, namespace) = if folder.starts_with("agent/") {
        ("agent", "spot-optimizer-system")
    } else {
        ("services/base", "kubesage")
    };
    json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": [format!("../{base}")],
        "components": [format!("../{folder}")],
    })
}

async fn every_kustomization_is_what_the_schemas_say() -> Result<()> {
    let directory = TempDir::new()?;
    let (mut files, mut expected, mut custom) = (Vec::new(), 0, BTreeSet::new());
    for rendered in render("").await? {
        let mut documents = Vec::new();
        for object in &rendered.objects {
            let kind = [&object["apiVersion"], &object["kind"]].map(|text| text.as_str().unwrap_or_default());
            match CUSTOM.into_iter().find(|(version, name)| kind == [*version, *name]) {
                Some(known) => {
                    custom.insert(known);
                }
                None => documents.push(object.to_string()),
            }
        }
        expected += documents.len();
        let file = directory.path().join(format!("{}.yaml", rendered.folder.replace('/', "-")));
        fs::write(&file, documents.join("\n---\n"))?;
        files.push(file.display().to_string());
    }
    let arguments = ["--kubernetes-version", KUBERNETES, "--strict"];
    let arguments: Vec<&str> = arguments.into_iter().chain(files.iter().map(String::as_str)).collect();
    let said = output("kubernetes-validate", &arguments, "").await?;
    // A kind that it does not know is no error to it.
    let passed = format!("against version {KUBERNETES}");
    let passed = said.lines().filter(|line| line.starts_with("INFO ") && line.ends_with(&passed)).count();
    assert_eq!(passed, expected, "{said}");
    assert_eq!(custom, BTreeSet::from(CUSTOM), "what is excused is what is there");
    Ok(())
}

async fn the_optimizers_access_is_what_it_asks_for() -> Result<()> {
    const NAME: &str = "kubesage-optimizer";
    let all = render("optimizer-access").await?;
    let [one] = all.as_slice() else { anyhow::bail!("one kustomization is expected") };
    assert_eq!(one.find("ClusterRole", NAME)?["rules"], cluster_role_rules());
    let binding = one.find("ClusterRoleBinding", NAME)?;
    assert_eq!(binding["roleRef"]["name"], NAME);
    let group = json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": ACCESS_GROUP}]);
    assert_eq!(binding["subjects"], group);
    Ok(())
}
