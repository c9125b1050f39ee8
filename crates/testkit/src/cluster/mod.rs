//! The Kubernetes cluster of a test: a simulator of its own, or a namespace of its own in a real cluster.

mod caller;
mod cleanup;
mod node;
#[cfg(test)]
mod tests;

use std::{
    env,
    fs::OpenOptions,
    io::Write,
    ops::Deref,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use anyhow::{Context, Result};
use k8s_openapi::{
    ClusterResourceScope,
    api::{
        core::v1::{Namespace, ServiceAccount},
        rbac::v1::{ClusterRole, ClusterRoleBinding},
    },
};
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, PostParams},
    config::{AuthInfo, Kubeconfig},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sim::{Options, Sim};
use tempfile::TempDir;
use tokio::task::JoinSet;
use uuid::Uuid;

pub use self::caller::Caller;
use self::cleanup::Cleanup;
use crate::eventually;

/// Names a kubeconfig whose current context is a real cluster for tests.
const REAL_CLUSTER: &str = "KUBESAGE_TEST_KUBECONFIG";
/// What tests leave behind when they are killed carries this label.
const LABEL: &str = "kubesage.io/test";

/// A cluster for one test, which asks as its administrator. What the test makes in its namespaces or registers is gone
/// afterwards, also when the test fails.
pub struct Cluster {
    administrator: Caller,
    kubeconfig: PathBuf,
    context: String,
    namespace: String,
    // Dropped in this order: a real cluster is cleaned up by the file that names it.
    cleanup: Option<Cleanup>,
    sim: Option<Sim>,
    /// What lets the test's own nodes go on in a real cluster.
    heartbeats: Mutex<JoinSet<()>>,
    _directory: TempDir,
}

impl Cluster {
    /// The real cluster that `KUBESAGE_TEST_KUBECONFIG` names; without it, a simulator with these options.
    ///
    /// # Errors
    /// When the cluster cannot be reached or has no place for the test.
    pub async fn simulated_or_real(options: Options) -> Result<Self> {
        match env::var_os(REAL_CLUSTER) {
            Some(path) => Self::real(Path::new(&path)).await,
            None => Self::simulated(options).await,
        }
    }

    /// A simulator with these options, for tests that inject faults or need what a seed plants.
    ///
    /// Without controllers the test's namespace has no service account.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn simulated(options: Options) -> Result<Self> {
        let has_controllers = options.controllers;
        let sim = Sim::start(options).await?;
        let kubeconfig = Kubeconfig::from_yaml(&sim.kubeconfig(sim.admin_token()))?;
        let cluster = Self::new(kubeconfig, Some(sim)).await?;
        cluster.make_namespace(&cluster.namespace).await?;
        if has_controllers {
            cluster.account_is_there(&cluster.namespace).await?;
        }
        Ok(cluster)
    }

    async fn real(path: &Path) -> Result<Self> {
        let kubeconfig = Kubeconfig::read_from(path).with_context(|| REAL_CLUSTER)?;
        let mut cluster = Self::new(kubeconfig, None).await?;
        cluster.cleanup = Some(Cleanup::new(&cluster.kubeconfig, &cluster.namespace));
        cluster.make_namespace(&cluster.namespace).await?;
        cluster.account_is_there(&cluster.namespace).await?;
        Ok(cluster)
    }

    async fn new(mut kubeconfig: Kubeconfig, sim: Option<Sim>) -> Result<Self> {
        // A process with two providers of cryptography compiled in has no default.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let id = Uuid::new_v4().simple().to_string();
        let namespace = format!("kubesage-test-{}", &id[..10]);
        let current = kubeconfig.current_context.clone().context("the kubeconfig has no current context")?;
        let mut contexts = kubeconfig.contexts.iter_mut();
        let context =
            contexts.find(|context| context.name == current).and_then(|named| named.context.as_mut());
        context.context("the current context is missing")?.namespace = Some(namespace.clone());

        let directory = TempDir::new()?;
        let path = directory.path().join("kubeconfig");
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?;
        file.write_all(serde_json::to_string_pretty(&kubeconfig)?.as_bytes())?;
        let administrator = Caller::new(kubeconfig).await?;
        Ok(Self {
            administrator,
            kubeconfig: path,
            context: current,
            namespace,
            cleanup: None,
            sim,
            heartbeats: Mutex::default(),
            _directory: directory,
        })
    }

    async fn make_namespace(&self, name: &str) -> Result<()> {
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        namespace.labels_mut().insert(LABEL.to_owned(), "true".to_owned());
        Api::all(self.client()).create(&PostParams::default(), &namespace).await?;
        Ok(())
    }

    /// Without the account no pod is admitted; the controller that makes it is a moment behind.
    async fn account_is_there(&self, namespace: &str) -> Result<()> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), namespace);
        eventually("the default service account", async || accounts.get_opt("default").await.ok()?).await?;
        Ok(())
    }

    /// Makes another namespace, whose name begins with that of the test's own. It takes pods as soon as it has a service
    /// account.
    ///
    /// # Errors
    /// What the cluster answers.
    pub async fn another_namespace(&self, name: &str) -> Result<String> {
        let name = self.unique(name);
        self.remove_at_end::<Namespace>(&name);
        self.make_namespace(&name).await?;
        Ok(name)
    }

    /// Who asks the same cluster with a token instead of the administrator's credentials.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read.
    pub async fn with_token(&self, token: &str) -> Result<Caller> {
        self.with(AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() }).await
    }

    /// Who asks the same cluster without credentials.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read.
    pub async fn anonymous(&self) -> Result<Caller> {
        self.with(AuthInfo::default()).await
    }

    async fn with(&self, credentials: AuthInfo) -> Result<Caller> {
        let mut kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        for user in &mut kubeconfig.auth_infos {
            user.auth_info = Some(credentials.clone());
        }
        Caller::new(kubeconfig).await
    }

    /// A file that only this user can read, with the administrator's credentials; its context is in the test's
    /// [`namespace`](Self::namespace).
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The name of the current context of the kubeconfig.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The test's own namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The path of a resource or an object in the test's namespace, by `v1` or group and version.
    pub fn path(&self, api_version: &str, resource: &str) -> String {
        let root = if api_version.contains('/') { "apis" } else { "api" };
        format!("/{root}/{api_version}/namespaces/{}/{resource}", self.namespace)
    }

    /// The path of a resource or an object of the core group in the test's namespace.
    pub fn core(&self, resource: &str) -> String {
        self.path("v1", resource)
    }

    /// The objects of a kind in the test's namespace.
    pub fn namespaced<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client(), &self.namespace)
    }

    /// A name for an object outside of namespaces that no other test uses.
    pub fn unique(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace)
    }

    /// Creates an object outside of namespaces, which is removed at the end.
    ///
    /// # Errors
    /// What the cluster answers.
    pub async fn create<K>(&self, object: &K) -> Result<K>
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType = ()> + Clone + Serialize + DeserializeOwned,
        K: std::fmt::Debug,
    {
        self.remove_at_end::<K>(&object.name_any());
        Ok(Api::<K>::all(self.client()).create(&PostParams::default(), object).await?)
    }

    /// Gives these rights to a group, by a role of this name.
    ///
    /// # Errors
    /// What the cluster answers.
    pub async fn grant(&self, role: &str, rules: &Value, group: &str) -> Result<()> {
        let api = "rbac.authorization.k8s.io";
        let metadata = json!({ "name": role });
        let granted = json!({ "metadata": metadata, "rules": rules });
        self.create::<ClusterRole>(&serde_json::from_value(granted)?).await?;
        let binding = json!({
            "metadata": metadata,
            "roleRef": { "apiGroup": api, "kind": "ClusterRole", "name": role },
            "subjects": [{ "apiGroup": api, "kind": "Group", "name": group }],
        });
        self.create::<ClusterRoleBinding>(&serde_json::from_value(binding)?).await?;
        Ok(())
    }

    /// Removes an object outside of namespaces at the end, where the test has made it in another way.
    pub fn remove_at_end<K>(&self, name: &str)
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType = ()>,
    {
        if let Some(cleanup) = &self.cleanup {
            cleanup.remove(ApiResource::erase::<K>(&()), name);
        }
    }

    /// Lets so much of the cluster's time pass: a simulator's clock is moved, for a real cluster there is no way but to
    /// wait.
    pub async fn pass(&self, time: Duration) {
        match &self.sim {
            Some(sim) => sim.clock().advance(time),
            None => tokio::time::sleep(time).await,
        }
    }

    /// Ends the API server, if it is a simulator.
    pub async fn stop(&mut self) {
        if let Some(sim) = self.sim.take() {
            sim.stop().await;
        }
    }

    /// The simulator, where the cluster is one.
    pub fn sim(&self) -> Option<&Sim> {
        self.sim.as_ref()
    }
}

/// The administrator is the caller, where nobody else is.
impl Deref for Cluster {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.administrator
    }
}
