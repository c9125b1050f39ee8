//! Keeping the directory true: this replica is in it under its present address, replicas that are gone are not, and what it says of
//! this replica's sessions is so.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use contracts::agent::{RefusalCode, Refused};
use futures_util::future::join_all;
use store::StoreError;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Directory, balance};
use crate::{session::SessionHandle, store::HeldSession};

/// How often the other replicas are looked for, and how soon what has failed is tried again.
const LOOK: Duration = Duration::from_secs(1);
/// How often all sessions are looked through, for what could not be written, or was written by somebody who was wrong.
const COMPARE: Duration = Duration::from_secs(30);

/// When what is done now and then is to be done next.
struct Due {
    compare: Instant,
    balance: Instant,
    rebalance_over: Duration,
}

impl Directory {
    /// Keeps the directory until `shutdown`, and then until this replica has no session any more.
    ///
    /// In `rebalance_over` sessions that are too many here are sent to other replicas; never if that is zero.
    pub(crate) async fn run(self, rebalance_over: Duration, sessions_over: CancellationToken) {
        // So that the first one is an increase.
        metrics::counter!("replicas_removed_total").absolute(0);
        let mut address = self.0.presence.address();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = Due {
            compare: Instant::now() + COMPARE,
            balance: Instant::now() + balance::LOOK,
            rebalance_over,
        };
        loop {
            tokio::select! {
                () = sessions_over.cancelled() => break,
                changed = address.changed() => if changed.is_err() { break },
                _ = look.tick() => {}
            }
            let now = address.borrow_and_update().clone();
            let kept = self.keep(now, &mut due).await;
            self.0.is_blind.store(kept.is_err(), Ordering::Relaxed);
            if let Err(error) = kept {
                tracing::warn!(%error, "the directory of replicas is out of date; trying again");
                // Those that are known can still be seen to go.
                let known = self.0.others.borrow().clone();
                let (there, _) = self.apart(known).await;
                self.0.others.send_replace(there);
            }
        }
        self.leave().await;
    }

    async fn keep(&self, address: Option<Arc<str>>, due: &mut Due) -> Result<(), StoreError> {
        let Some(address) = address else {
            // Sessions stay: what is asked of them waits until this replica can be reached again.
            self.0.known_as.send_replace(None);
            return Ok(());
        };
        if self.0.known_as.borrow().as_deref() != Some(&*address) {
            self.join(&address).await?;
        }
        self.look_for_others(&address).await?;
        let now = Instant::now();
        if due.compare <= now {
            due.compare = now + COMPARE;
            self.compare(&address).await?;
        }
        if due.balance <= now && !due.rebalance_over.is_zero() && self.has_others() {
            due.balance = now + balance::LOOK;
            self.balance(&address, due.rebalance_over).await?;
        }
        Ok(())
    }

    /// Becomes known under this address, with all sessions that are still this replica's.
    async fn join(&self, address: &Arc<str>) -> Result<(), StoreError> {
        self.0.known_as.send_replace(None);
        self.0.database.add_replica(address, self.0.database.now()).await?;
        self.reclaim(address, self.0.registry.all()).await?;
        tracing::info!(
            address = &**address,
            sessions = self.0.registry.len(),
            "the other replicas know of this one"
        );
        self.0.known_as.send_replace(Some(Arc::clone(address)));
        Ok(())
    }

    /// Makes sessions this replica's again, and ends those that have moved or whose keys were revoked.
    async fn reclaim(&self, address: &str, sessions: Vec<SessionHandle>) -> Result<(), StoreError> {
        let held: Vec<HeldSession> = sessions.iter().map(held).collect();
        let reclaimed = self.0.database.reclaim_sessions(address, &held).await?;
        for session in sessions.iter().filter(|session| !reclaimed.contains(&session.identity().agent_id)) {
            self.0.registry.end(session, superseded());
        }
        Ok(())
    }

    /// Takes out the replicas that are gone.
    async fn look_for_others(&self, own: &Arc<str>) -> Result<(), StoreError> {
        let addresses = self.0.database.replica_addresses().await?;
        if !addresses.iter().any(|address| **address == **own) && self.0.presence.is_certain() {
            // Somebody has found our queue gone, and we have not yet; or the table was emptied.
            return self.join(own).await;
        }
        let others: Vec<String> = addresses.into_iter().filter(|address| **address != **own).collect();
        let (there, gone) = self.apart(others).await;
        for other in gone {
            if let Some(sessions) = self.0.database.remove_replica(&other).await? {
                metrics::counter!("replicas_removed_total").increment(1);
                tracing::warn!(replica = other, sessions, "a replica is gone");
            }
        }
        self.0.others.send_replace(there);
        metrics::gauge!("replicas_known").set(f64::from(self.replicas()));
        Ok(())
    }

    /// Those replicas that are there, and those that are gone.
    async fn apart(&self, replicas: Vec<String>) -> (Vec<String>, Vec<String>) {
        let is_gone = join_all(replicas.iter().map(|replica| self.0.bus.is_gone(replica))).await;
        let (gone, there): (Vec<_>, Vec<_>) =
            replicas.into_iter().zip(is_gone).partition(|(_, is_gone)| *is_gone);
        let addresses = |some: Vec<(String, bool)>| some.into_iter().map(|(address, _)| address).collect();
        (addresses(there), addresses(gone))
    }

    /// Corrects what the directory says of this replica's sessions.
    async fn compare(&self, own: &Arc<str>) -> Result<(), StoreError> {
        // Before the database is read, so that what is opened meanwhile is not missed in it.
        let mut unwritten = self.0.registry.all();
        let written = self.0.database.sessions_of(own).await?;
        unwritten.retain(|session| {
            let agent_id = &session.identity().agent_id;
            let is_written = |epoch: &i64| u64::try_from(*epoch) == Ok(session.epoch());
            let still = self.0.registry.get(agent_id).is_some_and(|now| now.id() == session.id());
            still && !written.get(agent_id).is_some_and(is_written)
        });
        if !unwritten.is_empty() {
            tracing::info!(sessions = unwritten.len(), "sessions are written again");
            self.reclaim(own, unwritten).await?;
        }
        self.0.database.release_orphans().await?;
        let ended: Vec<_> =
            written.into_iter().filter(|(agent_id, _)| !self.0.registry.expects(agent_id)).collect();
        self.0.database.release_sessions(&ended).await
    }

    /// Takes this replica out, so that nobody looks for agents here, and then its queue.
    async fn leave(&self) {
        self.0.has_left.store(true, Ordering::Relaxed);
        let known_as = self.0.known_as.send_replace(None);
        if let Some(address) = known_as
            && let Err(error) = self.0.database.remove_replica(&address).await
        {
            tracing::warn!(%error, "this replica is still in the directory; another one will take it out");
        }
        self.0.presence.leave();
    }
}

fn held(session: &SessionHandle) -> HeldSession {
    let identity = session.identity();
    HeldSession {
        agent_id: identity.agent_id.clone(),
        epoch: i64::try_from(session.epoch()).unwrap_or(i64::MAX),
        key_id: identity.key_id.clone(),
        instance: session.instance(),
    }
}

/// What an agent is told whose session is not this replica's any more, for whatever reason: it hears of that when it comes back.
fn superseded() -> Refused {
    let detail = "the session was lost to a newer one, or its key was revoked";
    Refused { code: RefusalCode::Superseded, detail: detail.to_owned(), retry: true }
}
