//! Changes that are to have their events, however often the broker goes away.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use anyhow::Result;
use bus::{Bus, BusOptions, EventWatch, Notice};
use contracts::events::EventType;
use testkit::eventually_within;
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::system::{self, System};

/// How often something is changed.
const EVERY: Duration = Duration::from_secs(2);
/// The last events may wait in the outbox until the broker is back.
const LATEST: Duration = Duration::from_secs(60);

/// Makes clusters and listens to their events.
pub(super) struct Changes {
    making: JoinHandle<HashSet<String>>,
    heard: JoinHandle<()>,
    events: std::sync::Arc<std::sync::Mutex<HashSet<String>>>,
}

impl Changes {
    /// Listens on a connection of its own, which nobody disturbs.
    pub(super) async fn start(
        onboarding: SocketAddr,
        system: &System,
        stop: &CancellationToken,
    ) -> Result<Self> {
        let options = BusOptions { prefix: system.queue_prefix().to_owned(), ..BusOptions::default() };
        let bus = Bus::connect(&testkit::amqp_url().into(), options)?;
        bus.ready().await;
        let mut watch: EventWatch = bus.watch_events(&["#"]);
        watch.next().await;
        let events = std::sync::Arc::<std::sync::Mutex<HashSet<String>>>::default();
        let seen = std::sync::Arc::clone(&events);
        let heard = tokio::spawn(async move {
            let _bus = bus;
            while let Some(notice) = watch.next().await {
                if let Notice::Event(event) = notice
                    && event.event_type == EventType::ClusterCreated
                    && let Some(id) = event.data.get("cluster_id").and_then(|id| id.as_str())
                {
                    seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(id.to_owned());
                }
            }
        });
        let (api_key, stop) = (system.api_key.clone(), stop.clone());
        let making = tokio::spawn(async move {
            let client = reqwest::Client::new();
            let mut made = HashSet::new();
            let mut number = 0;
            while stop.run_until_cancelled(sleep(EVERY)).await.is_some() {
                number += 1;
                let name = format!("change-{number}");
                // One that is refused, because something is away, is none.
                if let Ok(made_one) = system::make_cluster(&client, onboarding, &api_key, &name).await {
                    made.insert(made_one.cluster_id);
                }
            }
            made
        });
        Ok(Self { making, heard, events })
    }

    /// How many changes have no event, once the last ones have had their time.
    pub(super) async fn finish(self) -> Result<usize> {
        let made = self.making.await?;
        let missing = || {
            let seen = self.events.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            made.difference(&seen).count()
        };
        let told =
            eventually_within(LATEST, "the last events", async || (missing() == 0).then_some(())).await;
        self.heard.abort();
        println!("changes made: {}, {}", made.len(), told.map_or("not all told", |()| "all told"));
        Ok(missing())
    }
}
