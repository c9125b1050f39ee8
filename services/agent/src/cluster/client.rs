//! The client of the cluster's API server: which cluster, how long a call may take, whether the server answers.

use std::{
    env,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use contracts::ErrorCode;
use http::{Request, Uri};
use http_body_util::{BodyExt, Limited};
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use thiserror::Error;

use super::QueryError;
use crate::proxy::Proxy;

/// The header with which a simulated API server says what it is.
const SIMULATED_HEADER: &str = "x-kubesage-simulated";
/// `/version` is a few hundred bytes; more is not read.
const MAX_VERSION_BYTES: usize = 64 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the API server and the credentials for it are found.
#[derive(Clone, Debug, Default)]
pub struct ClusterSource {
    /// This kubeconfig file and no other.
    pub kubeconfig: Option<PathBuf>,
    /// This context of the kubeconfig; absent: its current one.
    pub context: Option<String>,
}

/// There are no usable credentials for a cluster.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The kubeconfig that was found or named cannot be used.
    #[error("KUBECONFIG: {0}")]
    Kubeconfig(KubeconfigError),
    /// The client cannot be built from the configuration, for instance because of a certificate.
    #[error("the cluster's configuration cannot be used: {0}")]
    Client(kube::Error),
}

/// What `/version` tells.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// Such as `v1.36.0`; absent when `/version` is answered with something else.
    pub(crate) version: Option<String>,
    /// The API server says that it is a simulation.
    pub(crate) simulated: bool,
}

/// Calls the API server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ApiServer {
    client: Client,
    timeout: Duration,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    identity: Option<Identity>,
    answered: Option<Instant>,
}

impl ApiServer {
    /// A client that gives each call `timeout`; connects when it is first used.
    pub(crate) async fn new(
        source: &ClusterSource,
        proxy: &Proxy,
        timeout: Duration,
    ) -> Result<Self, ClusterError> {
        let mut config = load(source).await.map_err(ClusterError::Kubeconfig)?;
        // kube takes HTTPS_PROXY for itself, also for what NO_PROXY names. A proxy of the kubeconfig's own stays.
        if config.proxy_url == from_environment() && proxy.of(&config.cluster_url).is_none() {
            config.proxy_url = None;
        }
        // The default retries 429 and 5xx for minutes, longer than anybody waits for an answer.
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        tracing::info!(api_server = %config.cluster_url, "cluster found");
        Ok(Self {
            client: Client::try_from(config).map_err(ClusterError::Client)?,
            timeout,
            seen: Arc::default(),
        })
    }

    /// For [`kube::Api`]s; their calls go through [`call`](Self::call).
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Bounds a call in time and notes whether the API server answered.
    pub(crate) async fn call<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, QueryError> {
        let result = match tokio::time::timeout(self.timeout, call).await {
            Ok(result) => result.map_err(QueryError::from),
            Err(_) => Err(QueryError::unreachable(format!(
                "the API server did not answer within {} ms",
                self.timeout.as_millis()
            ))),
        };
        let mut seen = self.seen();
        match &result {
            // What answers next may be another server.
            Err(error) if error.code == ErrorCode::ClusterUnreachable => seen.identity = None,
            _ => seen.answered = Some(Instant::now()),
        }
        result
    }

    /// Notes that the API server spoke outside of a [`call`](Self::call), in a watch.
    pub(crate) fn note_answer(&self) {
        self.seen().answered = Some(Instant::now());
    }

    /// When the API server last answered.
    pub(crate) fn answered(&self) -> Option<Instant> {
        self.seen().answered
    }

    /// What the API server is; asks it unless that is known of the present connection.
    pub(crate) async fn identity(&self) -> Result<Identity, QueryError> {
        let known = self.seen().identity.clone();
        match known {
            Some(identity) => Ok(identity),
            None => self.refresh_identity().await,
        }
    }

    /// What the API server is; asks it in any case, and knows nothing until it answers.
    pub(crate) async fn refresh_identity(&self) -> Result<Identity, QueryError> {
        self.seen().identity = None;
        let identity = self.call(self.ask_version()).await?;
        self.seen().identity = Some(identity.clone());
        Ok(identity)
    }

    async fn ask_version(&self) -> kube::Result<Identity> {
        let request = Request::get("/version").body(Body::empty()).map_err(kube::Error::HttpError)?;
        let response = self.client.send(request).await?;
        let simulated = response.headers().contains_key(SIMULATED_HEADER);
        let body = Limited::new(response.into_body(), MAX_VERSION_BYTES).collect().await;
        let bytes = body.map_err(kube::Error::Service)?.to_bytes();
        let version = serde_json::from_slice::<Info>(&bytes).ok().map(|info| info.git_version);
        Ok(Identity { version, simulated })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The proxy that kube takes from the environment where the kubeconfig names none.
fn from_environment() -> Option<Uri> {
    let set = ["HTTPS_PROXY", "https_proxy"]
        .into_iter()
        .find_map(|name| env::var(name).ok().filter(|url| !url.is_empty()));
    set?.parse().ok()
}

/// The file that is named, else the pod's service account, else `KUBECONFIG` or `~/.kube/config`.
async fn load(source: &ClusterSource) -> Result<Config, KubeconfigError> {
    let options = KubeConfigOptions { context: source.context.clone(), ..KubeConfigOptions::default() };
    if let Some(path) = &source.kubeconfig {
        let kubeconfig = Kubeconfig::read_from(path)?;
        return Config::from_custom_kubeconfig(kubeconfig, &options).await;
    }
    // A named context can only be one of a kubeconfig.
    if source.context.is_none()
        && let Ok(config) = Config::incluster()
    {
        return Ok(config);
    }
    Config::from_kubeconfig(&options).await
}
