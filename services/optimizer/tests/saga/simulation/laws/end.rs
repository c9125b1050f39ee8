//! What must hold when everything is over.

use std::{collections::BTreeSet, time::Duration};

use cloud::{InstanceId, InstanceState, MemberState};
use optimizer::{
    phases::{KUBERNETES, Phase, SAGA_TAG},
    saga::{Ending, Entry, Event, NewSaga, RunMode},
};
use tokio::time::Instant;

use crate::{
    memory::MemoryLog,
    simulation::{
        case::Cancel,
        cluster::Cluster,
        world::{Everything, Setting, World},
    },
};

/// A saga and its journal.
pub(in crate::simulation) type Written = (NewSaga, Vec<Entry>);

/// What is to hold when the sagas are over.
pub(in crate::simulation) fn in_the_end(all: &Everything, world: &World, sagas: &[Written]) -> Vec<String> {
    let (setting, case) = (&world.setting, &world.case);
    let mut broken = Vec::new();
    // Whether something stays as it must not, because nobody can do anything about it.
    let mut is_stuck = case.is_denied(Duration::MAX);
    // What there is to be: what there was, but for what was replaced.
    let mut expected: BTreeSet<InstanceId> = setting.instances.iter().cloned().collect();
    for (saga, journal) in sagas {
        let Some(ending) = ending(journal) else { return vec!["the saga does not end".to_owned()] };
        if ending == Ending::Cancelled && (case.cancel == Cancel::Never || saga.id != sagas[0].0.id) {
            broken.push("a saga is cancelled, and nobody has asked for it".to_owned());
        }
        if saga.mode == RunMode::Shadow {
            shadow(&mut broken, ending, journal);
            continue;
        }
        let has_ended_old = journal
            .iter()
            .any(|entry| matches!(entry.event, Event::Done { phase, .. } if phase.is_point_of_no_return()));
        let bought = all.bought.iter().filter(|(_, by)| **by == saga.id.to_string()).map(|(id, _)| id);
        let given_up = journal.iter().find_map(|entry| match &entry.event {
            Event::GivenUp { why, .. } => Some(why),
            _ => None,
        });
        if let Some(told) = given_up {
            is_stuck = true;
            if !case.is_hopeless() {
                broken.push("something was given up that could be undone".to_owned());
            }
            let is_told = |id: &&InstanceId| told.contains(id.as_str()) || told.contains(SAGA_TAG);
            expected.extend(bought.clone().filter(is_told).cloned());
        }
        if has_ended_old {
            expected.remove(&saga.target.instance_id);
            expected.extend(bought.cloned());
            if !is_stuck {
                replaced(&mut broken, all, saga, ending);
            }
        } else if ending == Ending::Succeeded {
            broken.push("a saga has succeeded without ending the old instance".to_owned());
        }
    }
    let alive: BTreeSet<InstanceId> = all
        .cloud
        .instances()
        .filter(|instance| instance.state == InstanceState::Running)
        .map(|instance| instance.id.clone())
        .collect();
    for id in all.bought.keys().filter(|id| alive.contains(id) && !expected.contains(id)) {
        broken.push(format!("left behind: {id}"));
    }
    if !is_stuck {
        everything_is_as_expected(&mut broken, all, setting, &alive, &expected);
    }
    broken
}

fn ending(journal: &[Entry]) -> Option<Ending> {
    match journal.last()?.event {
        Event::Ended { ending, .. } => Some(ending),
        _ => None,
    }
}

/// Instances, nodes and the group are what they were, but for what was replaced.
fn everything_is_as_expected(
    broken: &mut Vec<String>,
    all: &Everything,
    setting: &Setting,
    alive: &BTreeSet<InstanceId>,
    expected: &BTreeSet<InstanceId>,
) {
    for id in setting.instances.iter().filter(|id| expected.contains(id) && !alive.contains(id)) {
        broken.push(format!("{id} is gone and was not replaced"));
    }
    for id in setting.instances.iter().filter(|id| !expected.contains(id) && alive.contains(id)) {
        broken.push(format!("{id}: the old instance runs on"));
    }
    for (name, node) in &all.cluster.nodes {
        let was = setting.cordoned.contains(name);
        if node.is_cordoned != was {
            let (is, was) = if was { ("not cordoned", "it was") } else { ("cordoned", "it was not") };
            broken.push(format!("{name} is {is}, at first {was}"));
        }
    }
    let group = all.cloud.groups().next().unwrap();
    let (is, was) = ((group.min, group.max), (setting.group.min, setting.group.max));
    if is != was {
        broken.push(format!("the group's bounds are {is:?}, at first they were {was:?}"));
    }
    // When what was bought is taken away, its group buys another; what nobody has taken away is ours.
    if !all.taken.is_empty() {
        return;
    }
    if group.desired != setting.group.desired {
        broken.push(format!(
            "the group is to have {}, at first it was {}",
            group.desired, setting.group.desired
        ));
    }
    for id in alive {
        if !expected.contains(id) && !all.bought.contains_key(id) {
            broken.push(format!("{id} was launched by its group"));
        }
        if group.member(id).is_none_or(|member| member.state != MemberState::InService) {
            broken.push(format!("{id} is not in service in the group"));
        }
        if all.cluster.nodes.get(&Cluster::name_of(id)).is_none_or(|node| !node.is_ready) {
            broken.push(format!("{id} is no Ready node"));
        }
    }
}

/// What is to hold of a saga that has ended the old instance.
fn replaced(broken: &mut Vec<String>, all: &Everything, saga: &NewSaga, ending: Ending) {
    if ending != Ending::Succeeded && all.taken.is_empty() {
        broken.push(format!("a saga has ended the old instance and then {ending:?}"));
    }
    if all.cluster.node_of(&saga.target.instance_id).is_some() {
        broken.push("the old node is still in the cluster".to_owned());
    }
}

/// A saga in shadow mode has planned nothing, and when it ends well every phase is rehearsed, with the numbers of those that decide.
fn shadow(broken: &mut Vec<String>, ending: Ending, journal: &[Entry]) {
    let mut rehearsed = Vec::new();
    for entry in journal {
        match &entry.event {
            Event::Rehearsed { phase, numbers, .. } => {
                let decides = !matches!(
                    phase,
                    Phase::Join | Phase::Cordon | Phase::Volumes | Phase::AttachLate | Phase::Verify
                );
                if decides && numbers.is_null() {
                    broken.push(format!("{phase:?} is rehearsed without numbers"));
                }
                rehearsed.push(*phase);
            }
            Event::Planned { .. }
            | Event::Acted { .. }
            | Event::Refused { .. }
            | Event::Done { .. }
            | Event::Undone { .. } => broken.push(format!("a saga in shadow mode writes {:?}", entry.event)),
            Event::Started { .. }
            | Event::TakenOver { .. }
            | Event::Waiting { .. }
            | Event::Abandoned { .. }
            | Event::GivenUp { .. }
            | Event::Ended { .. } => {}
        }
    }
    if ending == Ending::Succeeded && rehearsed != KUBERNETES {
        broken.push(format!("in shadow mode only these were rehearsed: {rehearsed:?}"));
    }
}

/// Once it was answered that a saga is cancelled, the old instance stays.
pub(in crate::simulation) fn promised(log: &MemoryLog, (saga, journal): &Written) -> Option<String> {
    let ends_old = journal.iter().any(|entry| entry.event.is_point_of_no_return());
    let is_broken = log.is_promised(saga.id) && ends_old;
    is_broken.then(|| "a saga was cancelled in time, and the old instance was ended".to_owned())
}

/// Two sagas have the group one after the other: what they had, from when until when.
pub(in crate::simulation) fn in_turns(held: &[(Instant, Instant)]) -> Option<String> {
    let [(from, to), (other_from, other_to)] = held else { return None };
    (from < other_to && other_from < to).then(|| "two sagas had the group at the same time".to_owned())
}
