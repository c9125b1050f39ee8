//! What runs of one pod.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::behaviour::{Plan, Restart};
use super::container::{Container, State};
use super::mounts::{self, Unmounted};
use crate::api::Api;
use crate::controllers::{Cluster, Delays, later};
use crate::object;
use crate::programs::Running;

/// What a pod waits for is looked for again after a pause, the first and the longest of which are these. The longest
/// is that of volumes (`maxDurationBeforeRetry` of `pkg/util/goroutinemap/exponentialbackoff`).
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(122);

/// The containers of a pod.
#[derive(Debug)]
pub(super) struct Runtime {
    pub(super) uid: String,
    /// When the kubelet took the pod.
    pub(super) started: Timestamp,
    /// When its volumes were mounted.
    mounted: Option<Timestamp>,
    /// When that is tried again, once it has failed, and how often it has.
    mount_again: Option<Timestamp>,
    failed_mounts: u32,
    /// The pod's address, once it has one.
    pub(super) address: Option<String>,
    pub(super) init: Vec<Container>,
    pub(super) main: Vec<Container>,
    /// When the pod has been running for as long as it may.
    deadline: Option<Timestamp>,
    pub(super) is_past_deadline: bool,
}

impl Runtime {
    pub(super) fn new(pod: &Value, cluster: &Cluster<'_>) -> Runtime {
        let (init, main) = Plan::of_pod(pod, cluster);
        let waits = !init.is_empty();
        Runtime {
            uid: object::field(pod, "metadata.uid"),
            started: cluster.now,
            mounted: None,
            mount_again: None,
            failed_mounts: 0,
            address: None,
            init: init.into_iter().map(|plan| Container::new(plan, true)).collect(),
            main: main.into_iter().map(|plan| Container::new(plan, waits)).collect(),
            deadline: deadline(pod, cluster.now),
            is_past_deadline: false,
        }
    }

    /// What runs of a pod that was there before its kubelet; `None` where that is not this kubelet's and does not change any more.
    pub(super) fn found(pod: &Value, cluster: &Cluster<'_>) -> Option<Runtime> {
        let new = Runtime::new(pod, cluster);
        let (uid, waits) = (new.uid.clone(), !new.init.is_empty());
        let found = |containers: Vec<Container>, field: &str| {
            let statuses = pod["status"][field].as_array();
            let found = containers.into_iter().map(|Container { plan, .. }| {
                let status = statuses?.iter().find(|status| status["name"] == plan.name.as_str())?;
                Container::found(plan, waits, status, &uid, cluster.now)
            });
            found.collect::<Option<Vec<_>>>()
        };
        let started = pod["status"]["startTime"].as_str().and_then(|time| time.parse().ok());
        let started = started.unwrap_or(cluster.now);
        let address = pod["status"]["podIP"].as_str().map(str::to_owned);
        Some(Runtime {
            started,
            // A pod has its address once its volumes are mounted.
            mounted: address.is_some().then_some(started),
            address,
            init: found(new.init, "initContainerStatuses")?,
            main: found(new.main, "containerStatuses")?,
            deadline: deadline(pod, started),
            ..new
        })
    }

    /// Follows what may change for a pod that runs: images, what its annotations tell, and what its environment is
    /// made of.
    pub(super) fn follow(&mut self, pod: &Value, cluster: &Cluster<'_>) {
        let (init, main) = Plan::of_pod(pod, cluster);
        let changes = self.init.iter_mut().zip(init).chain(self.main.iter_mut().zip(main));
        for (container, plan) in changes {
            container.follow(plan, cluster.now);
        }
    }

    /// Mounts the pod's volumes, unless they are; tells which of them cannot be.
    pub(super) fn mount(&mut self, pod: &Value, cluster: &Cluster<'_>) -> Vec<Unmounted> {
        if self.mounted.is_some() || self.mount_again.is_some_and(|at| at > cluster.now) {
            return Vec::new();
        }
        let unmounted = mounts::unmounted(pod, cluster.api);
        self.mounted = unmounted.is_empty().then_some(cluster.now);
        self.mount_again =
            (!unmounted.is_empty()).then(|| later(cluster.now, pause_to_look_again(self.failed_mounts)));
        self.failed_mounts = self.failed_mounts.saturating_add(1);
        unmounted
    }

    /// Whether the pod's sandbox is there, and with it the pod's address.
    pub(super) fn has_sandbox(&self, delays: &Delays, now: Timestamp) -> bool {
        self.sandbox_at(delays).is_some_and(|at| at <= now)
    }

    /// When the sandbox was made, or will be; absent before the volumes are mounted.
    fn sandbox_at(&self, delays: &Delays) -> Option<Timestamp> {
        self.mounted.map(|mounted| later(mounted, delays.start))
    }

    /// Goes through everything that has come to pass up to now.
    pub(super) fn advance(&mut self, delays: &Delays, now: Timestamp) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.is_past_deadline = true;
            return self.stop(137, now);
        }
        let mut ready_for_next = self.sandbox_at(delays);
        for container in &mut self.init {
            let Some(at) = ready_for_next else { return };
            container.begin(at);
            container.advance(now, delays.ready);
            ready_for_next = container.initialized_at(now).map(|done| done.max(at));
        }
        let Some(at) = ready_for_next else { return };
        for container in &mut self.main {
            container.begin(at);
            container.advance(now, delays.ready);
        }
        if !self.main.is_empty() && self.main.iter().all(Container::is_over) {
            self.init.iter_mut().for_each(|sidecar| sidecar.stop(0, now));
        }
    }

    /// Starts the programs of containers that run, and learns from them which are ready.
    pub(super) fn follow_programs(&mut self, pod: &Value, programs: &Running, api: &Api) {
        for container in self.main.iter_mut().filter(|container| programs.has_program(&container.plan.image))
        {
            let mut specs = pod["spec"]["containers"].as_array().into_iter().flatten();
            let spec = specs.find(|spec| spec["name"] == container.plan.name.as_str());
            container.program = Some(spec.filter(|_| container.is_running()).and_then(|spec| {
                programs.ready_since(pod, spec, container.restarts, || mounts::environment(pod, spec, api))
            }));
        }
    }

    fn stop(&mut self, code: i64, now: Timestamp) {
        self.init.iter_mut().chain(&mut self.main).for_each(|container| container.stop(code, now));
    }

    /// The next time after now at which something changes.
    pub(super) fn next_change(&self, delays: &Delays, now: Timestamp) -> Option<Timestamp> {
        let containers =
            self.init.iter().chain(&self.main).filter_map(|container| container.next_change(now));
        let others = [self.mount_again, self.sandbox_at(delays), self.deadline].into_iter().flatten();
        containers.chain(others.filter(|at| *at > now)).min()
    }

    /// Whether the containers proper may run.
    pub(super) fn is_initialized(&self, now: Timestamp) -> bool {
        self.init
            .iter()
            .all(|container| container.initialized_at(now).is_some() || self.is_over_sidecar(container))
    }

    fn is_over_sidecar(&self, container: &Container) -> bool {
        container.plan.is_sidecar() && container.is_over() && self.main.iter().all(Container::is_over)
    }

    /// `getPhase` in `pkg/kubelet/kubelet_pods.go`.
    pub(super) fn phase(&self, now: Timestamp) -> &'static str {
        if self.is_past_deadline {
            return "Failed";
        }
        let ended_badly =
            |container: &Container| matches!(&container.state, State::Ended(ended) if ended.code != 0);
        let gives_up = |container: &Container| container.is_over() && ended_badly(container);
        if self.init.iter().any(|container| !container.plan.is_sidecar() && gives_up(container)) {
            return "Failed";
        }
        let waits = |container: &Container| {
            matches!(container.state, State::Waiting { .. }) && container.last.is_none()
        };
        if !self.is_initialized(now) || self.main.iter().any(waits) {
            return "Pending";
        }
        if self.main.is_empty() || !self.main.iter().all(Container::is_over) {
            return "Running";
        }
        match self.main.iter().any(ended_badly) {
            true if self.main.iter().any(|container| container.plan.restart == Restart::Always) => "Running",
            true => "Failed",
            false => "Succeeded",
        }
    }
}

/// When a pod that was started has been running for as long as it may.
fn deadline(pod: &Value, started: Timestamp) -> Option<Timestamp> {
    pod["spec"]["activeDeadlineSeconds"].as_u64().map(|seconds| later(started, Duration::from_secs(seconds)))
}

/// The pause before something is looked for again that was not there so many times before.
pub(super) fn pause_to_look_again(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_two_minutes() {
        let pauses = [0, 1, 2, 5, 6, 7, 1000].map(|failures| pause_to_look_again(failures).as_secs());
        assert_eq!(pauses, [2, 4, 8, 64, 122, 122, 122]);
    }
}
