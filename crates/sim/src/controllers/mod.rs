//! What makes the objects of the cluster come true: small versions of the controllers of Kubernetes, of its scheduler
//! and of its kubelets.
//!
//! Each is a [`Controller`]: it names the objects that a change concerns, and brings one object at a time closer to
//! what it should be. One task runs all of them.

mod bound;
mod disruption;
mod endpoints;
mod events;
mod garbage;
mod kubelet;
mod namespaces;
mod node_lifecycle;
mod queue;
mod quotas;
mod role_aggregation;
mod scheduler;
mod service_accounts;
mod taints;
mod token_secrets;
mod volumes;
mod workloads;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use self::disruption::Disruption;
use self::endpoints::Endpoints;
pub(crate) use self::events::{EventExpiry, Recorder};
use self::garbage::GarbageCollector;
use self::kubelet::Kubelet;
use self::namespaces::Namespaces;
use self::node_lifecycle::NodeLifecycle;
pub(crate) use self::queue::{Key, Queue};
use self::quotas::Quotas;
use self::role_aggregation::RoleAggregation;
use self::scheduler::Scheduler;
use self::service_accounts::ServiceAccounts;
use self::token_secrets::TokenSecrets;
use self::volumes::Volumes;
pub(crate) use self::workloads::{default_tolerations, first_revision, tie_to};
use crate::api::Api;
use crate::auth::Tokens;
use crate::faults::Faults;
use crate::kinds::KINDS;
use crate::object::Object;
use crate::programs::Running;
use crate::status::ApiError;
use crate::store::Change;

/// How many objects are looked at before other tasks get their turn.
const BATCH: usize = 64;
/// How long things take that are not there to take time. Tests set them to zero ([`Delays::none`]).
#[derive(Debug, Clone, Copy)]
pub struct Delays {
    /// From a pod's creation until the scheduler gives it to a node.
    pub schedule: Duration,
    /// From there until its containers run: pulling images and starting.
    pub start: Duration,
    /// From there until they are ready.
    pub ready: Duration,
    /// How long containers take to stop once they are told to; never longer than the pod's grace period.
    pub stop: Duration,
    /// How long the containers of a pod that ends by itself (of a job) run.
    pub run: Duration,
    /// From a namespace's deletion until what is in it is deleted: the real controller waits so long for other API
    /// servers to hear of it (`namespaceDeletionGracePeriod` of `pkg/controller/namespace`).
    pub namespace: Duration,
}

impl Default for Delays {
    fn default() -> Delays {
        Delays {
            schedule: Duration::from_millis(20),
            start: Duration::from_millis(800),
            ready: Duration::from_millis(400),
            stop: Duration::from_secs(1),
            run: Duration::from_secs(3),
            namespace: Duration::from_secs(5),
        }
    }
}

impl Delays {
    /// Everything happens at once.
    #[must_use]
    pub fn none() -> Delays {
        let zero = Duration::ZERO;
        Delays { schedule: zero, start: zero, ready: zero, stop: zero, run: zero, namespace: zero }
    }
}

/// The time that comes so much later.
pub(crate) fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// What a controller works with.
pub(crate) struct Cluster<'a> {
    pub(crate) api: &'a Api,
    pub(crate) faults: &'a Faults,
    pub(crate) delays: &'a Delays,
    /// The time of this turn.
    pub(crate) now: Timestamp,
}

/// When an object is to be looked at again without having changed; `None` when a change will tell.
pub(crate) type Again = Option<Timestamp>;

/// One controller.
pub(crate) trait Controller: Send {
    /// Notes in the queue which of the controller's objects a change concerns. Every object that is there at first
    /// comes as a change that creates it.
    fn observe(&mut self, change: &Change, cluster: &Cluster<'_>, queue: &mut Queue);

    /// Brings one object closer to what it should be. It may be gone.
    ///
    /// # Errors
    /// Those of the API; the object is looked at again soon.
    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError>;
}

/// All controllers and what each has to look at.
pub(crate) struct Controllers {
    crew: Vec<(Box<dyn Controller>, Queue)>,
    api: Arc<Api>,
    faults: Arc<Faults>,
    programs: Arc<Running>,
    delays: Delays,
    /// Every change up to here has been observed.
    revision: u64,
    /// The objects of which the controllers know, as they were seen last.
    known: HashMap<Key, Arc<Object>>,
}

impl Controllers {
    pub(crate) fn new(
        api: Arc<Api>,
        faults: Arc<Faults>,
        programs: Arc<Running>,
        delays: Delays,
        tokens: Arc<Tokens>,
        ca_pem: String,
    ) -> Controllers {
        let mut crew: Vec<Box<dyn Controller>> = vec![
            Box::new(EventExpiry),
            Box::new(Kubelet::new(Arc::clone(&programs))),
            Box::new(Scheduler::default()),
            Box::new(NodeLifecycle::default()),
            Box::new(Disruption::default()),
            Box::new(Namespaces::default()),
            Box::new(GarbageCollector::default()),
            Box::new(Endpoints::default()),
            Box::new(Volumes::default()),
            Box::new(Quotas::default()),
            Box::new(RoleAggregation),
            Box::new(ServiceAccounts { ca_pem: ca_pem.clone() }),
            Box::new(TokenSecrets { tokens, ca_pem }),
        ];
        crew.extend(workloads::crew());
        let crew = crew.into_iter().map(|controller| (controller, Queue::default())).collect();
        Controllers { crew, api, faults, programs, delays, revision: 0, known: HashMap::new() }
    }

    /// Works until told to stop.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let api = Arc::clone(&self.api);
        let mut newest = api.revision();
        let mut faults = self.faults.changes();
        let mut programs = self.programs.changes();
        self.observe_everything();
        while !shutdown.is_cancelled() {
            // Marked as seen before it is read: a change in between wakes the wait below.
            newest.mark_unchanged();
            self.catch_up();
            if self.work() {
                tokio::task::yield_now().await;
                continue;
            }
            let next = self.crew.iter().filter_map(|(_, queue)| queue.next_due()).min();
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = newest.changed() => {}
                // A pod that was stuck may end now, a kubelet that was dead may work: who knows which.
                Ok(()) = faults.changed() => self.observe_everything(),
                Ok(()) = programs.changed() => self.observe_everything(),
                () = api.clock().sleep_until(next.unwrap_or(Timestamp::MAX)) => {}
            }
        }
    }

    /// Shows every present object to every controller, and the end of those that they knew and that are gone.
    fn observe_everything(&mut self) {
        self.revision = *self.api.revision().borrow();
        let mut gone = std::mem::take(&mut self.known);
        for kind in KINDS {
            for object in self.api.objects(kind, None) {
                gone.remove(&Key::of(kind, &object));
                self.observe(&Change::creation(kind, object));
            }
        }
        for (key, object) in gone {
            self.observe(&Change::deletion(key.kind, object));
        }
    }

    fn catch_up(&mut self) {
        match self.api.changes_since(self.revision) {
            Ok(changes) => {
                for change in changes {
                    self.revision = change.revision;
                    self.observe(&change);
                }
            }
            // More has changed than is kept.
            Err(_) => self.observe_everything(),
        }
    }

    fn observe(&mut self, change: &Change) {
        let cluster = Cluster {
            api: &self.api,
            faults: &self.faults,
            delays: &self.delays,
            now: self.api.clock().now(),
        };
        for (controller, queue) in &mut self.crew {
            controller.observe(change, &cluster, queue);
        }
        let key = Key::of(change.kind, &change.object);
        if change.deleted {
            self.known.remove(&key);
        } else {
            self.known.insert(key, Arc::clone(&change.object));
        }
    }

    /// Looks at some of the objects that are due; whether there were any.
    fn work(&mut self) -> bool {
        let mut worked = false;
        for (controller, queue) in &mut self.crew {
            for _ in 0..BATCH {
                let now = self.api.clock().now();
                let Some(key) = queue.pop(now) else { break };
                worked = true;
                let cluster = Cluster { api: &self.api, faults: &self.faults, delays: &self.delays, now };
                match controller.reconcile(&key, &cluster) {
                    Ok(again) => {
                        queue.forget_failures(&key);
                        if let Some(at) = again {
                            queue.add_at(key, at);
                        }
                    }
                    Err(error) => {
                        tracing::debug!(?key, %error, "a controller will look again");
                        queue.retry(key, now);
                    }
                }
            }
        }
        worked
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::api::DeleteOptions;
    use crate::faults::FaultPlan;
    use crate::kinds::NAMESPACES;
    use crate::programs::{Programs, Surroundings};

    /// Writes down of what it is told.
    struct Witness(Arc<Mutex<Vec<(String, bool)>>>);

    impl Controller for Witness {
        fn observe(&mut self, change: &Change, _: &Cluster<'_>, _: &mut Queue) {
            self.0.lock().unwrap().push((change.key.clone(), change.deleted));
        }

        fn reconcile(&mut self, _: &Key, _: &Cluster<'_>) -> Result<Again, ApiError> {
            Ok(None)
        }
    }

    #[test]
    fn controllers_that_missed_changes_hear_of_what_is_gone() {
        let namespace =
            |name: &str| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        let api = Arc::new(Api::new(2));
        api.restore(namespace("gone")).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let surroundings = Surroundings {
            url: String::new(),
            ca_pem: String::new(),
            tokens: Arc::new(Tokens::new(None).unwrap()),
            api: Arc::clone(&api),
            shutdown: CancellationToken::new(),
        };
        let mut controllers = Controllers {
            crew: vec![(Box::new(Witness(Arc::clone(&told))), Queue::default())],
            api: Arc::clone(&api),
            faults: Arc::new(Faults::new(FaultPlan::default(), CancellationToken::new(), None)),
            programs: Arc::new(Running::new(Programs::default(), surroundings)),
            delays: Delays::none(),
            revision: 0,
            known: HashMap::new(),
        };
        controllers.catch_up();
        let finish = |object: &mut serde_json::Value| {
            object["spec"] = json!({});
            Ok(())
        };
        api.delete(NAMESPACES, "", "gone", &DeleteOptions::default()).unwrap();
        let options = crate::WriteOptions::default();
        api.update_with(NAMESPACES, "", "gone", crate::api::Part::Finalize, &options, finish).unwrap();
        for name in ["a", "b", "c"] {
            api.restore(namespace(name)).unwrap();
        }
        controllers.catch_up();
        let told = told.lock().unwrap();
        assert_eq!(told[0], ("gone".to_owned(), false));
        assert_eq!(told.last(), Some(&("gone".to_owned(), true)), "{told:?}");
    }
}
