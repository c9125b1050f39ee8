//! What there is at first: three nodes of a group, ten pods, two of an app on each node and one of them at a time to be evicted, and a market in which some pools are short.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cloud::{GroupName, Instance, InstanceId, InstanceState, InstanceType, Lifecycle, Zone};
use optimizer::{
    phases::{KUBERNETES, Target},
    saga::{NewSaga, RunMode},
};
use sim::cloud::{
    GroupSettings, HookResult, LaunchTemplate, LifecycleHook, Pool, Sizes, Timing, Transition, World as Cloud,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    case::{Case, Companion},
    chaos::Chaos,
    cluster::{Cluster, ModelNode},
    story::Story,
    world::{Everything, Setting, World},
};
use crate::memory::BEGINNING;

const OLD_TYPE: &str = "m5.xlarge";
const ZONE: &str = "us-east-1a";
const NODES: u32 = 3;

fn old_type() -> InstanceType {
    OLD_TYPE.parse().unwrap()
}

fn zone() -> Zone {
    ZONE.parse().unwrap()
}

/// The sagas of a case, with the instances that they are about; the first is the one that it is about.
pub(super) fn sagas(case: &Case, world: &World) -> Vec<NewSaga> {
    let saga = |number: u128, old: usize, mode| NewSaga {
        id: Uuid::from_u128(u128::from(case.seed) << 8 | number),
        user_id: "user".to_owned(),
        username: "user".to_owned(),
        mode,
        phases: KUBERNETES.to_vec(),
        target: Target {
            account_id: "account".to_owned(),
            instance_id: world.setting.instances[old].clone(),
            instance_type: old_type(),
            zone: zone(),
            group: None,
            cluster: "shop".parse().unwrap(),
        },
    };
    let mut sagas = vec![saga(0, case.old, case.mode)];
    sagas.extend(case.companion.map(|companion| match companion {
        Companion::SameInstance => saga(1, case.old, RunMode::Live),
        Companion::SameGroup => saga(1, (case.old + 1) % 3, RunMode::Live),
        Companion::Shadow => saga(1, case.old, RunMode::Shadow),
    }));
    sagas
}

pub(super) fn world(case: &Arc<Case>, chaos: Arc<Chaos>, story: Story, began: Instant) -> World {
    let now = jiff::Timestamp::from_millisecond(BEGINNING).unwrap();
    let timing = Timing { visible: case.visible, ..Timing::default() };
    let mut cloud = Cloud::new(case.dice, timing);
    let group: GroupName = "eks-core".parse().unwrap();
    cloud.create_group(now, settings(case, &group)).unwrap();

    let mut cluster = Cluster::default();
    let mut instances = Vec::new();
    for number in 0..NODES {
        let id: InstanceId = format!("i-0000000{number}").parse().unwrap();
        cloud.plant(running(&id, now), &group);
        let node = ModelNode { is_ready: true, has_daemons: true, ..ModelNode::new(id.clone()) };
        cluster.nodes.insert(Cluster::name_of(&id), node);
        instances.push(id);
    }
    for (app, replicas, least) in [("web", 6, 5), ("db", 3, 2), ("job", 1, 0)] {
        cluster.budgets.insert(app, least);
        for _ in 0..replicas {
            cluster.place(app, true);
        }
    }
    let old = Cluster::name_of(&instances[case.old]);
    let mut cordoned = BTreeSet::new();
    if case.is_cordoned {
        cluster.nodes.get_mut(&old).unwrap().is_cordoned = true;
        cordoned.insert(old);
    }
    for offer in cloud.offers(now, &zone()).unwrap() {
        if chaos.chance(case.shortage) {
            let (instance_type, zone) = (offer.instance_type, offer.zone);
            cloud.begin_shortage(Pool { instance_type, zone, lifecycle: Lifecycle::Spot });
        }
    }
    let setting = Setting {
        instances,
        working_nodes: cluster.working_nodes(),
        cordoned,
        group: cloud.groups().next().unwrap(),
    };
    let everything = Everything {
        cloud,
        cluster,
        bought: BTreeMap::new(),
        taken: BTreeSet::new(),
        away: BTreeSet::new(),
        broken: Vec::new(),
    };
    World::new(everything, setting, chaos, case.clone(), story, began)
}

fn settings(case: &Case, group: &GroupName) -> GroupSettings {
    let (min, max) = case.sizes;
    let hook = case.hook.map(|held| LifecycleHook {
        name: "tidy".to_owned(),
        transition: Transition::Terminating,
        heartbeat_timeout_seconds: u32::try_from(held.as_secs()).unwrap(),
        default_result: HookResult::Continue,
    });
    GroupSettings {
        name: group.clone(),
        sizes: Sizes { min, max, desired: NODES },
        zones: vec![zone()],
        template: LaunchTemplate {
            instance_types: vec![old_type()],
            lifecycle: Lifecycle::OnDemand,
            tags: BTreeMap::new(),
        },
        protect_new: false,
        hooks: hook.into_iter().collect(),
    }
}

fn running(id: &InstanceId, now: jiff::Timestamp) -> Instance {
    Instance {
        id: id.clone(),
        instance_type: old_type(),
        zone: zone(),
        lifecycle: Lifecycle::OnDemand,
        state: InstanceState::Running,
        group: None,
        tags: BTreeMap::new(),
        launched_at: now,
    }
}
