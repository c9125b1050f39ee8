//! What is said of drains: names of pods and budgets, and never more than a journal can bear.

use cluster_access::drain::{Fate, Forecast, Note, Outcome, Peculiarity, PodForecast, Report, Verdict};

/// Of so many pods it is told by name.
const SHOWN: usize = 8;
/// So many characters of each: names have up to 253, and what a cluster says of an error is anything.
const LONGEST: usize = 640;

/// Why a drain cannot end well; empty when it can. What could not be read may hinder it, too.
pub(super) fn hindrances(forecast: &Forecast) -> Vec<String> {
    let gaps = forecast.gaps.iter().cloned();
    let pods = forecast.pods.iter().filter_map(|pod| Some(format!("pod {}: {}", pod.pod, hindrance(pod)?)));
    bounded(gaps.chain(pods))
}

fn hindrance(pod: &PodForecast) -> Option<String> {
    if let Verdict::Refuse { because } = &pod.verdict {
        return Some(peculiarity(*because).to_owned());
    }
    let is_fatal = |note: &&Note| match note {
        Note::BudgetNeverAllows { .. } | Note::SeveralBudgets { .. } | Note::AsksToStay { .. } => true,
        Note::BudgetAllowsNoneNow { .. }
        | Note::GraceBeyondDeadline { .. }
        | Note::NowhereElse
        | Note::Leaving => false,
    };
    pod.notes.iter().find(is_fatal).map(ToString::to_string)
}

/// Without the flags of a command line, which nobody has here.
fn peculiarity(because: Peculiarity) -> &'static str {
    match because {
        Peculiarity::DaemonSet => "it is of a DaemonSet",
        Peculiarity::OrphanOfDaemonSet => "its DaemonSet is gone, and nobody makes it anew",
        Peculiarity::Mirror => "it is run from a file of the node",
        Peculiarity::LocalData => "its data in an emptyDir would be lost",
        Peculiarity::NoController => "it has no controller, and nobody makes it anew",
    }
}

/// The pods that no other node would take; empty when there are none.
pub(super) fn without_a_place(forecast: &Forecast) -> Vec<String> {
    let stuck = forecast.pods.iter().filter(|pod| pod.notes.contains(&Note::NowhereElse));
    bounded(stuck.map(|pod| format!("pod {}: {}", pod.pod, Note::NowhereElse)))
}

/// Why a drain has not ended well.
pub(super) fn failure(report: &Report) -> String {
    let how = match report.outcome {
        Outcome::Cancelled => Some("it was cancelled".to_owned()),
        Outcome::Drained | Outcome::TimedOut | Outcome::Failed => None,
    };
    let said: Vec<String> = how.into_iter().chain(report.why.iter().cloned()).collect();
    let left = report.pods.iter().filter_map(|pod| match &pod.fate {
        Fate::Remains { why } => Some(format!("{}: {why}", pod.pod)),
        Fate::Evicted | Fate::Left | Fate::Stays { .. } => None,
    });
    let left = left.filter(|text| !said.contains(text)).map(|text| format!("pod {text}"));
    let all = bounded(said.iter().cloned().chain(left));
    if all.is_empty() { "it has failed".to_owned() } else { all.join("; ") }
}

/// So many pods would be lost.
pub(super) fn to_lose(forecast: &Forecast) -> usize {
    forecast.pods.iter().filter(|pod| matches!(pod.verdict, Verdict::Refuse { .. })).count()
}

/// A text, cut where it is too long.
pub(super) fn short(text: String) -> String {
    if text.chars().count() > LONGEST { text.chars().take(LONGEST).chain(['…']).collect() } else { text }
}

/// No more than a journal can bear.
pub(super) fn bounded(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut shown: Vec<String> = Vec::new();
    let mut more = 0_usize;
    for text in texts {
        if shown.len() < SHOWN {
            shown.push(short(text));
        } else {
            more += 1;
        }
    }
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_said_than_a_journal_can_bear() {
        let long = "é".repeat(10_000);
        let texts = bounded(std::iter::repeat_n(long, 1000));
        assert_eq!(texts.len(), SHOWN + 1);
        assert!(texts.iter().all(|text| text.chars().count() <= LONGEST + 1));
        assert_eq!(texts[SHOWN], "and 992 more");
        assert_eq!(bounded(["one".to_owned()].into_iter()), ["one"]);
    }
}
