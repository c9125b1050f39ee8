//! What is left on a node while it is drained.

use std::collections::BTreeSet;

use cluster_access::drain::{PodName, Progress};

use super::words;

/// The pods that have not left yet.
#[derive(Default)]
pub(super) struct Left {
    pods: BTreeSet<PodName>,
    /// What keeps one of them, as was heard last.
    blocked: Option<(PodName, String)>,
}

impl Left {
    /// Takes in what has happened; what is waited for now, where that is something else.
    pub(super) fn hear(&mut self, progress: &Progress<'_>) -> Option<String> {
        match progress {
            Progress::Forecast(forecast) => {
                self.pods = forecast.evicted().map(|pod| pod.pod.clone()).collect();
            }
            Progress::Evicted(pod) => {
                self.pods.insert((*pod).clone());
                self.blocked.take_if(|(blocked, _)| blocked == *pod);
            }
            Progress::Blocked(pod, why) | Progress::Retried(pod, why) => {
                self.pods.insert((*pod).clone());
                self.blocked = Some(((*pod).clone(), (*why).to_owned()));
            }
            Progress::Gone(pod) => {
                self.pods.remove(*pod);
                self.blocked.take_if(|(blocked, _)| blocked == *pod);
            }
            Progress::Cordoned | Progress::Uncordoned => return None,
        }
        (!self.pods.is_empty()).then(|| self.text())
    }

    fn text(&self) -> String {
        let names = words::bounded(self.pods.iter().map(ToString::to_string)).join(", ");
        let why = self.blocked.as_ref().map(|(pod, why)| format!("; pod {pod}: {why}"));
        words::short(format!("still to leave: {names}{}", why.unwrap_or_default()))
    }
}
