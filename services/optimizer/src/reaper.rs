//! Looks for instances that operations have bought and left behind.
//!
//! An operation that fails gives back what it bought, so there should be none; they cost money all the same if there are. An instance is
//! an orphan when it carries our tag, is in no group, and was launched while the operation went on that the tag names, which is over and
//! has not put it to use: what became of a replacement later is its user's decision. It is told of at once, and ended after a grace time,
//! when its pods have left it if it is a node by now. One whose operation is not known
//! here may be that of another installation: it is left alone, and told of in the log.

use std::{collections::HashMap, convert::Infallible, time::Duration};

use cloud::{CloudChanges, Instance};
use contracts::events::{Event, EventType};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use store::StoreError;
use thiserror::Error;
use tokio::time::{MissedTickBehavior, interval, timeout};
use uuid::Uuid;

use crate::{
    clouds::{Clouds, NoSuchCloud},
    counted,
    phases::{SAGA_TAG, stays},
    reach::ReachError,
    saga::{Direction, Ending, Entry, Event as Written, NewSaga, Reach, RunMode, State},
    store::{Account, Database, marked},
};

#[cfg(test)]
mod tests;

/// By so much clocks may differ, and a call may come late.
const LATE: Duration = Duration::from_secs(60);

/// So many accounts are looked through at once.
const AT_ONCE: usize = 8;
/// So long that may take of one, and less than from one time to the next: then a replica that looks keeps its turn.
const PATIENCE: Duration = Duration::from_secs(45);

/// So long it is waited for pods to leave an orphan each time.
const DRAINS: Duration = Duration::from_secs(20);

/// Looks through all accounts.
pub(crate) struct Reaper {
    pub(crate) database: Database,
    pub(crate) clouds: Clouds,
    pub(crate) every: Duration,
    pub(crate) grace: Duration,
}

/// What an operation has left behind.
struct Left {
    /// The operation.
    saga: NewSaga,
    /// Whether the instance may have replaced the old one, which was to be ended when the operation was given up: then it is its user's to see to.
    has_replaced: bool,
}

#[derive(Debug, Error)]
enum ReapError {
    #[error(transparent)]
    Reach(#[from] ReachError),
    #[error(transparent)]
    Cloud(#[from] cloud::CloudError),
    #[error(transparent)]
    NoSuchCloud(#[from] NoSuchCloud),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Reaper {
    /// Looks again and again, for ever.
    pub(crate) async fn run(self) -> Infallible {
        // More often than it is looked: another replica may have had the last turn, and be gone.
        let mut ticks = interval(self.every / 6);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.look_around().await {
                tracing::warn!(%error, "accounts cannot be looked through for orphans");
            }
            match self.overdue().await {
                Ok(overdue) => counted::orphans_overdue(overdue),
                Err(error) => tracing::warn!(%error, "orphans cannot be counted"),
            }
        }
    }

    /// Looks through all accounts, unless a replica does so now, or has done so a moment ago.
    async fn look_around(&self) -> Result<(), StoreError> {
        if !self.database.take_reaping(self.every).await? {
            return Ok(());
        }
        let accounts = stream::iter(self.database.accounts().await?);
        accounts
            .for_each_concurrent(AT_ONCE, |account| async move {
                let account = &account;
                match timeout(PATIENCE, self.look(account)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::warn!(%error, account = account.id, "an account cannot be looked through for orphans");
                    }
                    Err(_) => {
                        tracing::warn!(account = account.id, "an account takes too long to be looked through for orphans");
                    }
                }
                if let Err(error) = self.database.keep_reaping(self.every).await {
                    tracing::debug!(%error, "another replica may look for orphans as well");
                }
            })
            .await;
        Ok(())
    }

    /// How many orphans are there though they should have been ended some looks ago.
    async fn overdue(&self) -> Result<i64, StoreError> {
        let now = self.database.now();
        let some_looks = 5 * self.every;
        self.database.orphans_since(now.minus(self.grace + some_looks), now.minus(some_looks)).await
    }

    async fn look(&self, account: &Account) -> Result<(), ReapError> {
        let cloud = self.clouds.enter(account)?.cloud;
        let known = &self.database.orphans_of(&account.id).await?;
        let cloud = cloud.as_ref();
        let mut instances = cloud.instances_tagged(SAGA_TAG).await?;
        // Those come first that were not reached the last time.
        instances.sort_by_key(|instance| known.get(instance.id.as_str()).copied());
        stream::iter(instances)
            .for_each_concurrent(AT_ONCE, |instance| async move {
                // One that cannot be ended keeps no other from it.
                if let Err(error) = self.look_at(account, cloud, &instance, known).await {
                    tracing::warn!(%error, account = account.id, instance = %instance.id, "cannot see to what may be an orphan");
                }
            })
            .await;
        Ok(())
    }

    async fn look_at(
        &self,
        account: &Account,
        cloud: &dyn CloudChanges,
        instance: &Instance,
        known: &HashMap<String, i64>,
    ) -> Result<(), ReapError> {
        if instance.state.is_over() {
            return Ok(());
        }
        let left = if instance.group.is_some() { None } else { self.left(account, instance).await? };
        let Some(Left { saga, has_replaced }) = left else {
            if known.contains_key(instance.id.as_str()) {
                // Should it be left behind later, its time begins anew.
                self.database.forget_orphan(&account.id, instance.id.as_str()).await?;
            }
            return Ok(());
        };
        let has_had_its_time = self.has_had_its_time(account, instance, &saga, has_replaced).await?;
        if has_replaced || !has_had_its_time || !self.is_empty(account, instance, &saga).await? {
            return Ok(());
        }
        cloud.terminate(&instance.id).await?;
        let event = self.event(EventType::InstanceReaped, account, instance, &saga, json!({}));
        if self.database.note_removal(&account.id, instance.id.as_str(), &event).await? {
            counted::orphan_removed();
            tracing::warn!(account = account.id, instance = %instance.id, operation = %saga.id, "an orphan was ended");
        }
        Ok(())
    }

    /// Has everything leave an orphan that is a node by now; whether nothing is on it that can run elsewhere. What takes longer goes on when it is looked
    /// again: what was evicted leaves meanwhile.
    async fn is_empty(
        &self,
        account: &Account,
        instance: &Instance,
        saga: &NewSaga,
    ) -> Result<bool, ReapError> {
        let Reach::Live(changes) = self.clouds.reach(account, saga)? else { return Ok(false) };
        let why = match timeout(DRAINS, stays(&changes, &instance.id)).await {
            Ok(stays) => stays?,
            Err(_) => Some("its pods take their time to leave".to_owned()),
        };
        if let Some(why) = &why {
            tracing::info!(account = account.id, instance = %instance.id, operation = %saga.id, why, "an orphan is not ended yet");
        }
        Ok(why.is_none())
    }

    /// What operation has left the instance behind; `None` when it is not over, not ours, or has put the instance to use.
    async fn left(&self, account: &Account, instance: &Instance) -> Result<Option<Left>, ReapError> {
        let tag = instance.tags.get(SAGA_TAG).map(String::as_str).unwrap_or_default();
        let Ok(saga) = Uuid::try_parse(tag) else { return Ok(None) };
        let Some((operation, journal)) = self.database.operation(saga).await? else {
            tracing::info!(account = account.id, instance = %instance.id, operation = %saga, "an instance of an operation that is not known here");
            return Ok(None);
        };
        let is_its_own = operation.mode == RunMode::Live
            && operation.target.account_id == account.id
            && was_launched_during(instance, &journal);
        let state = State::of(&operation, &journal);
        let is_known = state.facts().launched.as_ref() == Some(&instance.id);
        // Once the old instance is gone, the new one is all that is left of it, whatever has failed since.
        let has_succeeded = matches!(state.direction(), Direction::Ended(Ending::Succeeded, _));
        let is_in_use = (has_succeeded || state.is_committed()) && is_known;
        let has_replaced = state.has_given_up() && may_have_ended_old(&journal);
        Ok((is_its_own && !is_in_use).then_some(Left { saga: operation, has_replaced }))
    }

    /// Tells of an orphan when it is seen first; answers whether its grace time is over.
    async fn has_had_its_time(
        &self,
        account: &Account,
        instance: &Instance,
        saga: &NewSaga,
        has_replaced: bool,
    ) -> Result<bool, ReapError> {
        let now = self.database.now();
        // One that is not ended by us has no such time.
        let removed_after = (!has_replaced).then(|| now.plus(self.grace));
        let more = json!({ "removed_after": removed_after });
        let event = self.event(EventType::InstanceOrphaned, account, instance, saga, more);
        let found_at = self.database.note_orphan(&account.id, instance.id.as_str(), saga.id, &event).await?;
        Ok(now >= found_at.plus(self.grace))
    }

    /// What others are told of an orphan, with `more` of its type.
    fn event(
        &self,
        event_type: EventType,
        account: &Account,
        instance: &Instance,
        saga: &NewSaga,
        mut more: Value,
    ) -> Event {
        more["account_id"] = json!(account.id);
        more["instance_id"] = json!(instance.id);
        more["operation_id"] = json!(saga.id);
        let data = marked(more, self.clouds.is_simulated(&account.role_arn));
        Event::new(event_type, &account.user_id, &saga.username, self.database.now(), data)
    }
}

/// Whether the operation began to end the old instance, and it was not certain after that that it had not.
fn may_have_ended_old(journal: &[Entry]) -> bool {
    let begun = journal.iter().rposition(|entry| entry.event.is_point_of_no_return());
    let is_abandoned = |entry: &Entry| matches!(entry.event, Written::Abandoned { .. });
    begun.is_some_and(|begun| !journal.iter().skip(begun).any(is_abandoned))
}

/// Whether it was bought while the operation went on, or by a call of it that came late. Tags are copied by people and by programs.
fn was_launched_during(instance: &Instance, journal: &[Entry]) -> bool {
    let (Some(first), Some(last)) = (journal.first(), journal.last()) else { return false };
    let launched = instance.launched_at.as_millisecond();
    matches!(last.event, Written::Ended { .. })
        && launched >= first.at.minus(LATE).as_millis()
        && launched <= last.at.plus(LATE).as_millis()
}
