//! What must hold, whatever goes wrong.

use cloud::{InstanceState, Lifecycle, MemberState};
use optimizer::saga::{Ending, Entry, Event};

use super::run::{Everything, Setting};

/// What is to hold at every moment.
pub(super) fn always(everything: &Everything, setting: &Setting) -> Option<String> {
    let ready = everything.cluster.ready_nodes();
    // A spot instance that is taken away is not our doing.
    if ready < setting.nodes && !everything.was_interrupted {
        return Some(format!("{ready} nodes are Ready, at first it was {}", setting.nodes));
    }
    for (app, least) in &everything.cluster.budgets {
        let ready = everything.cluster.ready_of(app);
        if ready < *least && !everything.was_interrupted {
            return Some(format!("{ready} pods of {app} are ready, its budget wants {least}"));
        }
    }
    let bought = everything.bought.len();
    (bought > 1).then(|| format!("{bought} replacements were launched: {:?}", everything.bought))
}

/// What is to hold when the saga is over.
pub(super) fn in_the_end(everything: &Everything, setting: &Setting, journal: &[Entry]) -> Vec<String> {
    let mut broken = Vec::new();
    let Some(Event::Ended { ending, .. }) = journal.last().map(|entry| &entry.event) else {
        return vec!["the saga does not end".to_owned()];
    };
    let group = everything.cloud.groups().next().unwrap();
    let alive: Vec<_> = everything
        .cloud
        .instances()
        .filter(|instance| instance.lifecycle == Lifecycle::Spot && !instance.state.is_over())
        .collect();
    let old = everything.cloud.instances().find(|instance| instance.id == setting.old);
    let old_runs = old.is_some_and(|old| old.state == InstanceState::Running);
    if group.desired != setting.desired && !everything.was_interrupted {
        broken.push(format!("the group is to have {}, at first it was {}", group.desired, setting.desired));
    }
    match ending {
        Ending::Succeeded => {
            if old_runs {
                broken.push("the old instance runs on".to_owned());
            }
            if everything.was_interrupted {
                return broken;
            }
            if alive.len() != 1 {
                broken.push(format!("{} replacements run", alive.len()));
            }
            for instance in alive {
                let member = group.member(&instance.id);
                if member.is_none_or(|member| member.state != MemberState::InService) {
                    broken.push(format!("{} is not in service in the group", instance.id));
                }
            }
        }
        Ending::Kept | Ending::Cancelled | Ending::Failed => {
            if !old_runs {
                broken.push("the old instance is gone though the saga was undone".to_owned());
            }
            if !alive.is_empty() {
                broken.push(format!("left behind: {}", alive[0].id));
            }
            let node = everything.cluster.node_of(&setting.old);
            if node.is_none_or(|(_, node)| node.is_cordoned) {
                broken.push("the old node is cordoned or gone".to_owned());
            }
            if group.member(&setting.old).is_none() {
                broken.push("the old instance has left its group".to_owned());
            }
        }
    }
    broken
}
