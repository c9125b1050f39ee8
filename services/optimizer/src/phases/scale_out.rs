//! Buying what replaces an instance.

mod choose;
mod left;

use std::{collections::BTreeMap, time::Duration};

use cloud::{ClientToken, InstanceId, InstanceState, InstanceType, Launch, Lifecycle};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ActError, Action, Facts, Outcome, Plan, PlanError, Seen};
use crate::reach::{Changes, ReachError, Reads};

use choose::NoChoice;

pub use choose::Considered;
pub(crate) use left::stays;

/// Every instance that is bought has this tag; its value is the saga's id.
pub const SAGA_TAG: &str = "kubesage:saga";
/// And this one; its value is the instance that it replaces.
const REPLACES_TAG: &str = "kubesage:replaces";
/// What was bought is to be seen by everybody within that time. EC2 is eventually consistent, and says of no time; seconds are usual
/// (<https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>).
pub(super) const SHOWS_WITHIN: Duration = Duration::from_mins(1);
/// So many pools are tried at most.
const MAX_TRIES: usize = 5;
/// Of what was considered, the journal has so much.
const SHOWN: usize = 12;

pub(super) async fn plan(reads: &Reads, facts: &Facts) -> Result<Plan, PlanError> {
    let target = &facts.target;
    let group = facts.found_group()?;
    let lifecycle = facts.lifecycle.ok_or_else(|| PlanError::failed("the instance was not found"))?;
    let tried = facts.refused.len();
    if tried >= MAX_TRIES {
        return Err(PlanError::failed(format!("{tried} pools have no capacity; the old instance stays")));
    }
    let short: Vec<&InstanceType> = facts
        .refused
        .iter()
        .filter_map(|action| match action {
            Action::Launch(launch) => Some(&launch.instance_type),
            _ => None,
        })
        .collect();
    let offers = reads.cloud.offers(&target.zone).await?;
    let choice =
        choose::choose(&offers, &target.instance_type, lifecycle, &short).map_err(|none| match none {
            NoChoice::Unknown(why) => PlanError::failed(why),
            NoChoice::Special(why) => PlanError::Kept(why, Value::Null),
        })?;
    let considered: Vec<&Considered> = choice.considered.iter().take(SHOWN).collect();
    let numbers = json!({
        "incumbent": choice.incumbent,
        "types": offers.len(),
        "cheapest_first": considered,
    });
    if offers.iter().all(|offer| offer.interruption.is_none()) {
        let why =
            format!("how often spot instances are interrupted in {} is not known just now", target.zone);
        return Err(PlanError::Failed(why, numbers));
    }
    let Some(best) = choice.best else {
        let why = format!(
            "no spot type in {} is at least {} % cheaper than {}: it stays",
            target.zone,
            choose::MIN_SAVING_PERCENT,
            target.instance_type
        );
        return Err(PlanError::Kept(why, numbers));
    };
    let launch = Launch {
        token: token(facts.saga, tried)?,
        group: group.clone(),
        instance_type: best.instance_type.clone(),
        zone: target.zone.clone(),
        lifecycle: Lifecycle::Spot,
        tags: BTreeMap::from([
            (SAGA_TAG.to_owned(), facts.saga.to_string()),
            (REPLACES_TAG.to_owned(), target.instance_id.to_string()),
        ]),
    };
    Ok(Plan {
        why: format!(
            "{} as a spot instance in {} for {} (interrupted: {}), instead of {} for {}",
            best.instance_type,
            target.zone,
            best.price,
            choose::band_text(best.interruption),
            target.instance_type,
            choice.incumbent.price,
        ),
        numbers,
        action: Some(Action::Launch(launch)),
        ..Plan::default()
    })
}

/// Each try of a saga has a token of its own, the same whenever the try is repeated.
fn token(saga: Uuid, tried: usize) -> Result<ClientToken, PlanError> {
    format!("ks-{}-{tried}", saga.simple()).parse().map_err(|_| PlanError::failed("no token can be made"))
}

pub(super) async fn act(changes: &Changes, launch: &Launch) -> Result<Outcome, ActError> {
    Ok(Outcome::Launched { instance: changes.cloud.launch(launch).await? })
}

pub(super) async fn observe(reads: &Reads, facts: &Facts, launch: &Launch) -> Result<Seen, ReachError> {
    let Some(id) = &facts.launched else {
        return Ok(Seen::Failed("what was bought is not known".to_owned()));
    };
    let Some(instance) = reads.cloud.instance(id).await? else {
        // It takes a moment until a new instance is to be seen everywhere.
        return Ok(Seen::NotYet(format!("{id} is not to be seen yet")));
    };
    Ok(match instance.state {
        InstanceState::Running => Seen::done(format!("{id} ({}) runs", launch.instance_type)),
        InstanceState::Pending => Seen::NotYet(format!("{id} is starting")),
        InstanceState::ShuttingDown
        | InstanceState::Terminated
        | InstanceState::Stopping
        | InstanceState::Stopped => Seen::Failed(format!("{id} was ended while it started")),
    })
}

/// Gives back what was bought, also when nobody has heard what that was: it has the saga's tag.
pub(super) async fn undo(changes: &Changes, facts: &Facts) -> Result<Seen, ReachError> {
    let saga = facts.saga.to_string();
    let mut ours: Vec<InstanceId> = Vec::new();
    for instance in changes.cloud.instances_tagged(SAGA_TAG).await? {
        if instance.tags.get(SAGA_TAG) == Some(&saga) && !instance.state.is_over() {
            ours.push(instance.id);
        }
    }
    if let Some(id) = facts.launched.as_ref().filter(|id| !ours.contains(id))
        && !changes.reads().is_over(id).await?
    {
        ours.push(id.clone());
    }
    if ours.is_empty() {
        return Ok(Seen::done("nothing is left of what was bought"));
    }
    for id in &ours {
        if let Some(why) = stays(changes, id).await? {
            return Ok(Seen::NotYet(why));
        }
        changes.cloud.terminate(id).await?;
    }
    Ok(Seen::NotYet(format!("{} is given back", ours[0])))
}
