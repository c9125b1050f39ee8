//! Two nodes, and pods on the first one.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster_access::drain::{DrainError, DrainOptions, Drainer, Fate, PodReport, Progress, Report};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};
use sim::{Delays, Fault, Options, Seed};
use testkit::{Cluster, eventually_within};
use tokio_util::sync::CancellationToken;

/// How long a cluster may take for what it shall do. A real one starts containers meanwhile.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const IMAGE: &str = "registry.k8s.io/pause:3.10";
/// The pods of a test, whatever they are of. On a real cluster nothing else is touched.
const LABEL: &str = "kubesage.io/drained-by";

pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) node: String,
    pub(crate) other: String,
    /// What keeps pods on these two nodes.
    place: Value,
}

impl Stage {
    pub(crate) async fn new() -> Result<Self> {
        Self::on(Cluster::simulated_or_real(at_once()).await?).await
    }

    /// For faults that a real cluster cannot be made to show.
    pub(crate) async fn simulated() -> Result<Self> {
        Self::on(Cluster::simulated(at_once()).await?).await
    }

    async fn on(cluster: Cluster) -> Result<Self> {
        let (nodes, place) = if cluster.sim().is_some() {
            (vec![cluster.node("a", &[]).await?, cluster.node("b", &[]).await?], cluster.for_own_nodes())
        } else {
            let nodes = Api::<Node>::all(cluster.client()).list(&ListParams::default()).await?;
            let open = nodes.items.iter().filter(|node| {
                let spec = node.spec.clone().unwrap_or_default();
                spec.unschedulable != Some(true) && spec.taints.unwrap_or_default().is_empty()
            });
            (open.map(ResourceExt::name_any).take(2).collect(), json!({}))
        };
        let [node, other] = nodes.try_into().ok().context("two nodes that pods come to")?;
        Ok(Self { cluster, node, other, place })
    }

    pub(crate) fn drainer(&self) -> Drainer {
        Drainer::new(self.cluster.client())
    }

    /// Those of the tests: nothing else is touched.
    pub(crate) fn options(&self) -> DrainOptions {
        let selector = format!("{LABEL}={}", self.cluster.namespace());
        DrainOptions { pod_selector: Some(selector), deadline: PATIENCE, ..DrainOptions::default() }
    }

    /// A pod `held-0` whose budget never allows a disruption.
    pub(crate) async fn held(&self) -> Result<()> {
        self.run("StatefulSet", "held", 1).await?;
        self.budget("held", "held", json!({"maxUnavailable": 0})).await
    }

    /// For who drains all the same.
    pub(crate) fn despite(&self) -> DrainOptions {
        DrainOptions { despite_forecast: true, ..self.options() }
    }

    pub(crate) async fn drain(&self, options: &DrainOptions) -> Result<Report, DrainError> {
        self.drainer().drain(&self.node, options, &CancellationToken::new(), |_| {}).await
    }

    /// The same, with what was told meanwhile.
    pub(crate) async fn told(&self, options: &DrainOptions) -> Result<(Report, Vec<String>)> {
        let mut told = Vec::new();
        let tell = |progress: &Progress| {
            told.push(match progress {
                Progress::Forecast(_) => "forecast".to_owned(),
                Progress::Cordoned => "cordoned".to_owned(),
                Progress::Uncordoned => "uncordoned".to_owned(),
                Progress::Evicted(pod) => format!("evicted {}", pod.name),
                Progress::Gone(pod) => format!("gone {}", pod.name),
                Progress::Blocked(pod, _) => format!("blocked {}", pod.name),
                Progress::Retried(pod, _) => format!("retried {}", pod.name),
            });
        };
        let report = self.drainer().drain(&self.node, options, &CancellationToken::new(), tell).await?;
        Ok((report, told))
    }

    fn objects(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.cluster.client(), self.cluster.namespace(), &resource)
    }

    pub(crate) async fn create(&self, object: Value) -> Result<()> {
        let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
        let api = self.objects(&text("apiVersion"), &text("kind"));
        api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        Ok(())
    }

    /// What a pod of the test is made of.
    pub(crate) fn template(&self, app: &str) -> Value {
        let mut spec = self.place.clone();
        spec["containers"] = json!([{"name": "c", "image": IMAGE}]);
        spec["terminationGracePeriodSeconds"] = 5.into();
        json!({"metadata": {"labels": {"app": app, LABEL: self.cluster.namespace()}}, "spec": spec})
    }

    /// A controller with so many pods, all of them ready on the first node.
    pub(crate) async fn run(&self, kind: &str, app: &str, replicas: usize) -> Result<()> {
        self.run_with(kind, app, replicas, self.template(app)).await
    }

    pub(crate) async fn run_with(
        &self,
        kind: &str,
        app: &str,
        replicas: usize,
        template: Value,
    ) -> Result<()> {
        let mut spec = json!({"selector": {"matchLabels": {"app": app}}, "template": template});
        if kind != "DaemonSet" {
            spec["replicas"] = replicas.into();
        }
        if kind == "StatefulSet" {
            spec["serviceName"] = app.into();
            spec["podManagementPolicy"] = "Parallel".into();
        }
        let nodes: Api<Node> = Api::all(self.cluster.client());
        nodes.cordon(&self.other).await?;
        self.create(json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": app}, "spec": spec}))
            .await?;
        let here = self.until_ready(app, &self.node, replicas).await;
        nodes.uncordon(&self.other).await?;
        here
    }

    /// A budget of a kind of pods, which its controller has counted.
    pub(crate) async fn budget(&self, name: &str, app: &str, mut spec: Value) -> Result<()> {
        spec["selector"] = json!({"matchLabels": {"app": app}});
        let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec});
        self.create(budget).await?;
        let budgets = self.objects("policy/v1", "PodDisruptionBudget");
        eventually_within(PATIENCE, "the budget to be counted", async || {
            (budgets.get(name).await.ok()?.data["status"]["observedGeneration"] == 1).then_some(())
        })
        .await
    }

    /// Waits until so many of the pods are ready on a node.
    async fn until_ready(&self, app: &str, node: &str, count: usize) -> Result<()> {
        let what = format!("{count} pods of {app} to be ready on {node}");
        eventually_within(PATIENCE, &what, async || {
            (self.ready(app, node).await.ok()? == count).then_some(())
        })
        .await
    }

    async fn ready(&self, app: &str, node: &str) -> Result<usize> {
        let pods: Api<Pod> = self.cluster.namespaced();
        let list =
            ListParams::default().labels(&format!("app={app}")).fields(&format!("spec.nodeName={node}"));
        let is_ready = |pod: &Pod| {
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            let mut conditions = conditions.into_iter();
            pod.metadata.deletion_timestamp.is_none()
                && conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        Ok(pods.list(&list).await?.items.iter().filter(|pod| is_ready(pod)).count())
    }

    /// Waits until all of the pods are on the second node.
    pub(crate) async fn moved(&self, app: &str, count: usize) -> Result<()> {
        self.until_ready(app, &self.other, count).await?;
        ensure!(self.ready(app, &self.node).await? == 0, "{app} is left");
        Ok(())
    }

    pub(crate) async fn is_cordoned(&self) -> Result<bool> {
        let node = Api::<Node>::all(self.cluster.client()).get(&self.node).await?;
        Ok(node.spec.unwrap_or_default().unschedulable == Some(true))
    }

    /// Undoes what a drain leaves on a real cluster.
    pub(crate) async fn end(self) -> Result<()> {
        Api::<Node>::all(self.cluster.client()).uncordon(&self.node).await?;
        Ok(())
    }

    /// So many requests of a kind a simulator has had.
    pub(crate) fn requests(&self, verb: &str, resource: &str) -> u64 {
        let requests = self.cluster.sim().unwrap().requests();
        let of = requests.iter().filter(|(line, _)| line.verb == verb && line.resource == resource);
        of.map(|(_, count)| count).sum()
    }
}

/// For the simulator: nobody may list these.
pub(crate) fn forbidden_list(resource: &str) -> Fault {
    let (verb, resource) = (Some("list".to_owned()), Some(resource.to_owned()));
    Fault { verb, resource, status: Some(403), ..Fault::default() }
}

fn at_once() -> Options {
    Options { seed: Seed::Empty, delays: Delays::none(), ..Options::default() }
}

pub(crate) fn of<'a>(report: &'a Report, app: &str) -> Vec<&'a PodReport> {
    report.pods.iter().filter(|pod| pod.pod.name.starts_with(app)).collect()
}

/// Why the only pod of this name remains.
pub(crate) fn why(report: &Report, app: &str) -> String {
    match &of(report, app)[..] {
        [PodReport { fate: Fate::Remains { why }, .. }] => why.clone(),
        others => panic!("{others:?}"),
    }
}
