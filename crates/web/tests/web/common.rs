//! A server on a free port, and what an answer of it says.

use anyhow::{Context, Result};
use axum::Router;
use reqwest::{Client, Response, header::CONTENT_TYPE};
use tokio_util::sync::{CancellationToken, DropGuard};
use web::{ProblemDocument, Server, ServerConfig};

/// A running server; it stops when this is dropped.
pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) client: Client,
    _stop: DropGuard,
}

pub(crate) async fn start(router: Router) -> Result<Running> {
    let server = Server::bind(&ServerConfig::new("127.0.0.1", 0)).await?;
    let url = format!("http://{}", server.local_addr());
    let stop = CancellationToken::new();
    tokio::spawn(server.run(router, stop.clone()));
    Ok(Running { url, client: client()?, _stop: stop.drop_guard() })
}

pub(crate) fn client() -> Result<Client> {
    // Of the many tests of this process the first one installs it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(Client::builder().no_proxy().build()?)
}

impl Running {
    pub(crate) async fn get(&self, path: &str) -> Result<Response> {
        Ok(self.client.get(format!("{}{path}", self.url)).send().await?)
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Result<Response> {
        let request =
            self.client.post(format!("{}{path}", self.url)).header(CONTENT_TYPE, "application/json");
        Ok(request.body(body).send().await?)
    }
}

/// The problem in an answer, after what must hold of every problem has been checked.
pub(crate) async fn problem(response: Response) -> Result<ProblemDocument> {
    let (status, headers) = (response.status(), response.headers().clone());
    let document: ProblemDocument = response.json().await?;
    assert_eq!(headers.get(CONTENT_TYPE).context("content type")?, "application/problem+json");
    assert_eq!(headers.get("x-request-id").context("request id")?, document.request_id.as_str());
    assert_eq!(document.status, status.as_u16());
    assert_eq!(document.status, document.code.http_status());
    assert_eq!(document.r#type, format!("urn:kubesage:error:{}", document.code));
    Ok(document)
}
