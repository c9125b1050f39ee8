//! The agent's side of the relay: one session after the other, for as long as the agent runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use backon::BackoffBuilder;
use rustls::ClientConfig;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use uuid::Uuid;

use crate::{Timing, cluster::Cluster, config::Config, vitals::Vitals};

mod connect;
mod heartbeat;
mod in_flight;
mod pack;
mod session;
mod socket;
mod successor;

use session::Ended;

/// New attempts to open a session, by `reason` (`lost`, `rejected`, `replaced`, `going_away`).
const RETRIES: &str = "agent_session_retries_total";

/// What each session needs.
pub(crate) struct Relay {
    pub(crate) config: Config,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) vitals: Vitals,
    /// Absent for an endpoint without TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) process: Process,
}

/// What the relay tells this process by from others with the same id, and from its own earlier sessions.
pub(crate) struct Process {
    instance: Uuid,
    /// The epoch of the last session; 0 before the first.
    epoch: AtomicU64,
}

impl Default for Process {
    fn default() -> Self {
        Self { instance: Uuid::new_v4(), epoch: AtomicU64::new(0) }
    }
}

impl Process {
    fn last_epoch(&self) -> Option<u64> {
        Some(self.epoch.load(Ordering::Relaxed)).filter(|epoch| *epoch > 0)
    }

    /// A session was opened. Relays of version 1.0 tell no epoch.
    fn opened(&self, epoch: Option<u64>) {
        self.epoch.store(epoch.unwrap_or(0), Ordering::Relaxed);
    }
}

/// Why a session ended, or was not opened.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The agent is to stop.
    Shutdown,
    /// The connection failed or was lost.
    Lost(String),
    /// The server says that trying again makes no sense with this key.
    Rejected(String),
    /// Another agent with the same id has the session now.
    Replaced(String),
    /// The server closes in peace and names the time to come back.
    GoingAway(Duration),
}

impl End {
    /// For a person.
    fn reason(&self) -> String {
        match self {
            Self::Shutdown => "the agent stops".to_owned(),
            Self::GoingAway(_) => "the relay is going away".to_owned(),
            Self::Lost(reason) | Self::Rejected(reason) | Self::Replaced(reason) => reason.clone(),
        }
    }

    /// Before the next attempt, where the relay does not want this agent now.
    fn long_pause(&self, timing: &Timing) -> Option<Duration> {
        let pause = match self {
            Self::Rejected(_) => timing.rejected,
            Self::Replaced(_) => timing.replaced,
            Self::Shutdown | Self::GoingAway(_) | Self::Lost(_) => return None,
        };
        Some(spread(pause, 0.8, 1.2))
    }
}

impl Relay {
    /// Keeps a session open until `shutdown`.
    pub(crate) async fn run(self: &Arc<Self>, shutdown: &CancellationToken) {
        let timing = &self.config.timing;
        let mut backoff = timing.reconnect.build();
        let mut next = None;
        // Sessions before, whose last answers are still sent.
        let mut earlier_ones: Vec<AbortOnDropHandle<()>> = Vec::new();
        while !shutdown.is_cancelled() {
            let started = Instant::now();
            let end = match session::run(self, next.take(), shutdown).await {
                Ended::Over(end) => end,
                Ended::Moved { opened, earlier } => {
                    next = Some(opened);
                    earlier_ones.retain(|earlier| !earlier.is_finished());
                    earlier_ones.extend(earlier);
                    continue;
                }
            };
            self.vitals.disconnected(&end.reason());
            let was_settled = started.elapsed() >= timing.settled;
            if was_settled {
                backoff = timing.reconnect.build();
            }
            let short = backoff.next().unwrap_or(timing.rejected);
            let pause = match end {
                End::Shutdown => break,
                // Not at once, even if the server says so: it may say so again and again.
                End::GoingAway(after) => spread(after, 1.0, 1.2).max(short),
                End::Lost(_) if was_settled => rand::random_range(timing.scatter.clone()),
                End::Rejected(_) | End::Replaced(_) | End::Lost(_) => end.long_pause(timing).unwrap_or(short),
            };
            report(&end, pause);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }
}

fn report(end: &End, pause: Duration) {
    let retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    let label = match end {
        End::Shutdown => return,
        End::GoingAway(_) => {
            tracing::info!(retry_in_ms, "the relay is going away");
            "going_away"
        }
        End::Lost(reason) => {
            tracing::warn!(reason, retry_in_ms, "no session with the relay");
            "lost"
        }
        End::Rejected(reason) => {
            let advice = "check AGENT_ID and API_KEY, or install the agent anew";
            tracing::error!(reason, retry_in_ms, advice, "the relay does not accept this agent");
            "rejected"
        }
        End::Replaced(reason) => {
            let advice = "run one copy of the agent only";
            tracing::error!(reason, retry_in_ms, advice, "another agent with this id is connected");
            "replaced"
        }
    };
    metrics::counter!(RETRIES, "reason" => label).increment(1);
}

/// A random time from `low` to `high` times as long, so that agents that were sent away together do not come back
/// together.
fn spread(pause: Duration, low: f64, high: f64) -> Duration {
    pause.mul_f64(rand::random_range(low..=high))
}
