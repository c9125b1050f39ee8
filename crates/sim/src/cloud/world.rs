//! The world: what there is, and the way that time takes through it.

use std::collections::BTreeMap;

use cloud::{ClientToken, CloudError, EksCluster, GroupName, InstanceId, Launch};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::agenda::{Agenda, Due, Event, EventKind, after};
use super::capacity::Pool;
use super::faults::{Change, Fate, Fault, Faults, Operation, no_answer};
use super::group::Group;
use super::instances::Machine;
use super::random::Random;
use super::timing::Timing;

/// One account in one region of a simulated AWS.
///
/// Calls answer as AWS does, with [`CloudError::NotFound`] for what does not exist. A time that is earlier than one that was heard
/// before counts as that one.
///
/// What is serialised changes only when the world does: times and calls that it heard of are not part of it, and how long things take is
/// said anew by whoever goes on with it ([`World::going_on`]).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct World {
    #[serde(skip)]
    pub(super) timing: Timing,
    pub(super) seed: u64,
    pub(super) random: Random,
    /// The latest time that was heard.
    #[serde(skip)]
    pub(super) now: Timestamp,
    pub(super) instances: BTreeMap<InstanceId, Machine>,
    pub(super) groups: BTreeMap<GroupName, Group>,
    /// What was launched with a token.
    pub(super) tokens: BTreeMap<ClientToken, (Launch, InstanceId)>,
    pub(super) clusters: BTreeMap<String, EksCluster>,
    pub(super) shortages: Vec<Pool>,
    pub(super) agenda: Agenda,
    #[serde(skip)]
    events: Vec<Event>,
    faults: Faults,
    #[serde(skip)]
    calls: BTreeMap<Operation, u64>,
}

impl World {
    /// A world without instances and groups.
    #[must_use]
    pub fn new(seed: u64, timing: Timing) -> World {
        World {
            timing,
            seed,
            random: Random::new(seed),
            now: Timestamp::MIN,
            instances: BTreeMap::new(),
            groups: BTreeMap::new(),
            tokens: BTreeMap::new(),
            clusters: BTreeMap::new(),
            shortages: Vec::new(),
            agenda: Agenda::default(),
            events: Vec::new(),
            faults: Faults::default(),
            calls: BTreeMap::new(),
        }
    }

    /// The same world, in which things take so long from now on.
    #[must_use]
    pub fn going_on(self, timing: Timing) -> World {
        World { timing, ..self }
    }

    /// Lets everything happen that is due by now, and tells what has happened since this was asked last, in its order.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Event> {
        self.settle(now);
        std::mem::take(&mut self.events)
    }

    /// The next time at which something happens by itself, or at which it is looked whether it has to.
    #[must_use]
    pub fn next_event_at(&self) -> Option<Timestamp> {
        self.agenda.first()
    }

    /// Adds a fault behind those that are still to strike.
    pub fn add_fault(&mut self, fault: Fault) {
        self.faults.0.push(fault);
    }

    /// The faults that are still to strike.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults.0
    }

    /// Ends all faults.
    pub fn end_faults(&mut self) {
        self.faults.0.clear();
    }

    /// How long the next answer to such a call shall take; asked once for each call.
    pub fn delay(&mut self, operation: Operation) -> Option<std::time::Duration> {
        self.faults.delay(operation)
    }

    /// How often what was called, failed calls included.
    #[must_use]
    pub fn calls(&self) -> &BTreeMap<Operation, u64> {
        &self.calls
    }

    /// Makes an EKS cluster known.
    pub fn set_eks_cluster(&mut self, cluster: EksCluster) {
        self.clusters.insert(cluster.name.clone(), cluster);
    }

    /// A call that reads, unless a fault strikes it.
    pub(super) fn read<T>(
        &mut self,
        now: Timestamp,
        operation: Operation,
        read: impl FnOnce(&World) -> Result<T, CloudError>,
    ) -> Result<T, CloudError> {
        match self.begin(now, operation) {
            Fate::Answered => read(self),
            Fate::Fails(error) => Err(error),
            Fate::AnswerLost | Fate::DoneLate(_) => Err(no_answer()),
        }
    }

    /// A call that changes something, unless a fault strikes it. It answers with the instance that it concerns.
    ///
    /// # Errors
    /// [`CloudError`].
    pub fn change(&mut self, now: Timestamp, change: Change) -> Result<InstanceId, CloudError> {
        match self.begin(now, change.operation()) {
            Fate::Answered => self.apply(change),
            Fate::Fails(error) => Err(error),
            Fate::AnswerLost => {
                // Whether it could be done is lost with the answer.
                self.apply(change).ok();
                Err(no_answer())
            }
            Fate::DoneLate(delay) => {
                self.plan(delay, Due::Late(Box::new(change)));
                Err(no_answer())
            }
        }
    }

    fn begin(&mut self, now: Timestamp, operation: Operation) -> Fate {
        self.settle(now);
        *self.calls.entry(operation).or_default() += 1;
        self.faults.fate(operation)
    }

    fn apply(&mut self, change: Change) -> Result<InstanceId, CloudError> {
        match change {
            Change::Launch(launch) => self.launch_with_token(launch),
            Change::Attach { group, id } => self.attach_now(&group, &id).map(|()| id),
            Change::Detach { group, id } => self.detach_now(&group, &id).map(|()| id),
            Change::TerminateInGroup { id } => self.terminate_in_group_now(&id).map(|()| id),
            Change::Terminate { id } => self.terminate_now(&id).map(|()| id),
        }
    }

    /// Lets everything happen that is due.
    pub(super) fn settle(&mut self, now: Timestamp) {
        while let Some((at, due)) = self.agenda.take(now) {
            self.now = self.now.max(at);
            self.happen(due);
        }
        self.now = self.now.max(now);
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Running(id) => self.booted(&id),
            Due::Terminated(id) => self.shut_down(&id),
            Due::Forgotten(id) => {
                self.instances.remove(&id);
            }
            Due::TokenForgotten(token) => {
                self.tokens.remove(&token);
            }
            Due::TakenAway(id) => self.shut_down_begins(&id),
            Due::Attached(group, id) => self.attached(&group, &id),
            Due::Detached(group, id) => self.detached(&group, &id),
            Due::HookTimeout(group, id, hook) => self.hook_times_out(&group, &id, &hook),
            Due::HealthCheck(group, id) => self.check_health(&group, &id),
            Due::Balance(group) => self.balance(&group),
            // Nobody hears what became of it.
            Due::Late(change) => drop(self.apply(*change)),
        }
    }

    pub(super) fn plan(&mut self, delay: std::time::Duration, due: Due) {
        self.agenda.plan(after(self.now, delay), due);
    }

    pub(super) fn tell(&mut self, id: &InstanceId, kind: EventKind) {
        self.events.push(Event { at: self.now, id: id.clone(), kind });
    }
}
