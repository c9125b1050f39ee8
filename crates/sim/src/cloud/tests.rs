//! The arithmetic of groups.

use std::time::Duration;

use cloud::{CloudError, GroupName, Instance, InstanceId, InstanceState, Launch, Lifecycle, MemberState};
use jiff::Timestamp;

use super::*;

const GROUP: &str = "eks-core";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn name(text: &str) -> GroupName {
    text.parse().unwrap()
}

fn settings(min: u32, max: u32, desired: u32) -> GroupSettings {
    GroupSettings {
        name: name(GROUP),
        sizes: Sizes { min, max, desired },
        zones: vec!["us-east-1a".parse().unwrap(), "us-east-1b".parse().unwrap()],
        template: LaunchTemplate {
            instance_types: vec!["m5.xlarge".parse().unwrap()],
            lifecycle: Lifecycle::OnDemand,
            tags: [("kubernetes.io/cluster/shop".to_owned(), "owned".to_owned())].into(),
        },
        protect_new: false,
        hooks: Vec::new(),
    }
}

/// A world whose group has settled at 100 seconds.
fn world(min: u32, max: u32, desired: u32) -> World {
    let mut world = World::new(1, Timing::default());
    world.create_group(at(0), settings(min, max, desired)).unwrap();
    world.advance(at(100));
    world
}

fn launch(token: &str) -> Launch {
    Launch {
        token: token.parse().unwrap(),
        group: name(GROUP),
        instance_type: "m5.xlarge".parse().unwrap(),
        zone: "us-east-1a".parse().unwrap(),
        lifecycle: Lifecycle::Spot,
        tags: [("kubesage.io/saga".to_owned(), token.to_owned())].into(),
    }
}

fn sizes(world: &World) -> (u32, usize) {
    let group = world.groups().next().unwrap();
    let working = group.members.iter().filter(|member| member.state == MemberState::InService).count();
    (group.desired, working)
}

fn members(world: &World) -> Vec<InstanceId> {
    world.groups().next().unwrap().members.into_iter().map(|member| member.id).collect()
}

fn state(world: &mut World, now: Timestamp, id: &InstanceId) -> Option<InstanceState> {
    world.instance(now, id).unwrap().map(|instance| instance.state)
}

fn code(answer: Result<(), CloudError>) -> String {
    match answer {
        Err(CloudError::Refused { code, .. }) => code,
        answer => format!("{answer:?}"),
    }
}

#[test]
fn a_group_launches_what_it_is_to_have_by_turns_of_zones() {
    let world = world(1, 5, 3);
    assert_eq!(sizes(&world), (3, 3));
    let mut zones: Vec<_> = world.instances().map(|instance| instance.zone.to_string()).collect();
    zones.sort();
    assert_eq!(zones, ["us-east-1a", "us-east-1a", "us-east-1b"]);
    assert!(world.instances().all(|instance| instance.tags[instances::GROUP_TAG] == GROUP));
}

#[test]
fn calls_move_the_desired_size_between_its_bounds() {
    enum Call {
        Attach,
        Detach,
        End,
    }
    use Call::{Attach, Detach, End};
    // Least, greatest and desired size; the call; whether it is refused; desired and working instances a minute later.
    for (min, max, desired, call, refused, after) in [
        (1, 3, 2, Attach, false, (3, 3)),
        (1, 2, 2, Attach, true, (2, 2)),
        (1, 3, 2, Detach, false, (1, 1)),
        (2, 3, 2, Detach, true, (2, 2)),
        (1, 3, 2, End, false, (1, 1)),
        (2, 3, 2, End, true, (2, 2)),
        (0, 1, 1, End, false, (0, 0)),
    ] {
        let mut world = world(min, max, desired);
        let member = members(&world)[0].clone();
        let other = world.launch(at(100), &launch("one")).unwrap();
        world.advance(at(110));
        let answer = match call {
            Attach => world.attach(at(110), &name(GROUP), &other),
            Detach => world.detach(at(110), &name(GROUP), &member),
            End => world.terminate_in_group(at(110), &member),
        };
        assert_eq!(answer.is_err(), refused, "{answer:?}");
        if refused {
            assert_eq!(code(answer), "ValidationError");
        }
        world.advance(at(170));
        assert_eq!(sizes(&world), after, "{min} {max} {desired}");
        let runs = Some(InstanceState::Running);
        assert_eq!(state(&mut world, at(170), &other), runs);
        let is_ended = matches!(call, End) && !refused;
        assert_eq!(state(&mut world, at(170), &member) != runs, is_ended);
    }
}

#[test]
fn what_is_done_twice_is_done_once() {
    let mut world = world(0, 5, 2);
    let group = name(GROUP);
    let id = world.launch(at(100), &launch("one")).unwrap();
    assert_eq!(code(world.attach(at(101), &group, &id)), "ValidationError", "it is pending");
    world.attach(at(110), &group, &id).unwrap();
    assert_eq!(code(world.attach(at(110), &group, &id)), "ValidationError");
    assert_eq!(code(world.attach(at(120), &group, &id)), "ValidationError");
    assert_eq!(sizes(&world), (3, 3));
    world.detach(at(130), &group, &id).unwrap();
    assert_eq!(code(world.detach(at(130), &group, &id)), "ValidationError");
    assert_eq!(code(world.detach(at(140), &group, &id)), "ValidationError");
    assert_eq!(sizes(&world), (2, 2));
    assert_eq!(code(world.terminate_in_group(at(140), &id)), "ValidationError");
    world.terminate(at(140), &id).unwrap();
    world.terminate(at(140), &id).unwrap();
    let member = members(&world)[0].clone();
    world.terminate_in_group(at(150), &member).unwrap();
    world.terminate_in_group(at(150), &member).unwrap();
    world.advance(at(200));
    assert_eq!(sizes(&world), (1, 1));
    world.terminate(at(200), &member).unwrap();
}

#[test]
fn a_token_stands_for_one_launch_even_when_its_instance_has_ended() {
    let mut world = world(0, 5, 0);
    let id = world.launch(at(100), &launch("one")).unwrap();
    assert_eq!(world.launch(at(101), &launch("one")), Ok(id.clone()));
    let other = Launch { lifecycle: Lifecycle::OnDemand, ..launch("one") };
    assert_eq!(world.launch(at(101), &other), Err(CloudError::TokenMismatch));
    world.terminate(at(110), &id).unwrap();
    assert_eq!(state(&mut world, at(110), &id), Some(InstanceState::ShuttingDown));
    assert_eq!(state(&mut world, at(120), &id), Some(InstanceState::Terminated));
    assert_eq!(world.launch(at(120), &launch("one")), Ok(id.clone()));
    assert_eq!(state(&mut world, at(2 * 3600 + 120), &id), None);
    assert_eq!(world.launch(at(2 * 3600 + 120), &launch("one")), Ok(id.clone()));
    assert_ne!(world.launch(at(26 * 3600), &launch("one")), Ok(id));
}

#[test]
fn a_group_replaces_whoever_ends_and_ends_whoever_is_too_much() {
    let mut world = world(0, 5, 3);
    let group = name(GROUP);
    let dead = members(&world)[0].clone();
    world.terminate(at(100), &dead).unwrap();
    world.advance(at(160));
    assert_eq!(sizes(&world), (3, 3));
    assert!(!members(&world).contains(&dead));

    let protected = members(&world)[1].clone();
    world.protect(at(160), &group, &protected, true).unwrap();
    world.resize_group(at(160), &group, 0, 1).unwrap();
    world.advance(at(200));
    assert_eq!(sizes(&world), (1, 1));
    assert_eq!(members(&world), std::slice::from_ref(&protected));
    world.set_desired(at(200), &group, 0).unwrap();
    world.advance(at(300));
    assert_eq!(sizes(&world), (0, 1), "who is protected stays");
    assert_eq!(code(world.set_desired(at(300), &group, 2)), "ValidationError");
}

#[test]
fn hooks_hold_up_what_a_group_launches_and_ends_but_not_what_is_attached() {
    let hook = |name: &str, transition| LifecycleHook {
        name: name.to_owned(),
        transition,
        heartbeat_timeout_seconds: 60,
        default_result: HookResult::Abandon,
    };
    let mut world = World::new(1, Timing::default());
    let group = name(GROUP);
    let hooks = vec![hook("ready", Transition::Launching), hook("drained", Transition::Terminating)];
    world.create_group(at(0), GroupSettings { hooks, ..settings(0, 5, 1) }).unwrap();
    world.advance(at(10));
    let first = world.groups().next().unwrap().members[0].clone();
    assert_eq!(first.state, MemberState::PendingWait);
    // Nobody completes it: given up, another is launched.
    world.advance(at(80));
    let second = world.groups().next().unwrap().members[0].clone();
    assert_ne!(first.id, second.id);
    world.complete_hook(at(80), &group, &second.id, "ready", HookResult::Continue).unwrap();
    assert_eq!(sizes(&world), (1, 1));

    let other = world.launch(at(80), &launch("one")).unwrap();
    world.attach(at(90), &group, &other).unwrap();
    world.advance(at(95));
    assert_eq!(sizes(&world), (2, 2));
    world.detach(at(95), &group, &other).unwrap();
    world.advance(at(100));
    assert_eq!(sizes(&world), (1, 1));

    world.terminate_in_group(at(100), &second.id).unwrap();
    assert_eq!(world.groups().next().unwrap().members[0].state, MemberState::TerminatingWait);
    assert_eq!(state(&mut world, at(130), &second.id), Some(InstanceState::Running));
    world.complete_hook(at(130), &group, &second.id, "drained", HookResult::Continue).unwrap();
    assert_eq!(state(&mut world, at(130), &second.id), Some(InstanceState::ShuttingDown));
    world.advance(at(140));
    assert!(members(&world).is_empty());
}

#[test]
fn a_pool_runs_short_and_a_group_waits_for_it() {
    let mut world = World::new(1, Timing::default());
    let pool = |zone: &str, lifecycle| Pool {
        instance_type: "m5.xlarge".parse().unwrap(),
        zone: zone.parse().unwrap(),
        lifecycle,
    };
    world.begin_shortage(pool("us-east-1a", Lifecycle::OnDemand));
    world.create_group(at(0), settings(0, 5, 2)).unwrap();
    world.advance(at(10));
    assert!(world.instances().all(|instance| instance.zone.as_str() == "us-east-1b"));
    assert_eq!(sizes(&world), (2, 2));
    world.begin_shortage(pool("us-east-1b", Lifecycle::OnDemand));
    world.set_desired(at(20), &name(GROUP), 3).unwrap();
    world.advance(at(200));
    assert_eq!(sizes(&world), (3, 2));
    world.end_shortage(&pool("us-east-1a", Lifecycle::OnDemand));
    world.advance(at(230));
    assert_eq!(sizes(&world), (3, 3));

    world.begin_shortage(pool("us-east-1a", Lifecycle::Spot));
    let answer = world.launch(at(230), &launch("one"));
    assert!(matches!(answer, Err(CloudError::Shortage { .. })), "{answer:?}");
    world.end_shortage(&pool("us-east-1a", Lifecycle::Spot));
    world.launch(at(230), &launch("one")).unwrap();
}

#[test]
fn a_spot_instance_is_taken_away_two_minutes_after_its_notice() {
    let mut world = world(0, 5, 0);
    let id = world.launch(at(100), &launch("one")).unwrap();
    world.advance(at(110));
    assert_eq!(world.interrupt(at(110), &id), Ok(at(230)));
    assert_eq!(world.interrupt(at(120), &id), Ok(at(230)));
    assert_eq!(world.interruption(&id), Some(at(230)));
    assert_eq!(state(&mut world, at(229), &id), Some(InstanceState::Running));
    assert_eq!(state(&mut world, at(230), &id), Some(InstanceState::ShuttingDown));
    let events = world.advance(at(300));
    let last = events.last().unwrap();
    assert_eq!((last.at, &last.kind), (at(235), &EventKind::Terminated));
}

#[test]
fn faults_strike_calls_in_their_order() {
    let mut world = world(0, 5, 0);
    let fault = |kind| Fault { operation: Some(Operation::Launch), times: 1, kind };
    for kind in [
        FaultKind::Throttled,
        FaultKind::Denied,
        FaultKind::RequestLost,
        FaultKind::DoneLate { millis: 2000 },
        FaultKind::AnswerLost,
    ] {
        world.add_fault(fault(kind));
    }
    assert!(world.group(at(100), &name(GROUP)).is_ok());
    assert_eq!(world.launch(at(100), &launch("one")), Err(CloudError::Throttled));
    assert!(matches!(world.launch(at(100), &launch("one")), Err(CloudError::Denied { .. })));
    assert!(matches!(world.launch(at(100), &launch("one")), Err(CloudError::Unknown { .. })));
    assert!(matches!(world.launch(at(100), &launch("two")), Err(CloudError::Unknown { .. })));
    assert_eq!(world.instances().count(), 0);
    world.advance(at(102));
    assert_eq!(world.instances().count(), 1);
    assert!(matches!(world.launch(at(102), &launch("three")), Err(CloudError::Unknown { .. })));
    assert_eq!(world.instances().count(), 2);
    let id = world.launch(at(103), &launch("three")).unwrap();
    assert_eq!(world.instances().count(), 2);
    assert!(world.instance(at(103), &id).unwrap().is_some());
    assert_eq!(world.calls()[&Operation::Launch], 6);
}

#[test]
fn an_instance_is_seen_a_moment_later_where_the_world_says_so() {
    let mut world = World::new(1, Timing { visible: Duration::from_secs(2), ..Timing::default() });
    world.create_group(at(0), settings(0, 1, 0)).unwrap();
    let id = world.launch(at(0), &launch("one")).unwrap();
    assert_eq!(state(&mut world, at(1), &id), None);
    assert!(world.instances_tagged(at(1), "kubesage.io/saga").unwrap().is_empty());
    assert_eq!(state(&mut world, at(2), &id), Some(InstanceState::Pending));
    assert_eq!(world.instances_tagged(at(2), "kubesage.io/saga").unwrap().len(), 1);
}

#[test]
fn what_was_planted_is_there_and_in_its_group() {
    let mut world = World::new(1, Timing::default());
    world.create_group(at(0), settings(0, 5, 1)).unwrap();
    let id: InstanceId = "i-0123456789abcdef0".parse().unwrap();
    let instance = Instance {
        id: id.clone(),
        instance_type: "m5.xlarge".parse().unwrap(),
        zone: "us-east-1a".parse().unwrap(),
        lifecycle: Lifecycle::OnDemand,
        state: InstanceState::Running,
        group: None,
        tags: [].into(),
        launched_at: at(0),
    };
    world.plant(instance, &name(GROUP));
    world.advance(at(100));
    assert_eq!(members(&world), [id]);
}
