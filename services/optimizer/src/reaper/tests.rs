use std::collections::BTreeMap;

use ::store::{Options, testing::TestDatabase};
use cloud::{Instance, InstanceId, Launch, Lifecycle};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, ResourceExt as _, api::ListParams};
use sim::{Account as Simulated, CloudOptions, Seed, cloud::Change};
use simulated_cloud::Settings;
use testkit::{Cluster, eventually};
use tokio::sync::mpsc;

use super::*;
use crate::{
    NAME,
    cluster::{ACCESS_GROUP, cluster_role_rules},
    phases::{Action, KUBERNETES, Outcome, Phase, Target},
    saga::{self, Ending, Log as _, NewSaga, Owner, RunMode, SagaId},
    store::Added,
};

/// An account of the shop's, and what its user is told.
struct Stage {
    cluster: Cluster,
    database: Database,
    clouds: Clouds,
    account: Account,
    _place: TestDatabase,
}

impl Stage {
    async fn new() -> Self {
        let options =
            sim::Options { seed: Seed::Shop, cloud: CloudOptions::at_once(), ..sim::Options::default() };
        let cluster = Cluster::simulated(options).await.unwrap();
        let sim = cluster.sim().unwrap();
        let simulated = sim.account().unwrap();
        cluster.grant("kubesage-optimizer", &cluster_role_rules(), ACCESS_GROUP).await.unwrap();
        let settings = Settings {
            url: sim.url(),
            ca_pem: sim.ca_pem(),
            role_arn: simulated.role_arn().to_owned(),
            external_id: simulated.external_id().to_owned(),
            timeout: None,
        };
        let clouds = Clouds::default().and_simulated(settings).unwrap();
        let place = TestDatabase::sqlite();
        let store = place.open(NAME, Options::default()).await.unwrap();
        let database = Database::open(store).await.unwrap();
        let account = Account {
            id: Uuid::now_v7().to_string(),
            user_id: "ada".to_owned(),
            name: "shop".to_owned(),
            aws_account: "000000000000".to_owned(),
            role_arn: simulated.role_arn().to_owned(),
            external_id: simulated.external_id().to_owned(),
            region: simulated.region().to_owned(),
            created_at: 0,
        };
        let added = Event::new(EventType::AccountAdded, "ada", "ada", database.now(), json!({}));
        assert_eq!(database.add_account(&account, &added).await.unwrap(), Added::Now);
        Self { cluster, database, clouds, account, _place: place }
    }

    fn simulated(&self) -> &Simulated {
        self.cluster.sim().unwrap().account().unwrap()
    }

    fn reaper(&self, grace: Duration) -> Reaper {
        let every = Duration::from_millis(20);
        Reaper { database: self.database.clone(), clouds: self.clouds.clone(), every, grace }
    }

    /// Buys one of the shop's instances once more, as an operation does.
    fn bought(&self, token: &str, tag: Option<&str>) -> InstanceId {
        self.simulated().with(|world, now| {
            let is_like = |it: &&Instance| it.group.is_some() && it.lifecycle == Lifecycle::OnDemand;
            let like = world.instances().find(is_like).unwrap().clone();
            let launch = Launch {
                token: token.parse().unwrap(),
                group: like.group.unwrap(),
                instance_type: like.instance_type,
                zone: like.zone,
                lifecycle: like.lifecycle,
                tags: tag
                    .map(|tag| (SAGA_TAG.to_owned(), tag.to_owned()))
                    .into_iter()
                    .collect::<BTreeMap<_, _>>(),
            };
            world.change(now, Change::Launch(launch)).unwrap()
        })
    }

    fn instance(&self, id: &InstanceId) -> Instance {
        self.simulated().with(|world, now| {
            world.advance(now);
            world.instances().find(|it| it.id == *id).unwrap().clone()
        })
    }

    /// An operation that has bought this, and what was written of it last.
    async fn operation(&self, id: SagaId, launched: &InstanceId, last: Vec<saga::Event>) {
        self.operation_in("shop", id, launched, last).await;
    }

    async fn operation_in(&self, cluster: &str, id: SagaId, launched: &InstanceId, last: Vec<saga::Event>) {
        let old = self.simulated().with(|world, _| world.instances().next().unwrap().clone());
        let saga = NewSaga {
            id,
            user_id: "ada".to_owned(),
            username: "ada".to_owned(),
            mode: RunMode::Live,
            phases: KUBERNETES.to_vec(),
            target: Target {
                account_id: self.account.id.clone(),
                instance_id: old.id,
                instance_type: old.instance_type,
                zone: old.zone,
                group: None,
                cluster: cluster.parse().unwrap(),
            },
        };
        self.database.begin(&saga, &[]).await.unwrap();
        let lease = self.database.claim(&Owner("it".to_owned()), Duration::from_mins(10)).await;
        let lease = lease.unwrap().unwrap().lease;
        assert_eq!(lease.saga, id);
        let decided = |phase: Phase| saga::Event::Planned {
            phase,
            why: "a test".to_owned(),
            numbers: json!(null),
            action: None,
            outcome: match phase {
                Phase::ScaleOut => Outcome::Launched { instance: launched.clone() },
                _ => Outcome::Nothing,
            },
            subjects: Vec::new(),
        };
        let is_whole = last == ended(Ending::Succeeded);
        let phases = if is_whole { KUBERNETES } else { &KUBERNETES[..2] };
        for (seq, event) in (1..).zip(phases.iter().map(|phase| decided(*phase)).chain(last)) {
            let entry = Entry { seq, at: self.database.now(), epoch: lease.epoch, event };
            self.database.append(lease, &entry).await.unwrap();
        }
    }
}

fn ended(ending: Ending) -> Vec<saga::Event> {
    vec![saga::Event::Ended { ending, why: "a test".to_owned() }]
}

/// What is told of instances, from now on.
fn told(database: &Database) -> mpsc::UnboundedReceiver<Event> {
    let (tell, told) = mpsc::unbounded_channel();
    let store = database.store().clone();
    tokio::spawn(async move {
        store
            .relay_events(|event: Event| {
                let is_of_instance =
                    matches!(event.event_type, EventType::InstanceOrphaned | EventType::InstanceReaped);
                let sent =
                    if is_of_instance { tell.send(event).map_err(|_| "nobody listens") } else { Ok(()) };
                async move { sent }
            })
            .await
    });
    told
}

#[tokio::test]
async fn only_what_an_operation_has_left_behind_is_ended_and_not_at_once() {
    let stage = Stage::new().await;
    let ids = [1, 2, 3, 4, 5, 6, 7].map(Uuid::from_u128);
    let [failed, succeeded, live, attached, unknown, given_up, replaced] = ids;
    let buy = |id: Uuid| stage.bought(&id.to_string(), Some(&id.to_string()));
    let orphan = buy(failed);
    let in_use = buy(succeeded);
    let of_live = buy(live);
    let in_group = buy(attached);
    let (not_undone, has_work) = (buy(given_up), buy(replaced));
    let others = [buy(unknown), stage.bought("untagged", None), stage.bought("tagged", Some("no-operation"))];
    stage.operation(failed, &orphan, ended(Ending::Failed)).await;
    stage.operation(succeeded, &in_use, ended(Ending::Succeeded)).await;
    stage.operation(live, &of_live, Vec::new()).await;
    stage.operation(attached, &in_group, ended(Ending::Failed)).await;
    let given = |phase| {
        [vec![saga::Event::GivenUp { phase, why: "a test".to_owned() }], ended(Ending::Failed)].concat()
    };
    stage.operation(given_up, &not_undone, given(Phase::ScaleOut)).await;
    let old = stage.simulated().with(|world, _| world.instances().next().unwrap().id.clone());
    let ends_old = saga::Event::Planned {
        phase: Phase::Terminate,
        why: "a test".to_owned(),
        numbers: json!(null),
        action: Some(Action::Terminate { instance: old }),
        outcome: Outcome::Nothing,
        subjects: Vec::new(),
    };
    stage.operation(replaced, &has_work, [vec![ends_old], given(Phase::Terminate)].concat()).await;
    stage.simulated().with(|world, now| {
        world.advance(now);
        let group = world.template_of(&in_group).unwrap().clone();
        world.change(now, Change::Attach { group, id: in_group.clone() }).unwrap();
        world.advance(now);
    });
    assert!(stage.instance(&in_group).group.is_some());
    let mut told = told(&stage.database);

    // However often it is looked, it is told of once, and its time is not over.
    let patient = stage.reaper(Duration::from_hours(1));
    for _ in 0..3 {
        patient.look(&stage.account).await.unwrap();
    }
    // Those that are looked at together are told of in any order.
    let mut next = async |event_type: EventType, many: usize| {
        let mut about = BTreeMap::new();
        for _ in 0..many {
            let event = told.recv().await.unwrap();
            assert_eq!((&event.event_type, event.user_id.as_str()), (&event_type, "ada"));
            assert_eq!(event.data["account_id"], stage.account.id);
            let instance = event.data["instance_id"].as_str().unwrap().to_owned();
            let is_to_be_ended = event.data.get("removed_after").is_some_and(|after| !after.is_null());
            about.insert(instance, (event.data["operation_id"].clone(), is_to_be_ended));
        }
        about
    };
    let told_of =
        |id: &InstanceId, saga: Uuid, is_to_be_ended| (id.to_string(), (json!(saga), is_to_be_ended));
    assert_eq!(
        next(EventType::InstanceOrphaned, 3).await,
        BTreeMap::from([
            told_of(&orphan, failed, true),
            told_of(&not_undone, given_up, true),
            told_of(&has_work, replaced, false),
        ])
    );
    assert!(!stage.instance(&orphan).state.is_over());

    let reaping = tokio::spawn(stage.reaper(Duration::ZERO).run());
    eventually("the orphans to be ended", async || {
        [&orphan, &not_undone].iter().all(|id| stage.instance(id).state.is_over()).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(
        next(EventType::InstanceReaped, 2).await,
        BTreeMap::from([told_of(&orphan, failed, false), told_of(&not_undone, given_up, false)])
    );
    reaping.abort();
    patient.look(&stage.account).await.unwrap();
    assert!(told.try_recv().is_err(), "nothing else is told");
    for kept in others.iter().chain([&in_use, &of_live, &in_group, &has_work]) {
        assert!(!stage.instance(kept).state.is_over(), "{kept}");
    }
}

#[tokio::test]
async fn an_orphan_that_is_a_node_is_emptied_before_it_is_ended() {
    let stage = Stage::new().await;
    let failed = Uuid::from_u128(1);
    let orphan = stage.bought("failed", Some(&failed.to_string()));
    stage.operation(failed, &orphan, ended(Ending::Failed)).await;
    let nodes: Api<Node> = Api::all(stage.cluster.client());
    let node = eventually("the orphan to be a node", async || {
        let ends_so = |node: &Node| {
            let spec = node.spec.as_ref()?;
            spec.provider_id.as_ref()?.ends_with(orphan.as_str()).then(|| node.name_any())
        };
        nodes.list(&ListParams::default()).await.ok()?.items.iter().find_map(ends_so)
    })
    .await
    .unwrap();
    // One that nobody makes anew, and one that is made anew wherever there is a place.
    let containers = json!([{ "name": "c", "image": "registry.k8s.io/pause:3.10" }]);
    let pod =
        json!({ "metadata": { "name": "alone" }, "spec": { "nodeName": node, "containers": containers } });
    let alone = format!("{}/alone", stage.cluster.core("pods"));
    stage.cluster.post(&stage.cluster.core("pods"), pod).await.unwrap();
    let labels = json!({ "app": "moving" });
    let template = json!({ "metadata": { "labels": labels }, "spec": { "containers": containers } });
    let deployment = json!({
        "metadata": { "name": "moving" },
        "spec": { "replicas": 1, "selector": { "matchLabels": labels }, "template": template },
    });
    let others = nodes.list(&ListParams::default()).await.unwrap().items;
    let others: Vec<String> = others.iter().map(Node::name_any).filter(|other| *other != node).collect();
    for other in &others {
        nodes.cordon(other).await.unwrap();
    }
    stage.cluster.post(&stage.cluster.path("apps/v1", "deployments"), deployment).await.unwrap();
    let pods: Api<Pod> = stage.cluster.namespaced();
    let on_node = async || {
        let on_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
        let pods = pods.list(&on_node).await.unwrap().items;
        let is_running = |pod: &&Pod| pod.status.as_ref().unwrap().phase.as_deref() == Some("Running");
        pods.iter().filter(is_running).count()
    };
    eventually("both to run", async || (on_node().await == 2).then_some(())).await.unwrap();
    for other in &others {
        nodes.uncordon(other).await.unwrap();
    }

    let reaper = stage.reaper(Duration::ZERO);
    reaper.look(&stage.account).await.unwrap();
    assert!(!stage.instance(&orphan).state.is_over());
    assert_eq!(nodes.get(&node).await.unwrap().spec.unwrap().unschedulable, Some(true));
    assert_eq!(on_node().await, 2, "what is on it stays, as it cannot all leave");

    stage.cluster.call("DELETE".parse().unwrap(), &alone, None).await.unwrap();
    eventually("the orphan to be ended", async || {
        reaper.look(&stage.account).await.unwrap();
        stage.instance(&orphan).state.is_over().then_some(())
    })
    .await
    .unwrap();
    let requests = stage.cluster.sim().unwrap().requests();
    assert!(requests.keys().any(|line| line.resource == "pods/eviction"), "{requests:?}");
}

#[tokio::test]
async fn an_orphan_whose_cluster_is_gone_is_ended() {
    let (stage, failed) = (Stage::new().await, Uuid::from_u128(1));
    let orphan = stage.bought("failed", Some(&failed.to_string()));
    stage.operation_in("gone", failed, &orphan, ended(Ending::Failed)).await;
    stage.reaper(Duration::ZERO).look(&stage.account).await.unwrap();
    assert!(stage.instance(&orphan).state.is_over());
}

#[tokio::test]
async fn what_a_forgotten_operation_has_bought_is_left_alone() {
    let stage = Stage::new().await;
    let [succeeded, failed, noted] = [1, 2, 3].map(Uuid::from_u128);
    let buy = |id: Uuid| stage.bought(&id.to_string(), Some(&id.to_string()));
    let (in_use, left, orphan) = (buy(succeeded), buy(failed), buy(noted));
    stage.operation(noted, &orphan, ended(Ending::Failed)).await;
    let mut told = told(&stage.database);
    let reaper = stage.reaper(Duration::ZERO);
    stage.reaper(Duration::from_hours(1)).look(&stage.account).await.unwrap();
    assert_eq!(told.recv().await.unwrap().data["operation_id"], json!(noted));
    // However long ago it was found, it is still seen.
    let found = stage.database.now();
    let later = eventually("time to pass", async || Some(stage.database.now()).filter(|now| *now > found));
    let later = later.await.unwrap();
    stage.reaper(Duration::from_hours(1)).look(&stage.account).await.unwrap();
    assert_eq!(stage.database.forget_orphans(later).await.unwrap(), 0);
    stage.operation(succeeded, &in_use, ended(Ending::Succeeded)).await;
    stage.operation(failed, &left, ended(Ending::Failed)).await;

    let tomorrow = stage.database.now().plus(Duration::from_hours(24));
    assert_eq!(stage.database.forget_operations(tomorrow).await.unwrap(), 2);
    assert!(stage.database.operation(noted).await.unwrap().is_some(), "its orphan is not ended");
    reaper.look(&stage.account).await.unwrap();
    let event = told.recv().await.unwrap();
    assert_eq!((&event.event_type, &event.data["operation_id"]), (&EventType::InstanceReaped, &json!(noted)));
    for kept in [&in_use, &left] {
        assert!(!stage.instance(kept).state.is_over(), "{kept}");
    }
    assert_eq!(stage.database.forget_operations(tomorrow).await.unwrap(), 1);
    assert_eq!(stage.database.forget_orphans(tomorrow).await.unwrap(), 1);
}

::store::test_on_both! {
    async fn one_replica_looks_at_a_time(database: TestDatabase) -> Result<(), StoreError> {
        let replica = async || Database::open(database.open(NAME, Options::default()).await?).await;
        let (one, other) = (replica().await?, replica().await?);
        let turn = Duration::from_hours(1);
        let (first, second) = tokio::join!(one.take_reaping(turn), other.take_reaping(turn));
        assert_ne!(first?, second?);
        one.keep_reaping(turn).await?;
        assert!(!one.take_reaping(turn).await? && !other.take_reaping(turn).await?);
        Ok(())
    }
}
