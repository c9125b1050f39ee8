//! Sagas that cannot be carried on here, because their account cannot be entered.

use serde_json::Value;

use super::{Claimed, Ending, Entry, Event, Lease, Log, LogError, Next, State, Timing};

/// Says in the journal, once, why a saga is not carried on. One that has done nothing is over when it was cancelled, or when its phase has had
/// its time; any other waits for whoever can enter its account, and is given up in the end. The lease is kept, so that nobody tries again at once.
///
/// # Errors
/// [`LogError`].
pub async fn cannot_carry_on(
    log: &dyn Log,
    timing: Timing,
    claimed: &Claimed,
    why: &str,
) -> Result<(), LogError> {
    let is_cancelled = log.renew(claimed.lease, timing.lease).await?;
    let state = State::of(&claimed.saga, &claimed.journal);
    let mut stuck = Stuck { log, lease: claimed.lease, state };
    let phase = match stuck.state.next() {
        Next::Nothing => return Ok(()),
        Next::End(ending, why) => return stuck.append(Event::Ended { ending, why }).await,
        Next::Plan(phase) | Next::Act(phase, _) | Next::Observe(phase, _) | Next::Undo(phase, ..) => phase,
    };
    if claimed.unattended >= stuck.state.unattended() + timing.lease {
        stuck.append(Event::taken_over(claimed.unattended)).await?;
    }
    let has_done_nothing = stuck.state.can_be_cancelled() && stuck.state.left().is_empty();
    let waited = stuck.state.waited(log.now());
    let abandoned = |ending, why| Event::Abandoned { phase, ending, why, numbers: Value::Null };
    let last = if has_done_nothing && is_cancelled {
        abandoned(Ending::Cancelled, format!("it was cancelled; nothing was done: {why}"))
    } else if has_done_nothing && waited > phase.deadline() {
        let minutes = phase.deadline().as_secs() / 60;
        abandoned(Ending::Failed, format!("it took longer than {minutes} minutes: {why}"))
    } else if !has_done_nothing && waited > timing.give_up {
        stuck.state.given_up(phase, timing.give_up, why)
    } else {
        let waiting = Event::Waiting { phase, why: why.to_owned() };
        let is_told = claimed.journal.last().is_some_and(|entry| entry.event == waiting);
        return if is_told { Ok(()) } else { stuck.append(waiting).await };
    };
    stuck.append(last).await?;
    if let Next::End(ending, why) = stuck.state.next() {
        stuck.append(Event::Ended { ending, why }).await?;
    }
    Ok(())
}

struct Stuck<'a> {
    log: &'a dyn Log,
    lease: Lease,
    state: State,
}

impl Stuck<'_> {
    async fn append(&mut self, event: Event) -> Result<(), LogError> {
        let entry = Entry { seq: self.state.next_seq(), at: self.log.now(), epoch: self.lease.epoch, event };
        self.log.append(self.lease, &entry).await?;
        self.state.apply(&entry);
        Ok(())
    }
}
