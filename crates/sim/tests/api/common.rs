//! What the tests start and ask with.

use anyhow::Result;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use sim::{Options, Seed, Sim};

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
