//! Which replica of onboarding holds an agent's session, as earlier answers have told.

use std::time::Duration;

use moka::sync::Cache;

/// So many agents are remembered; of others the shared queue is asked.
const MAX_REMEMBERED: u64 = 100_000;
/// An agent of which nobody has asked for so long may be anywhere.
const UNASKED: Duration = Duration::from_mins(10);

/// The owners of agents' sessions. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Owners(Cache<String, Known>);

/// What is known of an agent's last session. That its replica is gone does not make an earlier session one to be heard again.
#[derive(Clone)]
struct Known {
    /// `None`: not where it was.
    queue: Option<String>,
    epoch: u64,
}

/// Who holds an agent's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The replica's queue.
    pub(crate) queue: String,
    /// The session's number: that of an agent's later session is larger.
    pub(crate) epoch: u64,
}

impl Owners {
    pub(crate) fn new() -> Self {
        Self(Cache::builder().max_capacity(MAX_REMEMBERED).time_to_idle(UNASKED).build())
    }

    pub(crate) fn get(&self, agent_id: &str) -> Option<Owner> {
        let Known { queue, epoch } = self.0.get(agent_id)?;
        queue.map(|queue| Owner { queue, epoch })
    }

    /// Takes over what an answer tells; false when a later session of the agent is known already, so that the answer is out of
    /// date.
    pub(crate) fn learn(&self, agent_id: &str, Owner { queue, epoch }: Owner) -> bool {
        let known = self.0.get(agent_id);
        if known.as_ref().is_some_and(|known| known.epoch > epoch) {
            return false;
        }
        if known.is_none_or(|known| known.epoch != epoch || known.queue.as_ref() != Some(&queue)) {
            self.0.insert(agent_id.to_owned(), Known { queue: Some(queue), epoch });
        }
        true
    }

    /// The agent is not to be found there any more.
    pub(crate) fn forget(&self, agent_id: &str, owner: &Owner) {
        if self.get(agent_id).as_ref() == Some(owner) {
            self.0.insert(agent_id.to_owned(), Known { queue: None, epoch: owner.epoch });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(queue: &str, epoch: u64) -> Owner {
        Owner { queue: queue.to_owned(), epoch }
    }

    #[test]
    fn the_latest_session_counts() {
        let owners = Owners::new();
        assert!(owners.learn("a", owner("one", 2)));
        assert!(owners.learn("a", owner("two", 3)));
        assert!(!owners.learn("a", owner("one", 2)), "an answer that comes late");
        assert_eq!(owners.get("a"), Some(owner("two", 3)));
        // The replica has reconnected: another queue, the same session.
        assert!(owners.learn("a", owner("two again", 3)));
        owners.forget("a", &owner("two", 3));
        assert!(owners.get("a").is_some(), "what was learnt meanwhile stays");
        owners.forget("a", &owner("two again", 3));
        assert!(owners.get("a").is_none());
        assert!(!owners.learn("a", owner("one", 2)), "also then it comes too late");
    }
}
