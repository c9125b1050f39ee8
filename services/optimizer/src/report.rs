//! An operation as its user sees it: its journal, told by phases.

use contracts::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    phases::{Outcome, Phase},
    saga::{Ending, Entry, Event, NewSaga, RunMode, SagaId},
    store::Operation,
};

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OperationState {
    /// Nobody has begun with it.
    Pending,
    Running,
    /// What was done is being undone.
    Undoing,
    Succeeded,
    /// There was no reason to do anything.
    Kept,
    Cancelled,
    Failed,
}

impl From<Ending> for OperationState {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Succeeded => Self::Succeeded,
            Ending::Kept => Self::Kept,
            Ending::Cancelled => Self::Cancelled,
            Ending::Failed => Self::Failed,
        }
    }
}

/// How far a phase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PhaseState {
    Pending,
    /// What was decided is being done.
    Running,
    Done,
    /// In shadow mode: decided, and not done.
    Rehearsed,
    /// It, or the whole operation in it, was given up.
    Abandoned,
    Undone,
    /// It could not be undone, or seen to its end, and what there is of it is left.
    GivenUp,
}

/// A phase of an operation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PhaseReport {
    phase: Phase,
    state: PhaseState,
    /// What was decided, and why.
    decision: Option<String>,
    /// The numbers that it was decided with.
    #[schema(value_type = Object)]
    numbers: Value,
    /// What is done, or in shadow mode would be.
    #[schema(value_type = Object)]
    action: Value,
    /// What was seen to be so.
    done: Option<String>,
    /// What is waited for.
    waiting: Option<String>,
    /// What was refused meanwhile.
    refused: Vec<String>,
    /// Why it was given up.
    abandoned: Option<String>,
    /// How it was undone.
    undone: Option<String>,
    began_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
}

/// What the old instance is replaced by.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Replacement {
    #[schema(value_type = String)]
    instance_id: String,
    node: Option<String>,
}

/// An operation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperationReport {
    #[schema(value_type = String)]
    operation_id: SagaId,
    state: OperationState,
    is_shadow_mode: bool,
    /// Present and true when it is in the simulated account.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
    account_id: String,
    instance_id: String,
    cluster_name: String,
    /// In which phase it is, or has ended.
    phase: Option<Phase>,
    /// Why it has ended as it has.
    message: Option<String>,
    replacement: Option<Replacement>,
    phases: Vec<PhaseReport>,
    created_at: Option<Timestamp>,
    cancel_requested_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
}

impl OperationReport {
    /// As the journal tells.
    pub(crate) fn of(operation: &Operation, saga: &NewSaga, journal: &[Entry]) -> Self {
        let mut report = Self {
            operation_id: saga.id,
            state: OperationState::Pending,
            is_shadow_mode: saga.mode == RunMode::Shadow,
            simulated: operation.is_simulated == 1,
            account_id: saga.target.account_id.clone(),
            instance_id: saga.target.instance_id.to_string(),
            cluster_name: saga.target.cluster.to_string(),
            phase: None,
            message: None,
            replacement: None,
            phases: saga.phases.iter().copied().map(PhaseReport::pending).collect(),
            created_at: Timestamp::from_millis(operation.created_at),
            cancel_requested_at: operation.cancel_requested_at.and_then(Timestamp::from_millis),
            ended_at: operation.ended_at.and_then(Timestamp::from_millis),
        };
        for entry in journal {
            report.take(entry);
        }
        report
    }

    fn take(&mut self, entry: &Entry) {
        match &entry.event {
            Event::Started { .. } => return,
            Event::TakenOver { .. } => {}
            Event::Ended { ending, why } => {
                self.state = (*ending).into();
                self.message = Some(why.clone());
                return;
            }
            Event::Abandoned { phase, why, numbers, .. } => {
                self.state = OperationState::Undoing;
                self.phase = Some(*phase);
                let report = self.of_phase(*phase, entry.at);
                report.abandoned = Some(why.clone());
                if !numbers.is_null() {
                    report.numbers = numbers.clone();
                }
                report.end(PhaseState::Abandoned, entry.at);
                return;
            }
            Event::Planned { phase, why, numbers, action, outcome, .. } => {
                self.learn(outcome);
                let is_all = action.is_none();
                let report = self.decided(*phase, why, numbers, serde_json::to_value(action), entry.at);
                report.state = PhaseState::Running;
                if is_all {
                    report.end(PhaseState::Done, entry.at);
                }
            }
            Event::Rehearsed { phase, why, numbers, would, .. } => {
                let report = self.decided(*phase, why, numbers, serde_json::to_value(would), entry.at);
                report.end(PhaseState::Rehearsed, entry.at);
            }
            Event::Acted { outcome, .. } => self.learn(outcome),
            Event::Refused { phase, why } => self.of_phase(*phase, entry.at).refused.push(why.clone()),
            Event::Waiting { phase, why } => self.of_phase(*phase, entry.at).waiting = Some(why.clone()),
            Event::Done { phase, why, outcome } => {
                self.learn(outcome);
                let report = self.of_phase(*phase, entry.at);
                report.done = Some(why.clone());
                report.end(PhaseState::Done, entry.at);
            }
            Event::GivenUp { phase, why } => {
                let report = self.of_phase(*phase, entry.at);
                report.abandoned = Some(why.clone());
                report.end(PhaseState::GivenUp, entry.at);
                return;
            }
            Event::Undone { phase, why } => {
                let report = self.of_phase(*phase, entry.at);
                report.undone = Some(why.clone());
                report.end(PhaseState::Undone, entry.at);
                return;
            }
        }
        if self.state == OperationState::Pending {
            self.state = OperationState::Running;
        }
    }

    fn decided(
        &mut self,
        phase: Phase,
        why: &str,
        numbers: &Value,
        action: serde_json::Result<Value>,
        at: Timestamp,
    ) -> &mut PhaseReport {
        self.phase = Some(phase);
        let report = self.of_phase(phase, at);
        report.decision = Some(why.to_owned());
        report.numbers = numbers.clone();
        report.action = action.unwrap_or_default();
        report.waiting = None;
        report
    }

    fn of_phase(&mut self, phase: Phase, at: Timestamp) -> &mut PhaseReport {
        let place = self.phases.iter().position(|report| report.phase == phase).unwrap_or_else(|| {
            self.phases.push(PhaseReport::pending(phase));
            self.phases.len() - 1
        });
        let report = &mut self.phases[place];
        report.began_at.get_or_insert(at);
        report
    }

    fn learn(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Launched { instance } => {
                self.replacement = Some(Replacement { instance_id: instance.to_string(), node: None });
            }
            Outcome::Joined { node } => {
                if let Some(replacement) = &mut self.replacement {
                    replacement.node = Some(node.clone());
                }
            }
            Outcome::Nothing | Outcome::Found { .. } | Outcome::Drained { .. } => {}
        }
    }
}

impl PhaseReport {
    fn pending(phase: Phase) -> Self {
        Self {
            phase,
            state: PhaseState::Pending,
            decision: None,
            numbers: Value::Null,
            action: Value::Null,
            done: None,
            waiting: None,
            refused: Vec::new(),
            abandoned: None,
            undone: None,
            began_at: None,
            ended_at: None,
        }
    }

    fn end(&mut self, state: PhaseState, at: Timestamp) {
        self.state = state;
        self.waiting = None;
        self.ended_at = Some(at);
    }
}
