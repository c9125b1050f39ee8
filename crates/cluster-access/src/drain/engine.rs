//! The work of a drain, from the first eviction to the last pod's end. It waits for what a watch or an answer says.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    panic::AssertUnwindSafe,
    pin::pin,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt};
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
    BudgetName, DrainOptions, LONGEST, Outcome, PodName, Progress, Report,
    budgets::{Budget, Budgets},
    eviction::{Answer, evict},
    filter::{DaemonSets, Verdict, daemon_set, verdict},
    listing::{Seen, pods_of},
    moving::{Moving, Stage},
    watching::{self, cause, is_forbidden},
};

/// So many evictions are asked for at once.
const AT_ONCE: usize = 64;
/// A budget is asked again after so long where nothing is heard of it, as kubectl does.
const PROBE: Duration = Duration::from_secs(5);

/// What was known of a budget when an eviction that takes from it was asked for: what has been heard of it since is newer than the
/// answer.
struct Heard {
    budget: BudgetName,
    times: u64,
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
    /// The same of budgets.
    listed_budgets: Option<HashSet<BudgetName>>,
    /// Whether the watch has listed all pods once.
    is_synced: bool,
    asked: JoinSet<(PodName, Option<Heard>, Answer)>,
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
    let deadline = started.checked_add(options.deadline).unwrap_or(started + LONGEST);
    let of_node = pods_of(node, options);
    let config = watcher::Config {
        field_selector: of_node.field_selector,
        label_selector: of_node.label_selector,
        ..watching::config()
    };
    let mut pods = pin!(watcher(Api::<Pod>::all(client.clone()), config).default_backoff());
    let all_budgets = Api::<PodDisruptionBudget>::all(client.clone());
    let mut budgets = pin!(watcher(all_budgets, watching::config()).default_backoff());
    let mut budgets_are_seen = seen.budgets_are_seen;

    let mut drain = Drain::new(client, options, started, progress, seen);
    let outcome = loop {
        if cancel.is_cancelled() && drain.ending.is_none() {
            drain.ending = Some(Outcome::Cancelled);
        }
        if let Some(outcome) = drain.outcome() {
            break outcome;
        }
        let now = Instant::now();
        drain.ask(now);
        let wake = drain.next_wake(now).map_or(deadline, |wake| wake.min(deadline));
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
                    drain.probes.clear();
                    budgets_are_seen = false;
                }
                // It is tried again by itself.
                Err(_) => {}
            },
            Some(answered) = drain.asked.join_next() => if let Ok((pod, heard, answer)) = answered {
                drain.answered(&pod, heard.as_ref(), answer);
            },
            () = sleep_until(wake) => if Instant::now() >= deadline {
                break Outcome::TimedOut;
            },
            // The next round sees it.
            () = cancel.cancelled(), if drain.ending.is_none() => {}
        }
    };
    drain.report(node, outcome)
}

impl<'a, P: FnMut(&Progress)> Drain<'a, P> {
    fn new(client: &'a Client, options: &'a DrainOptions, started: Instant, progress: P, seen: Seen) -> Self {
        let mut drain = Self {
            client,
            options,
            progress,
            started,
            daemon_sets: seen.daemon_sets,
            budgets: seen.budgets,
            probes: HashMap::new(),
            pods: BTreeMap::new(),
            listed: None,
            listed_budgets: None,
            is_synced: false,
            asked: JoinSet::new(),
            ending: None,
            why: Vec::new(),
        };
        for pod in seen.pods {
            drain.see(pod);
        }
        drain
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
    fn ask(&mut self, now: Instant) {
        if self.ending.is_some() {
            return;
        }
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
            let mut heard = None;
            // The API server says itself that it evicts none with several budgets.
            if let [budget] = self.budgets.of(&moving.pod).as_slice() {
                let under_way = under_way.entry(budget.name.clone()).or_default();
                let is_probe = *under_way == 0 && self.probes.get(&budget.name).is_some_and(|at| *at <= now);
                if *under_way >= budget.allowed && !is_probe {
                    self.probes.entry(budget.name.clone()).or_insert(now + PROBE);
                    moving.block(Some(&budget.name), &budget.why(), &mut self.progress);
                    continue;
                }
                if is_probe {
                    self.probes.insert(budget.name.clone(), now + PROBE);
                }
                *under_way += 1;
                heard = Some(Heard { budget: budget.name.clone(), times: budget.heard });
            }
            moving.stage = Stage::Asked;
            moving.evictions += 1;
            let (client, pod, grace) = (self.client.clone(), moving.name.clone(), self.options.grace);
            self.asked.spawn(async move {
                // A pod whose answer never came would be waited for without a reason that could be told.
                let answer = AssertUnwindSafe(evict(&client, &pod, grace)).catch_unwind().await;
                (
                    pod,
                    heard,
                    answer
                        .unwrap_or_else(|_| Answer::Never("asking for its eviction has panicked".to_owned())),
                )
            });
        }
    }

    /// When something may be asked for that may not be at `now`, which was what could be asked for: a probe that is due and was not
    /// made waits for an answer or an event.
    fn next_wake(&self, now: Instant) -> Option<Instant> {
        if self.ending.is_some() {
            return None;
        }
        let waiting = self.pods.values().filter_map(|moving| match moving.stage {
            Stage::Waiting(from) if from > now => Some(from),
            _ => None,
        });
        waiting.chain(self.probes.values().copied().filter(|at| *at > now)).min()
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
        let is_known = !self.is_synced && self.listed.is_none();
        let moving = self.pods.entry(name.clone()).or_insert_with(|| {
            if !is_known {
                // What has just come is of a DaemonSet that is there, also where that was made meanwhile.
                self.daemon_sets.extend(daemon_set(&pod));
            }
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

    fn answered(&mut self, name: &PodName, heard: Option<&Heard>, answer: Answer) {
        if answer == Answer::Gone {
            return self.gone(name);
        }
        let Some(moving) = self.pods.get_mut(name) else { return };
        let known = heard.and_then(|Heard { budget, times }| {
            self.budgets.get_mut(budget).filter(|known| known.heard == *times)
        });
        let is_leaving = moving.pod.metadata.deletion_timestamp.is_some();
        let is_gone = matches!(moving.stage, Stage::Gone { .. });
        let now = Instant::now();
        match answer {
            Answer::Accepted => {
                moving.stage =
                    if is_gone { Stage::Gone { evicted: true } } else { Stage::Leaving { evicted: true } };
                moving.blocked = None;
                // Its watch will say so, too, if it has not.
                if let Some(budget) = known {
                    budget.allowed -= 1;
                }
                if !is_gone {
                    (self.progress)(&Progress::Evicted(name));
                }
            }
            _ if is_gone => {}
            // It goes anyway.
            _ if is_leaving => moving.stage = Stage::Leaving { evicted: false },
            Answer::NamespaceEnds => moving.stage = Stage::Leaving { evicted: false },
            Answer::Blocked(why) => {
                moving.stage = Stage::Waiting(if heard.is_some() { now } else { now + PROBE });
                if let Some(budget) = known {
                    budget.allowed = 0;
                    self.probes.insert(budget.name.clone(), now + PROBE);
                }
                moving.block(heard.map(|heard| &heard.budget), &why, &mut self.progress);
            }
            Answer::Later(why, after) => {
                let pause = after.or_else(|| moving.pauses.next()).unwrap_or(PROBE);
                moving.stage = Stage::Waiting(now + pause);
                moving.blocked = None;
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
            Event::Init => self.listed_budgets = Some(HashSet::new()),
            Event::InitApply(budget) | Event::Apply(budget) => {
                let budget = Budget::of(&budget);
                if let Some(listed) = &mut self.listed_budgets {
                    listed.insert(budget.name.clone());
                }
                if budget.allowed > 0 {
                    self.probes.remove(&budget.name);
                }
                self.budgets.put(budget);
            }
            Event::InitDone => {
                let listed = self.listed_budgets.take().unwrap_or_default();
                self.budgets.retain(|name| listed.contains(name));
                self.probes.retain(|name, _| listed.contains(name));
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
            cordoned: Some(true),
            took: self.started.elapsed(),
            pods: self.pods.into_values().map(Moving::report).collect(),
        }
    }
}
