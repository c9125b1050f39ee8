//! Connects clusters: install scripts, the sessions of their agents, and the relay of queries to them.
//!
//! An agent dials in over a WebSocket and keeps the session open ([`session`]). A query arrives on the queue, finds the
//! session of its agent, and its answer goes back the same way ([`relay`]).

mod agent_version;
mod agents;
mod alerts;
mod aws_role;
mod clusters;
mod config;
mod connection;
mod costs;
mod directory;
mod http;
mod install;
mod lifecycle;
mod provider;
mod queue;
mod relay;
mod run;
mod session;
mod store;
mod vitals;

use std::sync::Arc;

use ::store::{Store, StoreError};
use aws_access::Sts;
use bus::Bus;
use contracts::{Token, auth::UserData};
use thiserror::Error;
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;
use utoipa_axum::router::OpenApiRouter;
use web::{RateLimit, Shutdown, auth::Verifier};

pub use alerts::InvalidSecret;
pub use config::{AgentArgs, AlertArgs, AwsArgs, Config, InvalidSetting};
pub use install::{Feature, role_rules};
pub use provider::Provider;
pub use run::run;
pub use session::SessionTiming;

use agent_version::OldestAgent;
use agents::Agents;
use alerts::Deliverer;
use clusters::{ClusterError, Clusters};
use directory::Directory;
use http::{Api, Aws, InstallSettings};
use relay::Relay;
use session::{Bounds, Budget, Pace, Registry, SessionSettings, Sessions};
use store::Database;
use vitals::VitalsRecorder;

/// The service's name: of its database, and in its API document.
pub const NAME: &str = "onboarding";

/// What the service is built from.
pub struct Parts<V> {
    /// Its own database.
    pub store: Store,
    /// How it talks to the other services.
    pub bus: Bus,
    /// How it finds out whose an API key is.
    pub verifier: V,
    /// How often each key may call.
    pub rate_limit: RateLimit,
    /// Where agents reach it, unless a setting says otherwise.
    pub own_url: Url,
    /// How agents connect.
    pub agents: AgentArgs,
    /// For how long their sessions wait.
    pub timing: SessionTiming,
    /// How it assumes the roles that users hand over.
    pub aws: Sts,
    /// Who they are told to trust; `None`: whoever Kubesage is for AWS.
    pub aws_principal: Option<String>,
}

/// Why the service does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The running service.
pub struct Onboarding {
    /// Its routes, to be served.
    pub routes: OpenApiRouter,
    clusters: Clusters,
    directory: Directory,
}

/// This replica among the others. Cheap to clone.
#[derive(Clone)]
pub struct Replica(Directory);

impl Replica {
    /// Whether it knows of others, to which its agents go when it stops.
    pub fn has_others(&self) -> bool {
        self.0.has_others()
    }

    /// A readiness check: whether the other replicas know of this one, and it hears them.
    ///
    /// # Errors
    /// That they do not, or it does not.
    pub async fn readiness(self) -> Result<(), String> {
        let unknown = || "the other replicas cannot reach this one".to_owned();
        self.0.address().map(drop).ok_or_else(unknown)
    }
}

impl Onboarding {
    /// Brings the database up to date and starts the service's tasks; they end with `shutdown`.
    ///
    /// # Errors
    /// When a setting contradicts another one, or the database cannot be used.
    pub async fn start<V: Verifier>(parts: Parts<V>, shutdown: &Shutdown) -> Result<Self, StartError> {
        let Parts { store, bus, verifier, rate_limit, own_url, agents, timing, aws, aws_principal } = parts;
        let (webhook, patience) = (agents.alerts.webhook()?, agents.patience()?);
        let rebalance_over = agents.rebalance_over();
        let database = Database::open(store, webhook.is_some()).await?;
        let registry = Arc::new(Registry::default());
        let (directory, ends) = Directory::new(bus.clone(), database.clone(), Arc::clone(&registry));
        let recorder = VitalsRecorder::default();
        let sessions = Sessions {
            registry: Arc::clone(&registry),
            directory: directory.clone(),
            clock: database.store().clock().clone(),
            recorder: recorder.clone(),
            settings: SessionSettings { heartbeat: agents.heartbeat(), timing },
            oldest_agent: OldestAgent(agents.oldest_agent_version.clone()),
            bounds: Bounds {
                max_sessions: agents.max_sessions,
                max_questions: usize::from(agents.max_requests_per_session),
                shares_answers: agents.share_answers,
                budget: Budget::new(usize::from(agents.max_queued_mib) << 20),
            },
            pace: Pace::new(agents.connects_per_second, Instant::now()),
            sockets: Arc::new(Semaphore::new(session::sockets_of(agents.max_sessions))),
            tasks: TaskTracker::new(),
            shutdown: shutdown.token(),
        };
        let relay = Relay {
            registry: Arc::clone(&registry),
            directory: directory.clone(),
            database: database.clone(),
        };
        let clusters = Clusters { database: database.clone(), registry };

        let token = shutdown.token();
        let queries = queue::queries(bus.clone(), relay.clone(), token.clone());
        shutdown.spawn_service("queries", queries);
        let connected_agents = queue::connected_agents(bus.clone(), relay, token.clone());
        shutdown.spawn_service("connected agents", connected_agents);
        let heartbeats =
            lifecycle::run(recorder.clone(), database.clone(), directory.clone(), patience, token.clone());
        shutdown.spawn_service("heartbeats", heartbeats);
        let agents_of_all = Agents { bus: bus.clone() };
        let store = database.store().clone();
        shutdown.spawn_endless("events", async move {
            store.relay_events(|event| bus.publish_event(event)).await
        });
        if let Some(webhook) = webhook {
            let deliverer = Deliverer { database: database.clone(), webhook };
            shutdown.spawn_service("alerts", deliverer.run(token.clone()));
        }
        let sessions_over = CancellationToken::new();
        shutdown.spawn_service("directory", directory.clone().run(rebalance_over, sessions_over.clone()));
        shutdown.spawn_endless("ends of sessions", ends.write());
        let timed = database.store().clone();
        shutdown.spawn_endless("clock", async move { timed.keep_time().await });
        let ending =
            end_of_sessions(sessions.tasks.clone(), recorder, database.clone(), token, sessions_over);
        shutdown.spawn(ending);

        let install = InstallSettings {
            public_url: agents.public_url.unwrap_or(own_url),
            agent_image: agents.agent_image,
        };
        let oldest_agent = OldestAgent(agents.oldest_agent_version);
        let aws = Arc::new(Aws { sessions: aws_access::Sessions::new(aws), principal: aws_principal });
        let api = Api {
            clusters: clusters.clone(),
            agents: agents_of_all,
            aws,
            install: Arc::new(install),
            oldest_agent,
        };
        let routes = http::routes(api, verifier, rate_limit, Arc::new(sessions), database);
        Ok(Self { routes, clusters, directory })
    }

    /// This replica among the others.
    pub fn replica(&self) -> Replica {
        Replica(self.directory.clone())
    }

    /// Waits until the agent has a session in this process.
    pub async fn connected(&self, agent_id: &str) {
        self.clusters.registry.connected(agent_id).await;
    }

    /// Sees to it that `user` has a cluster called `name` whose agent has exactly this key. For the all-in-one process,
    /// which keeps its agent's key between runs.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn ensure_cluster(
        &self,
        user: &UserData,
        name: &str,
        key: &Token,
    ) -> Result<KnownCluster, StoreError> {
        match self.clusters.ensure(user, name, key, self.clusters.database.now()).await {
            Ok((cluster_id, agent_id)) => Ok(KnownCluster { cluster_id, agent_id }),
            Err(ClusterError::Store(error)) => Err(error),
            Err(other) => Err(StoreError::Configuration(other.to_string())),
        }
    }
}

/// A cluster by its ids.
#[derive(Clone, Debug)]
pub struct KnownCluster {
    /// The cluster's.
    pub cluster_id: String,
    /// Its agent's.
    pub agent_id: String,
}

/// Sessions say goodbye to their agents when the process stops; it waits for that, and has written how they ended. Then it may
/// leave the directory.
async fn end_of_sessions(
    sessions: TaskTracker,
    recorder: VitalsRecorder,
    database: Database,
    shutdown: CancellationToken,
    over: CancellationToken,
) {
    shutdown.cancelled().await;
    sessions.close();
    sessions.wait().await;
    over.cancel();
    recorder.write(&database).await;
}
