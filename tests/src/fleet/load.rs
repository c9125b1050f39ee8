//! Queries all the while, and what becomes of each.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use testkit::eventually_within;
use tokio_util::task::AbortOnDropHandle;

use crate::Client;

const SOON: Duration = Duration::from_secs(30);

/// Queries without a pause. Dropped, no more are asked.
pub struct Load {
    asking: Vec<AbortOnDropHandle<()>>,
    tally: Arc<Mutex<Vec<Asked>>>,
}

/// A query and what came of it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Whose agent.
    pub agent_id: String,
    /// When it was asked.
    pub began: Instant,
    /// How long it took.
    pub took: Duration,
    /// Status and code, where it failed.
    pub failure: Option<String>,
}

impl Load {
    pub(super) fn start(
        client: &Client,
        cluster: SocketAddr,
        agent_ids: Vec<String>,
        at_a_time: usize,
    ) -> Self {
        let turn = Arc::new(AtomicUsize::new(0));
        let tally: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let ids = Arc::new(agent_ids);
        let asking = (0..at_a_time).map(|_| {
            let (turn, tally, ids) = (Arc::clone(&turn), Arc::clone(&tally), Arc::clone(&ids));
            let client = client.clone();
            AbortOnDropHandle::new(tokio::spawn(async move {
                loop {
                    let agent_id = &ids[turn.fetch_add(1, Ordering::Relaxed) % ids.len()];
                    let began = Instant::now();
                    let path = format!("http://{cluster}/api/v3.0/cluster/namespaces?agent_id={agent_id}");
                    let failure = match client.get(&path).await {
                        Ok(answer) if answer.status == 200 => None,
                        Ok(answer) => Some(format!("{} {}", answer.status, answer.code())),
                        Err(error) => Some(format!("{error:#}")),
                    };
                    let asked = Asked { agent_id: agent_id.clone(), began, took: began.elapsed(), failure };
                    tally.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
                }
            }))
        });
        Self { asking: asking.collect(), tally }
    }

    /// How many queries have been answered so far.
    pub fn count(&self) -> usize {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits until so many more have been answered.
    ///
    /// # Errors
    /// When that takes longer than half a minute.
    pub async fn goes_on(&self, more: usize) -> Result<()> {
        let until = self.count() + more;
        eventually_within(SOON, "queries to be answered", async || (self.count() >= until).then_some(()))
            .await
    }

    /// Stops, and tells of all queries.
    pub fn stop(self) -> Vec<Asked> {
        drop(self.asking);
        std::mem::take(&mut *self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
