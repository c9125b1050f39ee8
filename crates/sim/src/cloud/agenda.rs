//! What is still to happen, in the order of its times, and what has happened.

use std::collections::BTreeMap;
use std::time::Duration;

use cloud::{ClientToken, GroupName, InstanceId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::faults::Change;
use super::hooks::Transition;

/// Something that happened in the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// To which instance.
    pub id: InstanceId,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened to an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// It is pending.
    Launched,
    /// It is running.
    Running,
    /// It is shutting down.
    ShuttingDown,
    /// It is terminated.
    Terminated,
    /// It is a spot instance and will be taken away.
    InterruptionNotice {
        /// Then it is ended.
        ends_at: Timestamp,
    },
    /// It is in service in a group.
    InService {
        /// The group.
        group: GroupName,
    },
    /// It has left a group.
    LeftGroup {
        /// The group.
        group: GroupName,
    },
    /// A lifecycle hook waits to be completed.
    HookWaits {
        /// The group.
        group: GroupName,
        /// The name of the hook.
        hook: String,
        /// What it holds up.
        transition: Transition,
    },
}

/// Something that is due. Whoever does it looks whether there is still a reason to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Due {
    Running(InstanceId),
    Terminated(InstanceId),
    Forgotten(InstanceId),
    TokenForgotten(ClientToken),
    TakenAway(InstanceId),
    Attached(GroupName, InstanceId),
    Detached(GroupName, InstanceId),
    HookTimeout(GroupName, InstanceId, String),
    HealthCheck(GroupName, InstanceId),
    Balance(GroupName),
    /// A call that was not answered reaches the cloud late.
    Late(Box<Change>),
}

/// What is due when. What is due at the same time comes in the order in which it was planned.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Agenda {
    #[serde(with = "in_order")]
    due: BTreeMap<(Timestamp, u64), Due>,
    planned: u64,
}

impl Agenda {
    pub(super) fn plan(&mut self, at: Timestamp, due: Due) {
        self.planned += 1;
        self.due.insert((at, self.planned), due);
    }

    /// The time of what is due first.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes what is due first, if its time has come.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<(Timestamp, Due)> {
        let entry = self.due.first_entry()?;
        let at = entry.key().0;
        (at <= now).then(|| (at, entry.remove()))
    }
}

/// Keys of maps are texts in JSON: what is due is a list there.
mod in_order {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Vec::deserialize(deserializer).map(BTreeMap::from_iter)
    }
}

/// The time that comes so much later.
pub(super) fn after(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}
