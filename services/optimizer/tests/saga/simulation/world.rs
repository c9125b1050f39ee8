//! The world: a cloud, and a cluster whose nodes are the cloud's instances. Whatever changes it, the laws are looked at.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use cloud::InstanceId;
use sim::cloud::{Event, EventKind, World as Cloud};
use tokio::{sync::Notify, time::Instant};

use super::{
    case::{AWAY, Case},
    chaos::Chaos,
    cluster::{Cluster, JOB, LONER},
    laws, nature,
    story::Story,
};
use crate::memory::BEGINNING;

/// What there is.
pub(super) struct Everything {
    pub(super) cloud: Cloud,
    pub(super) cluster: Cluster,
    /// Every instance that a saga has launched, and by its tag which.
    pub(super) bought: BTreeMap<InstanceId, String>,
    /// The spot instances that were taken away.
    pub(super) taken: BTreeSet<InstanceId>,
    /// Nodes that are not Ready, and nobody has done anything.
    pub(super) away: BTreeSet<String>,
    /// What of the laws is broken.
    pub(super) broken: Vec<String>,
}

/// What there is at first.
pub(super) struct Setting {
    pub(super) instances: Vec<InstanceId>,
    pub(super) working_nodes: usize,
    /// The nodes that somebody has cordoned before.
    pub(super) cordoned: BTreeSet<String>,
    pub(super) group: cloud::Group,
}

/// The world in its time. Cheap to clone.
#[derive(Clone)]
pub(super) struct World {
    everything: Arc<Mutex<Everything>>,
    pub(super) setting: Arc<Setting>,
    pub(super) chaos: Arc<Chaos>,
    pub(super) case: Arc<Case>,
    pub(super) story: Story,
    /// Somebody has done something.
    pub(super) changed: Arc<Notify>,
    began: Instant,
}

impl World {
    pub(super) fn new(
        everything: Everything,
        setting: Setting,
        chaos: Arc<Chaos>,
        case: Arc<Case>,
        story: Story,
        began: Instant,
    ) -> Self {
        let everything = Arc::new(Mutex::new(everything));
        Self { everything, setting: Arc::new(setting), chaos, case, story, changed: Arc::default(), began }
    }

    /// Reads what is there now.
    pub(super) fn read<T>(&self, read: impl FnOnce(&mut Everything, jiff::Timestamp) -> T) -> T {
        let all = &mut *self.everything.lock().unwrap();
        self.follow(all);
        read(all, self.now())
    }

    /// Changes what is there now, and looks whether the laws hold.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Everything, jiff::Timestamp) -> T) -> T {
        let all = &mut *self.everything.lock().unwrap();
        self.follow(all);
        let done = change(all, self.now());
        self.follow(all);
        self.look(all);
        self.changed.notify_one();
        done
    }

    /// Notes that something is so that must never be.
    pub(super) fn breaks(&self, law: String) {
        let all = &mut *self.everything.lock().unwrap();
        self.note(all, law);
    }

    pub(super) fn broken(&self) -> Vec<String> {
        self.everything.lock().unwrap().broken.clone()
    }

    /// Whether we are let in now.
    pub(super) fn is_denied(&self) -> bool {
        self.case.is_denied(self.began.elapsed())
    }

    /// From when until when no process is there.
    pub(super) fn is_away(&self) -> Option<(Instant, Instant)> {
        let from = self.began + self.case.is_away_from?;
        Some((from, from + AWAY))
    }

    /// Whether budgets allow anything now.
    pub(super) fn can_leave(&self) -> bool {
        self.case.can_leave(self.began.elapsed())
    }

    /// When something happens next by itself.
    pub(super) fn next_event(&self) -> Option<Instant> {
        let at = self.read(|all, _| all.cloud.next_event_at())?;
        let millis = u64::try_from(at.as_millisecond() - BEGINNING).unwrap_or_default();
        // What is due within a millisecond is due at its end.
        Some(self.began + std::time::Duration::from_millis(millis + 1))
    }

    fn now(&self) -> jiff::Timestamp {
        let millis = i64::try_from(self.began.elapsed().as_millis()).unwrap();
        jiff::Timestamp::from_millisecond(BEGINNING + millis).unwrap()
    }

    /// Lets everything happen that is due, one after the other.
    fn follow(&self, all: &mut Everything) {
        for event in all.cloud.advance(self.now()) {
            self.happens(all, &event);
            self.look(all);
        }
    }

    /// Instances start and end, and nodes with them.
    fn happens(&self, all: &mut Everything, event: &Event) {
        let node = Cluster::name_of(&event.id);
        match &event.kind {
            EventKind::Running => {
                self.story.tell(format!("{} runs", event.id));
                tokio::spawn(nature::joins(self.clone(), event.id.clone()));
            }
            EventKind::HookWaits { hook, .. } => {
                self.story.tell(format!("hook {hook} holds the end of {}", event.id));
            }
            EventKind::ShuttingDown => {
                self.story.tell(format!("{} shuts down", event.id));
                let pods = all.cluster.pods_on(&node);
                if let Some(law) = laws::ended_with(all, &self.case, &event.id, &node) {
                    self.note(all, law);
                }
                if let Some(node) = all.cluster.nodes.get_mut(&node) {
                    node.is_ready = false;
                }
                for pod in pods {
                    let app = all.cluster.pods.remove(&pod).unwrap().app;
                    if app != JOB && app != LONER {
                        all.cluster.place(app, true);
                    }
                }
            }
            EventKind::Terminated => {
                all.cluster.nodes.remove(&node);
                all.away.remove(&node);
            }
            _ => {}
        }
    }

    fn look(&self, all: &mut Everything) {
        if let Some(law) = laws::always(all, &self.setting) {
            self.note(all, law);
        }
    }

    /// The first is enough: what comes after it may come of it.
    fn note(&self, all: &mut Everything, law: String) {
        if all.broken.is_empty() {
            self.story.tell(format!("BROKEN: {law}"));
            all.broken.push(law);
            self.changed.notify_one();
        }
    }
}
