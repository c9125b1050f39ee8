//! Kubesage's HTTP API, as a client sees it.

use std::time::Duration;

use reqwest::{
    Client, Method, RequestBuilder,
    header::{HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use url::{Url, form_urlencoded::byte_serialize};
use web::{ProblemDocument, error_chain};

use super::{ClientError, args::ClusterArg, output, profile::Profile};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than Kubesage itself waits for an agent.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Who asks too often is told when to come back, and does so by itself if that is soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(61);

/// Then it is given up.
const MAX_RETRIES: usize = 3;

const CLUSTERS: &str = "/api/v1/clusters";

/// A Kubesage that can be asked.
pub(crate) struct Api {
    client: Client,
    profile: Profile,
}

/// Which of its services; each may have an address of its own.
#[derive(Clone, Copy)]
pub(crate) enum Service {
    Cluster,
    Onboarding,
}

/// A cluster, as far as the client itself needs to know it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) cluster_id: String,
    pub(crate) cluster_name: String,
    pub(crate) agent_id: String,
    pub(crate) connected_at: Option<String>,
}

impl Api {
    pub(crate) fn new(profile: Profile) -> Result<Self, ClientError> {
        // An error means that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Not redirected: the key is for this place alone.
        let client =
            Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT).redirect(Policy::none());
        let client = client.user_agent(concat!("kubesage/", env!("CARGO_PKG_VERSION"))).build();
        let client = client.map_err(|error| ClientError::Usage(error_chain(&error)))?;
        Ok(Self { client, profile })
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        service: Service,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, ClientError> {
        let url = self.url(service, path, query)?;
        self.json(&url, |client| client.get(url.clone())).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        service: Service,
        path: &str,
        body: &Value,
    ) -> Result<T, ClientError> {
        self.post_with(service, path, &[], |post| if body.is_null() { post } else { post.json(body) }).await
    }

    /// A POST whose body, and whatever else is unusual about it, `with` adds.
    pub(crate) async fn post_with<T: DeserializeOwned>(
        &self,
        service: Service,
        path: &str,
        query: &[(&str, String)],
        with: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<T, ClientError> {
        self.send_with(Method::POST, service, path, query, with).await
    }

    /// The same by another method.
    pub(crate) async fn send_with<T: DeserializeOwned>(
        &self,
        method: Method,
        service: Service,
        path: &str,
        query: &[(&str, String)],
        with: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<T, ClientError> {
        let url = self.url(service, path, query)?;
        self.json(&url, |client| with(client.request(method.clone(), url.clone()))).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Result<(), ClientError> {
        let url = self.url(Service::Onboarding, path, &[])?;
        self.bytes(&url, |client| client.request(Method::PATCH, url.clone()).json(body)).await.map(drop)
    }

    pub(crate) async fn delete(&self, service: Service, path: &str) -> Result<(), ClientError> {
        let url = self.url(service, path, &[])?;
        self.bytes(&url, |client| client.request(Method::DELETE, url.clone())).await.map(drop)
    }

    /// The caller's clusters, as the API tells them.
    pub(crate) async fn clusters(&self) -> Result<Value, ClientError> {
        self.get(Service::Onboarding, CLUSTERS, &[]).await
    }

    /// The cluster of this name or id.
    pub(crate) async fn cluster(&self, name: &str) -> Result<Cluster, ClientError> {
        let found = self.known_clusters().await?.into_iter();
        let mut found = found.filter(|cluster| cluster.cluster_id == name || cluster.cluster_name == name);
        found.next().ok_or_else(|| ClientError::NoSuchCluster(name.to_owned()))
    }

    /// The cluster that is named, or the only one.
    pub(crate) async fn chosen_cluster(&self, chosen: &ClusterArg) -> Result<Cluster, ClientError> {
        if let Some(name) = &chosen.cluster {
            return self.cluster(name).await;
        }
        let mut clusters = self.known_clusters().await?;
        match clusters.len() {
            0 => Err(ClientError::Usage("you have no cluster yet; see: kubesage connect --help".to_owned())),
            1 => Ok(clusters.remove(0)),
            _ => {
                let names: Vec<_> = clusters.into_iter().map(|cluster| cluster.cluster_name).collect();
                Err(ClientError::Usage(format!("choose a cluster with --cluster: {}", names.join(", "))))
            }
        }
    }

    async fn known_clusters(&self) -> Result<Vec<Cluster>, ClientError> {
        #[derive(Deserialize)]
        struct Clusters {
            clusters: Vec<Cluster>,
        }
        let known: Clusters = self.get(Service::Onboarding, CLUSTERS, &[]).await?;
        Ok(known.clusters)
    }

    /// Where the onboarding service is, for a person.
    pub(crate) fn onboarding(&self) -> &str {
        self.base(Service::Onboarding)
    }

    fn base(&self, service: Service) -> &str {
        let Profile { url, onboarding_url, .. } = &self.profile;
        let base = match service {
            Service::Cluster => url,
            Service::Onboarding => onboarding_url.as_ref().unwrap_or(url),
        };
        base.as_str().trim_end_matches('/')
    }

    fn url(&self, service: Service, path: &str, query: &[(&str, String)]) -> Result<Url, ClientError> {
        let text = format!("{}{path}", self.base(service));
        let mut url = Url::parse(&text).map_err(|error| ClientError::Usage(format!("{text}: {error}")))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    async fn json<T: DeserializeOwned>(
        &self,
        url: &Url,
        request: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<T, ClientError> {
        let body = self.bytes(url, request).await?;
        let strange = |_| ClientError::NotKubesage { url: url.to_string(), status: 200 };
        serde_json::from_slice(&body).map_err(strange)
    }

    /// The body of a successful answer. Who is told to come back soon does.
    async fn bytes(
        &self,
        url: &Url,
        request: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Vec<u8>, ClientError> {
        let mut retries = 0;
        loop {
            match self.once(url, request(&self.client)).await? {
                Attempt::Done(answer) => return answer,
                Attempt::TooOften(_) if retries == MAX_RETRIES => {
                    return Err(ClientError::NotKubesage { url: host(url), status: 429 });
                }
                Attempt::TooOften(pause) => {
                    output::tell(&format!("… asked too often; again in {} s", pause.as_secs()));
                    tokio::time::sleep(pause).await;
                    retries += 1;
                }
            }
        }
    }

    async fn once(&self, url: &Url, request: RequestBuilder) -> Result<Attempt, ClientError> {
        let unreachable = |error: reqwest::Error| ClientError::Unreachable {
            url: host(url),
            reason: error_chain(&error.without_url()),
        };
        let response =
            request.header("X-API-Key", key(&self.profile.api_key)?).send().await.map_err(unreachable)?;
        let status = response.status();
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        let body = response.bytes().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(Attempt::Done(Ok(body.into())));
        }
        let pause = retry_after.map(Duration::from_secs).filter(|pause| *pause <= LONGEST_PAUSE);
        match (status.as_u16(), pause) {
            (429, Some(pause)) => Ok(Attempt::TooOften(pause)),
            (status, _) => Ok(Attempt::Done(Err(match serde_json::from_slice::<ProblemDocument>(&body) {
                Ok(problem) => ClientError::Problem(Box::new(problem)),
                Err(_) => ClientError::NotKubesage { url: host(url), status },
            }))),
        }
    }
}

enum Attempt {
    Done(Result<Vec<u8>, ClientError>),
    TooOften(Duration),
}

/// What a person named, as one segment of a path, in which a plus is no space.
pub(crate) fn segment(name: &str) -> String {
    byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

fn host(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn key(key: &SecretString) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_str(key.expose_secret())
        .map_err(|_| ClientError::Usage("the API key holds a character that no key has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
