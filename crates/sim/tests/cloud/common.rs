//! What the tests start and wait for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use cloud::{CloudChanges as _, GroupName, Instance, InstanceId, Launch, Lifecycle};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::ListParams;
use sim::{Account, CloudOptions, Delays, Options, Seed, Sim};
use simulated_cloud::{Settings, Simulated};
use testkit::{Cluster, eventually_within};

/// How long what takes no time may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The shop, its account, and a client that may assume the role.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) cloud: Arc<Simulated>,
}

impl World {
    /// A shop in which everything happens at once.
    pub(crate) async fn shop() -> Result<World> {
        World::start(Seed::Shop, CloudOptions::at_once()).await
    }

    pub(crate) async fn start(seed: Seed, cloud: CloudOptions) -> Result<World> {
        let options = Options { seed, delays: Delays::none(), cloud, ..Options::default() };
        let cluster = Cluster::simulated(options).await?;
        let cloud = Arc::new(Simulated::new(settings(sim(&cluster)))?);
        Ok(World { cluster, cloud })
    }

    pub(crate) fn sim(&self) -> &Sim {
        sim(&self.cluster)
    }

    pub(crate) fn account(&self) -> &Account {
        self.sim().account().expect("there is an account")
    }

    /// The only node that is this instance, as soon as something holds of it.
    pub(crate) async fn node(&self, id: &InstanceId, holds: impl Fn(&Node) -> bool) -> Result<Node> {
        eventually_within(PATIENCE, "the node", async || self.find(id).await.filter(&holds)).await
    }

    pub(crate) async fn find(&self, id: &InstanceId) -> Option<Node> {
        let nodes: Api<Node> = Api::all(self.cluster.client());
        let suffix = format!("/{id}");
        let is_it = |node: &Node| {
            let provider = node.spec.as_ref().and_then(|spec| spec.provider_id.as_deref());
            provider.is_some_and(|provider| provider.ends_with(&suffix))
        };
        nodes.list(&ListParams::default()).await.ok()?.items.into_iter().find(is_it)
    }

    pub(crate) async fn until_no_node(&self, id: &InstanceId) -> Result<()> {
        eventually_within(PATIENCE, "no node", async || self.find(id).await.is_none().then_some(())).await
    }

    /// The pods on a node, by their names.
    pub(crate) async fn pods(&self, node: &str) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::all(self.cluster.client());
        let on_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
        Ok(pods.list(&on_node).await?.items)
    }

    pub(crate) async fn instance(
        &self,
        id: &InstanceId,
        holds: impl Fn(&Instance) -> bool,
    ) -> Result<Instance> {
        use cloud::CloudReads as _;
        let found = async || self.cloud.instance(id).await.ok()?.filter(&holds);
        eventually_within(PATIENCE, "the instance", found).await
    }

    /// An instance that was launched by the template of a group of the shop.
    pub(crate) async fn launched(&self, token: &str, lifecycle: Lifecycle) -> Result<InstanceId> {
        Ok(self.cloud.launch(&launch(token, lifecycle)).await?)
    }
}

fn sim(cluster: &Cluster) -> &Sim {
    cluster.sim().expect("the cluster is simulated")
}

/// How the account of a simulator is entered.
pub(crate) fn settings(sim: &Sim) -> Settings {
    let account = sim.account().expect("there is an account");
    Settings {
        url: sim.url(),
        ca_pem: sim.ca_pem(),
        role_arn: account.role_arn().to_owned(),
        external_id: account.external_id().to_owned(),
        timeout: None,
    }
}

pub(crate) fn group(name: &str) -> GroupName {
    name.parse().expect("a name")
}

/// An instance like those of the shop's core.
pub(crate) fn launch(token: &str, lifecycle: Lifecycle) -> Launch {
    Launch {
        token: token.parse().expect("a token"),
        group: group("eks-core"),
        instance_type: "m6i.xlarge".parse().expect("a type"),
        zone: "us-east-1a".parse().expect("a zone"),
        lifecycle,
        tags: BTreeMap::from([("kubesage.io/saga".to_owned(), token.to_owned())]),
    }
}

/// The instance that a node is.
pub(crate) fn instance_of(node: &Node) -> Result<InstanceId> {
    let provider = node.spec.as_ref().and_then(|spec| spec.provider_id.as_deref());
    let id = provider.and_then(|provider| provider.rsplit('/').next()).context("no instance")?;
    Ok(id.parse()?)
}

pub(crate) fn is_ready(node: &Node) -> bool {
    condition(node).as_deref() == Some("True")
}

/// The status of the node's condition `Ready`.
pub(crate) fn condition(node: &Node) -> Option<String> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    Some(conditions.iter().find(|condition| condition.type_ == "Ready")?.status.clone())
}
