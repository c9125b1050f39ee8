//! The events that kubelets tell of containers (`pkg/kubelet/kuberuntime/kuberuntime_container.go` and
//! `pkg/kubelet/images/image_manager.go` of Kubernetes 1.36).

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use serde_json::Value;

use super::behaviour::Plan;
use super::mounts::Unmounted;
use crate::controllers::events::Event;
use crate::controllers::{Cluster, Recorder};
use crate::object;

/// Of how many images it is known that they are on a node; then all of them are forgotten, as if they had been
/// collected as garbage.
const MAX_IMAGES: usize = 65_536;

/// What has happened to a container and is worth an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    /// Its image was there or was pulled, and it was started.
    Started,
    /// Its image was there or was pulled, but its environment cannot be made, and why.
    NoEnvironment(String),
    /// Its image could not be pulled, and why.
    PullFailed(String),
    /// Its image will be pulled again after a pause.
    PullPause,
    /// Its image has a name that no image can have, and why.
    InvalidImage(String),
    /// It will be started again after a pause.
    RestartPause,
    /// It was told to stop.
    Stopping,
    /// It was told to stop, to be started with another image.
    Changed,
}

/// The voice of all kubelets, with what they know of the images on their nodes.
pub(super) struct Teller {
    recorder: Recorder,
    hasher: RandomState,
    /// Hashes of the names of nodes and images.
    images: HashSet<u64>,
}

impl Default for Teller {
    fn default() -> Teller {
        Teller { recorder: Recorder::new("kubelet"), hasher: RandomState::default(), images: HashSet::new() }
    }
}

impl Teller {
    /// Tells what has happened to a container of a pod.
    pub(super) fn tell(&mut self, cluster: &Cluster<'_>, pod: &Value, plan: &Plan, notice: &Notice) {
        let (name, image) = (&plan.name, &plan.image);
        let mut say = |event_type, reason, message: &str| {
            let field = if plan.is_init { "initContainers" } else { "containers" };
            let event = Event {
                about: pod,
                field_path: &format!("spec.{field}{{{name}}}"),
                host: pod["spec"]["nodeName"].as_str().unwrap_or_default(),
                event_type,
                reason,
                message,
            };
            self.recorder.record(cluster, event);
        };
        if matches!(notice, Notice::Started | Notice::NoEnvironment(_)) {
            let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
            if self.images.len() >= MAX_IMAGES {
                self.images.clear();
            }
            let is_new = self.images.insert(self.hasher.hash_one((node, image)));
            match plan.pull_policy.as_str() {
                "Always" => say_pulled(&mut say, cluster, image),
                "IfNotPresent" if is_new => say_pulled(&mut say, cluster, image),
                _ => {
                    let present = "already present on machine and can be accessed by the pod";
                    say("Normal", "Pulled", &format!("Container image \"{image}\" {present}"));
                }
            }
        }
        match notice {
            Notice::Started => {
                say("Normal", "Created", "Container created");
                say("Normal", "Started", "Container started");
            }
            Notice::NoEnvironment(why) => say("Warning", "Failed", &format!("Error: {why}")),
            Notice::PullFailed(error) => {
                say("Normal", "Pulling", &format!("Pulling image \"{image}\""));
                say("Warning", "Failed", &format!("Failed to pull image \"{image}\": {error}"));
                say("Warning", "Failed", "Error: ErrImagePull");
            }
            Notice::PullPause => {
                say("Normal", "BackOff", &format!("Back-off pulling image \"{image}\""));
                say("Warning", "Failed", "Error: ImagePullBackOff");
            }
            Notice::InvalidImage(error) => {
                say("Warning", "InspectFailed", error);
                say("Warning", "Failed", "Error: InvalidImageName");
            }
            Notice::RestartPause => {
                let message = format!("Back-off restarting failed container {name} in pod {}", plan.pod);
                say("Warning", "BackOff", &message);
            }
            Notice::Stopping => say("Normal", "Killing", &format!("Stopping container {name}")),
            Notice::Changed => {
                say("Normal", "Killing", &format!("Container {name} definition changed, will be restarted"));
            }
        }
    }

    /// Tells how a node is from now on (`recordNodeStatusEvent` of `pkg/kubelet/nodestatus`).
    pub(super) fn tell_of_node(&mut self, cluster: &Cluster<'_>, node: &Value, reason: &str) {
        let name = object::name(node);
        let message = format!("Node {name} status is now: {reason}");
        let event = Event {
            about: node,
            field_path: "",
            host: name,
            event_type: "Normal",
            reason,
            message: &message,
        };
        self.recorder.record(cluster, event);
    }

    /// Tells that a volume of a pod cannot be mounted.
    pub(super) fn tell_of_mount(&mut self, cluster: &Cluster<'_>, pod: &Value, unmounted: &Unmounted) {
        let Unmounted { volume, why } = unmounted;
        let event = Event {
            about: pod,
            field_path: "",
            host: pod["spec"]["nodeName"].as_str().unwrap_or_default(),
            event_type: "Warning",
            reason: "FailedMount",
            message: &format!("MountVolume.SetUp failed for volume \"{volume}\" : {why}"),
        };
        self.recorder.record(cluster, event);
    }

    /// Tells that the containers of a pod which run are told to stop.
    pub(super) fn tell_of_stop(&mut self, cluster: &Cluster<'_>, pod: &Value) {
        let (init, main) = Plan::of_pod(pod, cluster);
        for (field, plans) in [("initContainerStatuses", init), ("containerStatuses", main)] {
            let statuses = pod["status"][field].as_array().into_iter().flatten();
            let running = statuses.filter(|status| status["state"]["running"].is_object());
            for name in running.filter_map(|status| status["name"].as_str()) {
                if let Some(plan) = plans.iter().find(|plan| plan.name == name) {
                    self.tell(cluster, pod, plan, &Notice::Stopping);
                }
            }
        }
    }
}

/// Tells of a pull that took as long as starting does, of an image whose size follows from its name.
fn say_pulled(say: &mut impl FnMut(&'static str, &'static str, &str), cluster: &Cluster<'_>, image: &str) {
    say("Normal", "Pulling", &format!("Pulling image \"{image}\""));
    let took = format!("{:?}", cluster.delays.start);
    let size = 1_000_000 + crc32fast::hash(image.as_bytes()) % 200_000_000;
    let waited = format!("in {took} ({took} including waiting). Image size: {size} bytes.");
    say("Normal", "Pulled", &format!("Successfully pulled image \"{image}\" {waited}"));
}
