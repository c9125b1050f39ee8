//! Programs of this process that run in place of the containers of an image, so that what is installed into the cluster
//! is really at work. Containers of all other images run nothing.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::api::Api;
use crate::auth::Tokens;
use crate::images;
use crate::kubeconfig::{self, Credentials};
use crate::object;

/// So many lines of a program's log are kept.
const MAX_LINES: usize = 400;

type Program = dyn Fn(Run) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// Which images have a program.
#[derive(Clone, Default)]
pub struct Programs(HashMap<String, Arc<Program>>);

impl Programs {
    /// Has `program` run in place of every container whose image is of `repository`, at whatever tag or digest.
    #[must_use]
    pub fn with<F>(mut self, repository: &str, program: impl Fn(Run) -> F + Send + Sync + 'static) -> Programs
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.insert(repository.to_owned(), Arc::new(move |run| Box::pin(program(run))));
        self
    }

    fn of_image(&self, image: &str) -> Option<&Arc<Program>> {
        self.0.get(images::repository(image))
    }
}

/// One run of a container, as its program sees it.
pub struct Run {
    /// The container's environment, with what ConfigMaps and Secrets give to it.
    pub environment: BTreeMap<String, String>,
    /// A kubeconfig of the pod's service account.
    pub kubeconfig: String,
    /// Cancelled when the container is to stop.
    pub stop: CancellationToken,
    state: Arc<State>,
}

impl Run {
    /// Says whether the container is ready, as its readiness probe would. At first it is not.
    pub fn set_ready(&self, ready: bool) {
        self.state.set_ready(ready);
    }

    /// Writes a line to the container's log.
    pub fn log(&self, line: impl Into<String>) {
        let mut lines = lock(&self.state.lines);
        if lines.len() >= MAX_LINES {
            lines.pop_front();
        }
        lines.push_back(line.into());
    }
}

struct State {
    api: Arc<Api>,
    ready_since: Mutex<Option<Timestamp>>,
    lines: Mutex<VecDeque<String>>,
    changed: watch::Sender<()>,
}

impl State {
    fn set_ready(&self, ready: bool) {
        {
            let mut since = lock(&self.ready_since);
            if since.is_some() == ready {
                return;
            }
            *since = ready.then(|| self.api.clock().now());
        }
        self.changed.send_replace(());
    }
}

/// A run that was begun; it is told to stop when this is dropped.
struct Active {
    /// Which run of its container.
    restarts: u32,
    state: Arc<State>,
    _stop: DropGuard,
}

/// What programs are given of the cluster.
pub(crate) struct Surroundings {
    pub(crate) url: String,
    pub(crate) ca_pem: String,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) api: Arc<Api>,
    pub(crate) shutdown: CancellationToken,
}

/// The programs that run, by the uid of the pod and the name of the container.
pub(crate) struct Running {
    programs: Programs,
    surroundings: Surroundings,
    active: Mutex<HashMap<(String, String), Active>>,
    changed: watch::Sender<()>,
}

impl Running {
    pub(crate) fn new(programs: Programs, surroundings: Surroundings) -> Running {
        Running { programs, surroundings, active: Mutex::default(), changed: watch::Sender::default() }
    }

    /// Told whenever a container has become ready, or is it no more.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(crate) fn has_program(&self, image: &str) -> bool {
        self.programs.of_image(image).is_some()
    }

    /// Sees to it that the program of a container runs, and tells since when it is ready.
    pub(crate) fn ready_since(
        &self,
        pod: &Value,
        container: &Value,
        restarts: u32,
        environment: impl FnOnce() -> BTreeMap<String, String>,
    ) -> Option<Timestamp> {
        let name = container["name"].as_str().unwrap_or_default().to_owned();
        let program = self.programs.of_image(container["image"].as_str().unwrap_or_default())?;
        let mut active = lock(&self.active);
        let key = (object::field(pod, "metadata.uid"), name);
        let known = active.get(&key).filter(|active| active.restarts == restarts);
        if let Some(known) = known {
            return *lock(&known.state.ready_since);
        }
        let (run, begun) = self.begin(pod, restarts, environment());
        active.insert(key, begun);
        let (state, program) = (Arc::clone(&run.state), Arc::clone(program));
        tokio::spawn(async move {
            program(run).await;
            state.set_ready(false);
        });
        None
    }

    fn begin(&self, pod: &Value, restarts: u32, environment: BTreeMap<String, String>) -> (Run, Active) {
        let Surroundings { url, ca_pem, tokens, api, shutdown } = &self.surroundings;
        let account = pod["spec"]["serviceAccountName"].as_str().unwrap_or("default");
        let token = tokens.for_service_account(object::namespace(pod), account);
        let stop = shutdown.child_token();
        let state = Arc::new(State {
            api: Arc::clone(api),
            ready_since: Mutex::default(),
            lines: Mutex::default(),
            changed: self.changed.clone(),
        });
        let run = Run {
            environment,
            kubeconfig: kubeconfig::render(url, ca_pem, &Credentials::Token(&token)),
            stop: stop.clone(),
            state: Arc::clone(&state),
        };
        (run, Active { restarts, state, _stop: stop.drop_guard() })
    }

    /// Has the programs of a pod stop.
    pub(crate) fn stop(&self, uid: &str) {
        lock(&self.active).retain(|(pod, _), _| pod != uid);
    }

    /// What the program of a container has written; `None` where it has none.
    pub(crate) fn log(&self, pod: &Value, container: &str) -> Option<Vec<String>> {
        let key = (object::field(pod, "metadata.uid"), container.to_owned());
        let active = lock(&self.active);
        let lines = lock(&active.get(&key)?.state.lines);
        Some(lines.iter().cloned().collect())
    }
}

/// No code panics while it holds a lock, so a poisoned one is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
