//! What a journal amounts to, and what comes next.

use std::time::Duration;

use contracts::Timestamp;

use super::{Ending, Entry, Event, NewSaga, RunMode};
use crate::phases::{Action, Facts, Phase, SAGA_TAG};

/// Where a saga is. Made of its journal alone.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    mode: RunMode,
    phases: Vec<Phase>,
    /// The phase that it is in; after the last, as many as there are.
    index: usize,
    stage: Stage,
    /// Since when nothing has been decided in it, or it goes back.
    since: Option<Timestamp>,
    /// For how long nobody has carried it on.
    unattended: Duration,
    /// The same, when what is waited for now began.
    unattended_before: Duration,
    direction: Direction,
    /// Whether what is left was given up.
    has_given_up: bool,
    /// What has been done or begun, and so is undone from the last to the first.
    to_undo: Vec<Begun>,
    /// What has been learned.
    facts: Facts,
    /// The place of the next entry.
    next_seq: u32,
}

/// What has been done, or begun.
#[derive(Clone, Debug, PartialEq)]
struct Begun {
    phase: Phase,
    action: Action,
    /// Since then nobody does it any more: what of it was on its way then is to come.
    since: Timestamp,
}

/// How far the current phase is.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// Nothing is decided.
    Fresh,
    /// It was decided at this time to do this; whether it was done is not known.
    Planned(Action, Timestamp),
    /// It was done; whether it has taken effect is not known.
    Acted(Action, Timestamp),
}

/// Where a saga goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To its end.
    Forward,
    /// Back to its beginning.
    Back(Ending, String),
    /// It is over.
    Ended(Ending, String),
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Decide a phase.
    Plan(Phase),
    /// Do what was decided.
    Act(Phase, Action),
    /// See whether it has taken effect.
    Observe(Phase, Action),
    /// Undo what was done in a phase, when all has come that was on its way at this time.
    Undo(Phase, Action, Timestamp),
    /// Write down the end.
    End(Ending, String),
    /// Nothing.
    Nothing,
}

impl State {
    /// As it is at the start.
    pub fn new(saga: &NewSaga) -> Self {
        Self {
            mode: saga.mode,
            phases: saga.phases.clone(),
            index: 0,
            stage: Stage::Fresh,
            since: None,
            unattended: Duration::ZERO,
            unattended_before: Duration::ZERO,
            direction: Direction::Forward,
            has_given_up: false,
            to_undo: Vec::new(),
            facts: Facts::new(saga.id, saga.target.clone()),
            next_seq: 0,
        }
    }

    /// As its journal tells.
    pub fn of<'a>(saga: &NewSaga, journal: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut state = Self::new(saga);
        for entry in journal {
            state.apply(entry);
        }
        state
    }

    /// Takes in the next entry.
    pub fn apply(&mut self, entry: &Entry) {
        self.next_seq = entry.seq + 1;
        match &entry.event {
            Event::Started { .. } => self.since = Some(entry.at),
            Event::TakenOver { unattended_millis } => {
                self.unattended = Duration::from_millis(*unattended_millis);
            }
            Event::Waiting { .. } => {}
            Event::Planned { action, outcome, .. } => {
                self.facts.learn(outcome);
                match action {
                    Some(action) if action.only_waits() => {
                        self.stage = Stage::Acted(action.clone(), entry.at);
                    }
                    Some(action) => self.stage = Stage::Planned(action.clone(), entry.at),
                    None => self.go_on(entry.at),
                }
            }
            Event::Rehearsed { outcome, .. } => {
                self.facts.learn(outcome);
                self.go_on(entry.at);
            }
            Event::Acted { outcome, .. } => {
                self.facts.learn(outcome);
                if let Stage::Planned(action, _) = &self.stage {
                    self.stage = Stage::Acted(action.clone(), entry.at);
                }
            }
            Event::Refused { .. } => {
                if let Stage::Planned(action, _) = &self.stage {
                    self.facts.refused.push(action.clone());
                }
                self.begin_afresh(entry.at);
            }
            Event::Done { phase, outcome, .. } => {
                self.facts.learn(outcome);
                self.keep_for_undoing(*phase, entry.at);
                if phase.is_point_of_no_return() {
                    // From here on it would do harm to undo anything.
                    self.to_undo.clear();
                }
                self.go_on(entry.at);
            }
            Event::Abandoned { phase, ending, why, .. } => {
                self.keep_for_undoing(*phase, entry.at);
                self.begin_afresh(entry.at);
                self.direction = Direction::Back(*ending, why.clone());
            }
            Event::Undone { .. } => {
                self.to_undo.pop();
            }
            Event::GivenUp { why, .. } => {
                // One that cannot be undone holds up what was done before it: what is on a node that cannot be emptied keeps its instance.
                self.to_undo.clear();
                self.begin_afresh(entry.at);
                self.has_given_up = true;
                let why = match &self.direction {
                    Direction::Back(_, first) => format!("{first}; then {why}"),
                    Direction::Forward | Direction::Ended(..) => why.clone(),
                };
                self.direction = Direction::Back(Ending::Failed, why);
            }
            Event::Ended { ending, why } => self.direction = Direction::Ended(*ending, why.clone()),
        }
        let goes_on_waiting =
            matches!(entry.event, Event::TakenOver { .. } | Event::Waiting { .. } | Event::Undone { .. });
        if !goes_on_waiting {
            self.unattended_before = self.unattended;
        }
    }

    fn go_on(&mut self, now: Timestamp) {
        self.begin_afresh(now);
        self.index += 1;
    }

    fn begin_afresh(&mut self, now: Timestamp) {
        self.stage = Stage::Fresh;
        self.since = Some(now);
    }

    /// What was begun may have been done, and is to be undone like what was.
    fn keep_for_undoing(&mut self, phase: Phase, now: Timestamp) {
        let begun = match &self.stage {
            Stage::Fresh => None,
            Stage::Planned(action, _) => Some((action, now)),
            // It was heard that it is done; an earlier call of which nobody has heard may still come and do it again.
            Stage::Acted(action, at) => Some((action, *at)),
        };
        // Once the old instance is ended, what has taken its place stays.
        let is_kept = self.is_committed();
        if let Some((action, since)) = begun.filter(|(action, _)| action.can_be_undone() && !is_kept) {
            self.to_undo.push(Begun { phase, action: action.clone(), since });
        }
        self.stage = Stage::Fresh;
    }

    /// What is to be done next.
    pub fn next(&self) -> Next {
        match &self.direction {
            Direction::Ended(..) => Next::Nothing,
            Direction::Back(ending, why) => match self.to_undo.last() {
                Some(begun) => Next::Undo(begun.phase, begun.action.clone(), begun.since),
                None => Next::End(*ending, why.clone()),
            },
            Direction::Forward => match (self.phases.get(self.index), &self.stage) {
                (None, _) => {
                    let why = match self.mode {
                        RunMode::Live => "every phase is done",
                        RunMode::Shadow => "nothing was changed: every phase would be done",
                    };
                    Next::End(Ending::Succeeded, why.to_owned())
                }
                (Some(phase), Stage::Fresh) => Next::Plan(*phase),
                (Some(phase), Stage::Planned(action, _)) => Next::Act(*phase, action.clone()),
                (Some(phase), Stage::Acted(action, _)) => Next::Observe(*phase, action.clone()),
            },
        }
    }

    /// The phase that it is in; `None` after the last.
    pub fn phase(&self) -> Option<Phase> {
        self.phases.get(self.index).copied()
    }

    /// For how long somebody has waited for what comes next; when it goes back, since it does. While nobody carried it on, nothing could be
    /// waited for.
    pub fn waited(&self, now: Timestamp) -> Duration {
        let since = match &self.stage {
            Stage::Planned(_, at) | Stage::Acted(_, at) => Some(*at),
            Stage::Fresh => self.since,
        };
        let millis = since.map_or(0, |since| now.millis_since(since));
        let waited = Duration::from_millis(u64::try_from(millis).unwrap_or_default());
        waited.saturating_sub(self.unattended.saturating_sub(self.unattended_before))
    }

    /// For how long nobody has carried it on, as far as its journal tells.
    pub fn unattended(&self) -> Duration {
        self.unattended
    }

    /// How far the phase is.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Where it goes.
    pub fn direction(&self) -> &Direction {
        &self.direction
    }

    /// What has been learned.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The place of the next entry.
    pub fn next_seq(&self) -> u32 {
        self.next_seq
    }

    /// Whether it may still be cancelled: not once the old instance may have been ended.
    pub fn can_be_cancelled(&self) -> bool {
        self.direction == Direction::Forward && !self.is_past_return()
    }

    /// Whether what was left to be undone, or to be seen, was given up: it stays as it is.
    pub fn has_given_up(&self) -> bool {
        self.has_given_up
    }

    /// What is there of what was done, for a person; empty when nothing is known to be.
    pub fn left(&self) -> Vec<String> {
        let unheard = || format!("an instance with the tag {SAGA_TAG}={}", self.facts.saga);
        let bought = self.facts.launched.as_ref().map_or_else(unheard, ToString::to_string);
        let here = match &self.stage {
            Stage::Fresh => None,
            Stage::Planned(action, _) | Stage::Acted(action, _) => Some(action),
        };
        let done = self.to_undo.iter().map(|begun| &begun.action).chain(here);
        done.filter_map(|action| action.leaves(&bought)).collect()
    }

    /// That everything is left as it is, and what that is.
    pub fn given_up(&self, phase: Phase, after: Duration, why: &str) -> Event {
        let (hours, left) = (after.as_secs() / 3600, self.left().join(", "));
        let why = format!("it was given up after {hours} hours: {why}. See to what is left: {left}");
        Event::GivenUp { phase, why }
    }

    /// Whether something was done that cannot be undone: from here on it only goes forward.
    pub fn is_committed(&self) -> bool {
        self.phases.iter().take(self.index).any(|phase| phase.is_point_of_no_return())
    }

    /// Whether something may have been done that cannot be undone.
    pub fn is_past_return(&self) -> bool {
        let here = self.index + usize::from(self.stage != Stage::Fresh);
        self.phases.iter().take(here).any(|phase| phase.is_point_of_no_return())
    }
}
