//! How many objects there are of each kind that the agent's ClusterRole names.

use std::collections::BTreeMap;

use contracts::ErrorCode;
use k8s_openapi::{
    ClusterResourceScope, NamespaceResourceScope,
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        batch::v1::{CronJob, Job},
        core::v1::{Namespace, Node, Pod, Service},
    },
};
use kube::{Api, Resource, core::PartialObjectMeta};

use super::{ApiServer, QueryError, count};

/// What is counted.
pub(crate) struct Counted<'a> {
    pub(crate) server: &'a ApiServer,
    /// Only this namespace, and no kind that has none.
    pub(crate) namespace: Option<&'a str>,
    /// Only objects with these labels.
    pub(crate) label_selector: Option<&'a str>,
}

/// The plural name of a kind and its count; `None` when it may not be listed, is not served, or is not asked for.
type Count = Option<(String, i64)>;

impl Counted<'_> {
    /// The count of each kind, by plural name; without the kinds that the agent may not list.
    pub(crate) async fn of_each_kind(&self) -> Result<BTreeMap<String, i64>, QueryError> {
        let counts = tokio::try_join!(
            self.without_namespace::<Namespace>(),
            self.without_namespace::<Node>(),
            self.namespaced::<Pod>(),
            self.namespaced::<Service>(),
            self.namespaced::<Deployment>(),
            self.namespaced::<DaemonSet>(),
            self.namespaced::<StatefulSet>(),
            self.namespaced::<Job>(),
            self.namespaced::<CronJob>(),
        )?;
        let (namespaces, nodes, pods, services, deployments, daemonsets, statefulsets, jobs, cronjobs) =
            counts;
        let core = [namespaces, nodes, pods, services];
        let workloads = [deployments, daemonsets, statefulsets, jobs, cronjobs];
        Ok(core.into_iter().chain(workloads).flatten().collect())
    }

    async fn without_namespace<K>(&self) -> Result<Count, QueryError>
    where
        K: Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone,
    {
        match self.namespace {
            Some(_) => Ok(None),
            None => self.count::<K>(Api::all(self.server.client())).await,
        }
    }

    async fn namespaced<K>(&self) -> Result<Count, QueryError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone,
    {
        let client = self.server.client();
        self.count::<K>(match self.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        })
        .await
    }

    /// Of the objects only the metadata is asked for.
    async fn count<K>(&self, api: Api<PartialObjectMeta<K>>) -> Result<Count, QueryError>
    where
        K: Resource<DynamicType = ()> + Clone,
    {
        match count(self.server, &api, self.label_selector).await {
            Ok(count) => Ok(Some((K::plural(&()).into_owned(), count))),
            Err(error) if matches!(error.code, ErrorCode::Forbidden | ErrorCode::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
