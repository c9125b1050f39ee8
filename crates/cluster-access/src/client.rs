//! Calls of a cluster's API server, bounded in time, in number and in size.

use std::{
    error::Error,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use k8s_openapi::apimachinery::pkg::{apis::meta::v1::Status, version::Info};
use kube::{
    Client, Config,
    client::{Body, ConfigExt},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{sync::Semaphore, time::timeout};
use tower::ServiceBuilder;

use crate::{
    AccessError, Bearer, Credentials, Trust,
    error::{chain, root},
    lookup::Lookup,
};

/// More of one answer is not read, in bytes. A page of 500 objects' metadata has 1 MiB, mostly; each may have 256 KiB of annotations.
pub(crate) const MAX_ANSWER: usize = 16 << 20;
/// The names of all objects are not longer together, in bytes.
const MAX_NAMES: usize = 16 << 20;
/// A connection that nobody uses is closed after so long.
const IDLE: Duration = Duration::from_secs(60);
/// So many objects are asked for at once.
const PAGE: u32 = 500;
/// What a cluster says of an error is cut to so many characters.
pub(crate) const MAX_MESSAGE: usize = 1024;
/// Only names are asked for, and not the objects that they are of.
/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables>
const METADATA_ONLY: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json";

/// How much of a cluster's time and of ours a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a TCP connection.
    pub connect: Duration,
    /// For an answer, with all that it needs.
    pub answer: Duration,
    /// So many requests may be under way at once; further ones wait as long as an answer may take.
    pub at_once: usize,
    /// Whether addresses are connected to that are refused otherwise: link-local ones and those of a cloud's metadata.
    pub any_address: bool,
}

/// A client of one cluster. Cheap to clone; all clones share connections and [`Limits::at_once`].
#[derive(Clone)]
pub struct ClusterClient {
    client: Client,
    places: Arc<Semaphore>,
    limits: Limits,
    /// Whether the cluster says that it is a simulation, once it has answered.
    simulated: Arc<OnceLock<bool>>,
}
/// What a cluster says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Such as `v1.36.0`.
    pub git_version: String,
    /// Such as `linux/amd64`.
    pub platform: String,
    /// It says that it is a simulation.
    pub simulated: bool,
}

/// The header with which a simulated API server says what it is.
const SIMULATED_HEADER: &str = "x-kubesage-simulated";

impl ClusterClient {
    /// Makes a client from what is in memory; nothing is read from files or the environment. It connects when it is first used.
    ///
    /// # Errors
    /// [`AccessError::Credentials`] when they cannot be used.
    pub fn new(credentials: &Credentials, limits: Limits) -> Result<Self, AccessError> {
        Self::with(credentials, None, limits, Lookup::by_system(limits.any_address))
    }

    /// The same, by a token that is replaced while the client is in use.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_bearer(
        credentials: &Credentials,
        bearer: Bearer,
        limits: Limits,
    ) -> Result<Self, AccessError> {
        Self::with(credentials, Some(bearer), limits, Lookup::by_system(limits.any_address))
    }

    /// For who bounds his calls himself, as a [`Drainer`](crate::drain::Drainer) does. It tries nothing again.
    pub fn unbounded(&self) -> Client {
        self.client.clone()
    }

    fn with(
        credentials: &Credentials,
        bearer: Option<Bearer>,
        limits: Limits,
        lookup: Lookup,
    ) -> Result<Self, AccessError> {
        let unusable = |error: &(dyn Error + 'static)| AccessError::Credentials(chain(error));
        let config = config(credentials)?;
        let mut connector = HttpConnector::new_with_resolver(lookup);
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(limits.connect));
        connector.set_nodelay(true);
        let https =
            config.rustls_https_connector_with_connector(connector).map_err(|error| unusable(&error))?;
        let connections: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(limits.at_once)
            .build(https);
        let service = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .option_layer(config.auth_layer().map_err(|error| unusable(&error))?)
            .map_request(move |request| match &bearer {
                Some(bearer) => bearer.put_into(request),
                None => request,
            })
            .map_err(Into::<tower::BoxError>::into)
            .service(connections);
        Ok(Self {
            client: Client::new(service, config.default_namespace),
            places: Arc::new(Semaphore::new(limits.at_once)),
            limits,
            simulated: Arc::default(),
        })
    }

    /// Whether the cluster says that it is a simulation; false when it does not answer while one could connect.
    pub async fn is_simulated(&self) -> bool {
        if self.simulated.get().is_none() {
            let _ = timeout(self.limits.connect, self.version()).await;
        }
        self.simulated.get().copied().unwrap_or_default()
    }
    /// Asks for `/version`.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn version(&self) -> Result<Version, AccessError> {
        let Info { git_version, platform, .. } = self.get("/version", "application/json").await?;
        Ok(Version { git_version, platform, simulated: self.simulated.get().copied().unwrap_or_default() })
    }

    /// The names of all namespaces, asked for page by page: at most `max` of them.
    ///
    /// # Errors
    /// [`AccessError`]; [`AccessError::TooLarge`] when there are more than `max`.
    pub async fn namespaces(&self, max: usize) -> Result<Vec<String>, AccessError> {
        let (mut names, mut bytes) = (Vec::new(), 0);
        let mut next = String::new();
        loop {
            let from = utf8_percent_encode(&next, NON_ALPHANUMERIC);
            let path = format!("/api/v1/namespaces?limit={PAGE}&continue={from}");
            let page: Page = self.get(&path, METADATA_ONLY).await?;
            bytes += page.items.iter().map(|item| item.metadata.name.len()).sum::<usize>();
            names.extend(page.items.into_iter().map(|item| item.metadata.name));
            if names.len() > max || bytes > MAX_NAMES {
                return Err(AccessError::TooLarge);
            }
            match page.metadata.r#continue {
                // A server that gives the same page again would keep us for ever.
                Some(token) if !token.is_empty() && token != next => next = token,
                _ => return Ok(names),
            }
        }
    }
    /// What is at this path.
    async fn get<T: DeserializeOwned>(&self, path: &str, accept: &'static str) -> Result<T, AccessError> {
        let request = Request::get(path).header(http::header::ACCEPT, accept).body(Body::empty());
        let request = request.map_err(|error| AccessError::Unreadable(error.to_string()))?;
        let mut has_place = false;
        let asked = async {
            let _place = self.places.acquire().await.map_err(|_| AccessError::Busy)?;
            has_place = true;
            let response = self.client.send(request).await.map_err(|error| unreachable(&error))?;
            self.simulated.get_or_init(|| response.headers().contains_key(SIMULATED_HEADER));
            read(response).await
        };
        let asked = timeout(self.limits.answer, asked).await;
        let bytes = match asked {
            Ok(answered) => answered?,
            Err(_) if has_place => return Err(AccessError::TimedOut(self.limits.answer)),
            Err(_) => return Err(AccessError::Busy),
        };
        serde_json::from_slice(&bytes).map_err(|error| AccessError::Unreadable(error.to_string()))
    }
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMetadata,
    items: Vec<Named>,
}

#[derive(Deserialize)]
struct PageMetadata {
    r#continue: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    metadata: Name,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

fn config(credentials: &Credentials) -> Result<Config, AccessError> {
    let uri: Uri = credentials
        .server
        .to_string()
        .parse()
        .map_err(|_| AccessError::Credentials("the server's URL cannot be used".to_owned()))?;
    let mut config = Config::new(uri);
    config.auth_info = credentials.auth_info();
    config.tls_server_name.clone_from(&credentials.server_name);
    match &credentials.trust {
        Trust::Public => {}
        Trust::Nobody => config.accept_invalid_certs = true,
        Trust::Authorities(pem) => {
            config.root_cert = Some(crate::tls_data::der(pem).map_err(|error| {
                AccessError::Credentials(format!("the certificates of the authorities: {error}"))
            })?);
        }
    }
    Ok(config)
}

/// The whole answer, if it is one of success.
async fn read(response: Response<Body>) -> Result<Vec<u8>, AccessError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            AccessError::TooLarge
        } else {
            AccessError::Unreachable(chain(error.as_ref()))
        }
    })?;
    let bytes: Vec<u8> = body.to_bytes().into();
    if status.is_success() { Ok(bytes) } else { Err(refused(status, &bytes)) }
}

fn refused(status: StatusCode, body: &[u8]) -> AccessError {
    let said = serde_json::from_slice::<Status>(body).ok().and_then(|status| status.message);
    let message = said.unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason given").to_owned());
    AccessError::refused(status.as_u16(), &message)
}

/// Why there was no answer: what is at the bottom of it, in words for whoever gave the credentials.
pub(crate) fn unreachable(error: &kube::Error) -> AccessError {
    let cause = root(error);
    let hint = HINTS.iter().find(|(part, _)| cause.contains(part)).map(|(_, hint)| *hint);
    let text = hint.map_or_else(|| cause.clone(), |hint| format!("{hint} ({cause})"));
    AccessError::Unreachable(text.chars().take(MAX_MESSAGE).collect())
}

/// What libraries say, and what it means here.
const HINTS: [(&str, &str); 4] = [
    ("UnknownIssuer", "its certificate is not of an authority that is trusted"),
    ("not valid for name", "its certificate is for another name"),
    ("invalid HTTP version parsed", "it speaks no HTTP: perhaps https:// is meant"),
    ("CertificateUnknown", "it does not accept the client certificate"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Allowed, ServerUrl};

    #[tokio::test]
    async fn a_name_that_leads_to_a_clouds_metadata_is_not_connected_to() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let second = Duration::from_secs(1);
        let limits = Limits { connect: second, answer: second, at_once: 1, any_address: false };
        for server in ["https://cluster.example", "http://cluster.example:80"] {
            let credentials = Credentials {
                server: ServerUrl::parse(server, Allowed { http: true, any_address: false }).unwrap(),
                server_name: None,
                token: None,
                identity: None,
                trust: Trust::Nobody,
            };
            let lookup = Lookup::everything_is_metadata();
            let client = ClusterClient::with(&credentials, None, limits, lookup).unwrap();
            let refused = client.version().await.unwrap_err().to_string();
            assert!(refused.contains("link-local"), "{refused}");
        }
    }
}
