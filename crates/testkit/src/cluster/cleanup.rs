//! Tests leave nothing behind in a real cluster.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::Result;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams},
    config::Kubeconfig,
};

use super::Caller;

/// Deletes the test's namespace, and objects outside of namespaces, when it is dropped.
pub(super) struct Cleanup {
    kubeconfig: PathBuf,
    namespace: String,
    objects: Mutex<Vec<(ApiResource, String)>>,
}

impl Cleanup {
    pub(super) fn new(kubeconfig: &Path, namespace: &str) -> Self {
        let objects = Mutex::new(vec![(ApiResource::erase::<Namespace>(&()), namespace.to_owned())]);
        Self { kubeconfig: kubeconfig.to_owned(), namespace: namespace.to_owned(), objects }
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
            self.end_pods(client).await?;
            all
        })
    }

    /// No kubelet ends the pods of a node that a test has made: without this the namespace would stay.
    async fn end_pods(&self, client: Client) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(client, &self.namespace);
        pods.delete_collection(&DeleteParams::default().grace_period(0), &ListParams::default()).await?;
        Ok(())
    }
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
