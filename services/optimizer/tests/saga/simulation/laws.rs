//! What must hold, whatever goes wrong.

mod end;

use std::collections::BTreeMap;

use super::world::{Everything, Setting};

pub(super) use end::{in_the_end, in_turns};

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
