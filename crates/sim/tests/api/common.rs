//! What the tests start and ask with.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use sim::{Delays, Options, Seed, Sim};
use testkit::Cluster;

/// Rights that are given or taken are known within this time: a real API server remembers tokens for ten seconds.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// A simulator with its controllers or a real cluster, for tests that speak only the API.
pub(crate) async fn anywhere() -> Result<Cluster> {
    Cluster::simulated_or_real(Options { seed: Seed::Empty, delays: Delays::none(), ..Options::default() })
        .await
}

/// A simulator with a seed, in which only the test changes anything.
pub(crate) async fn simulated(seed: Seed) -> Result<Cluster> {
    Cluster::simulated(api_server(seed)).await
}

/// An API server with a seed and without controllers.
pub(crate) fn api_server(seed: Seed) -> Options {
    Options { seed, controllers: false, ..Options::default() }
}

/// An HTTP client that trusts this authority alone.
pub(crate) fn trusting(ca_pem: &str) -> Result<reqwest::Client> {
    // The second test of a process finds the provider installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = reqwest::Certificate::from_pem(ca_pem.as_bytes())?;
    Ok(reqwest::Client::builder().tls_certs_only([authority]).build()?)
}

/// The simulator behind a simulated cluster.
pub(crate) fn sim(cluster: &Cluster) -> &Sim {
    cluster.sim().expect("the cluster is simulated")
}

/// Status and body of the administrator's GET in somebody's place.
pub(crate) async fn get_as(cluster: &Cluster, user: &str, path: &str) -> Result<(u16, Value)> {
    cluster.send(Method::GET, path, &[("impersonate-user", user)], "").await
}

/// The status of a GET with a token.
pub(crate) async fn status_with(cluster: &Cluster, token: &str, path: &str) -> Result<u16> {
    Ok(cluster.with_token(token).await?.get(path).await?.0)
}

/// A pod that no scheduler knows of: it stays pending, on every cluster.
pub(crate) fn idle_pod(name: &str, spec: &Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "schedulerName": "nobody", "containers": [{ "name": "c", "image": "nginx:1.27" }] },
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        pod["spec"][field] = value.clone();
    }
    pod
}
