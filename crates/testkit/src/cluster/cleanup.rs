//! Tests leave nothing behind in a real cluster.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::Result;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    config::Kubeconfig,
};
use serde_json::json;

use super::Caller;

/// With this finalizer the controller of namespaces holds each of them until it is empty.
const NAMESPACES_OWN: &str = "kubernetes";

/// Deletes the test's namespace, and objects outside of namespaces, when it is dropped.
pub(super) struct Cleanup {
    kubeconfig: PathBuf,
    objects: Mutex<Vec<(ApiResource, String)>>,
}

impl Cleanup {
    pub(super) fn new(kubeconfig: &Path, namespace: &str) -> Self {
        let objects = Mutex::new(vec![(ApiResource::erase::<Namespace>(&()), namespace.to_owned())]);
        Self { kubeconfig: kubeconfig.to_owned(), objects }
    }

    pub(super) fn remove(&self, resource: ApiResource, name: &str) {
        self.objects().push((resource, name.to_owned()));
    }

    fn objects(&self) -> MutexGuard<'_, Vec<(ApiResource, String)>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the deletion of everything; nobody waits for a namespace to end, because no other test uses its name.
    fn run(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let objects = self.objects().clone();
        runtime.block_on(async {
            let client = Caller::new(Kubeconfig::read_from(&self.kubeconfig)?).await?.client();
            let mut all = Ok(());
            // The namespace first: no controller makes anything in it anymore.
            for (resource, name) in &objects {
                let objects: Api<DynamicObject> = Api::all_with(client.clone(), resource);
                match objects.delete(name, &DeleteParams::background()).await {
                    // It is gone, or a namespace that the test itself has deleted.
                    Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
                    // The others are deleted all the same.
                    Err(error) => all = Err(error.into()),
                    Ok(_) => {}
                }
            }
            for (_, name) in objects.iter().filter(|(resource, _)| resource.plural == "namespaces") {
                if let Err(error) = release(&client, name).await {
                    all = Err(error);
                }
            }
            all
        })
    }
}

/// Lets a namespace end: no kubelet stops the pods of a node that a test has made, and a test that fails leaves what it
/// has held with finalizers.
async fn release(client: &Client, name: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), name);
    pods.delete_collection(&DeleteParams::default().grace_period(0), &ListParams::default()).await?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), name);
    for map in maps.list(&ListParams::default()).await? {
        if !map.finalizers().is_empty() {
            let freed = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
            maps.patch(&map.name_any(), &PatchParams::default(), &freed).await?;
        }
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let Some(mut namespace) = namespaces.get_opt(name).await? else { return Ok(()) };
    let finalizers = namespace.spec.as_mut().and_then(|spec| spec.finalizers.as_mut());
    if let Some(finalizers) =
        finalizers.filter(|finalizers| finalizers.iter().any(|name| name != NAMESPACES_OWN))
    {
        finalizers.retain(|name| name == NAMESPACES_OWN);
        // Its controller writes it at the same time.
        namespace.metadata.resource_version = None;
        namespaces.replace_subresource("finalize", name, &PostParams::default(), &namespace).await?;
    }
    Ok(())
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        // On a thread of its own, because the test's runtime cannot wait for another.
        let cleaned = thread::scope(|scope| scope.spawn(|| self.run()).join());
        let clean = matches!(cleaned, Ok(Ok(())));
        assert!(
            clean || thread::panicking(),
            "what the test made could not be deleted: {:?}",
            self.objects()
        );
    }
}
