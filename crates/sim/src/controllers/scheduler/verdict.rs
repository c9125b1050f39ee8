//! Why no node is good enough, in the scheduler's words (`FitError` in `pkg/scheduler/framework/types.go`).

use std::collections::BTreeMap;

/// Why a pod cannot go to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    pub(super) reasons: Vec<String>,
    /// Whether it could, were other pods not there.
    pub(super) is_resolvable: bool,
}

impl Misfit {
    /// Something of the node itself.
    pub(super) fn lasting(reason: &str) -> Misfit {
        Misfit { reasons: vec![reason.to_owned()], is_resolvable: false }
    }

    /// Something that other pods have taken.
    pub(super) fn passing(reason: &str) -> Misfit {
        Misfit { reasons: vec![reason.to_owned()], is_resolvable: true }
    }
}

/// Why a pod cannot go anywhere.
#[derive(Debug)]
pub(super) enum Unschedulable {
    /// There are no nodes.
    NoNodes,
    /// Something of the pod, whatever the node.
    Pod { reason: String, nodes: usize },
    /// Something of each node.
    Nodes(Vec<Misfit>),
}

impl Unschedulable {
    /// The message of the event and of the condition. Nothing is ever preempted here: the message is that of a
    /// cluster in which no pod is less important.
    pub(super) fn message(&self, never_preempts: bool) -> String {
        let unhelpful = "Preemption is not helpful for scheduling";
        let (nodes, why, helps) = match self {
            Unschedulable::NoNodes => return "no nodes available to schedule pods".to_owned(),
            Unschedulable::Pod { reason, nodes } => (*nodes, reason.clone(), vec![unhelpful; *nodes]),
            Unschedulable::Nodes(misfits) => {
                let reasons = misfits.iter().flat_map(|misfit| &misfit.reasons).map(String::as_str);
                let helps = misfits.iter().map(|misfit| match misfit.is_resolvable {
                    true => "No preemption victims found for incoming pod",
                    false => unhelpful,
                });
                (misfits.len(), histogram(reasons), helps.collect())
            }
        };
        let available = format!("0/{nodes} nodes are available:");
        if never_preempts {
            return format!("{available} {why}. preemption: not eligible due to preemptionPolicy=Never.");
        }
        format!("{available} {why}. preemption: {available} {}.", histogram(helps.into_iter()))
    }
}

/// `3 Insufficient memory, 4 Too many pods`, in the order of the text.
fn histogram<'a>(reasons: impl Iterator<Item = &'a str>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    reasons.for_each(|reason| *counts.entry(reason).or_default() += 1);
    let mut lines: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    lines.sort();
    lines.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_count_the_nodes_by_reason() {
        let misfits = vec![
            Misfit::passing("Insufficient memory"),
            Misfit::lasting("node(s) had untolerated taint(s)"),
            Misfit::passing("Insufficient memory"),
        ];
        assert_eq!(
            Unschedulable::Nodes(misfits).message(false),
            "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient memory. preemption: 0/3 \
             nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for \
             incoming pod."
        );
        let reason = "pod has unbound immediate PersistentVolumeClaims".to_owned();
        assert_eq!(
            Unschedulable::Pod { reason, nodes: 2 }.message(true),
            "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: not eligible due \
             to preemptionPolicy=Never."
        );
    }
}
