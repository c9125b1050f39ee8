//! A cluster with an account, entered by the optimizer's role.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use cloud::InstanceId;
use k8s_openapi::api::{
    core::v1::{Node, Pod},
    policy::v1::PodDisruptionBudget,
};
use kube::{Api, api::ListParams};
use optimizer::cluster::{ACCESS_GROUP, Eks, cluster_role_rules};
use serde_json::{Value, json};
use sim::{Account, CloudOptions, Delays, Options, Seed, Sim, cloud::Operation};
use simulated_cloud::{Settings, Simulated};
use testkit::{Cluster, eventually_within};

/// How long what takes no time may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const ROLE: &str = "kubesage-optimizer";
const IMAGE: &str = "registry.k8s.io/pause:3.10";

pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) cloud: Arc<Simulated>,
    /// So many seconds the clock is ahead by which tokens are made.
    ahead: Arc<AtomicU64>,
}

impl Stage {
    /// The shop, whose nodes are instances, with the rights that the optimizer needs.
    pub(crate) async fn shop() -> Result<Self> {
        let stage = Self::without_rights(Seed::Shop, CloudOptions::at_once()).await?;
        stage.bind(&cluster_role_rules()).await?;
        Ok(stage)
    }

    /// Nothing but the account, and those rights.
    pub(crate) async fn empty() -> Result<Self> {
        let stage = Self::without_rights(Seed::Empty, CloudOptions::at_once()).await?;
        stage.bind(&cluster_role_rules()).await?;
        Ok(stage)
    }

    pub(crate) async fn without_rights(seed: Seed, cloud: CloudOptions) -> Result<Self> {
        let options = Options { seed, delays: Delays::none(), cloud, ..Options::default() };
        let cluster = Cluster::simulated(options).await?;
        let sim = cluster.sim().context("a simulator")?;
        let account = sim.account().context("an account")?;
        let settings = Settings {
            url: sim.url(),
            ca_pem: sim.ca_pem(),
            role_arn: account.role_arn().to_owned(),
            external_id: account.external_id().to_owned(),
            timeout: None,
        };
        let cloud = Arc::new(Simulated::new(settings)?);
        Ok(Self { cluster, cloud, ahead: Arc::default() })
    }

    /// Gives these rights to who comes with the optimizer's role.
    pub(crate) async fn bind(&self, rules: &Value) -> Result<()> {
        self.cluster.grant(ROLE, rules, ACCESS_GROUP).await
    }

    pub(crate) fn sim(&self) -> &Sim {
        self.cluster.sim().unwrap()
    }

    pub(crate) fn account(&self) -> &Account {
        self.sim().account().unwrap()
    }

    pub(crate) fn eks(&self) -> Eks {
        self.eks_named("shop")
    }

    pub(crate) fn eks_named(&self, name: &str) -> Eks {
        let ahead = self.ahead.clone();
        let now = move || SystemTime::now() + Duration::from_secs(ahead.load(Ordering::Relaxed));
        Eks::with_clock(self.cloud.clone(), self.cloud.clone(), "us-east-1", name, now)
    }

    /// Moves the clock by which tokens are made.
    pub(crate) fn pass(&self, time: Duration) {
        self.ahead.fetch_add(time.as_secs(), Ordering::Relaxed);
    }

    /// So often the account was asked.
    pub(crate) fn asked(&self, operation: Operation) -> u64 {
        self.account().with(|world, _| world.calls().get(&operation).copied().unwrap_or_default())
    }

    pub(crate) fn nodes(&self) -> Api<Node> {
        Api::all(self.cluster.client())
    }

    pub(crate) async fn is_cordoned(&self, node: &str) -> Result<bool> {
        Ok(self.nodes().get(node).await?.spec.unwrap_or_default().unschedulable == Some(true))
    }

    /// The pods on a node.
    pub(crate) async fn pods_on(&self, node: &str) -> Result<Vec<Pod>> {
        let on_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
        Ok(Api::<Pod>::all(self.cluster.client()).list(&on_node).await?.items)
    }

    /// Two nodes of the test's own.
    pub(crate) async fn two_nodes(&self) -> Result<(String, String)> {
        Ok((self.cluster.node("a", &[]).await?, self.cluster.node("b", &[]).await?))
    }

    /// What a pod is made of that goes to the test's own nodes.
    pub(crate) fn template(&self, app: &str) -> Value {
        let mut spec = self.cluster.for_own_nodes();
        spec["containers"] = json!([{ "name": "c", "image": IMAGE }]);
        json!({ "metadata": { "labels": { "app": app } }, "spec": spec })
    }

    pub(crate) async fn create(&self, api_version: &str, resource: &str, object: Value) -> Result<()> {
        self.cluster.post(&self.cluster.path(api_version, resource), object).await?;
        Ok(())
    }

    /// A Deployment whose pods are ready on the first of two nodes.
    pub(crate) async fn run(&self, app: &str, replicas: usize, (here, other): (&str, &str)) -> Result<()> {
        let spec = json!({
            "replicas": replicas, "selector": { "matchLabels": { "app": app } }, "template": self.template(app),
        });
        self.nodes().cordon(other).await?;
        self.create("apps/v1", "deployments", json!({ "metadata": { "name": app }, "spec": spec })).await?;
        self.until_ready(app, here, replicas).await?;
        self.nodes().uncordon(other).await?;
        Ok(())
    }

    pub(crate) async fn until_ready(&self, app: &str, node: &str, count: usize) -> Result<()> {
        let what = format!("{count} pods of {app} on {node}");
        eventually_within(PATIENCE, &what, async || {
            let pods = self.pods_on(node).await.ok()?;
            let of_app = |pod: &&Pod| pod.metadata.labels.as_ref().is_some_and(|labels| labels["app"] == app);
            (pods.iter().filter(of_app).filter(|pod| is_ready(pod)).count() == count).then_some(())
        })
        .await
    }

    /// A budget that its controller has counted.
    pub(crate) async fn budget(&self, app: &str, mut spec: Value) -> Result<()> {
        spec["selector"] = json!({ "matchLabels": { "app": app } });
        let budget = json!({ "metadata": { "name": app }, "spec": spec });
        self.create("policy/v1", "poddisruptionbudgets", budget).await?;
        let budgets: Api<PodDisruptionBudget> = self.cluster.namespaced();
        eventually_within(PATIENCE, "the budget to be counted", async || {
            let status = budgets.get(app).await.ok()?.status?;
            (status.observed_generation == Some(1) && status.expected_pods > Some(0)).then_some(())
        })
        .await
    }

    /// Two pods on the first of two nodes, and a budget that allows no disruption until [`Self::release`]: it waits for a third.
    pub(crate) async fn held(&self, nodes: (&str, &str)) -> Result<()> {
        self.run("held", 2, nodes).await?;
        let quota = json!({ "metadata": { "name": "full" }, "spec": { "hard": { "pods": "2" } } });
        self.create("v1", "resourcequotas", quota).await?;
        let quota = self.cluster.core("resourcequotas/full");
        eventually_within(PATIENCE, "the quota to be counted", async || {
            let (_, told) = self.cluster.get(&quota).await.ok()?;
            told["status"]["used"]["pods"].is_string().then_some(())
        })
        .await?;
        let path = self.cluster.path("apps/v1", "deployments/held/scale");
        let (_, mut told) = self.cluster.get(&path).await?;
        told["spec"]["replicas"] = 3.into();
        let (status, told) = self.cluster.call("PUT".parse()?, &path, Some(told)).await?;
        ensure!(status == 200, "{told}");
        self.budget("held", json!({ "minAvailable": 2 })).await?;
        eventually_within(PATIENCE, "a third pod to be wanted", async || {
            let (_, told) = self.cluster.get(&self.cluster.path("apps/v1", "replicasets")).await.ok()?;
            let is_held = |set: &&Value| set["metadata"]["labels"]["app"] == "held";
            (told["items"].as_array()?.iter().find(is_held)?["spec"]["replicas"] == 3).then_some(())
        })
        .await
    }

    /// Lets the third pod be.
    pub(crate) async fn release(&self) -> Result<()> {
        let quota = self.cluster.core("resourcequotas/full");
        let (status, told) = self.cluster.call("DELETE".parse()?, &quota, None).await?;
        ensure!(status == 200, "{told}");
        Ok(())
    }
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut conditions = conditions.into_iter();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The instance that a node is.
pub(crate) fn instance_of(node: &Node) -> InstanceId {
    let provider = node.spec.as_ref().unwrap().provider_id.as_ref().unwrap();
    provider.rsplit('/').next().unwrap().parse().unwrap()
}
