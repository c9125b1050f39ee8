//! The states that one container goes through, by the clock.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::behaviour::{Image, Plan};
use super::runtime::pause_to_look_again;
use super::status::container_id;
use super::tell::Notice;
use crate::controllers::later;

/// The first and the longest pause before a container is started again or an image is pulled again
/// (`MaxContainerBackOff` in `pkg/kubelet/kubelet.go` and its neighbours).
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// After so many failures the pause does not grow any more.
const MANY: u32 = 10;
/// Why a container waits whose turn has come.
const WAITS: [&str; 5] = [
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
];
/// Why a container has ended.
const ENDS: [&str; 3] = ["Completed", "Error", "OOMKilled"];
/// A container that has run for as long begins with the first pause again.
const RUNS_WELL: Duration = Duration::from_secs(600);
/// So many steps are made up for when the clock has jumped; the rest is skipped.
const MAX_STEPS: usize = 1_000;
/// More events than these of one pod would not be told at once (`defaultSpamBurst` of `client-go`).
const MAX_NOTICES: usize = 25;

/// How a container has ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) code: i64,
    pub(super) reason: &'static str,
    pub(super) started: Timestamp,
    pub(super) finished: Timestamp,
}

impl Ended {
    /// As a status tells it.
    fn found(status: &Value, now: Timestamp) -> Ended {
        Ended {
            code: status["exitCode"].as_i64().unwrap_or_default(),
            reason: ENDS.into_iter().find(|reason| status["reason"] == *reason).unwrap_or("Error"),
            started: time(&status["startedAt"], now),
            finished: time(&status["finishedAt"], now),
        }
    }
}

/// Where a container stands.
#[derive(Debug, Clone)]
pub(super) enum State {
    Waiting { reason: &'static str, message: Option<String> },
    Running { since: Timestamp },
    Ended(Ended),
}

/// One container of a pod.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) plan: Plan,
    pub(super) state: State,
    pub(super) last: Option<Ended>,
    pub(super) restarts: u32,
    /// Failures one after the other, of which each makes the next pause longer.
    failures: u32,
    /// How often its environment could not be made.
    unset_environments: u32,
    /// When the state changes by itself; absent before its turn has come and where it stays.
    next: Option<Timestamp>,
    has_begun: bool,
    /// What has happened and was not told yet.
    notices: Vec<Notice>,
    /// Where a program runs in its place: since when that is ready.
    pub(super) program: Option<Option<Timestamp>>,
}

impl Container {
    pub(super) fn new(plan: Plan, waits_for_others: bool) -> Container {
        let reason = if waits_for_others { "PodInitializing" } else { "ContainerCreating" };
        let state = State::Waiting { reason, message: None };
        Container {
            plan,
            state,
            last: None,
            restarts: 0,
            failures: 0,
            unset_environments: 0,
            next: None,
            has_begun: false,
            notices: Vec::new(),
            program: None,
        }
    }

    /// A container that was there before its kubelet, as its status tells. `None` where another kubelet has started it: of those the
    /// status stays.
    pub(super) fn found(
        plan: Plan,
        waits_for_others: bool,
        status: &Value,
        uid: &str,
        now: Timestamp,
    ) -> Option<Container> {
        let restarts =
            status["restartCount"].as_u64().and_then(|count| count.try_into().ok()).unwrap_or_default();
        let last = status["lastState"].get("terminated").map(|last| Ended::found(last, now));
        let since = last.as_ref().map_or(now, |last| last.finished);
        let message = || status["state"]["waiting"]["message"].as_str().map(str::to_owned);
        let mut failures = restarts;
        let mut notices = Vec::new();
        let (state, next) = match status["state"]["waiting"]["reason"].as_str() {
            Some(reason @ "CrashLoopBackOff") => {
                let pause = pause(restarts);
                failures = restarts.saturating_add(1);
                notices.push(Notice::RestartPause);
                let message = Some(restart_message(&plan, pause));
                (State::Waiting { reason: known(reason)?, message }, Some(later(since, pause)))
            }
            Some(reason @ "ImagePullBackOff") => {
                failures = MANY;
                notices.push(Notice::PullPause);
                let message = Some(pull_message(&plan.image));
                (State::Waiting { reason: known(reason)?, message }, Some(later(since, LONGEST_PAUSE)))
            }
            Some(reason @ "InvalidImageName") => {
                (State::Waiting { reason: known(reason)?, message: message() }, None)
            }
            Some(reason) => match known(reason) {
                Some(reason) => (State::Waiting { reason, message: message() }, Some(now)),
                None => return Some(Container { restarts, ..Container::new(plan, waits_for_others) }),
            },
            None => match status["state"].get("terminated") {
                Some(ended) => {
                    let ended = Ended::found(ended, now);
                    let next = plan.restarts_after(ended.code).then_some(now);
                    (State::Ended(ended), next)
                }
                None if status["containerID"] == container_id(uid, &plan.name, restarts) => {
                    let since = time(&status["state"]["running"]["startedAt"], now);
                    (State::Running { since }, plan.run.map(|run| later(since, run)))
                }
                None => return None,
            },
        };
        let begun =
            Container { state, last, restarts, failures, next, notices, ..Container::new(plan, false) };
        Some(Container { has_begun: true, ..begun })
    }

    /// Its turn has come: it starts at this time, unless it has already.
    pub(super) fn begin(&mut self, at: Timestamp) {
        if !self.has_begun {
            self.has_begun = true;
            self.next = Some(at);
        }
    }

    /// Follows a changed specification; a container with another image is started anew (`computePodActions`).
    pub(super) fn follow(&mut self, plan: Plan, now: Timestamp) {
        if self.plan == plan {
            return;
        }
        let other_image = self.plan.image != plan.image || self.plan.pull != plan.pull;
        self.plan = plan;
        match &self.state {
            State::Running { since } if other_image => {
                let (started, finished) = (*since, now);
                note(&mut self.notices, Notice::Changed);
                self.state = State::Ended(Ended { code: 0, reason: "Completed", started, finished });
                self.next = Some(now);
                self.failures = 0;
            }
            State::Running { since } => self.next = self.plan.run.map(|run| later(*since, run)),
            State::Waiting { .. } if other_image && self.has_begun => self.next = Some(now),
            State::Waiting { .. } | State::Ended(_) => {}
        }
    }

    /// Goes through everything that has come to pass up to now.
    pub(super) fn advance(&mut self, now: Timestamp, noticed_after: Duration) {
        for step in 0.. {
            let Some(at) = self.next.filter(|at| *at <= now) else { return };
            self.step(if step < MAX_STEPS { at } else { now }, noticed_after);
        }
    }

    /// What happens at `at`.
    fn step(&mut self, at: Timestamp, noticed_after: Duration) {
        match self.state.clone() {
            State::Running { since } => {
                let (code, reason) = (self.plan.exit_code, self.plan.exit_reason);
                if at.duration_since(since).unsigned_abs() >= RUNS_WELL {
                    self.failures = 0;
                }
                self.state = State::Ended(Ended { code, reason, started: since, finished: at });
                self.next = self.plan.restarts_after(code).then(|| later(at, noticed_after));
            }
            State::Ended(ended) => {
                self.last = Some(ended.clone());
                if self.failures == 0 {
                    self.failures = 1;
                    self.run_again(at);
                } else {
                    let pause = pause(self.failures);
                    self.failures = self.failures.saturating_add(1);
                    let message = restart_message(&self.plan, pause);
                    self.state = State::Waiting { reason: "CrashLoopBackOff", message: Some(message) };
                    self.next = Some(later(ended.finished, pause).max(at));
                    note(&mut self.notices, Notice::RestartPause);
                }
            }
            State::Waiting { reason: "CrashLoopBackOff", .. } => self.run_again(at),
            State::Waiting { reason, .. } => self.pull(reason, at, noticed_after),
        }
    }

    fn run_again(&mut self, at: Timestamp) {
        self.restarts = self.restarts.saturating_add(1);
        self.pull("CrashLoopBackOff", at, Duration::ZERO);
    }

    /// Gets the image, and runs it where it is there.
    fn pull(&mut self, waited_for: &str, at: Timestamp, noticed_after: Duration) {
        let image = &self.plan.image;
        match &self.plan.pull {
            Image::Present if let Some(why) = &self.plan.unset_environment => {
                note(&mut self.notices, Notice::NoEnvironment(why.clone()));
                let (reason, message) = ("CreateContainerConfigError", Some(why.clone()));
                self.state = State::Waiting { reason, message };
                self.next = Some(later(at, pause_to_look_again(self.unset_environments)));
                self.unset_environments = self.unset_environments.saturating_add(1);
            }
            Image::Present => {
                self.state = State::Running { since: at };
                self.next = self.plan.run.map(|run| later(at, run));
                note(&mut self.notices, Notice::Started);
            }
            Image::Invalid(why) => {
                let message = format!(
                    "Failed to apply default image tag \"{image}\": couldn't parse image name \"{image}\": {why}"
                );
                note(&mut self.notices, Notice::InvalidImage(message.clone()));
                self.state = State::Waiting { reason: "InvalidImageName", message: Some(message) };
                self.next = None;
            }
            Image::Missing => {
                if waited_for == "ErrImagePull" {
                    let pause = pause(self.failures);
                    let message = pull_message(image);
                    self.state = State::Waiting { reason: "ImagePullBackOff", message: Some(message) };
                    self.next = Some(later(at, pause));
                    note(&mut self.notices, Notice::PullPause);
                } else {
                    let error = pull_error(image);
                    self.failures = self.failures.saturating_add(1);
                    note(&mut self.notices, Notice::PullFailed(error.clone()));
                    self.state = State::Waiting { reason: "ErrImagePull", message: Some(error) };
                    self.next = Some(later(at, noticed_after));
                }
            }
        }
    }

    /// The kubelet stops it.
    pub(super) fn stop(&mut self, code: i64, now: Timestamp) {
        self.next = None;
        if let State::Running { since } = self.state {
            note(&mut self.notices, Notice::Stopping);
            let reason = if code == 0 { "Completed" } else { "Error" };
            self.state = State::Ended(Ended { code, reason, started: since, finished: now });
        }
    }

    /// What has happened since this was asked last.
    pub(super) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// When it became started, or will.
    pub(super) fn started_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Running { since } => Some(later(since, self.plan.started_after)),
            State::Waiting { .. } | State::Ended(_) => None,
        }
    }

    /// When it became ready, or will.
    pub(super) fn ready_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Running { since } => {
                self.program.unwrap_or_else(|| self.plan.ready_after.map(|after| later(since, after)))
            }
            State::Waiting { .. } | State::Ended(_) => None,
        }
    }

    /// When the next containers may start; absent while this one keeps them waiting.
    pub(super) fn initialized_at(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.state {
            State::Ended(ended) => (ended.code == 0).then_some(ended.finished),
            State::Running { .. } if self.plan.is_sidecar() => self.started_at().filter(|at| *at <= now),
            State::Running { .. } | State::Waiting { .. } => None,
        }
    }

    /// Whether it has ended and is not started again.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Ended(_)) && self.next.is_none()
    }

    /// The next time after now at which something about it changes.
    pub(super) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let times = [self.next, self.started_at(), self.ready_at()];
        times.into_iter().flatten().filter(|at| *at > now).min()
    }
}

/// The same text, where it is a reason why a container waits whose turn has come.
fn known(reason: &str) -> Option<&'static str> {
    WAITS.into_iter().find(|known| *known == reason)
}

fn time(value: &Value, otherwise: Timestamp) -> Timestamp {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn note(notices: &mut Vec<Notice>, notice: Notice) {
    if notices.len() < MAX_NOTICES {
        notices.push(notice);
    }
}

/// The pause after so many failures: each twice as long as the one before.
fn pause(failures: u32) -> Duration {
    let factor = 1_u32 << failures.saturating_sub(1).min(10);
    FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

/// Why a container waits that is started again after this pause.
fn restart_message(plan: &Plan, pause: Duration) -> String {
    let Plan { name, pod, .. } = plan;
    format!("back-off {} restarting failed container={name} pod={pod}", duration(pause))
}

/// Why a container waits whose image is pulled again.
fn pull_message(image: &str) -> String {
    format!("Back-off pulling image \"{image}\": ErrImagePull: {}", pull_error(image))
}

/// What containerd says of an image that the registry does not have.
fn pull_error(image: &str) -> String {
    format!(
        "rpc error: code = NotFound desc = failed to pull and unpack image \"{image}\": failed to resolve reference \
         \"{image}\": {image}: not found"
    )
}

/// Whole seconds as `time.Duration.String` of Go writes them.
fn duration(time: Duration) -> String {
    match (time.as_secs() / 60, time.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}
