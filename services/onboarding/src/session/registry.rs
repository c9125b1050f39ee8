//! Which agents have a session in this process, or are about to.

use std::{
    collections::HashMap,
    ops::ControlFlow,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use contracts::{
    agent::{RefusalCode, Refused},
    query::SessionMoved,
};
use tokio::sync::watch;
use uuid::Uuid;

use super::SessionHandle;
use crate::store::AgentIdentity;

/// The live sessions by agent id; each agent has one at most.
#[derive(Default)]
pub(crate) struct Registry {
    places: RwLock<Places>,
    /// Told whenever a session is put in, or an opening ends without one.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Places {
    sessions: HashMap<String, SessionHandle>,
    /// Those that are being made this replica's.
    openings: HashMap<String, Vec<Pending>>,
}

/// What is known of a session before it is there.
struct Pending {
    id: Uuid,
    key_id: String,
    /// Its key was revoked meanwhile, or its cluster deleted.
    revoked: Option<Refused>,
    /// A session of this epoch was opened elsewhere meanwhile.
    superseded_by: u64,
}

/// A session that is being opened. Whoever looks for the agent waits for it; dropped, it is given up.
pub(super) struct Opening<'a> {
    registry: &'a Registry,
    agent_id: String,
    id: Uuid,
}

/// Why a session is not put in.
#[derive(Debug)]
pub(super) enum NotInserted {
    /// There are as many sessions as there may be.
    Full,
    /// It is over before it has begun.
    Over(Refused),
}

impl Registry {
    /// From now on what happens to the agent is minded, as if it had a session.
    pub(super) fn begin(&self, identity: &AgentIdentity) -> Opening<'_> {
        let (agent_id, id) = (identity.agent_id.clone(), Uuid::new_v4());
        let pending = Pending { id, key_id: identity.key_id.clone(), revoked: None, superseded_by: 0 };
        self.write().openings.entry(agent_id.clone()).or_default().push(pending);
        Opening { registry: self, agent_id, id }
    }

    /// Whether a session of this agent would be one of `max` at most.
    pub(super) fn takes(&self, agent_id: &str, max: usize) -> bool {
        self.read().has_room(agent_id, max)
    }

    /// Takes a session out, unless another has taken its place.
    pub(super) fn remove(&self, agent_id: &str, session_id: Uuid) {
        self.take(agent_id, |session| session.id() == session_id);
    }

    /// Takes the agent's session out if it is one that is meant.
    fn take(&self, agent_id: &str, is_meant: impl FnOnce(&SessionHandle) -> bool) -> Option<SessionHandle> {
        let mut places = self.write();
        if places.sessions.get(agent_id).is_some_and(is_meant) {
            places.sessions.remove(agent_id)
        } else {
            None
        }
    }

    /// Ends the agent's session, which nobody finds from now on; with `key_id` only one that this key opened.
    pub(crate) fn revoke(&self, agent_id: &str, key_id: Option<&str>, why: &str) {
        let is_meant = |of_session: &str| key_id.is_none_or(|key_id| key_id == of_session);
        let refused = Refused { code: RefusalCode::Revoked, detail: why.to_owned(), retry: false };
        for pending in self.write().openings.get_mut(agent_id).into_iter().flatten() {
            if is_meant(&pending.key_id) {
                pending.revoked = Some(refused.clone());
            }
        }
        if let Some(session) = self.take(agent_id, |session| is_meant(&session.identity().key_id)) {
            session.close(refused);
        }
    }

    /// Ends this session, which nobody finds from now on.
    pub(crate) fn end(&self, session: &SessionHandle, refused: Refused) {
        self.remove(&session.identity().agent_id, session.id());
        session.close(refused);
    }

    /// Ends the agent's session in favour of one that another replica has opened.
    pub(crate) fn supersede(&self, moved: &SessionMoved) {
        for pending in self.write().openings.get_mut(&moved.agent_id).into_iter().flatten() {
            pending.superseded_by = pending.superseded_by.max(moved.epoch);
        }
        if let Some(session) = self.take(&moved.agent_id, |session| session.epoch() < moved.epoch) {
            session.give_way(moved.to);
        }
    }

    pub(crate) fn get(&self, agent_id: &str) -> Option<SessionHandle> {
        self.read().sessions.get(agent_id).cloned()
    }

    /// The agent's session, also one that is just being opened.
    pub(crate) async fn find(&self, agent_id: &str) -> Option<SessionHandle> {
        if let ControlFlow::Break(known) = self.look_for(agent_id) {
            return known;
        }
        let mut changed = self.changed.subscribe();
        loop {
            if let ControlFlow::Break(known) = self.look_for(agent_id) {
                return known;
            }
            // The sender lives as long as the registry.
            let _ = changed.changed().await;
        }
    }

    /// The agent's session, or that it has none; goes on while one is being opened.
    fn look_for(&self, agent_id: &str) -> ControlFlow<Option<SessionHandle>> {
        let places = self.read();
        let session = places.sessions.get(agent_id).cloned();
        if session.is_none() && places.openings.contains_key(agent_id) {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(session)
    }

    pub(crate) fn has(&self, agent_id: &str) -> bool {
        self.read().sessions.contains_key(agent_id)
    }

    /// Whether the agent has a session here, or is about to.
    pub(crate) fn expects(&self, agent_id: &str) -> bool {
        let places = self.read();
        places.sessions.contains_key(agent_id) || places.openings.contains_key(agent_id)
    }

    /// Waits until the agent has a session.
    pub(crate) async fn connected(&self, agent_id: &str) {
        let mut changed = self.changed.subscribe();
        while !self.has(agent_id) {
            // The sender lives as long as the registry.
            let _ = changed.changed().await;
        }
    }

    /// All sessions.
    pub(crate) fn all(&self) -> Vec<SessionHandle> {
        self.read().sessions.values().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.read().sessions.len()
    }

    // No code panics while it holds the lock, so a poisoned one is still good.
    fn read(&self) -> RwLockReadGuard<'_, Places> {
        self.places.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Places> {
        self.places.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    /// An agent that comes back takes the place of its own earlier session.
    fn has_room(&self, agent_id: &str, max: usize) -> bool {
        self.sessions.len() < max || self.sessions.contains_key(agent_id)
    }

    fn end_opening(&mut self, agent_id: &str, id: Uuid) -> Option<Pending> {
        let pending = self.openings.get_mut(agent_id)?;
        let index = pending.iter().position(|pending| pending.id == id)?;
        let ended = pending.swap_remove(index);
        if pending.is_empty() {
            self.openings.remove(agent_id);
        }
        Some(ended)
    }
}

impl Opening<'_> {
    /// Puts the session in place of the agent's earlier one, which is returned, unless there are `max` others, or something
    /// has ended it meanwhile.
    pub(super) fn insert(
        self,
        session: SessionHandle,
        max: usize,
    ) -> Result<Option<SessionHandle>, NotInserted> {
        let mut places = self.registry.write();
        let pending = places.end_opening(&self.agent_id, self.id);
        if let Some(revoked) = pending.as_ref().and_then(|pending| pending.revoked.clone()) {
            return Err(NotInserted::Over(revoked));
        }
        let there = places.sessions.get(&self.agent_id).map_or(0, SessionHandle::epoch);
        if there.max(pending.map_or(0, |pending| pending.superseded_by)) > session.epoch() {
            return Err(NotInserted::Over(replaced()));
        }
        if !places.has_room(&self.agent_id, max) {
            return Err(NotInserted::Full);
        }
        let earlier = places.sessions.insert(self.agent_id.clone(), session);
        drop(places);
        // What is dropped now tells of the change.
        Ok(earlier)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.registry.write().end_opening(&self.agent_id, self.id);
        self.registry.changed.send_replace(());
    }
}

/// What an agent is told, if it still hears it, that has come back by another connection.
pub(super) fn returned() -> Refused {
    let detail = "the agent has come back by another connection";
    Refused { code: RefusalCode::Superseded, detail: detail.to_owned(), retry: true }
}

/// What the older of two agents is told.
pub(super) fn replaced() -> Refused {
    let detail = "another session of this agent was opened; the newer one wins";
    Refused { code: RefusalCode::Replaced, detail: detail.to_owned(), retry: false }
}

#[cfg(test)]
mod tests {
    use contracts::{
        agent::{Hello, PROTOCOL},
        query::Successor,
    };

    use super::{
        super::{Bounds, Budget},
        *,
    };

    fn identity(agent_id: &str) -> AgentIdentity {
        AgentIdentity {
            key_id: format!("key of {agent_id}"),
            agent_id: agent_id.to_owned(),
            cluster_id: format!("cluster of {agent_id}"),
            user_id: "ada".to_owned(),
        }
    }

    fn session(agent_id: &str, epoch: u64) -> SessionHandle {
        let hello = Hello {
            protocol: PROTOCOL,
            agent_id: agent_id.to_owned(),
            agent_version: "1.0.0".to_owned(),
            kubernetes_version: None,
            cluster_name: None,
            capabilities: Vec::new(),
            simulated: false,
            instance: None,
            last_epoch: None,
            moving: false,
        };
        let budget = Budget::new(1);
        let bounds = Bounds { max_sessions: 1, max_questions: 1, shares_answers: false, budget };
        SessionHandle::new(Uuid::new_v4(), epoch, identity(agent_id), hello, &bounds)
    }

    fn insert(registry: &Registry, session: SessionHandle) -> Result<Option<Uuid>, NotInserted> {
        let opening = registry.begin(session.identity());
        Ok(opening.insert(session, 1)?.map(|earlier| earlier.id()))
    }

    #[test]
    fn there_is_room_for_so_many_agents_and_for_each_to_come_back() {
        let registry = Registry::default();
        let (first, again) = (session("a", 1), session("a", 2));
        let (first_id, again_id) = (first.id(), again.id());
        assert_eq!(insert(&registry, first).unwrap(), None);
        assert!(!registry.takes("b", 1));
        assert!(matches!(insert(&registry, session("b", 1)), Err(NotInserted::Full)));
        assert!(!registry.has("b"));
        assert!(registry.takes("a", 1));
        assert_eq!(insert(&registry, again).unwrap(), Some(first_id));
        // The end of the earlier session does not take the newer one with it.
        registry.remove("a", first_id);
        assert!(registry.has("a"));
        registry.remove("a", again_id);
        assert!(insert(&registry, session("b", 1)).is_ok());
    }

    #[test]
    fn what_ends_a_session_ends_one_that_is_being_opened() {
        let registry = Registry::default();
        let moved = SessionMoved { agent_id: "a".to_owned(), epoch: 5, to: Successor::Moving };
        let opening = registry.begin(&identity("a"));
        registry.supersede(&moved);
        assert!(matches!(opening.insert(session("a", 4), 1), Err(NotInserted::Over(_))));
        let opening = registry.begin(&identity("a"));
        registry.supersede(&moved);
        assert!(opening.insert(session("a", 6), 1).is_ok(), "the newer one");
        assert!(
            matches!(insert(&registry, session("a", 5)), Err(NotInserted::Over(_))),
            "an older one comes late"
        );

        let opening = registry.begin(&identity("a"));
        registry.revoke("a", Some("another key"), "why");
        assert!(registry.has("a"));
        registry.revoke("a", Some("key of a"), "why");
        assert!(!registry.has("a"));
        assert!(matches!(opening.insert(session("a", 7), 1), Err(NotInserted::Over(_))));
    }

    #[tokio::test]
    async fn whoever_looks_for_an_agent_waits_for_its_opening() {
        let registry = std::sync::Arc::new(Registry::default());
        assert!(registry.find("a").await.is_none());
        for is_given_up in [true, false] {
            let opening = registry.begin(&identity("a"));
            let finding = tokio::spawn({
                let registry = std::sync::Arc::clone(&registry);
                async move { registry.find("a").await.is_some() }
            });
            tokio::task::yield_now().await;
            if is_given_up {
                drop(opening);
            } else {
                opening.insert(session("a", 1), 1).unwrap();
            }
            assert_eq!(finding.await.unwrap(), !is_given_up);
        }
    }
}
