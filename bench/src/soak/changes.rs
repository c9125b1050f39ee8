//! Changes that are to have their events, however often the broker goes away.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use bus::{Bus, BusOptions, EventWatch, Notice};
use contracts::events::EventType;
use testkit::eventually_within;
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::system::{self, System};

/// How often something is changed.
const EVERY: Duration = Duration::from_secs(2);
/// The last events may wait in the outbox until the broker is back.
const LATEST: Duration = Duration::from_secs(60);
/// A change and its event are not made at the very same time.
const MARGIN: Duration = Duration::from_secs(2);

/// Makes clusters and listens to their events.
pub(super) struct Changes {
    making: JoinHandle<HashMap<String, Instant>>,
    heard: Arc<Mutex<Heard>>,
    _listening: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Heard {
    clusters: HashSet<String>,
    /// Whoever listens has missed what was said since it last heard something, and until then.
    gaps: Vec<(Instant, Instant)>,
}

impl Heard {
    /// Whether the event was heard, or could not be.
    fn accounts_for(&self, cluster: &str, made: Instant) -> bool {
        let missed = |(from, to): &(Instant, Instant)| made + MARGIN >= *from && made <= *to + MARGIN;
        self.clusters.contains(cluster) || self.gaps.iter().any(missed)
    }
}

impl Changes {
    pub(super) async fn start(system: &System, broker_url: String, stop: &CancellationToken) -> Result<Self> {
        let options = BusOptions { prefix: system.queue_prefix().to_owned(), ..BusOptions::default() };
        let bus = Bus::connect(&broker_url.into(), options)?;
        bus.ready().await;
        let mut watch = bus.watch_events(&["#"]);
        watch.next().await;
        let heard = Arc::<Mutex<Heard>>::default();
        let listening = tokio::spawn(listen(bus, watch, Arc::clone(&heard)));
        let (api_key, onboarding, stop) = (system.api_key.clone(), system.addresses.onboarding, stop.clone());
        let making = tokio::spawn(async move {
            let client = reqwest::Client::new();
            let mut made = HashMap::new();
            let mut number = 0;
            while stop.run_until_cancelled(sleep(EVERY)).await.is_some() {
                number += 1;
                let name = format!("change-{number}");
                // One that is refused, because something is away, is none.
                if let Ok(made_one) = system::make_cluster(&client, onboarding, &api_key, &name).await {
                    made.insert(made_one.cluster_id, Instant::now());
                }
            }
            made
        });
        Ok(Self { making, heard, _listening: AbortOnDropHandle::new(listening) })
    }

    /// How many changes have no event, once the last ones have had their time.
    pub(super) async fn finish(self) -> Result<usize> {
        let made = self.making.await?;
        let missing = |heard: &Heard| made.iter().filter(|(id, at)| !heard.accounts_for(id, **at)).count();
        let all = async || (missing(&lock(&self.heard)) == 0).then_some(());
        // What is missing is told below.
        let _ = eventually_within(LATEST, "the last events", all).await;
        let heard = lock(&self.heard);
        let told = made.keys().filter(|id| heard.clusters.contains(*id)).count();
        println!(
            "changes made: {}; events heard of {told}; {} made while the listener itself was cut off",
            made.len(),
            made.len() - told - missing(&heard)
        );
        Ok(missing(&heard))
    }
}

async fn listen(bus: Bus, mut watch: EventWatch, heard: Arc<Mutex<Heard>>) {
    let _bus = bus;
    let mut last = Instant::now();
    while let Some(notice) = watch.next().await {
        let mut heard = lock(&heard);
        match notice {
            Notice::Gap => heard.gaps.push((last, Instant::now())),
            Notice::Event(event) if event.event_type == EventType::ClusterCreated => {
                let id = event.data.get("cluster_id").and_then(|id| id.as_str());
                heard.clusters.extend(id.map(str::to_owned));
            }
            Notice::Event(_) => {}
        }
        last = Instant::now();
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}
