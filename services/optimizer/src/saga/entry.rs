//! What stands in a journal.

use std::time::Duration;

use contracts::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::phases::{Action, Outcome, Phase, Subject, Target};

/// Which saga. Users know it as the operation's id.
pub type SagaId = Uuid;

/// Whether a saga changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunMode {
    /// It reads, decides, and tells what it would do.
    Shadow,
    /// It does it.
    Live,
}

/// What a saga begins with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewSaga {
    /// Its id.
    pub id: SagaId,
    /// Whose it is.
    pub user_id: String,
    /// What that user is called; empty in what earlier versions began.
    #[serde(default)]
    pub username: String,
    /// Whether it changes anything.
    pub mode: RunMode,
    /// Its phases, in order.
    pub phases: Vec<Phase>,
    /// What it is about.
    pub target: Target,
}

/// An entry of a journal: never changed once it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place in the journal, from 0.
    pub seq: u32,
    /// When it was written.
    pub at: Timestamp,
    /// The epoch of the lease under which it was written.
    pub epoch: i64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What can happen in a saga.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Event {
    /// It was asked for.
    Started {
        /// Whether it changes anything.
        mode: RunMode,
    },
    /// Another process carries on, because the one before has let it go or has not been heard of.
    TakenOver {
        /// For how many milliseconds nobody has carried it on, of all the time since it was begun.
        #[serde(default)]
        unattended_millis: u64,
    },
    /// A phase was decided. What it does, if it does anything, is done only after this is written.
    Planned {
        /// Which phase.
        phase: Phase,
        /// The decision, for a person.
        why: String,
        /// The numbers that it was made with.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        numbers: Value,
        /// What is to be done now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        action: Option<Action>,
        /// What was learned.
        #[serde(default, skip_serializing_if = "Outcome::is_nothing")]
        outcome: Outcome,
        /// What no other saga may touch until the end of this one.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        subjects: Vec<Subject>,
    },
    /// In shadow mode: it was decided, and is not done.
    Rehearsed {
        /// Which phase.
        phase: Phase,
        /// The decision, for a person.
        why: String,
        /// The numbers that it was made with.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        numbers: Value,
        /// What would be done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        would: Option<Action>,
        /// What was learned.
        #[serde(default, skip_serializing_if = "Outcome::is_nothing")]
        outcome: Outcome,
    },
    /// The cloud or the cluster has taken it on.
    Acted {
        /// Which phase.
        phase: Phase,
        /// What was learned.
        #[serde(default, skip_serializing_if = "Outcome::is_nothing")]
        outcome: Outcome,
    },
    /// It was refused, and certainly not done: the phase is decided anew.
    Refused {
        /// Which phase.
        phase: Phase,
        /// Why.
        why: String,
    },
    /// It is waited for.
    Waiting {
        /// Which phase.
        phase: Phase,
        /// For what, or what has gone wrong for now.
        why: String,
    },
    /// It is seen to be so.
    Done {
        /// Which phase.
        phase: Phase,
        /// What is seen.
        why: String,
        /// What was learned.
        #[serde(default, skip_serializing_if = "Outcome::is_nothing")]
        outcome: Outcome,
    },
    /// It ends before its time: what was done is undone, from the last to the first.
    Abandoned {
        /// In which phase.
        phase: Phase,
        /// What it ends with.
        ending: Ending,
        /// Why.
        why: String,
        /// The numbers that it was decided with.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        numbers: Value,
    },
    /// What was done in a phase is undone.
    Undone {
        /// Which phase.
        phase: Phase,
        /// How.
        why: String,
    },
    /// It could not be undone, or seen whether it is done, for as long as that is tried. All that is left of it stays as it is, for a
    /// person to see to.
    GivenUp {
        /// In which phase.
        phase: Phase,
        /// What has gone wrong last, and what stays.
        why: String,
    },
    /// Nothing more happens.
    Ended {
        /// How it has ended.
        ending: Ending,
        /// For a person.
        why: String,
    },
}

impl Event {
    /// That another process carries on, and for how long nobody has.
    pub(super) fn taken_over(unattended: Duration) -> Self {
        Self::TakenOver { unattended_millis: u64::try_from(unattended.as_millis()).unwrap_or(u64::MAX) }
    }

    /// Whether there is no way back once it is written.
    pub fn is_point_of_no_return(&self) -> bool {
        matches!(self, Self::Planned { phase, action: Some(_), .. } if phase.is_point_of_no_return())
    }
}

/// How a saga ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// All was done; in shadow mode, all would have been.
    Succeeded,
    /// There was no reason to do anything.
    Kept,
    /// It was cancelled, and is undone.
    Cancelled,
    /// It could not be done, and is undone.
    Failed,
}
