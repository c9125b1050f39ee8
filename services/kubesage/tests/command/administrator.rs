//! Whoever has the kubeconfig of a cluster.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::Method;
use serde_json::Value;

use crate::started::client;

/// Whoever has the kubeconfig.
pub(crate) struct Administrator {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Administrator {
    pub(crate) fn new(kubeconfig: &Path) -> Result<Self> {
        let kubeconfig: Value = serde_json::from_str(&std::fs::read_to_string(kubeconfig)?)?;
        let (cluster, user) = (&kubeconfig["clusters"][0]["cluster"], &kubeconfig["users"][0]["user"]);
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a text");
        let authority = BASE64_STANDARD.decode(text(&cluster["certificate-authority-data"])?)?;
        // The process's provider of cryptography is set with the other client.
        client();
        let http = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&authority)?])
            .build()?;
        Ok(Self { http, url: text(&cluster["server"])?, token: text(&user["token"])? })
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer = request.header("content-type", "application/json").body(body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// The objects at a path.
    pub(crate) async fn items(&self, path: &str) -> Result<Vec<Value>> {
        let mut list = self.ask(Method::GET, path, None).await?;
        serde_json::from_value(list["items"].take()).context("items")
    }

    /// The names and uids at a path, in their order.
    pub(crate) async fn ids(&self, path: &str) -> Result<Vec<(String, String)>> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let id = |item: &Value| (text(&item["metadata"]["name"]), text(&item["metadata"]["uid"]));
        Ok(self.items(path).await?.iter().map(id).collect())
    }
}

/// Whether a node says that it is ready.
pub(crate) fn is_ready(node: &Value) -> bool {
    let mut conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|is| is["type"] == "Ready" && is["status"] == "True")
}
