//! Putting what was bought into the group of what it replaces.

use cloud::{CloudError, Group, GroupName, MemberState};
use serde_json::json;

use super::{ActError, Action, Facts, Outcome, Plan, PlanError, Seen};
use crate::reach::{Changes, ReachError, Reads};

/// Before the old instance is ended, so that the group is never below its minimum; where it has no room for one more, after.
pub(super) async fn plan(reads: &Reads, facts: &Facts) -> Result<Plan, PlanError> {
    let name = facts.found_group()?;
    let group = group_named(reads, name).await?;
    let numbers = json!({"min": group.min, "max": group.max, "desired": group.desired});
    Ok(if group.desired < group.max {
        let why = format!("group {name} has room: the new instance is put into it");
        Plan { why, numbers, action: Some(Action::Attach { group: name.clone() }), ..Plan::default() }
    } else {
        let why = format!(
            "group {name} is at its maximum: the new instance is put into it when the old one has left"
        );
        Plan { why, numbers, ..Plan::default() }
    })
}

pub(super) async fn plan_late(reads: &Reads, facts: &Facts) -> Result<Plan, PlanError> {
    let name = facts.found_group()?;
    let Some(launched) = &facts.launched else {
        return Ok(Plan { why: "the new instance is in the group by then".to_owned(), ..Plan::default() });
    };
    let group = group_named(reads, name).await?;
    Ok(if group.member(launched).is_some() {
        Plan { why: format!("{launched} is in group {name}"), ..Plan::default() }
    } else if reads.is_over(launched).await? {
        // Nobody but the user can say now how many the group is to have.
        let at_first = facts.group.as_ref().map_or(0, |group| group.desired);
        return Err(PlanError::failed(format!(
            "{launched} is gone before it was in group {name}, which is to have {} now; at first it was {at_first}",
            group.desired
        )));
    } else {
        let why = format!("group {name} has room now: the new instance is put into it");
        Plan { why, action: Some(Action::Attach { group: name.clone() }), ..Plan::default() }
    })
}

/// The group of this name, which is to be there.
pub(super) async fn group_named(reads: &Reads, name: &GroupName) -> Result<Group, PlanError> {
    let found = reads.cloud.group(name).await?;
    found.ok_or_else(|| PlanError::failed(format!("there is no group {name}")))
}

pub(super) async fn act(changes: &Changes, facts: &Facts, group: &GroupName) -> Result<Outcome, ActError> {
    let Some(launched) = &facts.launched else {
        return Err(ActError::Failed("what was bought is not known".to_owned()));
    };
    let Err(error) = changes.cloud.attach(group, launched).await else { return Ok(Outcome::Nothing) };
    // It is refused also for an instance that is in the group already, such as by a call whose answer was lost.
    let is_refused = matches!(error, CloudError::Refused { .. });
    let is_in =
        is_refused && changes.cloud.group(group).await?.is_some_and(|group| group.member(launched).is_some());
    if is_in { Ok(Outcome::Nothing) } else { Err(error.into()) }
}

pub(super) async fn observe(reads: &Reads, facts: &Facts, group: &GroupName) -> Result<Seen, ReachError> {
    let Some(launched) = &facts.launched else {
        return Ok(Seen::Failed("what was bought is not known".to_owned()));
    };
    let found = reads.cloud.group(group).await?;
    let state = found.and_then(|group| group.member(launched).map(|member| member.state));
    Ok(match state {
        Some(MemberState::InService) => Seen::done(format!("{launched} is in service in group {group}")),
        Some(state) => Seen::NotYet(format!("{launched} is {state:?} in group {group}")),
        None => Seen::NotYet(format!("{launched} is not in group {group} yet")),
    })
}

/// Takes it out again; the group is to have as many as before.
pub(super) async fn undo(changes: &Changes, facts: &Facts, name: &GroupName) -> Result<Seen, ReachError> {
    let out = || Seen::done(format!("what was bought is not in group {name}"));
    let Some(launched) = &facts.launched else { return Ok(out()) };
    let group = changes.cloud.group(name).await?;
    let Some(member) = group.as_ref().and_then(|group| group.member(launched)) else { return Ok(out()) };
    match member.state {
        MemberState::Terminating | MemberState::TerminatingWait => {
            Ok(Seen::NotYet(format!("{launched} is ended by its group")))
        }
        MemberState::Detaching => Ok(Seen::NotYet(format!("{launched} leaves group {name}"))),
        MemberState::Pending | MemberState::PendingWait | MemberState::InService | MemberState::Standby => {
            changes.cloud.detach(name, launched).await?;
            Ok(Seen::NotYet(format!("{launched} is taken out of group {name}")))
        }
    }
}
