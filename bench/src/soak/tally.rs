//! What became of each request.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::table;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// The answer, whole.
    Answered,
    /// A problem with this code.
    Problem(String),
    /// An answer that had begun and was cut, as the broken connection says.
    Cut,
    /// The caller went away, as it was meant to.
    Left,
    /// No connection, or one that broke, while we had killed the process.
    ProcessDown,
    /// Neither an answer nor an error.
    Lost(String),
}

/// Counts.
#[derive(Default)]
pub(super) struct Tally {
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    fates: BTreeMap<Fate, u64>,
    /// Of the requests that began after the last trouble was over.
    in_peace: BTreeMap<Fate, u64>,
    peace_since: Option<Instant>,
    /// How much later than the deadline the latest answer came.
    latest: Duration,
    late: u64,
    /// Since then, or until then, the process that is asked is down by our doing.
    down_since: Option<Instant>,
    down_until: Option<Instant>,
}

/// A caller may notice so long after a process is up again that it was down.
const AFTERMATH: Duration = Duration::from_secs(1);

impl Tally {
    /// This became of the request that began then.
    pub(super) fn count(&self, start: Instant, fate: Fate) {
        let mut counts = self.lock();
        if counts.peace_since.is_some_and(|since| start >= since) {
            *counts.in_peace.entry(fate.clone()).or_default() += 1;
        }
        *counts.fates.entry(fate).or_default() += 1;
    }

    /// From now on there is no reason not to answer.
    pub(super) fn peace(&self) {
        self.lock().peace_since = Some(Instant::now());
    }

    /// Makes sure that in peace requests were answered, and all of them.
    pub(super) fn all_answered_in_peace(&self) -> Result<()> {
        let counts = self.lock();
        let unanswered = |fate: &Fate| !matches!(fate, Fate::Answered | Fate::Left);
        let other: Vec<_> = counts.in_peace.iter().filter(|(fate, _)| unanswered(fate)).collect();
        ensure!(other.is_empty(), "after all was well again, requests were not answered: {other:?}");
        let answered = counts.in_peace.get(&Fate::Answered).copied().unwrap_or_default();
        println!(
            "answered after all was well again: {answered}, and no other request but those whose caller left"
        );
        ensure!(answered > 0, "after all was well again, no request was answered");
        Ok(())
    }

    /// How many answers came after their deadline.
    pub(super) fn late_ones(&self) -> u64 {
        self.lock().late
    }

    /// An answer came so long after its deadline.
    pub(super) fn late(&self, by: Duration) {
        let mut counts = self.lock();
        counts.late += 1;
        counts.latest = counts.latest.max(by);
    }

    /// The process that is asked is killed.
    pub(super) fn down(&self) {
        let mut counts = self.lock();
        counts.down_since = Some(Instant::now());
        counts.down_until = None;
    }

    /// It is up again.
    pub(super) fn up(&self) {
        self.lock().down_until = Some(Instant::now());
    }

    /// Whether it was down at some time since then.
    pub(super) fn was_down_since(&self, start: Instant) -> bool {
        let counts = self.lock();
        counts.down_since.is_some() && counts.down_until.is_none_or(|until| until + AFTERMATH >= start)
    }

    pub(super) fn lost(&self) -> u64 {
        let counts = self.lock();
        counts.fates.iter().filter(|(fate, _)| matches!(fate, Fate::Lost(_))).map(|(_, count)| count).sum()
    }

    pub(super) fn print(&self) {
        let counts = self.lock();
        let all: u64 = counts.fates.values().sum();
        let rows: Vec<Vec<String>> = counts
            .fates
            .iter()
            .map(|(fate, count)| {
                let name = match fate {
                    Fate::Answered => "answered".to_owned(),
                    Fate::Problem(code) => format!("error {code}"),
                    Fate::Cut => "cut in the midst of the answer".to_owned(),
                    Fate::Left => "caller went away".to_owned(),
                    Fate::ProcessDown => "process killed by us".to_owned(),
                    Fate::Lost(why) => format!("LOST: {why}"),
                };
                vec![name, count.to_string(), format!("{:.2} %", *count as f64 / all.max(1) as f64 * 100.0)]
            })
            .collect();
        table::print(&["requests", "count", "share"], &rows);
        println!(
            "later than deadline + 100 ms: {} of {all}, the latest by {:.0} ms",
            counts.late,
            counts.latest.as_secs_f64() * 1e3
        );
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
