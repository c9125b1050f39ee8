//! How many objects there are of each kind that the agent's ClusterRole names.

use std::{collections::BTreeMap, fmt::Debug};

use contracts::ErrorCode;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    batch::v1::{CronJob, Job},
    core::v1::{Namespace, Node, Pod, Service},
};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::{ApiServer, QueryError, count};

/// The count of each kind, by plural name; without the kinds that the agent may not list.
pub(crate) async fn of_each_kind(server: &ApiServer) -> Result<BTreeMap<String, i64>, QueryError> {
    let counts = tokio::try_join!(
        count_of::<Namespace>(server),
        count_of::<Node>(server),
        count_of::<Pod>(server),
        count_of::<Service>(server),
        count_of::<Deployment>(server),
        count_of::<DaemonSet>(server),
        count_of::<StatefulSet>(server),
        count_of::<Job>(server),
        count_of::<CronJob>(server),
    )?;
    let (namespaces, nodes, pods, services, deployments, daemonsets, statefulsets, jobs, cronjobs) = counts;
    let core = [namespaces, nodes, pods, services];
    let workloads = [deployments, daemonsets, statefulsets, jobs, cronjobs];
    Ok(core.into_iter().chain(workloads).flatten().collect())
}

/// `None` when the kind may not be listed, or is not served.
async fn count_of<K>(server: &ApiServer) -> Result<Option<(String, i64)>, QueryError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::all(server.client());
    match count(server, &api).await {
        Ok(count) => Ok(Some((K::plural(&()).into_owned(), count))),
        Err(error) if matches!(error.code, ErrorCode::Forbidden | ErrorCode::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
