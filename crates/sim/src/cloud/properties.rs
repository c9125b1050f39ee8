//! Whatever is called in whatever order: the world stays in order.

use std::collections::BTreeMap;

use cloud::{ClientToken, GroupName, InstanceId, Launch, Lifecycle};
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

/// A step of a client, of the administrator or of time; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Pass(u16),
    Launch { token: u8, kind: u8 },
    Attach { group: u8, instance: u8 },
    Detach { group: u8, instance: u8 },
    TerminateInGroup(u8),
    Terminate(u8),
    Interrupt(u8),
    Resize { group: u8, min: u8, max: u8 },
    Desire { group: u8, desired: u8 },
    Protect { group: u8, instance: u8, protected: bool },
    Complete { group: u8, instance: u8, abandon: bool },
    Shortage { kind: u8, begins: bool },
    Fault(FaultKind),
}

fn step() -> impl Strategy<Value = Step> {
    let group = 0..2_u8;
    let instance = any::<u8>();
    let kind = 0..8_u8;
    prop_oneof![
        8 => (0..60_u16).prop_map(Step::Pass),
        4 => (0..12_u8, kind.clone()).prop_map(|(token, kind)| Step::Launch { token, kind }),
        4 => (group.clone(), instance).prop_map(|(group, instance)| Step::Attach { group, instance }),
        3 => (group.clone(), instance).prop_map(|(group, instance)| Step::Detach { group, instance }),
        2 => instance.prop_map(Step::TerminateInGroup),
        1 => instance.prop_map(Step::Terminate),
        1 => instance.prop_map(Step::Interrupt),
        1 => (group.clone(), 0..4_u8, 0..6_u8).prop_map(|(group, min, max)| Step::Resize { group, min, max }),
        1 => (group.clone(), 0..6_u8).prop_map(|(group, desired)| Step::Desire { group, desired }),
        1 => (group.clone(), instance, any::<bool>())
            .prop_map(|(group, instance, protected)| Step::Protect { group, instance, protected }),
        2 => (group, instance, any::<bool>())
            .prop_map(|(group, instance, abandon)| Step::Complete { group, instance, abandon }),
        1 => (kind, any::<bool>()).prop_map(|(kind, begins)| Step::Shortage { kind, begins }),
        1 => prop_oneof![
            Just(FaultKind::Throttled),
            Just(FaultKind::RequestLost),
            Just(FaultKind::AnswerLost),
            (0..30_000_u64).prop_map(|millis| FaultKind::DoneLate { millis }),
        ].prop_map(Step::Fault),
    ]
}

fn group_name(index: u8) -> GroupName {
    ["eks-core", "eks-spot"][usize::from(index)].parse().unwrap()
}

fn pool(kind: u8) -> Pool {
    Pool {
        instance_type: if kind & 1 == 0 { "m5.xlarge" } else { "c6i.xlarge" }.parse().unwrap(),
        zone: if kind & 2 == 0 { "us-east-1a" } else { "us-east-1b" }.parse().unwrap(),
        lifecycle: if kind & 4 == 0 { Lifecycle::OnDemand } else { Lifecycle::Spot },
    }
}

fn planted() -> World {
    let mut world = World::new(3, Timing::default());
    let hook = |name: &str, transition| LifecycleHook {
        name: name.to_owned(),
        transition,
        heartbeat_timeout_seconds: 30,
        default_result: HookResult::Continue,
    };
    for (index, hooks) in
        [vec![], vec![hook("wait", Transition::Launching), hook("drain", Transition::Terminating)]]
            .into_iter()
            .enumerate()
    {
        let settings = GroupSettings {
            name: group_name(u8::try_from(index).unwrap()),
            sizes: Sizes { min: 1, max: 4, desired: 2 },
            zones: vec!["us-east-1a".parse().unwrap(), "us-east-1b".parse().unwrap()],
            template: LaunchTemplate {
                instance_types: vec!["m5.xlarge".parse().unwrap(), "c6i.xlarge".parse().unwrap()],
                lifecycle: Lifecycle::Spot,
                tags: BTreeMap::new(),
            },
            protect_new: false,
            hooks,
        };
        world.create_group(Timestamp::UNIX_EPOCH, settings).unwrap();
    }
    world
}

struct Run {
    world: World,
    now: Timestamp,
    launched: BTreeMap<ClientToken, InstanceId>,
}

impl Run {
    fn id(&self, index: u8) -> InstanceId {
        let ids: Vec<_> = self.world.instances().map(|instance| &instance.id).collect();
        match ids.get(usize::from(index) % ids.len().max(1)) {
            Some(id) => (*id).clone(),
            None => "i-00000000".parse().unwrap(),
        }
    }

    fn take(&mut self, step: &Step) {
        let now = self.now;
        let world = &mut self.world;
        match *step {
            Step::Pass(seconds) => {
                self.now = now + jiff::SignedDuration::from_secs(i64::from(seconds));
                world.advance(self.now);
            }
            Step::Launch { token, kind } => {
                let Pool { instance_type, zone, lifecycle } = pool(kind);
                let token: ClientToken = format!("token-{token}").parse().unwrap();
                let group = group_name(kind & 1);
                let tags = [("token".to_owned(), token.to_string())].into();
                let launch = Launch { token, group, instance_type, zone, lifecycle, tags };
                if let Ok(id) = world.launch(now, &launch) {
                    let known = self.launched.insert(launch.token, id.clone());
                    assert!(known.is_none_or(|known| known == id), "one instance a token");
                }
            }
            Step::Attach { group, instance } => {
                let id = self.id(instance);
                self.world.attach(now, &group_name(group), &id).ok();
            }
            Step::Detach { group, instance } => {
                let id = self.id(instance);
                self.world.detach(now, &group_name(group), &id).ok();
            }
            Step::TerminateInGroup(instance) => {
                let id = self.id(instance);
                self.world.terminate_in_group(now, &id).ok();
            }
            Step::Terminate(instance) => {
                let id = self.id(instance);
                self.world.terminate(now, &id).ok();
            }
            Step::Interrupt(instance) => {
                let id = self.id(instance);
                self.world.interrupt(now, &id).ok();
            }
            Step::Resize { group, min, max } => {
                world.resize_group(now, &group_name(group), min.into(), max.into()).ok();
            }
            Step::Desire { group, desired } => {
                world.set_desired(now, &group_name(group), desired.into()).ok();
            }
            Step::Protect { group, instance, protected } => {
                let id = self.id(instance);
                self.world.protect(now, &group_name(group), &id, protected).ok();
            }
            Step::Complete { group, instance, abandon } => {
                let id = self.id(instance);
                let result = if abandon { HookResult::Abandon } else { HookResult::Continue };
                for hook in ["wait", "drain"] {
                    self.world.complete_hook(now, &group_name(group), &id, hook, result).ok();
                }
            }
            Step::Shortage { kind, begins: true } => world.begin_shortage(pool(kind)),
            Step::Shortage { kind, begins: false } => world.end_shortage(&pool(kind)),
            Step::Fault(kind) => world.add_fault(Fault { operation: None, times: 1, kind }),
        }
    }

    fn check(&self) {
        let mut group_of = BTreeMap::new();
        for group in self.world.groups() {
            assert!((group.min..=group.max).contains(&group.desired), "{group:?}");
            for member in &group.members {
                let other = group_of.insert(member.id.clone(), group.name.clone());
                assert_eq!(other, None, "{} is in two groups", member.id);
            }
        }
        let mut tokens = BTreeMap::new();
        for instance in self.world.instances() {
            assert_eq!(instance.group.as_ref(), group_of.get(&instance.id), "{instance:?}");
            if let Some(token) = instance.tags.get("token") {
                let other = tokens.insert(token.clone(), instance.id.clone());
                assert_eq!(other, None, "{token} has launched twice");
            }
        }
        assert!(group_of.keys().all(|id| self.world.instances().any(|instance| instance.id == *id)));
    }

    /// When nobody calls and there is capacity, a group comes to its desired size.
    fn settle(&mut self) {
        self.world.end_faults();
        for kind in 0..8 {
            self.world.end_shortage(&pool(kind));
        }
        for instance in self.world.instances().map(|instance| instance.id.clone()).collect::<Vec<_>>() {
            for group in 0..2 {
                self.world.protect(self.now, &group_name(group), &instance, false).ok();
            }
        }
        self.now += jiff::SignedDuration::from_mins(10);
        self.world.advance(self.now);
        self.check();
        for group in self.world.groups() {
            assert_eq!(group.members.len(), group.desired as usize, "{group:?}");
            assert!(group.members.iter().all(|member| member.state == cloud::MemberState::InService));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_sequence_of_calls_breaks_the_world(steps in prop::collection::vec(step(), 0..120)) {
        let mut run = Run { world: planted(), now: Timestamp::UNIX_EPOCH, launched: BTreeMap::new() };
        for step in &steps {
            run.take(step);
            run.check();
        }
        run.settle();
    }

    /// How often time is looked at changes nothing.
    #[test]
    fn the_same_calls_give_the_same_world(steps in prop::collection::vec(step(), 0..60)) {
        let run = || Run { world: planted(), now: Timestamp::UNIX_EPOCH, launched: BTreeMap::new() };
        let (mut one, mut other) = (run(), run());
        for step in &steps {
            let before = other.now;
            one.take(step);
            for second in 0..(one.now.as_second() - before.as_second()) {
                other.world.advance(before + jiff::SignedDuration::from_secs(second));
            }
            other.take(step);
        }
        prop_assert_eq!(one.world.groups().collect::<Vec<_>>(), other.world.groups().collect::<Vec<_>>());
        let instances = |run: &Run| run.world.instances().cloned().collect::<Vec<_>>();
        prop_assert_eq!(instances(&one), instances(&other));
    }
}
