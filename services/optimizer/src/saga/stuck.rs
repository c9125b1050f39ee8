//! Sagas that cannot be carried on here, because their account cannot be entered.

use std::time::Duration;

use serde_json::Value;

use super::{Claimed, Ending, Entry, Event, Lease, Log, LogError, Next, State, Timing};

/// Says in the journal, once, why a saga is not carried on. One that has done nothing is over when it was cancelled, or when its phase has had
/// its time; any other waits for whoever can enter its account. The lease is kept, so that nobody tries again at once.
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
    let has_done_nothing = stuck.state.can_be_cancelled() && stuck.state.left().is_empty();
    let (ending, why) = if has_done_nothing && is_cancelled {
        (Ending::Cancelled, format!("it was cancelled; nothing was done: {why}"))
    } else if has_done_nothing && stuck.has_waited() > phase.deadline() {
        (Ending::Failed, format!("it took longer than {} minutes: {why}", phase.deadline().as_secs() / 60))
    } else {
        let waiting = Event::Waiting { phase, why: why.to_owned() };
        let is_told = claimed.journal.last().is_some_and(|entry| entry.event == waiting);
        return if is_told { Ok(()) } else { stuck.append(waiting).await };
    };
    stuck.append(Event::Abandoned { phase, ending, why: why.clone(), numbers: Value::Null }).await?;
    stuck.append(Event::Ended { ending, why }).await
}

struct Stuck<'a> {
    log: &'a dyn Log,
    lease: Lease,
    state: State,
}

impl Stuck<'_> {
    fn has_waited(&self) -> Duration {
        let waited = self.state.waits_since().map_or(0, |since| self.log.now().millis_since(since));
        Duration::from_millis(u64::try_from(waited).unwrap_or_default())
    }

    async fn append(&mut self, event: Event) -> Result<(), LogError> {
        let entry = Entry { seq: self.state.next_seq(), at: self.log.now(), epoch: self.lease.epoch, event };
        self.log.append(self.lease, &entry).await?;
        self.state.apply(&entry);
        Ok(())
    }
}
