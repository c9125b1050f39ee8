//! Carries sagas on.

mod keep;
mod waits;

use std::{ops::ControlFlow, pin::pin, sync::Arc, time::Duration};

use contracts::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, interval_at, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Claimed, Direction, Ending, Entry, Event, Lease, Log, LogError, Next, NotLive, Reach, Stage, State,
    Timing,
};
use crate::{
    phases::{ActError, Action, Outcome, Phase, Plan, PlanError, Seen},
    reach::{Changes, ReachError},
};
use keep::{keep, renew};
use waits::Waits;

/// So often it is told what is waited for while something is being done.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// Carries one saga on, under one lease.
pub struct Engine {
    log: Arc<dyn Log>,
    timing: Timing,
    reach: Reach,
    lease: Lease,
    state: State,
    /// The pause before something is asked again.
    pause: Duration,
    /// What was said last of the wait.
    waits: Waits,
    /// For how long nobody has carried it on.
    unattended: Duration,
    /// Since when a call may be on its way of which nobody has heard.
    unheard_since: Option<Instant>,
    /// Ends a wait that need not be waited for.
    cancel: CancellationToken,
}

/// Why a saga is not carried on here.
type Stopped = LogError;

impl Engine {
    /// Of a saga that was just claimed. In shadow mode it keeps no more of `reach` than what reads.
    ///
    /// # Errors
    /// [`NotLive`].
    pub fn new(log: Arc<dyn Log>, timing: Timing, reach: Reach, claimed: &Claimed) -> Result<Self, NotLive> {
        let reach = reach.of(claimed.saga.mode)?;
        let state = State::of(&claimed.saga, &claimed.journal);
        // Of what the process before has sent, nobody here has heard.
        let unheard_since = (claimed.lease.epoch > 1).then(Instant::now);
        Ok(Self {
            log,
            timing,
            reach,
            lease: claimed.lease,
            state,
            pause: timing.first_pause,
            waits: Waits::default(),
            unattended: claimed.unattended,
            unheard_since,
            cancel: CancellationToken::new(),
        })
    }

    /// Carries the saga on to its end, or until the lease is lost or `stop` is cancelled. A lease that is not lost is let go.
    ///
    /// # Errors
    /// [`LogError`]: somebody else carries on, or nothing can be written for longer than the lease.
    pub async fn run(mut self, stop: &CancellationToken) -> Result<(), Stopped> {
        let (log, lease, timing) = (self.log.clone(), self.lease, self.timing);
        let cancel = self.cancel.clone();
        let carried = async {
            // The claim may have been answered late: the lease is whole since now. And it may be cancelled already.
            let by = Instant::now() + timing.call;
            let renewed = renew(log.as_ref(), lease, timing, &cancel, by).await?;
            tokio::select! {
                biased;
                // First, so that a process that was frozen for longer than its lease does nothing more.
                lost = keep(log.as_ref(), lease, timing, &cancel, renewed) => Err(lost),
                ended = self.work() => ended,
                () = stop.cancelled() => Ok(()),
            }
        };
        let ended = carried.await;
        if !matches!(ended, Err(LogError::Fenced)) {
            // If that cannot be written, the lease ends by itself.
            let _ = log.release(lease).await;
        }
        ended
    }

    async fn work(&mut self) -> Result<(), Stopped> {
        let was_left = self.lease.epoch > 1 || self.unattended >= self.timing.lease;
        if was_left && self.state.next() != Next::Nothing {
            // That is no step: what is unheard stays so.
            self.append(Event::taken_over(self.unattended)).await?;
        }
        while self.step().await?.is_continue() {}
        Ok(())
    }

    async fn step(&mut self) -> Result<ControlFlow<()>, Stopped> {
        match self.state.next() {
            Next::Nothing => return Ok(ControlFlow::Break(())),
            Next::End(ending, why) => self.write(Event::Ended { ending, why }).await?,
            Next::Undo(phase, action, since) => self.undo(phase, &action, since).await?,
            _ if self.cancel.is_cancelled() && self.state.can_be_cancelled() => self.heed_cancel().await?,
            Next::Plan(phase) => self.plan(phase).await?,
            Next::Act(phase, action) => self.act(phase, &action).await?,
            Next::Observe(phase, action) => self.observe(phase, &action).await?,
        }
        Ok(ControlFlow::Continue(()))
    }

    async fn heed_cancel(&mut self) -> Result<(), Stopped> {
        let phase = self.state.phase().unwrap_or(Phase::Verify);
        self.abandon(phase, Ending::Cancelled, "it was cancelled".to_owned()).await
    }

    async fn plan(&mut self, phase: Phase) -> Result<(), Stopped> {
        let reads = self.reach.reads();
        match within(self.timing.step, phase.plan(&reads, self.state.facts())).await {
            Ok(Plan { why, numbers, action, outcome, subjects }) => {
                let event = match self.reach {
                    Reach::Live(_) => Event::Planned { phase, why, numbers, action, outcome, subjects },
                    Reach::Shadow(_) => Event::Rehearsed { phase, why, numbers, would: action, outcome },
                };
                match self.write(event).await {
                    Err(LogError::Taken { subject, by }) => {
                        let why = format!("another operation works on {subject}: {by}");
                        self.abandon(phase, Ending::Failed, why).await
                    }
                    // It is heard here before the renewal tells it.
                    Err(LogError::Cancelled) => self.heed_cancel().await,
                    written => written,
                }
            }
            Err(PlanError::Kept(why, numbers)) => {
                self.write(Event::Abandoned { phase, ending: Ending::Kept, why, numbers }).await
            }
            Err(PlanError::Failed(why, numbers)) => {
                self.write(Event::Abandoned { phase, ending: Ending::Failed, why, numbers }).await
            }
            Err(PlanError::Unreadable(why)) => self.wait(phase, why).await,
            // Where there is no way back, who may not read today may be allowed to tomorrow.
            Err(PlanError::Refused(why)) if self.state.is_committed() => self.wait(phase, why).await,
            Err(PlanError::Refused(why)) => self.abandon(phase, Ending::Failed, why).await,
        }
    }

    async fn act(&mut self, phase: Phase, action: &Action) -> Result<(), Stopped> {
        let Reach::Live(changes) = &self.reach else {
            let why = "in shadow mode nothing is done".to_owned();
            return self.abandon(phase, Ending::Failed, why).await;
        };
        let (changes, is_drain) = (changes.clone(), matches!(action, Action::Drain { .. }));
        let patience = if is_drain {
            // What an earlier try has taken is gone.
            phase.deadline().saturating_sub(self.state.waited(self.log.now()))
        } else {
            self.timing.step
        };
        if patience.is_zero() {
            return self.wait(phase, "no time is left to try it again".to_owned()).await;
        }
        if action.is_awaited_before_repeated() {
            self.hear().await;
        }
        // What is read or answered now says nothing of a call that arrives after that. What comes late of a drain changes nothing of how it has ended.
        let is_unheard = self.is_unheard() && !is_drain;
        match self.done(phase, action, &changes, patience).await? {
            Ok(outcome) => self.write(Event::Acted { phase, outcome }).await,
            Err(ActError::Unknown(why)) => {
                self.unheard_since = Some(Instant::now());
                self.wait(phase, why).await
            }
            // Where there is no way back, it is tried for as long as the phase may take.
            Err(ActError::Refused(why) | ActError::Failed(why))
                if is_unheard || self.state.is_committed() =>
            {
                self.wait(phase, why).await
            }
            // It was told to stop, and has stopped.
            Err(ActError::Refused(why) | ActError::Failed(why))
                if self.cancel.is_cancelled() && self.state.can_be_cancelled() =>
            {
                self.abandon(phase, Ending::Cancelled, format!("it was cancelled: {why}")).await
            }
            Err(ActError::Refused(why)) => self.write(Event::Refused { phase, why }).await,
            Err(ActError::Failed(why)) => self.abandon(phase, Ending::Failed, why).await,
        }
    }

    /// Does it, and writes down now and then what is waited for meanwhile.
    async fn done(
        &mut self,
        phase: Phase,
        action: &Action,
        changes: &Changes,
        patience: Duration,
    ) -> Result<Result<Outcome, ActError>, Stopped> {
        let (teller, mut heard) = watch::channel(String::new());
        let tell = |why: String| drop(teller.send_replace(why));
        let (facts, cancel) = (self.state.facts().clone(), self.cancel.clone());
        let mut acting = pin!(within(patience, action.act(changes, &facts, patience, &cancel, &tell)));
        let mut ticks = interval_at(Instant::now() + TOLD_EVERY, TOLD_EVERY);
        loop {
            tokio::select! {
                biased;
                done = &mut acting => return Ok(done),
                _ = ticks.tick() => {
                    let why = heard.borrow_and_update().clone();
                    if !why.is_empty() && self.waits.is_worth_telling(&why) {
                        self.append(Event::Waiting { phase, why }).await?;
                    }
                }
            }
        }
    }

    async fn observe(&mut self, phase: Phase, action: &Action) -> Result<(), Stopped> {
        let reads = self.reach.reads();
        match within(self.timing.step, action.observe(&reads, self.state.facts())).await {
            Ok(Seen::Done(why, outcome)) => self.write(Event::Done { phase, why, outcome }).await,
            Ok(Seen::Failed(why)) => self.abandon(phase, Ending::Failed, why).await,
            Ok(Seen::NotYet(why)) => self.wait(phase, why).await,
            Err(error) => self.wait(phase, error.to_string()).await,
        }
    }

    async fn undo(&mut self, phase: Phase, action: &Action, since: Timestamp) -> Result<(), Stopped> {
        let Reach::Live(changes) = &self.reach else {
            return self
                .write(Event::Undone { phase, why: "in shadow mode nothing was done".to_owned() })
                .await;
        };
        // What is on its way arrives within that time, or never, and shows itself a while later: then it is to be seen what there is.
        let shown = since.plus(self.timing.call + action.shows_within());
        let left = u64::try_from(shown.millis_since(self.log.now())).unwrap_or_default();
        sleep(Duration::from_millis(left)).await;
        // What was bought may have to be drained before.
        let drains = matches!(action, Action::Launch(_));
        let patience = if drains { Phase::Drain.deadline() } else { self.timing.step };
        match within(patience, action.undo(changes, self.state.facts())).await {
            Ok(Seen::Done(why, _)) => self.write(Event::Undone { phase, why }).await,
            Ok(Seen::NotYet(why) | Seen::Failed(why)) => self.wait(phase, why).await,
            Err(error) => self.wait(phase, error.to_string()).await,
        }
    }

    /// Whether a call may be on its way of which nobody has heard.
    fn is_unheard(&self) -> bool {
        self.unheard_since.is_some_and(|since| since.elapsed() < self.timing.call)
    }

    /// Waits until nothing is on its way any more: what there is to be seen of it is there.
    async fn hear(&self) {
        if let Some(since) = self.unheard_since {
            sleep_until(since + self.timing.call).await;
        }
    }

    async fn abandon(&mut self, phase: Phase, ending: Ending, why: String) -> Result<(), Stopped> {
        self.write(Event::Abandoned { phase, ending, why, numbers: serde_json::Value::Null }).await
    }

    /// Waits a little, each time longer, until it is cancelled; unless it has taken too long.
    async fn wait(&mut self, phase: Phase, why: String) -> Result<(), Stopped> {
        // Where there is no way back, or it is taken, there is nothing better to do than to try again for very long.
        let ends_old = phase.is_point_of_no_return() && *self.state.stage() != Stage::Fresh;
        let persists = ends_old || matches!(self.state.direction(), Direction::Back(..));
        let longest = if persists { self.timing.give_up } else { phase.deadline() };
        if self.state.waited(self.log.now()) >= longest {
            if persists {
                return self.write(self.state.given_up(phase, self.timing.give_up, &why)).await;
            }
            if !self.is_unheard() {
                let why = format!("it took longer than {} minutes: {why}", longest.as_secs() / 60);
                return self.abandon(phase, Ending::Failed, why).await;
            }
        }
        if self.waits.is_worth_telling(&why) {
            self.append(Event::Waiting { phase, why }).await?;
        }
        let going_on = self.state.can_be_cancelled();
        tokio::select! {
            biased;
            () = sleep(self.pause) => {}
            () = self.cancel.cancelled(), if going_on => {}
        }
        self.pause = (self.pause * 3 / 2).min(self.timing.longest_pause);
        Ok(())
    }

    /// Writes what is a step forward or back.
    async fn write(&mut self, event: Event) -> Result<(), Stopped> {
        self.append(event).await?;
        self.pause = self.timing.first_pause;
        self.waits = Waits::default();
        self.unheard_since = None;
        Ok(())
    }

    /// Writes an entry, as often as it takes. It ends with the lease at the latest, for which [`keep`] sees.
    async fn append(&mut self, event: Event) -> Result<(), Stopped> {
        let entry = Entry { seq: self.state.next_seq(), at: self.log.now(), epoch: self.lease.epoch, event };
        loop {
            match self.log.append(self.lease, &entry).await {
                Ok(()) => break,
                Err(LogError::Store(error)) => {
                    tracing::warn!(saga = %self.lease.saga, %error, "the journal cannot be written");
                    sleep(self.timing.first_pause).await;
                }
                Err(error) => return Err(error),
            }
        }
        self.state.apply(&entry);
        Ok(())
    }
}

/// What a call answers, if it does in time.
async fn within<T, E: From<ReachError>>(
    patience: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let late = || Err(ReachError::Unknown("no answer in time".to_owned()).into());
    timeout(patience, call).await.unwrap_or_else(|_| late())
}
