//! Journals in memory, for the simulation.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use contracts::Timestamp;
use optimizer::{
    phases::{Action, Subject},
    saga::{Claimed, Entry, Event, Lease, Log, LogError, NewSaga, Owner, RunMode, SagaId, State},
};
use tokio::time::Instant;

/// The time at which it begins.
pub(crate) const BEGINNING: i64 = 1_790_000_000_000;

pub(crate) struct MemoryLog {
    began: Instant,
    sagas: Mutex<BTreeMap<SagaId, Row>>,
    /// Whether two sagas may have the same, and one that is cancelled passes the point of no return.
    is_lax: bool,
}

/// What a lease says of whoever has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) mode: RunMode,
    /// Nobody else has taken the saga on.
    pub(crate) is_held: bool,
    /// It was let go: what was on its way then may still come.
    pub(crate) was_released: bool,
}

struct Row {
    saga: NewSaga,
    journal: Vec<Entry>,
    subjects: Vec<Subject>,
    epoch: i64,
    released: BTreeSet<i64>,
    lease_until: Timestamp,
    /// For how long nobody has carried it on.
    unattended: Duration,
    is_cancelled: bool,
    /// Whether whoever cancelled it was promised that the old instance stays.
    is_promised: bool,
    is_over: bool,
    /// When it has taken something for itself alone, and when it has let it go.
    held: (Option<Instant>, Option<Instant>),
}

impl Row {
    fn is_free(&self, now: Timestamp) -> bool {
        !self.is_over && self.lease_until <= now
    }
}

impl MemoryLog {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), sagas: Mutex::default(), is_lax: false }
    }

    /// One in which two sagas may have the same, and one that is cancelled passes the point of no return.
    pub(crate) fn lax() -> Self {
        Self { is_lax: true, ..Self::new() }
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<SagaId, Row>> {
        self.sagas.lock().unwrap()
    }

    pub(crate) fn journal(&self, id: SagaId) -> Vec<Entry> {
        self.rows()[&id].journal.clone()
    }

    pub(crate) fn entries(&self, id: SagaId) -> usize {
        self.rows()[&id].journal.len()
    }

    /// Whether there is a saga to take on.
    pub(crate) fn has_free(&self) -> bool {
        let now = self.now();
        self.rows().values().any(|row| row.is_free(now))
    }

    pub(crate) fn are_over(&self) -> bool {
        self.rows().values().all(|row| row.is_over)
    }

    /// The saga with the first id.
    pub(crate) fn first(&self) -> Option<SagaId> {
        self.rows().keys().next().copied()
    }

    pub(crate) fn holds(&self, lease: Lease) -> Held {
        let row = &self.rows()[&lease.saga];
        Held {
            mode: row.saga.mode,
            is_held: row.epoch == lease.epoch,
            was_released: row.released.contains(&lease.epoch),
        }
    }

    /// From when until when a saga that is over had something for itself alone; `None` when it never had.
    pub(crate) fn held(&self, id: SagaId) -> Option<(Instant, Instant)> {
        let (from, to) = self.rows()[&id].held;
        from.zip(to)
    }

    /// Whether what was done is undone.
    pub(crate) fn goes_back(&self, id: SagaId) -> bool {
        self.rows()[&id].journal.iter().any(|entry| matches!(entry.event, Event::Abandoned { .. }))
    }

    /// Whether it was decided to end the old instance.
    pub(crate) fn ends_old(&self, id: SagaId) -> bool {
        let is_end = |entry: &Entry| {
            matches!(entry.event, Event::Planned { action: Some(Action::Terminate { .. }), .. })
        };
        self.rows()[&id].journal.iter().any(is_end)
    }

    pub(crate) fn cancel(&self, id: SagaId) {
        let mut rows = self.rows();
        let row = rows.get_mut(&id).unwrap();
        row.is_cancelled = true;
        row.is_promised |= State::of(&row.saga, &row.journal).can_be_cancelled();
    }

    /// Whether it was cancelled while there was a way back.
    pub(crate) fn is_promised(&self, id: SagaId) -> bool {
        self.rows()[&id].is_promised
    }
}

impl MemoryLog {
    fn take(
        &self,
        rows: &mut BTreeMap<SagaId, Row>,
        saga: SagaId,
        subjects: &[Subject],
    ) -> Result<(), LogError> {
        for subject in subjects.iter().filter(|_| !self.is_lax) {
            let other =
                rows.iter().find(|(id, row)| **id != saga && !row.is_over && row.subjects.contains(subject));
            if let Some((by, _)) = other {
                return Err(LogError::Taken { subject: subject.clone(), by: *by });
            }
        }
        if let Some(row) = rows.get_mut(&saga) {
            row.subjects.extend_from_slice(subjects);
        }
        Ok(())
    }
}

#[async_trait]
impl Log for MemoryLog {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(BEGINNING).unwrap().plus(self.began.elapsed())
    }

    async fn begin(&self, saga: &NewSaga, subjects: &[Subject]) -> Result<(), LogError> {
        let now = self.now();
        let mut rows = self.rows();
        if rows.contains_key(&saga.id) {
            return Ok(());
        }
        self.take(&mut rows, saga.id, subjects)?;
        let entry = Entry { seq: 0, at: now, epoch: 0, event: Event::Started { mode: saga.mode } };
        let row = Row {
            saga: saga.clone(),
            journal: vec![entry],
            subjects: subjects.to_vec(),
            epoch: 0,
            released: BTreeSet::new(),
            lease_until: now,
            unattended: Duration::ZERO,
            is_cancelled: false,
            is_promised: false,
            is_over: false,
            held: (None, None),
        };
        rows.insert(saga.id, row);
        Ok(())
    }

    async fn claim(&self, _owner: &Owner, lease: Duration) -> Result<Option<Claimed>, LogError> {
        let now = self.now();
        let mut rows = self.rows();
        let free = rows.values_mut().find(|row| row.is_free(now));
        Ok(free.map(|row| {
            row.epoch += 1;
            let idle = u64::try_from(now.millis_since(row.lease_until)).unwrap_or_default();
            row.unattended += Duration::from_millis(idle);
            row.lease_until = now.plus(lease);
            let lease = Lease { saga: row.saga.id, epoch: row.epoch };
            let (saga, journal) = (row.saga.clone(), row.journal.clone());
            Claimed { saga, journal, lease, unattended: row.unattended }
        }))
    }

    async fn renew(&self, lease: Lease, duration: Duration) -> Result<bool, LogError> {
        let until = self.now().plus(duration);
        let mut rows = self.rows();
        let row = rows.get_mut(&lease.saga).filter(|row| row.epoch == lease.epoch).ok_or(LogError::Fenced)?;
        row.lease_until = until;
        Ok(row.is_cancelled)
    }

    async fn append(&self, lease: Lease, entry: &Entry) -> Result<(), LogError> {
        let mut rows = self.rows();
        let row = rows.get_mut(&lease.saga).ok_or(LogError::Fenced)?;
        if let Some(there) = row.journal.get(entry.seq as usize) {
            return if there == entry && row.epoch == lease.epoch { Ok(()) } else { Err(LogError::Fenced) };
        }
        if row.epoch != lease.epoch || row.is_over {
            return Err(LogError::Fenced);
        }
        if row.is_cancelled && !self.is_lax && entry.event.is_point_of_no_return() {
            return Err(LogError::Cancelled);
        }
        if let Event::Planned { subjects, .. } = &entry.event {
            self.take(&mut rows, lease.saga, subjects)?;
        }
        let row = rows.get_mut(&lease.saga).unwrap();
        row.journal.push(entry.clone());
        row.is_over = matches!(entry.event, Event::Ended { .. });
        match &entry.event {
            Event::Planned { subjects, .. } if !subjects.is_empty() => row.held.0 = Some(Instant::now()),
            Event::Ended { .. } => row.held.1 = Some(Instant::now()),
            _ => {}
        }
        Ok(())
    }

    async fn release(&self, lease: Lease) -> Result<(), LogError> {
        let now = self.now();
        if let Some(row) = self.rows().get_mut(&lease.saga).filter(|row| row.epoch == lease.epoch) {
            row.lease_until = now;
            row.released.insert(lease.epoch);
        }
        Ok(())
    }
}
