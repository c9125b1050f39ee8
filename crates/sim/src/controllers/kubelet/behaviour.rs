//! What containers do: what their pod's annotations say, and what follows from its specification.
//!
//! There are no real containers. Annotations of a pod, and so of the template that it comes from, tell how its
//! containers fare, under the prefix `sim.kubesage.io/`:
//!
//! - `behaviour`: `crash-loop`, `oom`, `fail`, `image-pull-error` or `never-ready`;
//! - `exit-code`: they end with this code;
//! - `run-seconds`: they end after this time.

use std::time::Duration;

use serde_json::Value;

use super::mounts;
use crate::annotations::told;
use crate::controllers::Cluster;
use crate::{images, object};

/// No container runs for longer before it ends: a hundred years.
const LONGEST_RUN: u64 = 100 * 365 * 24 * 60 * 60;
/// `128 + SIGKILL`, as which a container's end for lack of memory is reported.
const KILLED: i64 = 137;

/// When a container is started again after it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restart {
    Always,
    OnFailure,
    Never,
}

/// Whether an image can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Image {
    Present,
    /// The registry does not have it.
    Missing,
    /// It cannot be the name of an image, and why.
    Invalid(String),
}

/// What one container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) name: String,
    /// Its pod, as messages name it: `name_namespace(uid)`.
    pub(super) pod: String,
    pub(super) image: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub(super) pull_policy: String,
    pub(super) pull: Image,
    /// Why its environment cannot be made.
    pub(super) unset_environment: Option<String>,
    /// How long it runs until it ends by itself; absent where it does not.
    pub(super) run: Option<Duration>,
    pub(super) exit_code: i64,
    pub(super) exit_reason: &'static str,
    pub(super) restart: Restart,
    /// From its start until it counts as started.
    pub(super) started_after: Duration,
    /// From its start until it is ready; absent where it never is.
    pub(super) ready_after: Option<Duration>,
    /// Whether the pod's containers proper wait for it.
    pub(super) is_init: bool,
}

impl Plan {
    /// The plans of the init containers and of the containers of a pod.
    pub(super) fn of_pod(pod: &Value, cluster: &Cluster<'_>) -> (Vec<Plan>, Vec<Plan>) {
        let containers = |field: &str| pod["spec"][field].as_array().into_iter().flatten();
        let init =
            containers("initContainers").map(|container| Plan::of_init(pod, container, cluster)).collect();
        let main = containers("containers").map(|container| Plan::of_main(pod, container, cluster)).collect();
        (init, main)
    }

    fn of_main(pod: &Value, container: &Value, cluster: &Cluster<'_>) -> Plan {
        let behaviour = told(pod, "behaviour").unwrap_or_default();
        let restart = match pod["spec"]["restartPolicy"].as_str() {
            Some("Never") => Restart::Never,
            Some("OnFailure") => Restart::OnFailure,
            Some(_) | None => Restart::Always,
        };
        let seconds: Option<u64> = told(pod, "run-seconds").and_then(|text| text.parse().ok());
        let code: Option<i64> =
            told(pod, "exit-code").and_then(|text| text.parse::<u8>().ok()).map(i64::from);
        let exit_code = code.unwrap_or(match behaviour {
            "oom" => KILLED,
            "crash-loop" | "fail" => 1,
            _ => 0,
        });
        let fails = ["crash-loop", "fail", "oom"].contains(&behaviour);
        let ends = fails || code.is_some() || restart != Restart::Always;
        let exit_reason = match (behaviour, exit_code) {
            ("oom", _) => "OOMKilled",
            (_, 0) => "Completed",
            _ => "Error",
        };
        let run = seconds
            .map(|seconds| Duration::from_secs(seconds.min(LONGEST_RUN)))
            .or(ends.then_some(cluster.delays.run));
        let ready_after = cluster.delays.ready + initial_delay(&container["readinessProbe"]);
        Plan {
            run,
            exit_code,
            exit_reason,
            restart,
            ready_after: (behaviour != "never-ready").then_some(ready_after),
            ..Plan::sound(container, pod, cluster)
        }
    }

    fn of_init(pod: &Value, container: &Value, cluster: &Cluster<'_>) -> Plan {
        let plan = Plan { is_init: true, ..Plan::sound(container, pod, cluster) };
        if container["restartPolicy"] == "Always" {
            let ready_after = Some(cluster.delays.ready + initial_delay(&container["readinessProbe"]));
            return Plan { restart: Restart::Always, ready_after, ..plan };
        }
        let never = pod["spec"]["restartPolicy"] == "Never";
        let restart = if never { Restart::Never } else { Restart::OnFailure };
        Plan { run: Some(cluster.delays.ready), restart, ..plan }
    }

    /// A container that runs for ever.
    fn sound(container: &Value, pod: &Value, cluster: &Cluster<'_>) -> Plan {
        let image = container["image"].as_str().unwrap_or_default();
        let pull = match images::check(image) {
            Err(why) => Image::Invalid(why),
            Ok(()) if told(pod, "behaviour") == Some("image-pull-error") => Image::Missing,
            Ok(()) => Image::Present,
        };
        let uid = object::field(pod, "metadata.uid");
        Plan {
            name: container["name"].as_str().unwrap_or_default().to_owned(),
            pod: format!("{}_{}({uid})", object::name(pod), object::namespace(pod)),
            image: image.to_owned(),
            pull_policy: container["imagePullPolicy"].as_str().unwrap_or("IfNotPresent").to_owned(),
            pull,
            unset_environment: mounts::unset_environment(pod, container, cluster.api),
            run: None,
            exit_code: 0,
            exit_reason: "Completed",
            restart: Restart::Always,
            started_after: initial_delay(&container["startupProbe"]),
            ready_after: None,
            is_init: false,
        }
    }

    /// Whether a container that has ended with this code is started again.
    pub(super) fn restarts_after(&self, code: i64) -> bool {
        match self.restart {
            Restart::Always => true,
            Restart::OnFailure => code != 0,
            Restart::Never => false,
        }
    }

    /// Whether it is an init container that runs beside the containers proper.
    pub(super) fn is_sidecar(&self) -> bool {
        self.is_init && self.restart == Restart::Always
    }
}

/// When a probe is asked first; every probe of a container that is well succeeds at once.
fn initial_delay(probe: &Value) -> Duration {
    Duration::from_secs(probe["initialDelaySeconds"].as_u64().unwrap_or_default().min(LONGEST_RUN))
}
