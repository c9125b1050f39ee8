//! Pods: what their containers come to in a few words (`printPod`).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::column::{AGE, Field, NAME, Words, text};
use super::read::{self, age, count, flag, list, name};
use super::{Printer, duration};

pub(super) const POD: Printer = Printer {
    columns: &[
        NAME,
        text("Ready", Words("The aggregate readiness state of this pod for accepting traffic.")),
        text("Status", Words("The aggregate status of the containers in this pod.")),
        text(
            "Restarts",
            Words(
                "The number of times the containers in this pod have been restarted and when the last container in \
                 this pod has restarted.",
            ),
        ),
        AGE,
        text("IP", Field("status.podIP")).wide(),
        text("Node", Field("spec.nodeName")).wide(),
        text("Nominated Node", Field("status.nominatedNodeName")).wide(),
        text("Readiness Gates", Field("spec.readinessGates")).wide(),
    ],
    cells,
};

fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = Summary::of(pod);
    let gates = list(pod, "/spec/readinessGates");
    let open = gates.iter().filter_map(|gate| read::condition(pod, read::text(gate, "/conditionType")));
    let gates = match gates.len() {
        0 => "<none>".to_owned(),
        all => format!("{}/{all}", open.filter(|status| *status == "True").count()),
    };
    vec![
        name(pod),
        format!("{}/{}", summary.ready, summary.containers).into(),
        summary.status.into(),
        summary.restarts.in_words(now).into(),
        age(pod, now),
        read::text_or(pod, "/status/podIPs/0/ip", "<none>").into(),
        read::text_or(pod, "/spec/nodeName", "<none>").into(),
        read::text_or(pod, "/status/nominatedNodeName", "<none>").into(),
        gates.into(),
    ]
}

/// The conditions of a row: a pod that has ended is marked so that a client can leave it out.
pub(super) fn row_conditions(pod: &Value) -> Option<Value> {
    let (reason, message) = match read::text(pod, "/status/phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{ "type": "Completed", "status": "True", "reason": reason, "message": message }]))
}

/// A pod in one line.
struct Summary {
    ready: usize,
    containers: usize,
    status: String,
    restarts: Restarts,
}

#[derive(Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, container: &Value) {
        self.count = self.count.saturating_add(count(container, "/restartCount"));
        self.last = self.last.max(read::time(container, "/lastState/terminated/finishedAt"));
    }

    fn in_words(&self, now: Timestamp) -> String {
        match self.last {
            Some(last) if self.count != 0 => {
                format!("{} ({} ago)", self.count, duration::since(Some(last), now))
            }
            _ => self.count.to_string(),
        }
    }
}

impl Summary {
    fn of(pod: &Value) -> Summary {
        let phase = read::text(pod, "/status/phase");
        let gated = list(pod, "/status/conditions")
            .iter()
            .any(|condition| condition["type"] == "PodScheduled" && condition["reason"] == "SchedulingGated");
        let sidecars =
            list(pod, "/spec/initContainers").iter().filter(|container| is_sidecar(container)).count();
        let mut summary = Summary {
            ready: 0,
            containers: list(pod, "/spec/containers").len() + sidecars,
            status: if gated {
                "SchedulingGated".to_owned()
            } else {
                read::text_or(pod, "/status/reason", phase).to_owned()
            },
            restarts: Restarts::default(),
        };
        let sidecar_restarts = summary.initialize(pod);
        if let Some(restarts) = sidecar_restarts {
            summary.restarts = restarts;
            summary.run(pod);
        }
        let ended = ["Succeeded", "Failed"].contains(&phase);
        if read::terminating(pod) && pod["status"]["reason"] == "NodeLost" {
            summary.status = "Unknown".to_owned();
        } else if read::terminating(pod) && !ended {
            summary.status = "Terminating".to_owned();
        }
        summary
    }

    /// Follows the init containers up to the first that is not done. Where that is no reason to leave the others out,
    /// the restarts of the sidecars are returned: those of ordinary init containers count no more.
    fn initialize(&mut self, pod: &Value) -> Option<Restarts> {
        let specs = list(pod, "/spec/initContainers");
        let mut sidecar_restarts = Restarts::default();
        for (index, container) in list(pod, "/status/initContainerStatuses").iter().enumerate() {
            let sidecar = specs.iter().any(|spec| spec["name"] == container["name"] && is_sidecar(spec));
            self.restarts.add(container);
            if sidecar {
                sidecar_restarts.add(container);
            }
            let state = &container["state"];
            if state["terminated"].is_object() && count(state, "/terminated/exitCode") == 0 {
                continue;
            }
            if sidecar && flag(container, "/started") {
                self.ready += usize::from(flag(container, "/ready"));
                continue;
            }
            let waiting = read::text(state, "/waiting/reason");
            let what = match ended(state) {
                Some(reason) => reason,
                None if !["", "PodInitializing"].contains(&waiting) => waiting.to_owned(),
                None => format!("{index}/{}", specs.len()),
            };
            self.status = format!("Init:{what}");
            return (read::condition(pod, "Initialized") == Some("True")).then_some(sidecar_restarts);
        }
        Some(sidecar_restarts)
    }

    /// Follows the containers; the first of those with something to say has the word.
    fn run(&mut self, pod: &Value) {
        let mut running = false;
        for container in list(pod, "/status/containerStatuses").iter().rev() {
            self.restarts.add(container);
            let state = &container["state"];
            let waiting = read::text(state, "/waiting/reason");
            if !waiting.is_empty() {
                self.status = waiting.to_owned();
            } else if let Some(reason) = ended(state) {
                self.status = reason;
            } else if flag(container, "/ready") && state["running"].is_object() {
                running = true;
                self.ready += 1;
            }
        }
        if running && self.status == "Completed" {
            let ready = read::condition(pod, "Ready") == Some("True");
            self.status = if ready { "Running" } else { "NotReady" }.to_owned();
        }
    }
}

/// An init container that goes on beside the others.
fn is_sidecar(container: &Value) -> bool {
    container["restartPolicy"] == "Always"
}

/// Why a container ended, if it did.
fn ended(state: &Value) -> Option<String> {
    let ended = state["terminated"].as_object().map(|_| &state["terminated"])?;
    Some(match (read::text(ended, "/reason"), count(ended, "/signal")) {
        ("", 0) => format!("ExitCode:{}", count(ended, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pod: &Value) -> [String; 3] {
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        let cells = cells(pod, now);
        [1, 2, 3].map(|index| cells[index].as_str().unwrap().to_owned())
    }

    fn pod(phase: &str, status: &Value) -> Value {
        let mut pod = json!({
            "metadata": { "name": "p" },
            "spec": { "containers": [{ "name": "a" }, { "name": "b" }], "initContainers": [{ "name": "i" }, { "name": "j" }] },
            "status": status,
        });
        pod["status"]["phase"] = phase.into();
        pod
    }

    fn running(ready: bool) -> Value {
        json!({ "ready": ready, "restartCount": 0, "state": { "running": {} } })
    }

    #[test]
    fn containers_that_run_wait_and_end() {
        let ended = |reason: &str| json!({ "restartCount": 0, "state": { "terminated": { "exitCode": 3, "reason": reason } } });
        let crashing = json!({
            "restartCount": 3,
            "state": { "waiting": { "reason": "CrashLoopBackOff" } },
            "lastState": { "terminated": { "finishedAt": "2026-01-01T00:55:00Z" } },
        });
        let ready = json!([{ "type": "Ready", "status": "True" }]);
        for (phase, status, expected) in [
            ("Pending", json!({}), ["0/2", "Pending", "0"]),
            (
                "Running",
                json!({ "containerStatuses": [running(true), running(true)] }),
                ["2/2", "Running", "0"],
            ),
            (
                "Running",
                json!({ "containerStatuses": [running(true), running(false)] }),
                ["1/2", "Running", "0"],
            ),
            (
                "Running",
                json!({ "containerStatuses": [running(true), crashing] }),
                ["1/2", "CrashLoopBackOff", "3 (5m ago)"],
            ),
            (
                "Succeeded",
                json!({ "containerStatuses": [ended("Completed"), ended("Completed")] }),
                ["0/2", "Completed", "0"],
            ),
            (
                "Running",
                json!({ "containerStatuses": [ended("Completed"), running(true)] }),
                ["1/2", "NotReady", "0"],
            ),
            (
                "Running",
                json!({ "conditions": ready, "containerStatuses": [ended("Completed"), running(true)] }),
                ["1/2", "Running", "0"],
            ),
            ("Failed", json!({ "containerStatuses": [ended("")] }), ["0/2", "ExitCode:3", "0"]),
            ("Failed", json!({ "reason": "Evicted" }), ["0/2", "Evicted", "0"]),
        ] {
            assert_eq!(row(&pod(phase, &status)), expected, "{status}");
        }
    }

    #[test]
    fn init_containers() {
        let done = json!({ "name": "i", "restartCount": 1, "state": { "terminated": { "exitCode": 0 } } });
        let failed = json!({ "name": "j", "restartCount": 2, "state": { "terminated": { "exitCode": 1 } } });
        let waiting = |reason: &str| json!({ "name": "j", "state": { "waiting": { "reason": reason } } });
        for (containers, expected) in [
            (json!([done, failed]), ["0/2", "Init:ExitCode:1", "3"]),
            (json!([done, waiting("PodInitializing")]), ["0/2", "Init:1/2", "1"]),
            (json!([done, waiting("ImagePullBackOff")]), ["0/2", "Init:ImagePullBackOff", "1"]),
            (json!([done, done]), ["0/2", "Pending", "0"]),
        ] {
            assert_eq!(row(&pod("Pending", &json!({ "initContainerStatuses": containers }))), expected);
        }
    }

    #[test]
    fn a_sidecar_counts_as_a_container() {
        let mut pod = pod("Running", &json!({ "containerStatuses": [running(true), running(true)] }));
        pod["spec"]["initContainers"][0]["restartPolicy"] = "Always".into();
        pod["status"]["initContainerStatuses"] =
            json!([{ "name": "i", "started": true, "ready": true, "restartCount": 4 }]);
        assert_eq!(row(&pod), ["3/3", "Running", "4"]);
    }

    #[test]
    fn pods_on_their_way_out() {
        let mut leaving = pod("Running", &json!({ "containerStatuses": [running(true), running(true)] }));
        leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        assert_eq!(row(&leaving), ["2/2", "Terminating", "0"]);
        leaving["status"]["reason"] = "NodeLost".into();
        assert_eq!(row(&leaving), ["2/2", "Unknown", "0"]);
        let mut ended = pod("Failed", &json!({}));
        ended["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        assert_eq!(row(&ended), ["0/2", "Failed", "0"]);
    }

    #[test]
    fn readiness_gates() {
        let mut gated = pod("Running", &json!({ "conditions": [{ "type": "a.io/x", "status": "True" }] }));
        gated["spec"]["readinessGates"] =
            json!([{ "conditionType": "a.io/x" }, { "conditionType": "a.io/y" }]);
        assert_eq!(cells(&gated, Timestamp::UNIX_EPOCH)[8], "1/2");
    }
}
