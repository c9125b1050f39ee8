//! Callers at a steady rate, who note what becomes of each query.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rand::seq::IndexedRandom;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    client::{self, Client},
    system::{Credentials, System},
};

/// A query and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) agent_id: String,
    pub(super) began: Instant,
    pub(super) took: Duration,
    /// Status and code, where it failed.
    pub(super) failure: Option<String>,
}

/// Dropped, they ask no more.
pub(super) struct Callers {
    asking: Vec<AbortOnDropHandle<()>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Callers {
    /// So many callers ask these agents at random, so often in a second all together.
    pub(super) fn start(system: &System, agents: &[Credentials], callers: usize, rate: u32) -> Self {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let ids: Arc<Vec<String>> = Arc::new(agents.iter().map(|agent| agent.agent_id.clone()).collect());
        let (address, api_key) = (system.addresses.cluster, system.api_key.clone());
        let pause = Duration::from_secs(1) * u32::try_from(callers).unwrap_or(1) / rate.max(1);
        let asking = (0..callers).map(|_| {
            let (ids, asked, api_key) = (Arc::clone(&ids), Arc::clone(&asked), api_key.clone());
            AbortOnDropHandle::new(tokio::spawn(async move {
                let mut ticks = interval(pause);
                // What could not be asked because the one before took long is late from when it was due.
                ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
                let (mut client, mut body) = (None, Vec::new());
                loop {
                    let began = ticks.tick().await.into_std();
                    let Some(agent_id) = ids.choose(&mut rand::rng()).cloned() else { return };
                    let path = format!("/api/v3.0/cluster/namespaces?agent_id={agent_id}");
                    let request = client::get(address, &path, &api_key);
                    let connection = match client.take() {
                        Some(connection) => Ok(connection),
                        None => Client::connect(address).await,
                    };
                    let failure = match connection {
                        Ok(mut connection) => match connection.ask(&request, &mut body).await {
                            Ok(answer) => {
                                client = Some(connection);
                                (answer.status != 200).then(|| format!("{} {}", answer.status, code(&body)))
                            }
                            Err(error) => Some(format!("{error:#}")),
                        },
                        Err(error) => Some(format!("{error:#}")),
                    };
                    let took = began.elapsed();
                    asked.lock().unwrap_or_else(PoisonError::into_inner).push(Asked {
                        agent_id,
                        began,
                        took,
                        failure,
                    });
                }
            }))
        });
        Self { asking: asking.collect(), asked }
    }

    /// Stops, and tells of all queries.
    pub(super) fn stop(self) -> Vec<Asked> {
        drop(self.asking);
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The code of a problem.
fn code(body: &[u8]) -> String {
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    problem["code"].as_str().unwrap_or("no problem").to_owned()
}
