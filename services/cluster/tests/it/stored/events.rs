//! Every change has its event, whatever becomes of the broker.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bus::{Bus, BusOptions};
use contracts::{
    events::{Event, EventType},
    queues::CLUSTER_EVENTS,
};
use futures_util::future::try_join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Method;
use store::{test_on_both, testing::TestDatabase};
use testkit::{OwnBroker, TestBus, eventually_within};
use tokio::{
    sync::{Mutex, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::nowhere;
use crate::world::{Service, Setup};

const WORKERS: usize = 8;
/// How often each cluster's credentials are looked at, at once.
const LOOKS: usize = 3;
/// With each cluster so much is done: it is onboarded, looked at and removed.
const CHANGES: usize = LOOKS + 2;
/// Of a broker that is killed again and again, until it has told everything.
const PATIENCE: Duration = Duration::from_secs(120);

test_on_both! {
    async fn every_change_has_its_event_though_the_broker_is_killed(database: TestDatabase) -> Result<()> {
        changes_with_a_broker_that_dies(&database, 60, 1).await
    }
}

#[tokio::test]
#[ignore = "slow: ten thousand changes"]
async fn ten_thousand_changes_have_their_events_in_sqlite() -> Result<()> {
    changes_with_a_broker_that_dies(&TestDatabase::sqlite(), 2000, 4).await
}

#[tokio::test]
#[ignore = "slow: ten thousand changes"]
async fn ten_thousand_changes_have_their_events_in_postgresql() -> Result<()> {
    changes_with_a_broker_that_dies(&TestDatabase::postgres().await, 2000, 4).await
}

/// Does something with so many clusters, by two replicas, and kills the broker so often meanwhile.
async fn changes_with_a_broker_that_dies(
    database: &TestDatabase,
    clusters: usize,
    kills: usize,
) -> Result<()> {
    let mut broker = OwnBroker::new().await?;
    let url = broker.url();
    let bus = TestBus { url: url.as_str().into(), prefix: String::new(), cleanup: None };
    let setup = Setup { database: Some(database.url().clone()), ..Setup::on(&bus) };
    let replicas = Arc::new([setup.service().await?, setup.service().await?]);

    let (done, mut is_done) = watch::channel(0);
    let mut workers = JoinSet::new();
    let ids = Arc::new(Mutex::new(BTreeSet::new()));
    for worker in 0..WORKERS {
        let (replicas, ids, done) = (Arc::clone(&replicas), Arc::clone(&ids), done.clone());
        workers.spawn(async move {
            for number in (worker..clusters).step_by(WORKERS) {
                ids.lock().await.insert(change(&replicas, &format!("c{number}")).await?);
                done.send_modify(|done| *done += 1);
            }
            anyhow::Ok(())
        });
    }
    let mut random = StdRng::seed_from_u64(7);
    for kill in 0..kills {
        // Some are done since the last time, others are under way.
        let share = clusters * (kill + 1) / (kills + 1);
        is_done.wait_for(|done| *done >= share).await?;
        sleep(Duration::from_millis(random.random_range(0..100))).await;
        broker.kill();
        sleep(Duration::from_millis(random.random_range(0..1000))).await;
        broker.start().await?;
    }
    while let Some(worked) = workers.join_next().await {
        worked??;
    }
    let told = collect(&url, clusters * CHANGES).await?;
    ensure!(told.keys().copied().collect::<BTreeSet<_>>() == *ids.lock().await);
    for (id, events) in told {
        let kinds: Vec<&EventType> = events.iter().map(|event| &event.event_type).collect();
        let looks = kinds.iter().filter(|kind| ***kind == EventType::ClusterCredentialsRead).count();
        let is_in_order = kinds.first() == Some(&&EventType::ClusterOnboarded)
            && kinds.last() == Some(&&EventType::ClusterDeleted)
            && looks == LOOKS
            && events.is_sorted_by_key(|event| event.occurred_at.as_millis());
        ensure!(is_in_order, "{id}: {events:?}");
    }
    eventually_within(PATIENCE, "the audit log", async || {
        let count = audited(&replicas[0]).await.ok()?;
        (count == clusters * CHANGES).then_some(())
    })
    .await
}

/// Onboards a cluster, looks at its credentials by both replicas at once, and removes it.
async fn change(replicas: &[Service; 2], name: &str) -> Result<i64> {
    let [first, second] = replicas;
    let id = first.onboard(&first.carol, &nowhere(name)).await?;
    let path = format!("/cluster/{name}/credentials");
    let looking = (0..LOOKS).map(|look| {
        let service = &replicas[look % 2];
        service.get_json(&service.carol, &path)
    });
    try_join_all(looking).await?;
    let removed = second.call(&second.carol, Method::DELETE, &format!("/remove-cluster/{id}"));
    ensure!(removed.send().await?.status() == 200);
    Ok(id)
}

/// The events of each cluster in the order in which they came, once so many different ones have; one that comes again is the same.
async fn collect(url: &str, count: usize) -> Result<BTreeMap<i64, Vec<Event>>> {
    let bus = Bus::connect(&url.into(), BusOptions::default())?;
    let stop = CancellationToken::new();
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    let handle = |batch: Vec<Event>| {
        let sent = batch.into_iter().try_for_each(|event| sender.send(event).map_err(|_| "gone"));
        async move { sent }
    };
    let collecting = async {
        let (mut told, mut seen) = (BTreeMap::<i64, Vec<Event>>::new(), BTreeMap::new());
        while seen.len() < count {
            let event = timeout(PATIENCE, events.recv())
                .await
                .with_context(|| format!("{} of {count} events came", seen.len()))?;
            let event: Event = event.context("the bus is gone")?;
            let id = event.data.get("cluster_id").and_then(serde_json::Value::as_i64).context("an id")?;
            match seen.insert(event.event_id.clone(), event.clone()) {
                None => told.entry(id).or_default().push(event),
                Some(before) => ensure!(before == event, "{before:?} and {event:?}"),
            }
        }
        stop.cancel();
        Ok(told)
    };
    let ((), told) = tokio::join!(bus.consume_events(CLUSTER_EVENTS, stop.clone(), handle), collecting);
    told
}

/// How many entries carol's audit log has.
async fn audited(service: &Service) -> Result<usize> {
    let (mut count, mut cursor) = (0, String::new());
    loop {
        let page = service.get_json(&service.carol, &format!("/api/v1/audit?limit=1000{cursor}")).await?;
        count += page["events"].as_array().context("events")?.len();
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(count),
        }
    }
}
