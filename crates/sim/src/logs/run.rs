//! One run of a container, as the status of its pod tells of it, and when it wrote its lines.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::lines;
use crate::object;
use crate::status::ApiError;

/// The time between two lines of a container that works.
const INTERVAL: SignedDuration = SignedDuration::from_secs(7);
/// The time between the first lines of a container that does not get to work.
const FAILING_INTERVAL: SignedDuration = SignedDuration::from_secs(1);

/// A run that has begun.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) started: Timestamp,
    pub(super) ended: Option<Timestamp>,
    /// Whether the container ends by its own fault, or has the time before.
    fails: bool,
}

impl Run {
    /// The run whose log is wanted (`validateContainerLogStatus` in `pkg/kubelet/kubelet_pods.go`).
    pub(super) fn find(pod: &Value, container: &str, previous: bool) -> Result<Run, ApiError> {
        let name = object::name(pod);
        let waits = |why: &str| {
            let message = format!("container \"{container}\" in pod \"{name}\" is waiting to start: {why}");
            Err(ApiError::bad_request(message))
        };
        let Some(status) = status_of(pod, container) else { return waits("ContainerCreating") };
        let (state, last) = (&status["state"], &status["lastState"]);
        let has_run_before = last["terminated"].is_object();
        if previous {
            if has_run_before {
                return Ok(Run::of_state(pod, container, status, last));
            }
            let why = format!("previous terminated container \"{container}\" in pod \"{name}\" not found");
            return Err(ApiError::bad_request(why));
        }
        if state["running"].is_object() || state["terminated"].is_object() {
            return Ok(Run::of_state(pod, container, status, state));
        }
        if has_run_before {
            return Ok(Run::of_state(pod, container, status, last));
        }
        match state["waiting"]["reason"].as_str().unwrap_or("ContainerCreating") {
            "ErrImagePull" => waits("image can't be pulled"),
            "ImagePullBackOff" => waits("trying and failing to pull image"),
            other => waits(other),
        }
    }

    /// The run that began at a time, as long as the status remembers it.
    pub(super) fn that_started(pod: &Value, container: &str, started: Timestamp) -> Option<Run> {
        let status = status_of(pod, container)?;
        let states = [&status["state"], &status["lastState"]].into_iter();
        let runs = states.filter(|state| state["running"].is_object() || state["terminated"].is_object());
        runs.map(|state| Run::of_state(pod, container, status, state)).find(|run| run.started == started)
    }

    fn of_state(pod: &Value, container: &str, status: &Value, state: &Value) -> Run {
        let terminated = &state["terminated"];
        let time = |time: &Value| time.as_str().and_then(|time| time.parse::<Timestamp>().ok());
        let started = time(&state["running"]["startedAt"]).or_else(|| time(&terminated["startedAt"]));
        let started = started.or_else(|| time(&pod["status"]["startTime"])).unwrap_or(Timestamp::UNIX_EPOCH);
        let ended = time(&terminated["finishedAt"]).or_else(|| terminated.is_object().then_some(started));
        let failed = [terminated, &status["lastState"]["terminated"]]
            .into_iter()
            .any(|terminated| terminated["exitCode"].as_i64().is_some_and(is_own_fault));
        Run {
            started,
            ended: ended.map(|ended| ended.max(started)),
            fails: failed || will_fail(pod, container),
        }
    }

    /// How many lines there are by now.
    pub(super) fn lines(&self, now: Timestamp) -> u64 {
        let since = self.ended.map_or(now, |ended| ended.min(now)).duration_since(self.started);
        let interval = if self.fails { FAILING_INTERVAL } else { INTERVAL };
        let lines = u64::try_from(since.as_secs() / interval.as_secs()).unwrap_or(0).saturating_add(1);
        let failure = lines::FAILURE.len() as u64;
        match (self.fails, self.ended) {
            (false, _) => lines,
            (true, Some(_)) => failure,
            (true, None) => lines.min(failure - 1),
        }
    }

    /// When a line was written, or will be where nothing comes in between.
    pub(super) fn written_at(&self, number: u64) -> Timestamp {
        let latest = self.ended.unwrap_or(Timestamp::MAX);
        if self.fails && number + 1 >= lines::FAILURE.len() as u64 {
            return latest;
        }
        let interval = if self.fails { FAILING_INTERVAL } else { INTERVAL };
        let after = i32::try_from(number).ok().and_then(|number| interval.checked_mul(number));
        let at = self.started.saturating_add(after.unwrap_or(SignedDuration::MAX));
        at.unwrap_or(Timestamp::MAX).min(latest)
    }

    /// What a line says.
    pub(super) fn line(&self, pod: &Value, container: &str, number: u64) -> String {
        let at = self.written_at(number);
        let failure = usize::try_from(number).ok().and_then(|number| lines::FAILURE.get(number));
        match failure.filter(|_| self.fails) {
            Some(said) => format!("{} {said}", object::time(at)),
            None => lines::work(pod, container, number, at),
        }
    }
}

fn status_of<'a>(pod: &'a Value, container: &str) -> Option<&'a Value> {
    let fields = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
    let statuses = fields.into_iter().filter_map(|field| pod["status"][field].as_array());
    statuses.flatten().find(|status| status["name"] == container)
}

/// Whether a code is one with which a program gives up; above 128 it was killed, and had no time to say anything.
fn is_own_fault(code: i64) -> bool {
    (1..=128).contains(&code)
}

/// Whether the simulator was told that the containers of a pod fail.
fn will_fail(pod: &Value, container: &str) -> bool {
    let annotations = &pod["metadata"]["annotations"];
    let behaviour = &annotations["sim.kubesage.io/behaviour"];
    let code = annotations["sim.kubesage.io/exit-code"].as_str().and_then(|code| code.parse().ok());
    let mut containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    containers.any(|spec| spec["name"] == container)
        && code.map_or(behaviour == "crash-loop" || behaviour == "fail", is_own_fault)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(state: &Value, annotations: &Value) -> Value {
        json!({
            "metadata": { "name": "p", "annotations": annotations },
            "spec": { "containers": [{ "name": "c", "image": "app:1" }] },
            "status": { "containerStatuses": [{ "name": "c", "state": state, "lastState": {} }] },
        })
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn stamp(seconds: i64) -> String {
        object::time(at(seconds))
    }

    #[test]
    fn a_container_that_works_writes_from_its_start_to_its_end() {
        let running = pod(&json!({ "running": { "startedAt": stamp(0) } }), &json!({}));
        let run = Run::find(&running, "c", false).unwrap();
        assert_eq!((run.lines(at(0)), run.lines(at(6)), run.lines(at(7)), run.lines(at(70))), (1, 1, 2, 11));
        assert_eq!(run.written_at(10), at(70));
        let ended = json!({ "startedAt": stamp(0), "finishedAt": stamp(15), "exitCode": 0 });
        let run = Run::find(&pod(&json!({ "terminated": ended }), &json!({})), "c", false).unwrap();
        assert_eq!(run.lines(at(1000)), 3);
    }

    #[test]
    fn a_container_that_fails_says_why_as_it_ends() {
        let told = json!({ "sim.kubesage.io/behaviour": "crash-loop" });
        let running = pod(&json!({ "running": { "startedAt": stamp(0) } }), &told);
        let run = Run::find(&running, "c", false).unwrap();
        assert_eq!((run.lines(at(0)), run.lines(at(2)), run.lines(at(100))), (1, 3, 3));
        let early = run.line(&running, "c", 0);
        let ended = json!({ "startedAt": stamp(0), "finishedAt": stamp(3), "exitCode": 1 });
        let ended = pod(&json!({ "terminated": ended }), &told);
        let run = Run::that_started(&ended, "c", at(0)).unwrap();
        assert_eq!((run.lines(at(3)), run.written_at(3)), (4, at(3)));
        assert_eq!(run.line(&ended, "c", 0), early, "what was written stays");
        assert!(run.line(&ended, "c", 3).contains("FATAL"));
        assert!(Run::that_started(&ended, "c", at(1)).is_none());
    }
}
