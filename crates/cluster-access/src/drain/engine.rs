//! The work of a drain, from the first eviction to the last pod's end. It waits for what a watch or an answer says.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    pin::pin,
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::StreamExt;
use k8s_openapi::api::{core::v1::Pod, policy::v1::PodDisruptionBudget};
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    BudgetName, DrainOptions, Fate, Outcome, Peculiarity, PodName, PodReport, Progress, Report,
    budgets::{Budget, Budgets},
    eviction::{Answer, evict},
    filter::{DaemonSets, Verdict, verdict},
    listing::{Seen, pods_of},
};
use crate::AccessError;

/// So many evictions are asked for at once.
const AT_ONCE: usize = 64;
/// A budget is asked again after so long where nothing is heard of it, as kubectl does.
const PROBE: Duration = Duration::from_secs(5);
/// What the API server could not do is asked for again with growing pauses.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), PROBE);

/// Where a pod is on its way.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// Its eviction is to be asked for, not before this time.
    Waiting(Instant),
    Asked,
    /// It is being deleted, because this drain has evicted it or anyway.
    Leaving {
        evicted: bool,
    },
    Gone {
        evicted: bool,
    },
    Stays(Peculiarity),
    /// It cannot be evicted.
    Never(String),
}

struct Moving {
    pod: Pod,
    name: PodName,
    stage: Stage,
    evictions: u32,
    pauses: ExponentialBackoff,
    /// The budget that makes it wait now.
    blocked: Option<(BudgetName, String)>,
    /// The budget that has made it wait.
    budget: Option<BudgetName>,
    trouble: Option<String>,
    gone_after: Option<Duration>,
}

struct Drain<'a, P> {
    client: &'a Client,
    options: &'a DrainOptions,
    progress: P,
    started: Instant,
    daemon_sets: DaemonSets,
    budgets: Budgets,
    /// When to ask a budget again that allows nothing, as far as is known.
    probes: HashMap<BudgetName, Instant>,
    pods: BTreeMap<PodName, Moving>,
    /// The pods that the watch has listed so far, while it does.
    listed: Option<HashSet<PodName>>,
    /// Whether the watch has listed them all once.
    is_synced: bool,
    asked: JoinSet<(PodName, Answer)>,
    /// No further eviction is asked for.
    ending: Option<Outcome>,
    why: Vec<String>,
}

/// Evicts the pods of a cordoned node and waits for their end.
pub(super) async fn run(
    client: &Client,
    node: &str,
    seen: Seen,
    options: &DrainOptions,
    cancel: &CancellationToken,
    progress: impl FnMut(&Progress),
) -> Report {
    let started = Instant::now();
    let deadline = started + options.deadline;
    let of_node = pods_of(node, options);
    let config = watcher::Config {
        field_selector: of_node.field_selector,
        label_selector: of_node.label_selector,
        ..watcher::Config::default()
    };
    let mut pods = pin!(watcher(Api::<Pod>::all(client.clone()), config).default_backoff());
    let all_budgets = Api::<PodDisruptionBudget>::all(client.clone());
    let mut budgets = pin!(watcher(all_budgets, watcher::Config::default()).default_backoff());
    let mut budgets_are_seen = seen.budgets_are_seen;

    let mut drain = Drain::new(client, options, started, progress);
    drain.daemon_sets = seen.daemon_sets;
    drain.budgets = seen.budgets;
    for pod in seen.pods {
        drain.see(pod);
    }
    let outcome = loop {
        if let Some(outcome) = drain.outcome() {
            break outcome;
        }
        drain.ask();
        let wake = drain.next_wake().map_or(deadline, |wake| wake.min(deadline));
        tokio::select! {
            Some(event) = pods.next() => match event {
                Ok(event) => drain.pod_event(event),
                Err(error) => drain.watch_failed(&error),
            },
            Some(event) = budgets.next(), if budgets_are_seen => match event {
                Ok(event) => drain.budget_event(event),
                Err(error) if is_forbidden(&error) => {
                    // Nothing more is heard of them: every pod asks for itself.
                    drain.budgets = Budgets::default();
                    budgets_are_seen = false;
                }
                // It is tried again by itself.
                Err(_) => {}
            },
            Some(answered) = drain.asked.join_next() => if let Ok((pod, answer)) = answered {
                drain.answered(&pod, answer);
            },
            () = sleep_until(wake) => if Instant::now() >= deadline {
                break Outcome::TimedOut;
            },
            () = cancel.cancelled(), if drain.ending.is_none() => drain.ending = Some(Outcome::Cancelled),
        }
    };
    drain.report(node, outcome)
}

impl<'a, P: FnMut(&Progress)> Drain<'a, P> {
    fn new(client: &'a Client, options: &'a DrainOptions, started: Instant, progress: P) -> Self {
        Self {
            client,
            options,
            progress,
            started,
            daemon_sets: DaemonSets::new(),
            budgets: Budgets::default(),
            probes: HashMap::new(),
            pods: BTreeMap::new(),
            listed: None,
            is_synced: false,
            asked: JoinSet::new(),
            ending: None,
            why: Vec::new(),
        }
    }

    /// How it ends, once nothing more is to be waited for.
    fn outcome(&self) -> Option<Outcome> {
        if !self.asked.is_empty() {
            return None;
        }
        let is_done = |moving: &Moving| matches!(moving.stage, Stage::Gone { .. } | Stage::Stays(_));
        let is_drained = self.is_synced && self.pods.values().all(is_done);
        self.ending.or_else(|| is_drained.then_some(Outcome::Drained))
    }

    /// Asks for all evictions that may be asked for now.
    fn ask(&mut self) {
        if self.ending.is_some() {
            return;
        }
        let now = Instant::now();
        let mut under_way: HashMap<BudgetName, i32> = HashMap::new();
        let asked = self.pods.values().filter(|moving| moving.stage == Stage::Asked);
        for budget in asked.flat_map(|moving| self.budgets.of(&moving.pod)) {
            *under_way.entry(budget.name.clone()).or_default() += 1;
        }
        for moving in self.pods.values_mut() {
            if self.asked.len() >= AT_ONCE {
                return;
            }
            if !matches!(moving.stage, Stage::Waiting(from) if from <= now) {
                continue;
            }
            // The API server says itself that it evicts none with several budgets.
            if let [budget] = self.budgets.of(&moving.pod).as_slice() {
                let under_way = under_way.entry(budget.name.clone()).or_default();
                let is_probe = *under_way == 0 && self.probes.get(&budget.name).is_some_and(|at| *at <= now);
                if *under_way >= budget.allowed && !is_probe {
                    self.probes.entry(budget.name.clone()).or_insert(now + PROBE);
                    moving.block(budget.name.clone(), budget.why(), &mut self.progress);
                    continue;
                }
                if is_probe {
                    self.probes.insert(budget.name.clone(), now + PROBE);
                }
                *under_way += 1;
            }
            moving.stage = Stage::Asked;
            moving.evictions += 1;
            let (client, pod, grace) = (self.client.clone(), moving.name.clone(), self.options.grace);
            self.asked.spawn(async move {
                let answer = evict(&client, &pod, grace).await;
                (pod, answer)
            });
        }
    }

    /// When something may be asked for that may not be now.
    fn next_wake(&self) -> Option<Instant> {
        let now = Instant::now();
        let waiting = self.pods.values().filter_map(|moving| match moving.stage {
            Stage::Waiting(from) if from > now => Some(from),
            _ => None,
        });
        waiting.chain(self.probes.values().copied()).min()
    }

    fn pod_event(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.listed = Some(HashSet::new()),
            Event::InitApply(pod) => {
                self.listed.get_or_insert_default().insert(PodName::of(&pod));
                self.see(pod);
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                let missing = self.pods.keys().filter(|pod| !listed.contains(*pod));
                for pod in missing.cloned().collect::<Vec<_>>() {
                    self.gone(&pod);
                }
                self.is_synced = true;
            }
            Event::Apply(pod) => self.see(pod),
            Event::Delete(pod) => self.gone(&PodName::of(&pod)),
        }
    }

    fn see(&mut self, pod: Pod) {
        let name = PodName::of(&pod);
        let is_leaving = pod.metadata.deletion_timestamp.is_some();
        let moving = self.pods.entry(name.clone()).or_insert_with(|| {
            let stage = match verdict(&pod, &self.daemon_sets, self.options) {
                Verdict::Evict { .. } => Stage::Waiting(Instant::now()),
                Verdict::Stay { because } => Stage::Stays(because),
                // It has come since the forecast, which would have refused it.
                Verdict::Refuse { because } => {
                    self.ending = Some(Outcome::Failed);
                    self.why.push(format!("{name}: {because}"));
                    Stage::Never(because.to_string())
                }
            };
            Moving::new(name.clone(), stage)
        });
        moving.pod = pod;
        if is_leaving && matches!(moving.stage, Stage::Waiting(_)) {
            moving.stage = Stage::Leaving { evicted: false };
        }
    }

    fn gone(&mut self, pod: &PodName) {
        let Some(moving) = self.pods.get_mut(pod) else { return };
        let evicted = match moving.stage {
            Stage::Gone { .. } => return,
            Stage::Leaving { evicted } => evicted,
            _ => false,
        };
        moving.stage = Stage::Gone { evicted };
        moving.blocked = None;
        moving.gone_after = Some(self.started.elapsed());
        (self.progress)(&Progress::Gone(pod));
    }

    fn answered(&mut self, name: &PodName, answer: Answer) {
        if answer == Answer::Gone {
            return self.gone(name);
        }
        let Some(moving) = self.pods.get_mut(name) else { return };
        let budget = match self.budgets.of(&moving.pod).as_slice() {
            [budget] => Some(budget.name.clone()),
            _ => None,
        };
        let is_gone = matches!(moving.stage, Stage::Gone { .. });
        let now = Instant::now();
        match answer {
            Answer::Accepted => {
                moving.stage =
                    if is_gone { Stage::Gone { evicted: true } } else { Stage::Leaving { evicted: true } };
                moving.blocked = None;
                // Its watch will say so, too.
                if let Some(budget) = budget.and_then(|budget| self.budgets.get_mut(&budget)) {
                    budget.allowed -= 1;
                }
                (self.progress)(&Progress::Evicted(name));
            }
            _ if is_gone => {}
            Answer::NamespaceEnds => moving.stage = Stage::Leaving { evicted: false },
            Answer::Blocked(why) => {
                moving.stage = Stage::Waiting(if budget.is_some() { now } else { now + PROBE });
                let unknown = || BudgetName { namespace: name.namespace.clone(), name: "?".to_owned() };
                if let Some(budget) = budget.as_ref().and_then(|budget| self.budgets.get_mut(budget)) {
                    budget.allowed = 0;
                    self.probes.insert(budget.name.clone(), now + PROBE);
                }
                moving.block(budget.unwrap_or_else(unknown), why, &mut self.progress);
            }
            Answer::Later(why, after) => {
                let pause = after.or_else(|| moving.pauses.next()).unwrap_or(PROBE);
                moving.stage = Stage::Waiting(now + pause);
                (self.progress)(&Progress::Retried(name, &why));
                moving.trouble = Some(why);
            }
            Answer::Never(why) => {
                self.why.push(format!("{name}: {why}"));
                self.ending = Some(Outcome::Failed);
                moving.stage = Stage::Never(why);
            }
            Answer::Gone => {}
        }
    }

    fn budget_event(&mut self, event: Event<PodDisruptionBudget>) {
        match event {
            Event::Init | Event::InitDone => {}
            Event::InitApply(budget) | Event::Apply(budget) => {
                let budget = Budget::of(&budget);
                if budget.allowed > 0 {
                    self.probes.remove(&budget.name);
                }
                self.budgets.put(budget);
            }
            Event::Delete(budget) => {
                let name = Budget::of(&budget).name;
                self.probes.remove(&name);
                self.budgets.remove(&name);
            }
        }
    }

    /// It is tried again by itself, unless that is of no use.
    fn watch_failed(&mut self, error: &watcher::Error) {
        if is_forbidden(error) && self.ending.is_none() {
            self.ending = Some(Outcome::Failed);
            self.why.push(format!("pods cannot be watched: {}", cause(error)));
        }
    }

    fn report(self, node: &str, outcome: Outcome) -> Report {
        let mut why = self.why;
        if outcome == Outcome::TimedOut {
            why.push(format!("it has not ended within {} s", self.options.deadline.as_secs()));
        }
        Report {
            node: node.to_owned(),
            outcome,
            why,
            cordoned: true,
            took: self.started.elapsed(),
            pods: self.pods.into_values().map(Moving::report).collect(),
        }
    }
}

impl Moving {
    fn new(name: PodName, stage: Stage) -> Self {
        let pauses = ExponentialBuilder::default().with_min_delay(PAUSES.0).with_max_delay(PAUSES.1);
        Self {
            pod: Pod::default(),
            name,
            stage,
            evictions: 0,
            pauses: pauses.without_max_times().with_jitter().build(),
            blocked: None,
            budget: None,
            trouble: None,
            gone_after: None,
        }
    }

    fn block(&mut self, budget: BudgetName, why: String, progress: &mut impl FnMut(&Progress)) {
        if self.blocked.is_none() {
            progress(&Progress::Blocked(
                &self.name,
                &format!("its budget {budget} allows no disruption now: {why}"),
            ));
        }
        self.budget = Some(budget.clone());
        self.blocked = Some((budget, why));
    }

    fn report(self) -> PodReport {
        let finalizers = self.pod.metadata.finalizers.unwrap_or_default();
        let remains = |why: String| Fate::Remains { why };
        let fate = match (self.stage, self.blocked) {
            (Stage::Gone { evicted: true }, _) => Fate::Evicted,
            (Stage::Gone { evicted: false }, _) => Fate::Left,
            (Stage::Stays(because), _) => Fate::Stays { because },
            (Stage::Never(why), _) => remains(why),
            (Stage::Leaving { .. }, _) if finalizers.is_empty() => {
                remains("it is being deleted, and has not ended yet".to_owned())
            }
            (Stage::Leaving { .. }, _) => {
                remains(format!("it is being deleted, and its finalizers hold it: {}", finalizers.join(", ")))
            }
            (Stage::Waiting(_) | Stage::Asked, Some((budget, why))) => {
                remains(format!("its budget {budget} allowed no disruption: {why}"))
            }
            (Stage::Waiting(_) | Stage::Asked, None) => {
                remains(self.trouble.unwrap_or_else(|| "its eviction was not asked for".to_owned()))
            }
        };
        PodReport {
            pod: self.name,
            fate,
            evictions: self.evictions,
            budget: self.budget,
            gone_after: self.gone_after,
        }
    }
}

fn is_forbidden(error: &watcher::Error) -> bool {
    matches!(cause(error), AccessError::Refused { status: 401 | 403, .. })
}

fn cause(error: &watcher::Error) -> AccessError {
    use watcher::Error::{InitialListFailed, NoResourceVersion, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => AccessError::of(error),
        watcher::Error::WatchError(status) => {
            AccessError::Refused { status: status.code, message: status.message.clone() }
        }
        NoResourceVersion => AccessError::Unreadable(error.to_string()),
    }
}
