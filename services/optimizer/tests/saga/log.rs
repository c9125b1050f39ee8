//! What every journal keeper does: the same for the databases and for the one of the simulation.

use std::{sync::Arc, time::Duration};

use contracts::Timestamp;
use optimizer::{
    Database,
    phases::{Action, KUBERNETES, Outcome, Phase, Subject, Target},
    saga::{Ending, Entry, Event, Lease, Log, LogError, NewSaga, Owner, RunMode, SagaId},
};
use serde_json::Value;
use store::{Store, test_on_both, testing::TestDatabase};
use uuid::Uuid;

use crate::memory::MemoryLog;

fn saga() -> NewSaga {
    NewSaga {
        id: Uuid::new_v4(),
        user_id: "ada".to_owned(),
        username: "ada".to_owned(),
        mode: RunMode::Live,
        phases: KUBERNETES.to_vec(),
        target: Target {
            account_id: "a".to_owned(),
            instance_id: "i-00000001".parse().unwrap(),
            instance_type: "m5.xlarge".parse().unwrap(),
            zone: "us-east-1a".parse().unwrap(),
            group: None,
            cluster: "shop".parse().unwrap(),
        },
    }
}

const LEASE: Duration = Duration::from_mins(1);

fn entry(lease: Lease, seq: u32, at: Timestamp, event: Event) -> Entry {
    Entry { seq, at, epoch: lease.epoch, event }
}

fn waiting(why: &str) -> Event {
    Event::Waiting { phase: Phase::Join, why: why.to_owned() }
}

fn planned(subject: &str) -> Event {
    Event::Planned {
        phase: Phase::Access,
        why: "found".to_owned(),
        numbers: Value::Null,
        action: None,
        outcome: Outcome::Nothing,
        subjects: vec![Subject(subject.to_owned())],
    }
}

fn ended() -> Event {
    Event::Ended { ending: Ending::Succeeded, why: "done".to_owned() }
}

async fn one_has_a_lease_until_it_ends(log: Arc<dyn Log>) {
    let saga = saga();
    log.begin(&saga, &[]).await.unwrap();
    log.begin(&saga, &[]).await.unwrap();
    let (first, second) = (Owner("first".to_owned()), Owner("second".to_owned()));
    let claimed = log.claim(&first, Duration::ZERO).await.unwrap().expect("nobody has it");
    assert_eq!(claimed.saga, saga);
    assert_eq!(claimed.journal.len(), 1);
    assert_eq!(claimed.lease.epoch, 1);
    // The lease was for no time at all.
    let again = log.claim(&second, LEASE).await.unwrap().expect("its lease is over");
    assert_eq!(again.lease.epoch, 2);
    assert!(log.claim(&first, LEASE).await.unwrap().is_none(), "the second has it");
    assert!(matches!(log.renew(claimed.lease, LEASE).await, Err(LogError::Fenced)));
    let late = entry(claimed.lease, 1, log.now(), waiting("late"));
    assert!(matches!(log.append(claimed.lease, &late).await, Err(LogError::Fenced)));

    assert!(!log.renew(again.lease, LEASE).await.unwrap());
    log.release(again.lease).await.unwrap();
    let third = log.claim(&first, LEASE).await.unwrap().expect("it was let go");
    assert_eq!((third.lease.epoch, third.journal.len()), (3, 1));
}

async fn an_entry_is_written_once(log: Arc<dyn Log>) {
    let saga = saga();
    log.begin(&saga, &[]).await.unwrap();
    let lease = log.claim(&Owner("it".to_owned()), LEASE).await.unwrap().unwrap().lease;
    let first = entry(lease, 1, log.now(), waiting("once"));
    log.append(lease, &first).await.unwrap();
    log.append(lease, &first).await.unwrap();
    let other = entry(lease, 1, log.now(), waiting("something else"));
    assert!(matches!(log.append(lease, &other).await, Err(LogError::Fenced)), "the place is taken");
    let end = entry(lease, 2, log.now(), ended());
    log.append(lease, &end).await.unwrap();
    log.append(lease, &end).await.unwrap();
    assert!(log.claim(&Owner("it".to_owned()), LEASE).await.unwrap().is_none(), "it is over");
}

async fn a_subject_has_one_live_saga(log: Arc<dyn Log>) {
    let (one, two) = (saga(), saga());
    let instance = Subject("instance a/i-00000001".to_owned());
    log.begin(&one, std::slice::from_ref(&instance)).await.unwrap();
    let refused = log.begin(&two, std::slice::from_ref(&instance)).await;
    assert!(matches!(refused, Err(LogError::Taken { by, .. }) if by == one.id));
    log.begin(&two, &[]).await.unwrap();

    let first = log.claim(&Owner("it".to_owned()), LEASE).await.unwrap().unwrap();
    let second = log.claim(&Owner("it".to_owned()), LEASE).await.unwrap().unwrap();
    log.append(first.lease, &entry(first.lease, 1, log.now(), planned("group g"))).await.unwrap();
    let taken = log.append(second.lease, &entry(second.lease, 1, log.now(), planned("group g"))).await;
    assert!(matches!(taken, Err(LogError::Taken { by, .. }) if by == first.saga.id));
    // Nothing was written: the place in the journal is free.
    log.append(first.lease, &entry(first.lease, 2, log.now(), ended())).await.unwrap();
    log.append(second.lease, &entry(second.lease, 1, log.now(), planned("group g"))).await.unwrap();
}

/// What `cancel` does is what a user does.
async fn once_cancelled_there_is_a_way_back(log: Arc<dyn Log>, cancel: impl AsyncFn(SagaId)) {
    let saga = saga();
    log.begin(&saga, &[]).await.unwrap();
    let lease = log.claim(&Owner("it".to_owned()), LEASE).await.unwrap().unwrap().lease;
    let ends_old = |seq| {
        let event = Event::Planned {
            phase: Phase::Terminate,
            why: "it is empty".to_owned(),
            numbers: Value::Null,
            action: Some(Action::Terminate { instance: saga.target.instance_id.clone() }),
            outcome: Outcome::Nothing,
            subjects: Vec::new(),
        };
        entry(lease, seq, log.now(), event)
    };
    let first = ends_old(1);
    log.append(lease, &first).await.unwrap();
    cancel(saga.id).await;
    log.append(lease, &first).await.expect("it was written before, and the answer was lost");
    assert!(matches!(log.append(lease, &ends_old(2)).await, Err(LogError::Cancelled)));
    log.append(lease, &entry(lease, 2, log.now(), waiting("the place is free"))).await.unwrap();
    assert!(log.renew(lease, LEASE).await.unwrap());
}

#[tokio::test]
async fn once_cancelled_there_is_a_way_back_in_memory() {
    let log = Arc::new(MemoryLog::new());
    once_cancelled_there_is_a_way_back(log.clone(), async |id| log.cancel(id)).await;
}

test_on_both! {
    async fn once_cancelled_there_is_a_way_back_in_a_database(place: TestDatabase) -> anyhow::Result<()> {
        let store = Store::open(place.url(), "optimizer").await?;
        let log = Arc::new(Database::open(store.clone()).await?);
        let cancel = async |id: SagaId| {
            let cancel = sqlx::query("UPDATE sagas SET cancel_requested_at = 1 WHERE id = $1");
            cancel.bind(id.to_string()).execute(store.pool()).await.unwrap();
        };
        once_cancelled_there_is_a_way_back(log, cancel).await;
        Ok(())
    }
}

/// Runs a test on each.
macro_rules! everywhere {
    ($($test:ident),*) => {$(
        mod $test {
            use super::*;

            #[tokio::test]
            async fn memory() {
                super::$test(Arc::new(MemoryLog::new())).await;
            }

            #[tokio::test]
            async fn sqlite() {
                let place = TestDatabase::sqlite();
                super::$test(database(&place).await).await;
            }

            #[tokio::test]
            async fn postgres() {
                let place = TestDatabase::postgres().await;
                super::$test(database(&place).await).await;
            }
        }
    )*};
}

async fn database(place: &TestDatabase) -> Arc<dyn Log> {
    let store = Store::open(place.url(), "optimizer").await.unwrap();
    Arc::new(Database::open(store).await.unwrap())
}

everywhere!(one_has_a_lease_until_it_ends, an_entry_is_written_once, a_subject_has_one_live_saga);
