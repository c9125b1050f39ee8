//! One seed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use optimizer::{
    phases::Subject,
    saga::{Event, Log, LogError, NewSaga, RunMode, Timing},
};
use tokio::{
    runtime::Builder,
    time::{Instant, sleep, sleep_until},
};

use super::{
    begin,
    case::{AWAY, Cancel, Case, Companion},
    chaos::{Chaos, Counted},
    cluster::Cluster,
    laws,
    lies::Lie,
    nature,
    process::Process,
    story::Story,
    world::{Everything, World},
};
use crate::memory::MemoryLog;

/// So long things go wrong. Everything goes well afterwards, but for what never ends.
const WRONG: Duration = Duration::from_hours(6);
/// After so long a saga must have ended.
const LONGEST: Duration = Duration::from_hours(12);
/// What is hopeless is tried for a day longer.
const HOPELESS: Duration = Duration::from_hours(37);
/// What is on its way when the sagas are over has arrived then.
const AFTERWARDS: Duration = Duration::from_mins(2);

/// What has become of a seed.
pub(super) struct Told {
    /// How each saga has ended.
    pub(super) endings: Vec<String>,
    pub(super) story: Vec<String>,
    pub(super) broken: Vec<String>,
    /// The places at which processes could die.
    pub(super) places: BTreeMap<String, Counted>,
    /// How long it took, in a time of its own.
    pub(super) took: Duration,
}

/// Runs a case to its end, in a time of its own.
pub(super) fn run(case: Case) -> Told {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(simulate(Arc::new(case)))
}

async fn simulate(case: Arc<Case>) -> Told {
    let began = Instant::now();
    let story = Story::new(began);
    let timing = Timing::default();
    let chaos = Arc::new(Chaos::new(&case, timing.call));
    story.tell(format!("{case:?}"));
    let world = begin::world(&case, chaos.clone(), story.clone(), began);
    let lax = matches!(case.lie, Some(Lie::NothingIsTaken | Lie::CancelIsUnheard));
    let log = Arc::new(if lax { MemoryLog::lax() } else { MemoryLog::new() });
    let sagas = begin::sagas(&case, &world);
    let before = world.read(|all, _| seen(all));

    log.begin(&sagas[0], &[]).await.unwrap();
    for name in ["first", "second"] {
        tokio::spawn(Process::new(name, world.clone(), log.clone()).live(timing));
    }
    tokio::spawn(nature::works(world.clone()));
    if let Some((after, stays)) = case.loner {
        let node = Cluster::name_of(&world.setting.instances[case.old]);
        tokio::spawn(nature::debugs(world.clone(), node, after, stays));
    }
    let mut begun = vec![sagas[0].clone()];
    let mut refused = Vec::new();
    match case.cancel {
        Cancel::AtEntry(0) => log.cancel(sagas[0].id),
        Cancel::After(after) => {
            tokio::spawn(cancels(world.clone(), log.clone(), sagas[0].clone(), after));
        }
        Cancel::Never | Cancel::AtEntry(_) => {}
    }
    if case.is_wild() && chaos.fails() {
        let (world, other) = (world.clone(), world.setting.instances[(case.old + 2) % 3].clone());
        tokio::spawn(async move {
            sleep(world.chaos.millis(0, 90_000)).await;
            nature::goes_away(&world, &Cluster::name_of(&other), world.chaos.millis(1000, 60_000)).await;
        });
    }

    let away = if case.is_away_from.is_some() { AWAY } else { Duration::ZERO };
    let longest = away + if case.is_hopeless() { HOPELESS } else { LONGEST };
    let other_begins = began + chaos.millis(0, 40_000);
    let mut over_since = None;
    while began.elapsed() < longest && world.broken().is_empty() {
        if began.elapsed() > WRONG {
            chaos.end();
        }
        if Instant::now() >= other_begins && begun.len() + refused.len() < sagas.len() {
            let other = &sagas[1];
            match log.begin(other, &subjects(&case, other)).await {
                Ok(()) => begun.push(other.clone()),
                Err(LogError::Taken { .. }) => refused.push("refused".to_owned()),
                Err(error) => panic!("{error}"),
            }
            story.tell(format!("another saga is begun: {:?} {refused:?}", case.companion));
        }
        let mut next = world.next_event().unwrap_or(began + longest).min(began + longest);
        if begun.len() + refused.len() < sagas.len() {
            next = next.min(other_begins);
        } else if log.are_over() && world.read(|all, _| all.away.is_empty()) {
            let since = *over_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= AFTERWARDS {
                break;
            }
            next = next.min(since + AFTERWARDS);
        }
        if began.elapsed() <= WRONG {
            next = next.min(began + WRONG + Duration::from_millis(1));
        }
        tokio::select! {
            biased;
            () = world.changed.notified() => {}
            () = sleep_until(next) => {}
        }
    }
    tell(&world, &log, &begun, refused, &before)
}

/// What has become of it.
fn tell(world: &World, log: &MemoryLog, begun: &[NewSaga], refused: Vec<String>, before: &Seen) -> Told {
    let sagas: Vec<_> = begun.iter().map(|saga| (saga.clone(), log.journal(saga.id))).collect();
    let held: Vec<_> = begun.iter().filter_map(|saga| log.held(saga.id)).collect();
    let mut broken = world.broken();
    if broken.is_empty() {
        broken = world.read(|all, _| laws::in_the_end(all, world, &sagas));
        broken.extend(laws::in_turns(&held));
        broken.extend(sagas.iter().find_map(|written| laws::promised(log, written)));
        let is_shadow = begun.iter().all(|saga| saga.mode == RunMode::Shadow);
        if is_shadow && *before != world.read(|all, _| seen(all)) {
            broken.push("something has changed though there were only sagas in shadow mode".to_owned());
        }
    }
    let ending = |(saga, journal): &(NewSaga, Vec<optimizer::saga::Entry>)| {
        let mode = if saga.mode == RunMode::Shadow { "shadow " } else { "" };
        match journal.last().map(|entry| &entry.event) {
            Some(Event::Ended { ending, .. }) => {
                let was_given_up = journal.iter().any(|entry| matches!(entry.event, Event::GivenUp { .. }));
                let what = if was_given_up { " (given up)" } else { "" };
                format!("{mode}{}{what}", serde_json::to_value(ending).unwrap().as_str().unwrap())
            }
            _ => format!("{mode}none"),
        }
    };
    let endings = sagas.iter().map(ending).chain(refused).collect();
    let places = world.chaos.counted();
    Told { endings, broken, places, took: world.story.elapsed(), story: world.story.take() }
}

/// What a saga in shadow mode must leave as it is. Jobs come and go by themselves.
type Seen = (Vec<cloud::Instance>, Vec<cloud::Group>, Cluster);

fn seen(all: &Everything) -> Seen {
    let mut cluster = all.cluster.clone();
    cluster.forget_jobs();
    for node in cluster.nodes.values_mut() {
        node.version = 0;
    }
    (all.cloud.instances().cloned().collect(), all.cloud.groups().collect(), cluster)
}

/// What the other saga has for itself from its beginning, in half of the cases: as the service does, or only when it has looked.
fn subjects(case: &Case, saga: &NewSaga) -> Vec<Subject> {
    let target = &saga.target;
    let at_once = case.seed.is_multiple_of(2) && case.companion == Some(Companion::SameInstance);
    at_once.then(|| Subject::instance(&target.account_id, &target.instance_id)).into_iter().collect()
}

async fn cancels(world: World, log: Arc<MemoryLog>, saga: NewSaga, after: Duration) {
    sleep(after).await;
    world.story.tell("the user cancels");
    log.cancel(saga.id);
}
