//! Which agents have a session in this process.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use tokio::sync::watch;
use uuid::Uuid;

use super::SessionHandle;

/// The live sessions by agent id; each agent has one at most.
#[derive(Default)]
pub(crate) struct Registry {
    sessions: RwLock<HashMap<String, SessionHandle>>,
    /// Told whenever a session is put in.
    inserted: watch::Sender<()>,
}

/// There are as many sessions as there may be.
#[derive(Debug)]
pub(super) struct Full;

impl Registry {
    /// Puts a session in place of the agent's earlier one, which is returned; `Err` when there are `max` others already.
    pub(super) fn insert(&self, session: SessionHandle, max: usize) -> Result<Option<SessionHandle>, Full> {
        let mut sessions = self.write();
        if !Self::has_room(&sessions, &session.identity().agent_id, max) {
            return Err(Full);
        }
        let earlier = sessions.insert(session.identity().agent_id.clone(), session);
        drop(sessions);
        self.inserted.send_replace(());
        Ok(earlier)
    }

    /// Whether a session of this agent would be one of `max` at most.
    pub(super) fn takes(&self, agent_id: &str, max: usize) -> bool {
        Self::has_room(&self.read(), agent_id, max)
    }

    /// An agent that comes back takes the place of its own earlier session.
    fn has_room(sessions: &HashMap<String, SessionHandle>, agent_id: &str, max: usize) -> bool {
        sessions.len() < max || sessions.contains_key(agent_id)
    }

    /// Takes a session out, unless another has taken its place.
    pub(super) fn remove(&self, agent_id: &str, session_id: Uuid) {
        self.take(agent_id, |session| session.id() == session_id);
    }

    /// Takes the agent's session out if it is one that is meant.
    pub(crate) fn take(
        &self,
        agent_id: &str,
        is_meant: impl FnOnce(&SessionHandle) -> bool,
    ) -> Option<SessionHandle> {
        let mut sessions = self.write();
        if sessions.get(agent_id).is_some_and(is_meant) { sessions.remove(agent_id) } else { None }
    }

    pub(crate) fn get(&self, agent_id: &str) -> Option<SessionHandle> {
        self.read().get(agent_id).cloned()
    }

    pub(crate) fn has(&self, agent_id: &str) -> bool {
        self.read().contains_key(agent_id)
    }

    /// Waits until the agent has a session.
    pub(crate) async fn connected(&self, agent_id: &str) {
        let mut inserted = self.inserted.subscribe();
        while !self.has(agent_id) {
            // The sender lives as long as the registry.
            let _ = inserted.changed().await;
        }
    }

    /// The ids of the user's agents, sorted.
    pub(crate) fn agents_of(&self, user_id: &str) -> Vec<String> {
        let sessions = self.read();
        let theirs =
            sessions.values().map(SessionHandle::identity).filter(|identity| identity.user_id == user_id);
        let mut agents: Vec<String> = theirs.map(|identity| identity.agent_id.clone()).collect();
        agents.sort_unstable();
        agents
    }

    // No code panics while it holds the lock, so a poisoned one is still good.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, SessionHandle>> {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, SessionHandle>> {
        self.sessions.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use contracts::agent::{Hello, PROTOCOL};

    use super::{
        super::{Bounds, Budget},
        *,
    };
    use crate::store::AgentIdentity;

    fn session(agent_id: &str) -> SessionHandle {
        let identity = AgentIdentity {
            key_id: format!("key of {agent_id}"),
            agent_id: agent_id.to_owned(),
            cluster_id: format!("cluster of {agent_id}"),
            user_id: "ada".to_owned(),
        };
        let hello = Hello {
            protocol: PROTOCOL,
            agent_id: agent_id.to_owned(),
            agent_version: "1.0.0".to_owned(),
            kubernetes_version: None,
            cluster_name: None,
            capabilities: Vec::new(),
            simulated: false,
        };
        let budget = Budget::new(1);
        let bounds = Bounds { max_sessions: 1, max_questions: 1, shares_answers: false, budget };
        SessionHandle::new(Uuid::new_v4(), identity, hello, &bounds)
    }

    #[test]
    fn there_is_room_for_so_many_agents_and_for_each_to_come_back() {
        let registry = Registry::default();
        let (first, again) = (session("a"), session("a"));
        let (first_id, again_id) = (first.id(), again.id());
        assert!(registry.insert(first, 1).is_ok_and(|earlier| earlier.is_none()));
        assert!(!registry.takes("b", 1));
        assert!(registry.insert(session("b"), 1).is_err());
        assert!(!registry.has("b"));
        assert!(registry.takes("a", 1));
        let earlier = registry.insert(again, 1).ok().flatten();
        assert_eq!(earlier.map(|earlier| earlier.id()), Some(first_id));
        // The end of the earlier session does not take the newer one with it.
        registry.remove("a", first_id);
        assert!(registry.has("a"));
        registry.remove("a", again_id);
        assert!(registry.insert(session("b"), 1).is_ok());
    }
}
