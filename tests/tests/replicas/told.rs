//! What all replicas together tell of clusters and agents, by events.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use bus::Notice;
use contracts::events::EventType;
use system_tests::Fleet;
use testkit::eventually_within;
use tokio_util::task::AbortOnDropHandle;

const PATIENCE: Duration = Duration::from_secs(60);

/// How often each event was told of each agent.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<BTreeMap<(String, String), usize>>>);

impl Told {
    /// Listens from now on, for as long as the handle is held.
    pub(crate) async fn listen(fleet: &Fleet) -> Result<(Self, AbortOnDropHandle<()>)> {
        let bus = fleet.bus().await?;
        let mut watch = bus.watch_events(&["cluster.*", "agent.*"]);
        let Some(Notice::Gap) = watch.next().await else { bail!("events cannot be heard") };
        let told = Self::default();
        let telling = told.clone();
        let listening = tokio::spawn(async move {
            let _bus = bus;
            while let Some(notice) = watch.next().await {
                let Notice::Event(event) = notice else { continue };
                let agent = event.text("agent_id").unwrap_or_default().to_owned();
                *telling.lock().entry((event.routing_key(), agent)).or_default() += 1;
            }
        });
        Ok((told, AbortOnDropHandle::new(listening)))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often an event of this type was told of each agent.
    fn counts(&self, event_type: &EventType) -> Vec<usize> {
        let topic = event_type.routing_key();
        self.lock().iter().filter(|((told, _), _)| *told == topic).map(|(_, count)| *count).collect()
    }

    /// How often an event of this type was told.
    pub(crate) fn count(&self, event_type: &EventType) -> usize {
        self.counts(event_type).iter().sum()
    }

    /// Waits until it was told of each of so many agents so many times, and not yet more often.
    pub(crate) async fn of_each(&self, agents: usize, event_type: EventType, times: usize) -> Result<()> {
        eventually_within(PATIENCE, &event_type.routing_key(), async || {
            let counts = self.counts(&event_type);
            (counts.len() == agents && counts.iter().all(|count| *count >= times)).then_some(())
        })
        .await?;
        let counts = self.counts(&event_type);
        ensure!(counts.iter().all(|count| *count == times), "{event_type:?}: {counts:?}");
        Ok(())
    }
}
