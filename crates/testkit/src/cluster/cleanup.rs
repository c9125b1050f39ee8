//! Tests leave nothing behind in a real cluster.

use std::{
    path::{Path, PathBuf},
    thread,
};

use anyhow::Result;
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject},
    config::Kubeconfig,
};

/// Deletes objects outside of namespaces, and namespaces themselves, when it is dropped.
pub(super) struct Cleanup {
    kubeconfig: PathBuf,
    objects: Vec<(ApiResource, String)>,
}

impl Cleanup {
    pub(super) fn new(kubeconfig: &Path) -> Self {
        Self { kubeconfig: kubeconfig.to_owned(), objects: Vec::new() }
    }

    pub(super) fn remove(&mut self, resource: ApiResource, name: &str) {
        self.objects.push((resource, name.to_owned()));
    }

    /// Asks for the deletion of everything; nobody waits for a namespace to end, because no other test uses its name.
    fn run(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = super::client(Kubeconfig::read_from(&self.kubeconfig)?).await?;
            let mut all = Ok(());
            for (resource, name) in &self.objects {
                let objects: Api<DynamicObject> = Api::all_with(client.clone(), resource);
                match objects.delete(name, &DeleteParams::background()).await {
                    // It is gone, or a namespace that the test itself has deleted.
                    Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
                    // The others are deleted all the same.
                    Err(error) => all = Err(error.into()),
                    Ok(_) => {}
                }
            }
            all
        })
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        // On a thread of its own, because the test's runtime cannot wait for another.
        let cleaned = thread::scope(|scope| scope.spawn(|| self.run()).join());
        let clean = matches!(cleaned, Ok(Ok(())));
        assert!(clean || thread::panicking(), "what the test made could not be deleted: {:?}", self.objects);
    }
}
