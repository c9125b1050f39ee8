//! The names of queues, exchanges and headers on the broker.

/// The topic exchange that carries every event, with routing keys `{entity}.{what}`.
pub const EVENTS_EXCHANGE: &str = "kubesage.events";

/// Events that wait on a queue for whoever is to have all of them, also when it is away for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptEvents {
    /// The durable queue.
    pub queue: &'static str,
    /// The topics that are bound to it.
    pub topics: &'static str,
}

/// Every event, for the log that users read.
pub const AUDIT_LOG: KeptEvents = KeptEvents { queue: "audit_log", topics: "#" };

/// What happens to clusters, for programs of others.
pub const CLUSTER_EVENTS: KeptEvents = KeptEvents { queue: "kubeconfig_events", topics: "cluster.#" };

/// Messages that could not be understood or whose handler failed, kept for a person to look at.
pub const DEAD_LETTERS: &str = "kubesage.dead_letters";

/// The AMQP header that carries the caller's `traceparent`.
pub const TRACEPARENT_HEADER: &str = "traceparent";

/// The topic exchange on which an asker tells those who answer that it waits no more. The key is the queue of the requests.
pub const CONTROL_EXCHANGE: &str = "kubesage.control";

/// The headers of an answer in parts.
///
/// An asker that takes its answer in parts says with [`WINDOW`](parts::WINDOW) how many may be sent before it says
/// [`MORE`](parts::MORE). The bodies of all parts in order are the result; everything else that the answer says is JSON in
/// [`HEAD`](parts::HEAD) of the first part. Its `reply_to` is where to say `more` and `cancel`, with the request's own
/// `correlation_id` and `reply_to`.
pub mod parts {
    /// On the request: so many parts may be sent at first.
    pub const WINDOW: &str = "kubesage-window";
    /// On the first part: the answer's JSON without the result.
    pub const HEAD: &str = "kubesage-head";
    /// On each part: its number, from 0.
    pub const NUMBER: &str = "kubesage-part";
    /// On each of several parts: which answer it belongs to. An answer that is begun anew, because its request was delivered
    /// again, is another one.
    pub const ANSWER: &str = "kubesage-answer";
    /// On the last part.
    pub const LAST: &str = "kubesage-last";
    /// On each part whose body is a piece of a gzipped result: `gzip`.
    pub const ENCODING: &str = "kubesage-encoding";
    /// On a message that is neither a request nor an answer, what it is: [`MORE`], [`CANCEL`], or one of [`direct`](super::direct).
    pub const CONTROL: &str = "kubesage-control";
    /// One more part may be sent.
    pub const MORE: &str = "more";
    /// Nobody waits for the answer any more.
    pub const CANCEL: &str = "cancel";
}

/// What is sent to one replica alone, by the queue that is its own.
///
/// A request may be sent there by whoever knows that only this replica can answer it; it is answered as one of the shared queue,
/// and never passed on. Everything else there says with [`CONTROL`](parts::CONTROL) what it is.
pub mod direct {
    /// From a replica to itself: what was sent before has arrived.
    pub const ECHO: &str = "echo";
    /// Nothing: the sender wants to know whether the queue is there.
    pub const PROBE: &str = "probe";
    /// An event, on its topic.
    pub const EVENT: &str = "event";
    /// Something to be heeded; an empty reply says that it was.
    pub const NOTE: &str = "note";
    /// To an asker: its request was passed on to the replica whose queue is the `reply_to`. Sent to those who say
    /// [`FOLLOWS`] only.
    pub const PASSED_ON: &str = "passed-on";
    /// On a request: the asker wants to be told when it is passed on.
    pub const FOLLOWS: &str = "kubesage-follows";
}

/// The queue of requests of one kind, and the queue on which callers without a reply queue find their answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where requests wait; shared by all replicas of the answering service.
    pub requests: &'static str,
    /// Where the answers to requests without `reply_to` go.
    pub results: &'static str,
}

/// Queries for a cluster's agent, answered by onboarding.
pub const QUERIES: Route =
    Route { requests: "cluster_namespace_requests", results: "cluster_namespace_results" };

/// Which agents of a user are connected, answered by onboarding.
pub const CONNECTED_AGENTS: Route =
    Route { requests: "connected_agents_requests", results: "connected_agents_results" };

/// A service that asks user-auth to verify API keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The cluster service.
    Cluster,
    /// The onboarding service.
    Onboarding,
    /// The optimizer.
    Optimizer,
    /// The provisioner.
    Provisioner,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cluster, Self::Onboarding, Self::Optimizer, Self::Provisioner];

    /// The service's name, as messages carry it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Onboarding => "onboarding",
            Self::Optimizer => "optimizer",
            Self::Provisioner => "provisioner",
        }
    }

    /// The service's authentication queues, `{service}_auth_requests` and `{service}_auth_results`.
    pub fn auth_route(self) -> Route {
        let (requests, results) = match self {
            Self::Cluster => ("cluster_auth_requests", "cluster_auth_results"),
            Self::Onboarding => ("onboarding_auth_requests", "onboarding_auth_results"),
            Self::Optimizer => ("optimizer_auth_requests", "optimizer_auth_results"),
            Self::Provisioner => ("provisioner_auth_requests", "provisioner_auth_results"),
        };
        Route { requests, results }
    }
}
