//! What the tests start and ask with.

use anyhow::{Result, ensure};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use sim::{Delays, Options, Seed, Sim};

/// A simulator and an HTTP client.
pub(crate) struct Cluster {
    /// The simulator.
    pub(crate) sim: Sim,
    http: reqwest::Client,
}

/// Starts a simulator with a seed, in which only the tests change anything.
pub(crate) async fn cluster(seed: Seed) -> Result<Cluster> {
    cluster_with(api_server(seed)).await
}

/// An API server with a seed and without controllers.
pub(crate) fn api_server(seed: Seed) -> Options {
    Options { seed, controllers: false, ..Options::default() }
}

/// Starts a simulator.
pub(crate) async fn cluster_with(options: Options) -> Result<Cluster> {
    let sim = Sim::start(options).await?;
    Ok(Cluster { http: trusting(&sim.ca_pem())?, sim })
}

/// An HTTP client that trusts this authority alone.
pub(crate) fn trusting(ca_pem: &str) -> Result<reqwest::Client> {
    // The second test of a process finds the provider installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = reqwest::Certificate::from_pem(ca_pem.as_bytes())?;
    Ok(reqwest::Client::builder().tls_certs_only([authority]).build()?)
}

impl Cluster {
    /// A request without a token.
    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.sim.url()))
    }

    /// A request of the administrator.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(self.sim.admin_token())
    }

    /// Status and body of the administrator's request.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<(u16, Value)> {
        let request = self.request(method, path);
        answer(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    /// Status and body of the administrator's GET.
    pub(crate) async fn get(&self, path: &str) -> Result<(u16, Value)> {
        self.call(Method::GET, path, None).await
    }

    /// The real client with a token, without its retries.
    pub(crate) async fn client(&self, token: &str) -> Result<Client> {
        client_of(&self.sim.kubeconfig(token)).await
    }

    /// The real client of the administrator.
    pub(crate) async fn admin(&self) -> Result<Client> {
        self.client(self.sim.admin_token()).await
    }
}

/// The real client of a kubeconfig, without its retries.
pub(crate) async fn client_of(kubeconfig: &str) -> Result<Client> {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// Status and body of a request.
pub(crate) async fn answer(request: RequestBuilder) -> Result<(u16, Value)> {
    let response = request.send().await?;
    Ok((response.status().as_u16(), response.json().await?))
}

/// A simulator with its controllers or a real cluster, for tests that speak only the API, in a namespace of their own.
pub(crate) struct Anywhere {
    /// Where it comes from, and what removes what the test has made.
    pub(crate) cluster: testkit::Cluster,
}

impl Anywhere {
    pub(crate) async fn start() -> Result<Anywhere> {
        let options = Options { seed: Seed::Empty, delays: Delays::none(), ..Options::default() };
        Ok(Anywhere { cluster: testkit::Cluster::simulated_or_real(options).await? })
    }

    /// The path of a resource in the test's namespace, by `v1` or group and version.
    pub(crate) fn path(&self, api_version: &str, resource: &str) -> String {
        let root = if api_version.contains('/') { "apis" } else { "api" };
        format!("/{root}/{api_version}/namespaces/{}/{resource}", self.cluster.namespace())
    }

    /// The path of an object in the core group.
    pub(crate) fn core(&self, resource: &str) -> String {
        self.path("v1", resource)
    }

    /// Status and body of the administrator's request with these headers; a body that is no JSON is a string.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Result<(u16, Value)> {
        send(&self.cluster.client(), method, path, headers, body).await
    }

    /// Status and body of the administrator's request.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<(u16, Value)> {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.send(method, path, &[("content-type", "application/json")], body).await
    }

    /// Status and body of the administrator's GET.
    pub(crate) async fn get(&self, path: &str) -> Result<(u16, Value)> {
        self.call(Method::GET, path, None).await
    }

    /// The object that a POST makes.
    pub(crate) async fn creates(&self, path: &str, object: Value) -> Result<Value> {
        let (status, body) = self.call(Method::POST, path, Some(object)).await?;
        ensure!(status == 201, "{path}: {body}");
        Ok(body)
    }

    /// Status and message of a creation that is refused.
    pub(crate) async fn refuses(&self, path: &str, object: Value) -> Result<(u16, String)> {
        let (status, body) = self.call(Method::POST, path, Some(object)).await?;
        Ok((status, body["message"].as_str().unwrap_or_default().to_owned()))
    }

    /// The status of a GET with a token instead of the administrator's credentials.
    pub(crate) async fn status_with(&self, token: &str, path: &str) -> Result<u16> {
        let kubeconfig = Kubeconfig::read_from(self.cluster.kubeconfig())?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.auth_info =
            kube::config::AuthInfo { token: Some(token.to_owned().into()), ..Default::default() };
        Ok(send(&Client::try_from(config)?, Method::GET, path, &[], "").await?.0)
    }
}

async fn send(
    client: &Client,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) -> Result<(u16, Value)> {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = client.send(request.body(Body::from(body.into()))?).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect_bytes().await?;
    let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
    Ok((status, serde_json::from_slice(&body).unwrap_or_else(|_| text())))
}
