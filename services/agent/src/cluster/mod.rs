//! The cluster that the agent runs in. Kubernetes' own types do not leave this folder.

use contracts::{query::Params, resources};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::{Api, core::PartialObjectMeta};

use crate::{config::Timing, proxy::Proxy};

mod allocation;
mod cache;
mod client;
mod commands;
mod counts;
mod error;
mod list;
mod logs;
mod params;
mod places;
mod pod_status;
mod provider;
mod requests;
mod views;

use cache::{Cache, Followed};
pub(crate) use client::ApiServer;
pub use client::{ClusterError, ClusterSource};
pub(crate) use commands::Answer;
pub(crate) use error::QueryError;
pub(crate) use list::too_large;
use list::{ListQuery, count, list};
pub(crate) use provider::Location;
use requests::Amount;

/// Answers queries about the cluster.
pub(crate) struct Cluster {
    server: ApiServer,
    namespaces: Cache<resources::Namespace>,
    nodes: Cache<resources::Node>,
    timing: Timing,
}

/// How large the cluster is, and where; `None` where the API server did not say.
#[derive(Clone, Default)]
pub(crate) struct Census {
    pub(crate) nodes: Option<u64>,
    pub(crate) pods: Option<u64>,
    pub(crate) location: Location,
    /// What all nodes have together.
    pub(crate) capacity: Option<Amount>,
}

impl Cluster {
    /// Finds the cluster; does not connect to it yet.
    pub(crate) async fn new(
        source: &ClusterSource,
        proxy: &Proxy,
        timing: &Timing,
    ) -> Result<Self, ClusterError> {
        Ok(Self {
            server: ApiServer::new(source, proxy, timing.api_call).await?,
            namespaces: Cache::default(),
            nodes: Cache::default(),
            timing: timing.clone(),
        })
    }

    /// The API server itself.
    pub(crate) fn server(&self) -> &ApiServer {
        &self.server
    }

    /// Keeps the caches current; ends only by being dropped.
    pub(crate) async fn follow(&self) {
        let (server, client) = (&self.server, self.server.client());
        let namespaces: Followed<'_, Namespace, _> =
            Followed { server, api: Api::all(client.clone()), view: views::namespace };
        let nodes: Followed<'_, Node, _> = Followed { server, api: Api::all(client), view: views::node };
        tokio::join!(
            self.namespaces.follow(namespaces, &self.timing),
            self.nodes.follow(nodes, &self.timing)
        );
    }

    /// Counts nodes and pods for a heartbeat.
    pub(crate) async fn census(&self) -> Census {
        let (nodes, pods) = tokio::join!(self.count_nodes(), self.count_pods());
        let seen = self.nodes.look(self.timing.cache_max_age, |nodes| {
            let capacity = nodes.values().map(|node| Amount::written(&node.capacity));
            (provider::locate(nodes.values()), capacity.fold(Amount::default(), Amount::plus))
        });
        let (location, capacity) = seen.unzip();
        Census { nodes, pods, location: location.unwrap_or_default(), capacity }
    }

    async fn count_nodes(&self) -> Option<u64> {
        if let Some(nodes) = self.nodes.count(self.timing.cache_max_age) {
            return u64::try_from(nodes).ok();
        }
        let nodes: Api<PartialObjectMeta<Node>> = Api::all(self.server.client());
        count(&self.server, &nodes, None).await.ok()?.try_into().ok()
    }

    async fn count_pods(&self) -> Option<u64> {
        let pods: Api<PartialObjectMeta<Pod>> = Api::all(self.server.client());
        count(&self.server, &pods, None).await.ok()?.try_into().ok()
    }
}

/// Whether the cache can answer: it holds everything, and nothing but the whole.
fn is_whole(params: &Params) -> bool {
    !params.fresh
        && params.label_selector.is_none()
        && params.limit.is_none()
        && params.continue_token.is_none()
}
