//! A user with an API key.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::Value;

/// Speaks HTTP as a user's program does.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// The key that it sends.
    pub api_key: String,
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; null when it is empty.
    pub body: Value,
    /// How long it took.
    pub took: Duration,
}

impl Answer {
    /// The `code` of a problem.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

impl Client {
    /// A client with this key.
    ///
    /// # Errors
    /// When there is no HTTP client to be had.
    pub fn new(api_key: String) -> Result<Self> {
        // Reqwest takes the process's provider; a test that ran before has set it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
        Ok(Self { http, api_key })
    }

    /// GET.
    ///
    /// # Errors
    /// When there is no HTTP answer.
    pub async fn get(&self, url: &str) -> Result<Answer> {
        self.call(Method::GET, url, None).await
    }

    /// GET of what is no JSON.
    ///
    /// # Errors
    /// When there is no HTTP answer.
    pub async fn text(&self, url: &str) -> Result<String> {
        Ok(self.http.get(url).send().await?.text().await?)
    }

    /// POST with a JSON body.
    ///
    /// # Errors
    /// When there is no HTTP answer.
    pub async fn post(&self, url: &str, body: &Value) -> Result<Answer> {
        self.call(Method::POST, url, Some(body)).await
    }

    /// DELETE.
    ///
    /// # Errors
    /// When there is no HTTP answer.
    pub async fn delete(&self, url: &str) -> Result<Answer> {
        self.call(Method::DELETE, url, None).await
    }

    async fn call(&self, method: Method, url: &str, body: Option<&Value>) -> Result<Answer> {
        let started = Instant::now();
        let mut request = self.http.request(method, url).header("X-API-Key", &self.api_key);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| format!("no answer from {url}"))?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).context(text)? };
        Ok(Answer { status, body, took: started.elapsed() })
    }
}
