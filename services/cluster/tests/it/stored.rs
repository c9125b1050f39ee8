//! Clusters by stored credentials.

mod checks;
mod events;
mod isolation;
mod journey;
mod kubectl;
mod namespaces;
mod secrets;
mod selection;

use std::path::Path;

use anyhow::{Context, Result};
use kube::config::Kubeconfig;
use reqwest::{Method, Response};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use testkit::{Cluster, eventually};

use crate::world::Service;

/// A server that nobody listens on, for what is never connected to.
const NOWHERE: &str = "https://127.0.0.1:9";

/// The fields of a request to onboard the cluster of a kubeconfig's current context.
fn fields(name: &str, kubeconfig: &Path) -> Result<Value> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let current = kubeconfig.current_context.context("a current context")?;
    let context = kubeconfig.contexts.into_iter().find(|context| context.name == current);
    let context = context.and_then(|named| named.context).context("the current context")?;
    let cluster = kubeconfig.clusters.into_iter().find(|cluster| cluster.name == context.cluster);
    let cluster = cluster.and_then(|named| named.cluster).context("its cluster")?;
    let user = kubeconfig.auth_infos.into_iter().find(|user| Some(&user.name) == context.user.as_ref());
    let user = user.and_then(|named| named.auth_info).context("its user")?;
    Ok(json!({
        "cluster_name": name,
        "server_url": cluster.server,
        "ca_data": cluster.certificate_authority_data,
        "token": user.token.map(|token| token.expose_secret().to_owned()),
        "tls_cert": user.client_certificate_data,
        "tls_key": user.client_key_data.map(|key| key.expose_secret().to_owned()),
    }))
}

/// The fields of a cluster that is nowhere.
fn nowhere(name: &str) -> Value {
    json!({"cluster_name": name, "server_url": NOWHERE, "token": "t", "use_secure_tls": false})
}

impl Service {
    async fn post(&self, key: &str, path: &str, body: &Value) -> Result<Response> {
        Ok(self.call(key, Method::POST, path).json(body).send().await?)
    }

    /// Onboards a cluster and answers its id.
    async fn onboard(&self, key: &str, body: &Value) -> Result<i64> {
        let onboarded = self.post(key, "/onboard-cluster", body).await?;
        let status = onboarded.status();
        let onboarded: Value = onboarded.json().await?;
        anyhow::ensure!(status == 201, "{status}: {onboarded}");
        onboarded["id"].as_i64().context("an id")
    }

    async fn get_json(&self, key: &str, path: &str) -> Result<Value> {
        crate::world::json(self.call(key, Method::GET, path).send().await?).await
    }

    /// The types of the events in the audit log, newest first, once this many are there.
    async fn audit(&self, key: &str, query: &str, count: usize) -> Result<Vec<Value>> {
        eventually("the audit log", async || {
            let page = self.get_json(key, &format!("/api/v1/audit{query}")).await.ok()?;
            let events = page["events"].as_array()?.clone();
            (events.len() >= count).then_some(events)
        })
        .await
    }
}

/// The texts of a field of each.
fn texts<'a>(list: &'a [Value], field: &str) -> Vec<&'a str> {
    list.iter().filter_map(|item| item[field].as_str()).collect()
}

async fn simulated() -> Result<Cluster> {
    Cluster::simulated(sim::Options::default()).await
}
