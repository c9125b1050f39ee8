//! Bare requests to a cluster.

use anyhow::{Context, Result, ensure};
use http::{Method, Request, Response};
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

/// Somebody who asks a cluster. Every request is tried once.
pub struct Caller {
    client: Client,
}

impl Caller {
    /// Whom the kubeconfig's current context names.
    pub(super) async fn new(kubeconfig: Kubeconfig) -> Result<Self> {
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.default_retry = false;
        Ok(Self { client: Client::try_from(config)? })
    }

    /// The Kubernetes client.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The answer to a request, with its headers.
    ///
    /// # Errors
    /// When there is no answer, as to what follows too.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.client.send(request.body(Body::from(body.into()))?).await?;
        let (head, body) = response.into_parts();
        Ok(Response::from_parts(head, body.collect_bytes().await?.to_vec()))
    }

    /// Status and body of a request with these headers; a body that is no JSON is a string.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Result<(u16, Value)> {
        let (head, body) = self.ask(method, path, headers, body).await?.into_parts();
        let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
        Ok((head.status.as_u16(), serde_json::from_slice(&body).unwrap_or_else(|_| text())))
    }

    /// Status and body of a request with a body in JSON.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<(u16, Value)> {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.send(method, path, &[("content-type", "application/json")], body).await
    }

    /// Status and body of a GET.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> Result<(u16, Value)> {
        self.call(Method::GET, path, None).await
    }

    /// The object that a POST makes.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn post(&self, path: &str, object: Value) -> Result<Value> {
        let (status, body) = self.call(Method::POST, path, Some(object)).await?;
        ensure!(status == 201, "{path}: {body}");
        Ok(body)
    }

    /// Status and message of a POST that is refused.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn refuses(&self, path: &str, object: Value) -> Result<(u16, String)> {
        let (status, body) = self.call(Method::POST, path, Some(object)).await?;
        Ok((status, body["message"].as_str().unwrap_or_default().to_owned()))
    }

    /// A token of a service account, for the API server.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn token_of(&self, namespace: &str, account: &str) -> Result<String> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let request = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
        let answer = self.post(&path, request).await?;
        Ok(answer["status"]["token"].as_str().context("no token")?.to_owned())
    }
}
