//! The commands: from what is asked to the answer.

use std::{sync::Arc, time::Duration};

use contracts::{
    ErrorCode,
    agent::INLINE_RESULT_BYTES,
    query::{Command, Params},
    resources::{self, Allocation, ListMeta, PodLogs, Provenance, ResourceCounts, Source},
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        core::v1::{Pod, Service},
    },
};
use kube::{Api, Resource, api::LogParams};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{
    Cluster, ListQuery, QueryError, allocation, cache::Snapshot, counts::Counted, is_whole, list,
    list::Views, logs, params, views,
};

const DEFAULT_LOG_LINES: u32 = 100;
const MAX_LOG_LINES: u32 = 10_000;

/// The result of a command, serialised as its own type of the contract: a list as the `…List` of its kind.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    Namespaces {
        namespaces: Items<resources::Namespace>,
        #[serde(flatten)]
        meta: ListMeta,
    },
    Nodes {
        nodes: Items<resources::Node>,
        #[serde(flatten)]
        meta: ListMeta,
    },
    Pods {
        pods: Items<resources::Pod>,
        #[serde(flatten)]
        meta: ListMeta,
    },
    Deployments {
        deployments: Items<resources::Deployment>,
        #[serde(flatten)]
        meta: ListMeta,
    },
    Services {
        services: Items<resources::Service>,
        #[serde(flatten)]
        meta: ListMeta,
    },
    Resources(ResourceCounts),
    Logs(PodLogs),
    Allocation(Allocation),
}

/// The objects of a list.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Items<V> {
    /// As the API server has just told them.
    Listed(Views<V>),
    /// From the cache, as JSON.
    Kept(Arc<RawValue>),
}

impl Answer {
    /// Whether it is known to be written at once.
    pub(crate) fn is_small(&self) -> bool {
        match self {
            Self::Namespaces { namespaces: Items::Kept(text), .. }
            | Self::Nodes { nodes: Items::Kept(text), .. } => text.get().len() < INLINE_RESULT_BYTES,
            Self::Resources(_) => true,
            _ => false,
        }
    }
}

impl Cluster {
    /// Does what is asked.
    pub(crate) async fn execute(&self, command: &Command, params: &Params) -> Result<Answer, QueryError> {
        params::check_applicable(command, params)?;
        match self.kept(command, params) {
            Some(answer) => Ok(answer),
            // Boxed: calls of the API server are large, and an answer from the cache is to be cheap.
            None => Box::pin(self.ask(command, params)).await,
        }
    }

    /// From the cache, where it holds what is asked.
    fn kept(&self, command: &Command, params: &Params) -> Option<Answer> {
        if !is_whole(params) {
            return None;
        }
        let max_age = self.timing.cache_max_age;
        match command {
            Command::GetNamespaces => {
                let (items, meta) = told(self.namespaces.snapshot(max_age)?);
                Some(Answer::Namespaces { namespaces: Items::Kept(items), meta })
            }
            Command::GetNodes => {
                let (items, meta) = told(self.nodes.snapshot(max_age)?);
                Some(Answer::Nodes { nodes: Items::Kept(items), meta })
            }
            _ => None,
        }
    }

    /// From the API server.
    async fn ask(&self, command: &Command, params: &Params) -> Result<Answer, QueryError> {
        match command {
            Command::GetNamespaces => {
                let api = Api::all(self.server.client());
                let (namespaces, meta) = self.listed(&api, params, views::namespace).await?;
                Ok(Answer::Namespaces { namespaces, meta })
            }
            Command::GetNodes => {
                let api = Api::all(self.server.client());
                let (nodes, meta) = self.listed(&api, params, views::node).await?;
                Ok(Answer::Nodes { nodes, meta })
            }
            Command::GetPods => {
                let (pods, meta) = self.listed(&self.scoped::<Pod>(params)?, params, views::pod).await?;
                Ok(Answer::Pods { pods, meta })
            }
            Command::GetDeployments => {
                let api = self.scoped::<Deployment>(params)?;
                let (deployments, meta) = self.listed(&api, params, views::deployment).await?;
                Ok(Answer::Deployments { deployments, meta })
            }
            Command::GetServices => {
                let api = self.scoped::<Service>(params)?;
                let (services, meta) = self.listed(&api, params, views::service).await?;
                Ok(Answer::Services { services, meta })
            }
            Command::GetClusterResources => self.resource_counts(params).await.map(Answer::Resources),
            Command::GetPodLogs => self.pod_logs(params).await.map(Answer::Logs),
            Command::GetAllocation => self.allocation().await.map(Answer::Allocation),
            Command::Other(name) => Err(QueryError::new(
                ErrorCode::BadRequest,
                format!("this agent does not know the command {name:?}"),
            )),
        }
    }

    async fn listed<K, V>(
        &self,
        api: &Api<K>,
        params: &Params,
        view: fn(K) -> V,
    ) -> Result<(Items<V>, ListMeta), QueryError>
    where
        K: Resource + Clone + DeserializeOwned + 'static,
        V: Serialize + Send + 'static,
    {
        let provenance = self.provenance().await?;
        let listed = list(&self.server, api, &ListQuery::from(params), view).await?;
        let meta = ListMeta {
            total_count: listed.items.len(),
            continue_token: listed.continue_token,
            remaining_count: listed.remaining,
            provenance,
        };
        Ok((Items::Listed(listed.items), meta))
    }

    async fn resource_counts(&self, params: &Params) -> Result<ResourceCounts, QueryError> {
        let counted = Counted {
            server: &self.server,
            namespace: params::namespace(params)?,
            label_selector: params.label_selector.as_deref().filter(|selector| !selector.is_empty()),
        };
        let provenance = self.provenance().await?;
        let resources = counted.of_each_kind().await?;
        Ok(ResourceCounts { total_count: resources.len(), resources, provenance })
    }

    async fn allocation(&self) -> Result<Allocation, QueryError> {
        let provenance = self.provenance().await?;
        allocation::of_cluster(&self.server, provenance).await
    }

    async fn pod_logs(&self, params: &Params) -> Result<PodLogs, QueryError> {
        let namespace = params::required("namespace", params::namespace(params)?)?;
        let pod = params::pod_name(params)?;
        let container = params::container(params)?.map(str::to_owned);
        let lines = params.lines.unwrap_or(DEFAULT_LOG_LINES);
        if lines > MAX_LOG_LINES {
            return Err(QueryError::invalid(format!("lines must be at most {MAX_LOG_LINES}")));
        }
        let provenance = self.provenance().await?;
        let api: Api<Pod> = Api::namespaced(self.server.client(), namespace);
        let wanted = LogParams {
            container: container.clone(),
            tail_lines: Some(lines.into()),
            ..LogParams::default()
        };
        let reading = async {
            let log = api.log_stream(pod, &wanted).await?;
            logs::read_tail(log).await.map_err(kube::Error::ReadEvents)
        };
        let tail = self.server.call(reading).await?;
        Ok(PodLogs {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            container,
            total_count: tail.lines.len(),
            lines: tail.lines,
            truncated: tail.truncated,
            provenance,
        })
    }

    /// Of an answer that the API server gives now. Asked first: unknown is not the same as not simulated.
    async fn provenance(&self) -> Result<Provenance, QueryError> {
        let identity = self.server.identity().await?;
        Ok(Provenance { source: Source::Api, age_ms: 0, simulated: identity.simulated })
    }

    /// One namespace, or all of them.
    fn scoped<K>(&self, params: &Params) -> Result<Api<K>, QueryError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let client = self.server.client();
        Ok(match params::namespace(params)? {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        })
    }
}

/// What was kept, and what is told with it.
fn told(snapshot: Snapshot) -> (Arc<RawValue>, ListMeta) {
    let provenance =
        Provenance { source: Source::Cache, age_ms: millis(snapshot.age), simulated: snapshot.simulated };
    let meta =
        ListMeta { total_count: snapshot.count, continue_token: None, remaining_count: None, provenance };
    (snapshot.items, meta)
}

fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}
