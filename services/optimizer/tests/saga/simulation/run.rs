//! One seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use cloud::{GroupName, Instance, InstanceId, InstanceState, InstanceType, Lifecycle};
use optimizer::{
    phases::{KUBERNETES, Target},
    reach::Changes,
    saga::{Engine, Event, Log, NewSaga, Owner, Reach, RunMode, Timing},
};
use sim::cloud::{EventKind, GroupSettings, LaunchTemplate, Pool, Sizes, Timing as CloudTiming, World};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    chaos::{Chaos, ONE_DEATH, Process},
    cluster::{Cluster, ModelNode},
    laws,
    seams::{Journal, Seam},
};
use crate::memory::{BEGINNING, MemoryLog};

/// After so long a saga must have ended. Everything goes well in the second half.
const LONGEST: Duration = Duration::from_hours(8);
const OLD_TYPE: &str = "m5.xlarge";
const ZONE: &str = "us-east-1a";
const GROUP: &str = "eks-core";

/// What there is.
pub(super) struct Everything {
    pub(super) cloud: World,
    pub(super) cluster: Cluster,
    /// Every instance that was ever launched by a saga.
    pub(super) bought: BTreeSet<InstanceId>,
    /// Whether a spot instance was taken away.
    pub(super) was_interrupted: bool,
}

/// What there is at first.
pub(super) struct Setting {
    pub(super) nodes: usize,
    pub(super) desired: u32,
    pub(super) old: InstanceId,
}

/// What has become of a seed.
pub(super) struct Told {
    pub(super) ending: String,
    pub(super) story: Vec<String>,
    pub(super) broken: Vec<String>,
}

/// What happens, line by line.
#[derive(Clone)]
pub(super) struct Story {
    began: Instant,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Story {
    pub(super) fn tell(&self, line: impl AsRef<str>) {
        let at = self.began.elapsed().as_secs_f64();
        self.lines.lock().unwrap().push(format!("{at:9.3} {}", line.as_ref()));
    }
}

/// Runs a seed to its end, in a time of its own.
pub(super) fn run(seed: u64) -> Told {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(simulate(seed))
}

async fn simulate(seed: u64) -> Told {
    let began = Instant::now();
    let story = Story { began, lines: Arc::default() };
    let timing = Timing::default();
    let chaos = Arc::new(Chaos::new(seed, timing.call));
    let (everything, setting) = begin(seed, &chaos, &story);
    let everything = Arc::new(Mutex::new(everything));
    let log = Arc::new(MemoryLog::new());
    let saga = NewSaga {
        id: Uuid::from_u128(u128::from(seed)),
        user_id: "user".to_owned(),
        mode: RunMode::Live,
        phases: KUBERNETES.to_vec(),
        target: Target {
            account_id: "account".to_owned(),
            instance_id: setting.old.clone(),
            instance_type: OLD_TYPE.parse().unwrap(),
            zone: ZONE.parse().unwrap(),
            group: None,
            cluster: "shop".to_owned(),
        },
    };
    log.begin(&saga, &[]).await.unwrap();

    let process =
        |name| Process { name, chaos: chaos.clone(), dies: Arc::new(Notify::new()), story: story.clone() };
    let seam = |process: &Process| Seam { process: process.clone(), everything: everything.clone(), began };
    for name in ["first", "second"] {
        let process = process(name);
        let seam = seam(&process);
        let journal = Arc::new(Journal { process: process.clone(), log: log.clone() });
        tokio::spawn(live(process, seam, journal, timing));
    }
    if seed >= ONE_DEATH && chaos.chance(20) {
        let (log, story, after, id) = (log.clone(), story.clone(), chaos.millis(0, 60_000), saga.id);
        tokio::spawn(async move {
            sleep(after).await;
            story.tell("the user cancels");
            log.cancel(id);
        });
    }

    let watching = seam(&process("nature"));
    let mut broken = Vec::new();
    let mut told = 0;
    let mut over_since = None;
    while began.elapsed() < LONGEST {
        nature(&watching, &setting, &story, &mut broken);
        let journal = log.journal(saga.id);
        for entry in &journal[told..] {
            story.tell(format!("  {}", serde_json::to_string(&entry.event).unwrap()));
        }
        told = journal.len();
        if let Some(law) = laws::always(&everything.lock().unwrap(), &setting) {
            story.tell(format!("BROKEN: {law}"));
            broken.push(law);
        }
        if !broken.is_empty() {
            break;
        }
        if log.is_over(saga.id) {
            // What is on its way arrives.
            let since = *over_since.get_or_insert_with(Instant::now);
            if since.elapsed() > Duration::from_mins(2) {
                break;
            }
        }
        if began.elapsed() > LONGEST / 2 {
            chaos.end();
        }
        sleep(Duration::from_millis(250)).await;
    }
    let journal = log.journal(saga.id);
    if broken.is_empty() {
        broken = laws::in_the_end(&everything.lock().unwrap(), &setting, &journal);
    }
    let ending = match journal.last().map(|entry| &entry.event) {
        Some(Event::Ended { ending, .. }) => {
            serde_json::to_value(ending).unwrap().as_str().unwrap().to_owned()
        }
        _ => "none".to_owned(),
    };
    let story = story.lines.lock().unwrap().clone();
    Told { ending, story, broken }
}

/// A process that carries sagas on, dies, and is started again.
async fn live(process: Process, seam: Seam, journal: Arc<Journal>, timing: Timing) {
    loop {
        let seam = Arc::new(seam.clone());
        let work = async {
            loop {
                let owner = Owner(process.name.to_owned());
                if let Ok(Some(claimed)) = journal.claim(&owner, timing.lease).await {
                    process.story.tell(format!("{} carries on, epoch {}", process.name, claimed.lease.epoch));
                    let changes = Changes { cloud: seam.clone(), cluster: seam.clone() };
                    let engine = Engine::new(journal.clone(), timing, Reach::Live(changes), &claimed);
                    if let Err(error) = engine.run(&CancellationToken::new()).await {
                        process.story.tell(format!("{} stops: {error}", process.name));
                    }
                }
                sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            biased;
            () = process.dies.notified() => {}
            () = work => {}
        }
        sleep(process.chaos.millis(0, 60_000)).await;
    }
}

/// What happens by itself: instances start and end, nodes come and go.
fn nature(seam: &Seam, setting: &Setting, story: &Story, broken: &mut Vec<String>) {
    let now = seam.now();
    let all = &mut *seam.everything.lock().unwrap();
    for event in all.cloud.advance(now) {
        let node = Cluster::name_of(&event.id);
        match event.kind {
            EventKind::Running => {
                story.tell(format!("{} runs", event.id));
                tokio::spawn(join(seam.clone(), event.id));
            }
            EventKind::ShuttingDown => {
                story.tell(format!("{} shuts down", event.id));
                let pods = all.cluster.pods_on(&node);
                if event.id == setting.old && !pods.is_empty() {
                    broken.push(format!("{} was ended with pods on it: {pods:?}", event.id));
                }
                for pod in pods {
                    let app = all.cluster.pods.remove(&pod).unwrap().app;
                    all.cluster.place(app, true);
                }
                if let Some(node) = all.cluster.nodes.get_mut(&node) {
                    node.is_ready = false;
                }
            }
            EventKind::Terminated => {
                all.cluster.nodes.remove(&node);
            }
            _ => {}
        }
    }
    for node in all.cluster.nodes.values_mut() {
        node.volumes = node.volumes.saturating_sub(1);
    }
}

async fn join(seam: Seam, id: InstanceId) {
    let name = Cluster::name_of(&id);
    let chaos = seam.process.chaos.clone();
    sleep(chaos.millis(500, 20_000)).await;
    let is_over =
        |all: &Everything| all.cloud.instances().find(|i| i.id == id).is_none_or(|i| i.state.is_over());
    if is_over(&seam.everything.lock().unwrap()) {
        return;
    }
    seam.everything.lock().unwrap().cluster.nodes.insert(name.clone(), ModelNode::new(id.clone()));
    // One that never becomes Ready.
    if chaos.fails() && chaos.chance(20) {
        return;
    }
    sleep(chaos.millis(100, 5000)).await;
    {
        let all = &mut *seam.everything.lock().unwrap();
        let over = is_over(all);
        if let Some(node) = all.cluster.nodes.get_mut(&name).filter(|_| !over) {
            node.is_ready = true;
            node.version += 1;
        }
    }
    sleep(chaos.millis(100, 5000)).await;
    if let Some(node) = seam.everything.lock().unwrap().cluster.nodes.get_mut(&name) {
        node.has_daemons = true;
    }
    if chaos.fails() && chaos.chance(20) {
        sleep(chaos.millis(0, 60_000)).await;
        let now = seam.now();
        let all = &mut *seam.everything.lock().unwrap();
        if all.cloud.interrupt(now, &id).is_ok() {
            seam.process.story.tell(format!("{id} will be taken away"));
            all.was_interrupted = true;
        }
    }
}

/// Three or four nodes of a group, six pods, and a market in which some pools are short.
fn begin(seed: u64, chaos: &Chaos, story: &Story) -> (Everything, Setting) {
    let now = jiff::Timestamp::from_millisecond(BEGINNING).unwrap();
    let mut cloud = World::new(seed, CloudTiming::default());
    let old_type: InstanceType = OLD_TYPE.parse().unwrap();
    let group: GroupName = GROUP.parse().unwrap();
    let desired = 3;
    // In the last one there is no room for a change.
    let sizes = [(1, 4), (3, 4), (2, 3), (1, 4), (3, 4), (2, 3), (3, 3)];
    let (min, max) = sizes[chaos.pick(sizes.len())];
    let template = LaunchTemplate {
        instance_types: vec![old_type.clone()],
        lifecycle: Lifecycle::OnDemand,
        tags: BTreeMap::new(),
    };
    let settings = GroupSettings {
        name: group.clone(),
        sizes: Sizes { min, max, desired },
        zones: vec![ZONE.parse().unwrap()],
        template,
        protect_new: false,
        hooks: Vec::new(),
    };
    cloud.create_group(now, settings).unwrap();
    let mut cluster = Cluster::default();
    let mut ids = Vec::new();
    for number in 0..desired {
        let id: InstanceId = format!("i-0000000{number}").parse().unwrap();
        let instance = Instance {
            id: id.clone(),
            instance_type: old_type.clone(),
            zone: ZONE.parse().unwrap(),
            lifecycle: Lifecycle::OnDemand,
            state: InstanceState::Running,
            group: None,
            tags: BTreeMap::new(),
            launched_at: now,
        };
        cloud.plant(instance, &group);
        let node = ModelNode { is_ready: true, has_daemons: true, ..ModelNode::new(id.clone()) };
        cluster.nodes.insert(Cluster::name_of(&id), node);
        ids.push(id);
    }
    for (app, replicas, least) in [("web", 3, 2), ("db", 2, 1), ("job", 1, 0)] {
        cluster.budgets.insert(app, least);
        for _ in 0..replicas {
            cluster.place(app, true);
        }
    }
    if seed >= ONE_DEATH {
        let offers = cloud.offers(now, &ZONE.parse().unwrap()).unwrap();
        let percent = [0, 0, 30, 100][chaos.pick(4)];
        for offer in offers.iter().filter(|_| chaos.chance(percent)) {
            story.tell(format!("{} is short", offer.instance_type));
            cloud.begin_shortage(Pool {
                instance_type: offer.instance_type.clone(),
                zone: offer.zone.clone(),
                lifecycle: Lifecycle::Spot,
            });
        }
    }
    let old = ids[chaos.pick(ids.len())].clone();
    story.tell(format!("{old} is to be replaced; group {min} to {max}, {desired} desired"));
    let everything = Everything { cloud, cluster, bought: BTreeSet::new(), was_interrupted: false };
    (everything, Setting { nodes: desired as usize, desired, old })
}
