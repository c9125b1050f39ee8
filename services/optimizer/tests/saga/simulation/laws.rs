//! What must hold, whatever goes wrong.

mod end;

use std::{collections::BTreeMap, time::Duration};

use cloud::InstanceId;

use super::{
    case::Case,
    cluster::LONER,
    world::{Everything, Setting},
};

pub(super) use end::{in_the_end, in_turns, promised};

/// What is to hold whenever something has changed.
pub(super) fn always(all: &Everything, setting: &Setting) -> Option<String> {
    // What nobody has done is not our doing: spot instances that were taken away, and nodes that are away for a while.
    let not_ours = all.taken.len() + all.away.len();
    let working = all.cluster.working_nodes();
    if working + not_ours < setting.working_nodes {
        return Some(format!(
            "{working} nodes take work, at first it was {}, and {not_ours} are away by themselves",
            setting.working_nodes
        ));
    }
    for (app, least) in &all.cluster.budgets {
        let ready = all.cluster.ready_of(app);
        if ready < *least {
            return Some(format!("{ready} pods of {app} are ready, its budget wants {least}"));
        }
    }
    let mut by_saga = BTreeMap::<&String, usize>::new();
    for saga in all.bought.values() {
        *by_saga.entry(saga).or_default() += 1;
    }
    let most = by_saga.values().max().copied().unwrap_or_default();
    (most > 1).then(|| format!("{most} replacements were launched by one saga: {:?}", all.bought))
}

/// No pod ends with its instance, but those that nobody could see: between the look at an instance and its end, which takes effect within
/// [`Timing::call`](optimizer::saga::Timing::call), it may become a node, and a pod may come that nothing keeps from a cordoned one.
pub(super) fn ended_with(all: &Everything, case: &Case, id: &InstanceId, node: &str) -> Option<String> {
    let until_begun = if case.is_quiet() { Duration::from_secs(1) } else { Duration::from_secs(20) };
    // While a hook holds the end, nobody can go back.
    let unseen = until_begun + case.hook.unwrap_or_default();
    let is_alive = all.cluster.nodes.get(node).is_some_and(|node| node.is_ready);
    if !is_alive || all.taken.contains(id) {
        return None;
    }
    let is_seen = |pod: &&String| {
        let pod = &all.cluster.pods[*pod];
        let comes_anyway = pod.app == LONER || all.bought.contains_key(id);
        !comes_anyway || pod.since.elapsed() >= unseen
    };
    let pods = all.cluster.pods_on(node);
    let seen: Vec<_> = pods.iter().filter(is_seen).collect();
    (!seen.is_empty()).then(|| format!("{id} was ended with pods on it: {seen:?}"))
}
