//! Which replica holds which agent's session: kept in the database, and heeded by all replicas.
//!
//! A replica makes a session its own by raising the session's epoch in the database, and tells the replica that held the
//! agent's session before. It welcomes the agent once that one has heeded it, is gone, or has been silent for so long that it does
//! not answer for the agent any more ([`Presence::CERTAINTY`]). So no two replicas answer for one agent, and no clocks are
//! compared.
//!
//! Whether a replica is there is seen from its queue, which the broker takes away with the replica's connection. A replica
//! that finds itself with another queue makes its sessions its own again before it answers, unless they have moved or their keys
//! were revoked meanwhile.

mod balance;
mod ends;
mod keep;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bus::{Bus, Heard, Presence, PublishError, RequestError};
use contracts::{
    agent::Hello,
    events::{Event, EventType},
    query::{SessionMoved, Successor},
};
use futures_util::future::try_join_all;
use rand::seq::IndexedRandom;
use serde_json::json;
use store::StoreError;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use crate::{
    session::Registry,
    store::{AgentIdentity, Claimed, Database, NewSession},
};
use ends::Ended;
pub(crate) use ends::Ends;

/// What ends sessions wherever they are.
const ENDINGS: [&str; 2] = ["agent_key.revoked", "cluster.deleted"];
/// How long an agent waits while this replica cannot be reached by the others.
const PATIENCE: Duration = Duration::from_secs(5);
/// A replica that lives has heeded by then what it is told.
const HEEDED: Duration = Duration::from_secs(2);

/// The directory as this replica keeps it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Directory(Arc<Inner>);

struct Inner {
    bus: Bus,
    database: Database,
    presence: Presence,
    registry: Arc<Registry>,
    /// The address under which the others know of this replica.
    known_as: watch::Sender<Option<Arc<str>>>,
    ended: mpsc::Sender<Ended>,
    /// Besides this one, by their addresses.
    others: watch::Sender<Vec<String>>,
    /// The database did not answer when the directory was kept last.
    is_blind: AtomicBool,
    has_left: AtomicBool,
}

/// Why a session is not this replica's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NotClaimed {
    /// The key was revoked, or the cluster deleted.
    Revoked,
    /// Another process of the agent has the session, and is the newer one.
    Superseded,
    /// It cannot be found out, or the other replicas cannot be told, right now.
    Unavailable,
}

impl Directory {
    /// The directory, and what writes into it which sessions have ended.
    pub(crate) fn new(bus: Bus, database: Database, registry: Arc<Registry>) -> (Self, Ends) {
        let (ended, ends) = Ends::channel(database.clone());
        let heeding = Arc::clone(&registry);
        let presence = Presence::heeding(&ENDINGS, move |heard| heed(&heeding, &heard));
        let directory = Self(Arc::new(Inner {
            bus,
            database,
            presence,
            registry,
            known_as: watch::Sender::new(None),
            ended,
            others: watch::Sender::default(),
            is_blind: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
        }));
        (directory, ends)
    }

    pub(crate) fn presence(&self) -> &Presence {
        &self.0.presence
    }

    /// The address of this replica, while the others know of it and it is certain that it hears them.
    pub(crate) fn address(&self) -> Option<Arc<str>> {
        let known_as = self.known_as()?;
        let is_now = self.0.presence.address().borrow().as_deref() == Some(&*known_as);
        (is_now && self.0.presence.is_certain()).then_some(known_as)
    }

    /// Waits for that.
    pub(crate) async fn ready(&self) -> Arc<str> {
        let mut known_as = self.0.known_as.subscribe();
        loop {
            self.0.presence.certain().await;
            let present = self.0.presence.address().borrow().clone();
            if present.is_none_or(|present| !self.is_known_as(&present)) {
                // The sender lives as long as this.
                let _ = known_as.changed().await;
            } else if let Some(address) = self.address() {
                return address;
            }
        }
    }

    /// Whether this replica has left the directory, with all its sessions.
    pub(crate) fn has_left(&self) -> bool {
        self.0.has_left.load(Ordering::Relaxed)
    }

    /// Whether there are other replicas, to which agents could go.
    pub(crate) fn has_others(&self) -> bool {
        self.replicas() > 1
    }

    /// How many replicas there are, with this one.
    pub(crate) fn replicas(&self) -> u32 {
        u32::try_from(self.0.others.borrow().len() + 1).unwrap_or(u32::MAX)
    }

    /// The addresses of the other replicas that are there, as far as this one can see it.
    pub(crate) fn others(&self) -> Vec<String> {
        if self.address().is_some() { self.0.others.borrow().clone() } else { Vec::new() }
    }

    /// The address of another replica, any.
    pub(crate) fn another(&self) -> Option<String> {
        self.0.others.borrow().choose(&mut rand::rng()).cloned()
    }

    /// Whether this replica could not look at the database when it tried last; it tries each second.
    pub(crate) fn is_blind(&self) -> bool {
        self.0.is_blind.load(Ordering::Relaxed)
    }

    /// The address under which this replica's sessions are kept, also while it cannot be reached by it.
    fn known_as(&self) -> Option<Arc<str>> {
        self.0.known_as.borrow().clone()
    }

    /// Makes the agent's session this replica's; answers also by which address the others know of it.
    pub(crate) async fn claim(
        &self,
        identity: &AgentIdentity,
        hello: &Hello,
    ) -> Result<(Claimed, Arc<str>), NotClaimed> {
        let replica = timeout(PATIENCE, self.ready()).await.map_err(|_| NotClaimed::Unavailable)?;
        let new = NewSession {
            agent_id: &identity.agent_id,
            key_id: &identity.key_id,
            instance: hello.instance,
            last_epoch: hello.last_epoch,
            replica: &replica,
        };
        let database = &self.0.database;
        match database.claim_session(new).await.map_err(|error| unavailable(&error))? {
            Some(claimed) => Ok((claimed, replica)),
            None if database.is_revoked(&identity.key_id).await.map_err(|error| unavailable(&error))? => {
                Err(NotClaimed::Revoked)
            }
            None => {
                let replicas = database.replica_addresses().await.map_err(|error| unavailable(&error))?;
                let is_known = replicas.iter().any(|known| **known == *replica);
                // Else somebody has taken this replica for gone: it will see that, and the agent may try again.
                Err(if is_known { NotClaimed::Superseded } else { NotClaimed::Unavailable })
            }
        }
    }

    /// Sees to it that no replica that held the agent's session before answers for it any more.
    pub(crate) async fn take_over(
        &self,
        identity: &AgentIdentity,
        claimed: &Claimed,
        to: Successor,
    ) -> Result<(), NotClaimed> {
        let own = self.known_as();
        let is_other = |replica: &String| Some(replica.as_str()) != own.as_deref();
        let before: Vec<String> = if claimed.was_settled == 1 {
            claimed.previous_replica.iter().filter(|replica| is_other(replica)).cloned().collect()
        } else {
            // Whoever claimed it last did not come so far as this.
            let all = self.0.database.replica_addresses().await.map_err(|error| unavailable(&error))?;
            all.into_iter().filter(is_other).collect()
        };
        if before.is_empty() && claimed.was_settled == 1 {
            return Ok(());
        }
        let moved = SessionMoved { agent_id: identity.agent_id.clone(), epoch: claimed.epoch(), to };
        try_join_all(before.iter().map(|replica| self.tell(replica, &moved))).await?;
        let settled = self.0.database.settle_session(&identity.agent_id, claimed.epoch).await;
        settled.map_err(|error| unavailable(&error))?;
        metrics::counter!("agent_sessions_taken_over_total").increment(1);
        Ok(())
    }

    /// Tells a replica of a session that is not its own any more; returns once it does not answer for it.
    async fn tell(&self, replica: &str, moved: &SessionMoved) -> Result<(), NotClaimed> {
        match self.0.bus.tell(replica, moved, Instant::now() + HEEDED).await {
            Ok(()) | Err(RequestError::Publish(PublishError::Unroutable { .. }) | RequestError::Lost) => {
                Ok(())
            }
            Err(RequestError::Timeout) => {
                tracing::warn!(replica, "the replica that held an agent's session is silent");
                // It is in its queue, so by then it has either heeded it or does not answer for anybody.
                sleep(Presence::CERTAINTY).await;
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, replica, "the replica that held an agent's session cannot be told");
                Err(NotClaimed::Unavailable)
            }
        }
    }

    /// Whether the others know of this replica by this address, as they did when a session was claimed: else it has been claimed
    /// for nobody, and what has ended it meanwhile was perhaps not heard.
    pub(crate) fn is_known_as(&self, address: &str) -> bool {
        self.0.known_as.borrow().as_deref() == Some(address)
    }

    /// The agent has no session here any more; nobody waits until that is written.
    pub(crate) fn release(&self, agent_id: &str, epoch: u64) {
        // What is not written is found when the sessions are looked through, or released with all others when this process stops.
        let _ = self.0.ended.try_send((agent_id.to_owned(), i64::try_from(epoch).unwrap_or(i64::MAX)));
    }

    /// Tells that the agent was connected twice: another process has taken its place, and it has answered to the last.
    pub(crate) async fn tell_of_duplicate(&self, identity: &AgentIdentity) {
        let now = self.0.database.now();
        let data = json!({"cluster_id": identity.cluster_id, "agent_id": identity.agent_id});
        let event = Event::new(EventType::AgentDuplicated, &identity.user_id, "", now, data);
        if let Err(error) = self.0.database.emit(&event).await {
            tracing::warn!(%error, agent = identity.agent_id, "cannot tell that an agent is there twice");
        }
    }
}

impl Claimed {
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.try_into().unwrap_or(0)
    }

    /// Who this session's agent is to that of the session before.
    pub(crate) fn successor(&self, hello: &Hello) -> Successor {
        let before = self.previous_instance.as_deref().and_then(|before| Uuid::try_parse(before).ok());
        match hello.instance {
            Some(instance) if before == Some(instance) && hello.moving => Successor::Moving,
            Some(instance) if before == Some(instance) => Successor::Returned,
            _ => Successor::Other,
        }
    }

    /// Whether another process than this one had the session until now. Of agents that do not say which they are it is not known.
    pub(crate) fn has_replaced(&self, hello: &Hello) -> bool {
        let is_known = self.previous_instance.is_some() && hello.instance.is_some();
        self.previous_replica.is_some() && is_known && self.successor(hello) == Successor::Other
    }
}

/// Told here, once: the agent is only told to try again.
fn unavailable(error: &StoreError) -> NotClaimed {
    tracing::warn!(%error, "a session cannot be opened");
    NotClaimed::Unavailable
}

/// Heeds, at once, what others say.
fn heed(registry: &Registry, heard: &Heard<SessionMoved>) {
    match heard {
        Heard::Note(moved) => registry.supersede(moved),
        Heard::Event(event) => {
            let Some(agent_id) = event.text("agent_id") else { return };
            match event.event_type {
                EventType::AgentKeyRevoked => {
                    if let Some(key_id) = event.text("key_id") {
                        registry.revoke(agent_id, Some(key_id), "the agent's key was revoked");
                    }
                }
                EventType::ClusterDeleted => registry.revoke(agent_id, None, "the cluster was deleted"),
                _ => {}
            }
        }
    }
}
