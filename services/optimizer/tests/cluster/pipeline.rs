//! A node of the shop is replaced, from the first phase to the last.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use async_trait::async_trait;
use cloud::{CloudReads as _, GroupName, InstanceId, InstanceState, MemberState};
use contracts::Timestamp;
use futures_util::StreamExt;
use k8s_openapi::api::{
    core::v1::{Node, Pod},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api,
    api::{ListParams, WatchEvent, WatchParams},
};
use optimizer::{
    Database,
    cluster::cluster_role_rules,
    phases::{KUBERNETES, Target},
    reach::{Changes, Reads},
    saga::{
        Claimed, Ending, Engine, Entry, Event, Lease, Log, LogError, NewSaga, Owner, Reach, RunMode, Timing,
    },
};
use serde_json::Value;
use sim::{CloudOptions, Seed, cloud::Operation};
use store::{Store, testing::TestDatabase};
use testkit::eventually_within;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::stage::{PATIENCE, Stage, instance_of, is_ready};

const SAGA: Uuid = Uuid::from_u128(42);
const APP: &str = "app.kubernetes.io/name";

/// A journal that is also told here.
struct Told {
    journal: Database,
    entries: Mutex<Vec<Entry>>,
}

#[async_trait]
impl Log for Told {
    fn now(&self) -> Timestamp {
        Log::now(&self.journal)
    }

    async fn begin(&self, saga: &NewSaga, subjects: &[optimizer::phases::Subject]) -> Result<(), LogError> {
        self.journal.begin(saga, subjects).await
    }

    async fn claim(&self, owner: &Owner, lease: Duration) -> Result<Option<Claimed>, LogError> {
        self.journal.claim(owner, lease).await
    }

    async fn renew(&self, lease: Lease, duration: Duration) -> Result<bool, LogError> {
        self.journal.renew(lease, duration).await
    }

    async fn append(&self, lease: Lease, entry: &Entry) -> Result<(), LogError> {
        self.journal.append(lease, entry).await?;
        self.entries.lock().unwrap().push(entry.clone());
        Ok(())
    }

    async fn release(&self, lease: Lease) -> Result<(), LogError> {
        self.journal.release(lease).await
    }
}

/// The shop, and the node of it that is to be replaced.
struct Shop {
    stage: Stage,
    node: Node,
    instance: InstanceId,
    group: GroupName,
    /// By namespace and name of deployments: how many pods are to be ready at any time.
    budgets: BTreeMap<(String, String), usize>,
}

impl Shop {
    async fn open(rules: &Value) -> Result<Self> {
        let stage = Stage::without_rights(Seed::Shop, CloudOptions::at_once()).await?;
        stage.bind(rules).await?;
        // There is no room for the last of its pods: where the new node has some, it would take that of one that has to move.
        let path = "/apis/apps/v1/namespaces/search/statefulsets/search-index";
        let (_, mut index) = stage.cluster.get(path).await?;
        index["spec"]["replicas"] = 2.into();
        let (status, told) = stage.cluster.call("PUT".parse()?, path, Some(index)).await?;
        ensure!(status == 200, "{told}");
        let pods: Api<Pod> = Api::namespaced(stage.cluster.client(), "search");
        eventually_within(PATIENCE, "the last pod to go", async || {
            pods.get_opt("search-index-2").await.ok()?.is_none().then_some(())
        })
        .await?;

        let of_type = ListParams::default().labels("node.kubernetes.io/instance-type=m5.xlarge");
        let node = stage.nodes().list(&of_type).await?.items.pop().context("no such node")?;
        let instance = instance_of(&node);
        let group =
            stage.cloud.instance(&instance).await?.and_then(|found| found.group).context("no group")?;
        let budgets = budgets(&stage).await?;
        Ok(Self { stage, node, instance, group, budgets })
    }

    fn node(&self) -> &str {
        self.node.metadata.name.as_deref().unwrap()
    }

    /// The pods on the node that are not a DaemonSet's.
    async fn movable(&self) -> Result<BTreeSet<String>> {
        let pods = self.stage.pods_on(self.node()).await?;
        let moves = pods.into_iter().filter(|pod| {
            let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
            owners.iter().all(|owner| owner.kind != "DaemonSet")
        });
        Ok(moves.filter_map(|pod| pod.metadata.uid).collect())
    }

    /// How many pods of each workload are ready.
    async fn ready(&self) -> Result<BTreeMap<String, usize>> {
        let pods = Api::<Pod>::all(self.stage.cluster.client()).list(&ListParams::default()).await?.items;
        let mut ready = BTreeMap::new();
        for pod in pods.iter().filter(|pod| !is_of_daemon_set(pod) && is_ready(pod)) {
            *ready.entry(app(pod).1).or_default() += 1;
        }
        Ok(ready)
    }

    /// Carries a saga on to its end; its journal.
    async fn run(&self, mode: RunMode) -> Result<Vec<Entry>> {
        let place = TestDatabase::sqlite();
        let journal = Database::open(Store::open(place.url(), "optimizer").await?).await?;
        let log = Arc::new(Told { journal, entries: Mutex::default() });
        let cloud = self.stage.cloud.instance(&self.instance).await?.context("no instance")?;
        let saga = NewSaga {
            id: SAGA,
            user_id: "ada".to_owned(),
            username: "ada".to_owned(),
            mode,
            phases: KUBERNETES.to_vec(),
            target: Target {
                account_id: "a".to_owned(),
                instance_id: self.instance.clone(),
                instance_type: cloud.instance_type,
                zone: cloud.zone,
                group: Some(self.group.clone()),
                cluster: "shop".parse().unwrap(),
            },
        };
        log.begin(&saga, &[]).await?;
        let timing = Timing {
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_millis(500),
            ..Timing::default()
        };
        let claimed = log.claim(&Owner("it".to_owned()), timing.lease).await?.context("nobody has it")?;
        let (eks, cloud) = (self.stage.eks(), self.stage.cloud.clone());
        let reach = match mode {
            RunMode::Live => Reach::Live(Changes { cloud, cluster: eks.changes(SAGA) }),
            RunMode::Shadow => Reach::Shadow(Reads { cloud, cluster: eks.reads() }),
        };
        let engine = Engine::new(log.clone(), timing, reach, &claimed)?;
        tokio::time::timeout(Duration::from_secs(300), engine.run(&CancellationToken::new())).await??;
        let entries = log.entries.lock().unwrap().clone();
        Ok(entries)
    }
}

/// What the shop's budgets want of the deployments of their names, once they are counted.
async fn budgets(stage: &Stage) -> Result<BTreeMap<(String, String), usize>> {
    let budgets: Api<PodDisruptionBudget> = Api::all(stage.cluster.client());
    let wanted = |budget: PodDisruptionBudget| {
        let status = budget.status.filter(|status| status.disruptions_allowed == Some(1))?;
        let wanted = usize::try_from(status.desired_healthy?).ok()?;
        Some(((budget.metadata.namespace?, budget.metadata.name?), wanted))
    };
    eventually_within(PATIENCE, "the budgets to be counted", async || {
        let budgets = budgets.list(&ListParams::default()).await.ok()?.items;
        let wanted = budgets.into_iter().map(wanted).collect::<Option<BTreeMap<_, _>>>()?;
        (wanted.len() > 5).then_some(wanted)
    })
    .await
}

/// Namespace and name of the workload that a pod is of.
fn app(pod: &Pod) -> (String, String) {
    let labels = pod.metadata.labels.as_ref();
    let name = labels.and_then(|labels| labels.get(APP)).cloned().unwrap_or_default();
    (pod.metadata.namespace.clone().unwrap_or_default(), name)
}

fn is_of_daemon_set(pod: &Pod) -> bool {
    pod.metadata.owner_references.iter().flatten().any(|owner| owner.kind == "DaemonSet")
}

/// Watches every change of every pod until it is told to stop: the first time that a budget is broken.
async fn watch(
    pods: Api<Pod>,
    budgets: BTreeMap<(String, String), usize>,
    stop: CancellationToken,
) -> Result<usize> {
    let list = pods.list(&ListParams::default()).await?;
    let mut version = list.metadata.resource_version.context("no version")?;
    let mut ready: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    let uid = |pod: &Pod| pod.metadata.uid.clone().unwrap_or_default();
    for pod in list.items.iter().filter(|pod| is_ready(pod)) {
        ready.entry(app(pod)).or_default().insert(uid(pod));
    }
    let mut events = 0;
    while !stop.is_cancelled() {
        let parameters = WatchParams::default();
        let mut stream = pods.watch(&parameters, &version).await?.boxed();
        while let Some(Some(event)) = stop.run_until_cancelled(stream.next()).await {
            let (pod, is_there) = match event? {
                WatchEvent::Added(pod) | WatchEvent::Modified(pod) => (pod, true),
                WatchEvent::Deleted(pod) => (pod, false),
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(error) => bail!("the pods cannot be watched: {}", error.message),
            };
            events += 1;
            version = pod.metadata.resource_version.clone().context("no version")?;
            let of_app = ready.entry(app(&pod)).or_default();
            if is_there && is_ready(&pod) {
                of_app.insert(uid(&pod));
            } else {
                of_app.remove(&uid(&pod));
            }
            for (app, least) in &budgets {
                let there = ready.get(app).map_or(0, BTreeSet::len);
                ensure!(there >= *least, "{app:?} has {there} ready pods, of {least} at least");
            }
        }
    }
    Ok(events)
}

fn ending(journal: &[Entry]) -> Result<Ending> {
    match journal.last().map(|entry| &entry.event) {
        Some(Event::Ended { ending, .. }) => Ok(*ending),
        _ => bail!("it has not ended: {journal:#?}"),
    }
}

#[tokio::test]
async fn a_node_is_replaced_and_nobody_notices() -> Result<()> {
    let shop = Shop::open(&cluster_role_rules()).await?;
    let (client, before) = (shop.stage.cluster.client(), shop.ready().await?);
    let (moved, group) =
        (shop.movable().await?, shop.stage.cloud.group(&shop.group).await?.context("no group")?);
    ensure!(moved.len() > 5, "{moved:?}");
    let stop = CancellationToken::new();
    let watching = tokio::spawn(watch(Api::all(client.clone()), shop.budgets.clone(), stop.clone()));

    let journal = shop.run(RunMode::Live).await?;
    assert_eq!(ending(&journal)?, Ending::Succeeded, "{journal:#?}");
    // What has moved is ready again.
    eventually_within(PATIENCE, "all pods", async || {
        let now = shop.ready().await.ok()?;
        before.iter().all(|(app, ready)| now.get(app) >= Some(ready)).then_some(())
    })
    .await?;
    stop.cancel();
    ensure!(watching.await?? > moved.len(), "every change is seen");

    let pods = Api::<Pod>::all(client).list(&ListParams::default()).await?.items;
    ensure!(!pods.iter().any(|pod| pod.metadata.uid.as_ref().is_some_and(|uid| moved.contains(uid))));
    ensure!(shop.stage.nodes().get_opt(shop.node()).await?.is_none());
    let old = shop.stage.cloud.instance(&shop.instance).await?;
    ensure!(old.is_none_or(|old| old.state == InstanceState::Terminated));
    let now = shop.stage.cloud.group(&shop.group).await?.context("no group")?;
    assert_eq!((now.min, now.max, now.desired), (group.min, group.max, group.desired));
    let bought = shop.stage.cloud.instances_tagged("kubesage:saga").await?;
    assert_eq!(bought.len(), 1);
    ensure!(now.member(&bought[0].id).is_some_and(|member| member.state == MemberState::InService));
    ensure!(now.member(&shop.instance).is_none() && now.members.len() == group.members.len());
    let new = shop.stage.eks().reads().node_of(&bought[0].id).await?.context("no node")?;
    ensure!(new.is_ready && !new.is_cordoned);
    Ok(())
}

#[tokio::test]
async fn in_shadow_mode_nothing_changes() -> Result<()> {
    // What changes something would be refused, too.
    let mut rules = cluster_role_rules();
    for rule in rules.as_array_mut().unwrap() {
        rule["verbs"].as_array_mut().unwrap().retain(|verb| verb != "patch" && verb != "create");
    }
    rules.as_array_mut().unwrap().retain(|rule| !rule["verbs"].as_array().unwrap().is_empty());
    let shop = Shop::open(&rules).await?;
    let (pods, ready) = (shop.movable().await?, shop.ready().await?);
    let group = shop.stage.cloud.group(&shop.group).await?;
    let asked = shop.stage.sim().requests();

    let journal = shop.run(RunMode::Shadow).await?;
    assert_eq!(ending(&journal)?, Ending::Succeeded, "{journal:#?}");
    let rehearsed = journal.iter().filter(|entry| matches!(entry.event, Event::Rehearsed { .. })).count();
    assert_eq!(rehearsed, KUBERNETES.len());

    assert_eq!((shop.movable().await?, shop.ready().await?), (pods, ready));
    assert_eq!(shop.stage.cloud.group(&shop.group).await?, group);
    ensure!(!shop.stage.is_cordoned(shop.node()).await?);
    for change in [
        Operation::Launch,
        Operation::Attach,
        Operation::Detach,
        Operation::TerminateInGroup,
        Operation::Terminate,
    ] {
        assert_eq!(shop.stage.asked(change), 0, "{change:?}");
    }
    let reads = ["get", "list", "watch"];
    for (line, count) in shop.stage.sim().requests() {
        let is_of_cloud = line.resource == "other";
        let is_new = asked.get(&line) != Some(&count);
        ensure!(!is_new || is_of_cloud || reads.contains(&line.verb.as_str()), "{line:?}");
    }
    Ok(())
}
