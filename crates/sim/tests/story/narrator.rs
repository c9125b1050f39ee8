//! Who asks the recorded questions, and hears the answers.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use sim::{Delays, Options, Seed, Sim};

use crate::compare::{Names, differences, level};
use crate::recording::Recording;

/// A state that controllers bring about is there within this time.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// The story's teller.
pub(crate) struct Narrator {
    pub(crate) sim: Sim,
    http: Client,
    pub(crate) names: Names,
    /// Who asks what is not asked by the administrator.
    pub(crate) other_token: String,
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    text: String,
}

impl Narrator {
    pub(crate) async fn start() -> Result<Narrator> {
        // Pods take as long to stop as they may, and the clock is moved when they shall be gone; the namespace at the
        // end of the story stays.
        let long = Duration::from_secs(3600);
        let delays = Delays { stop: long, namespace: long, ..Delays::none() };
        let sim = Sim::start(Options { seed: Seed::Empty, delays, ..Options::default() }).await?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authority = reqwest::Certificate::from_pem(sim.ca_pem().as_bytes())?;
        let http = Client::builder().tls_certs_only([authority]).build()?;
        Ok(Narrator { sim, http, names: Names::default(), other_token: "unknown".to_owned() })
    }

    /// Asks what was asked; an error tells what is answered otherwise. What is only read may become right with time.
    pub(crate) async fn tell(&mut self, recording: &Recording) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(recording).await?;
            let told = self.check(recording, &answer)?;
            if told.is_empty() {
                return Ok(());
            }
            if recording.request.method != "GET" || Instant::now() > until {
                return Err(anyhow!("{told}"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask(&self, recording: &Recording) -> Result<Answer> {
        let request = &recording.request;
        let path = self.rewrite_path(&request.path);
        let method = Method::from_bytes(request.method.as_bytes())?;
        let token = if request.authorized { self.sim.admin_token() } else { &self.other_token };
        let mut asked = self.http.request(method, format!("{}{path}", self.sim.url())).bearer_auth(token);
        if !request.body.is_null() {
            let mut body = request.body.clone();
            self.names.rewrite(&mut body);
            asked = asked.header("content-type", "application/json").body(body.to_string());
        }
        for (name, value) in &request.headers {
            asked = set_header(asked, name, value);
        }
        let response = asked.send().await.with_context(|| path.clone())?;
        let headers = response.headers().iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        Ok(Answer {
            status: response.status().as_u16(),
            headers: headers.collect(),
            text: response.text().await?,
        })
    }

    /// The path with this run's continue tokens and versions.
    fn rewrite_path(&self, path: &str) -> String {
        let Some((path, query)) = path.split_once('?') else { return path.to_owned() };
        let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
            Some((name @ ("continue" | "resourceVersion"), value)) => {
                format!("{name}={}", self.names.rewrite_text(value))
            }
            _ => parameter.to_owned(),
        });
        format!("{path}?{}", parameters.collect::<Vec<_>>().join("&"))
    }

    /// What is answered otherwise than recorded.
    fn check(&mut self, recording: &Recording, answer: &Answer) -> Result<String> {
        let recorded = &recording.response;
        let mut told = String::new();
        if answer.status != recorded.status {
            told.push_str(&format!("  status: recorded {}, given {}\n", recorded.status, answer.status));
        }
        for (name, value) in &recorded.headers {
            let given = answer.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
            if given.map(|(_, value)| value) != Some(value) {
                told.push_str(&format!("  {name}: recorded {value}, given {given:?}\n"));
            }
        }
        let (expected, given) = match (&recorded.lines, &recorded.body) {
            (Some(lines), _) => {
                let given: Result<Vec<Value>, _> = answer.text.lines().map(serde_json::from_str).collect();
                (Value::Array(lines.clone()), Value::Array(given?))
            }
            (None, Value::String(text)) => (text.as_str().into(), answer.text.as_str().into()),
            (None, body) => (
                body.clone(),
                serde_json::from_str(&answer.text).unwrap_or_else(|_| answer.text.as_str().into()),
            ),
        };
        self.names.learn(&expected, &given);
        let (mut expected, mut given) = (expected, given);
        self.names.rewrite(&mut expected);
        level(&mut expected);
        level(&mut given);
        told.push_str(&differences(&expected, &given));
        Ok(told)
    }

    /// What happens besides what was recorded.
    pub(crate) async fn does(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request = self
            .http
            .request(method, format!("{}{path}", self.sim.url()))
            .bearer_auth(self.sim.admin_token());
        let request = if body.is_null() {
            request
        } else {
            request.header("content-type", kind).body(body.to_string())
        };
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "{path}: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Waits until an object is as it should be; whether it is in time.
    pub(crate) async fn sees(&self, path: &str, right: impl Fn(u16, &Value) -> bool) -> Result<bool> {
        let until = Instant::now() + PATIENCE;
        loop {
            let request =
                self.http.get(format!("{}{path}", self.sim.url())).bearer_auth(self.sim.admin_token());
            let response = request.send().await?;
            let status = response.status().as_u16();
            if right(status, &response.json().await?) {
                return Ok(true);
            }
            if Instant::now() > until {
                return Ok(false);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn set_header(request: RequestBuilder, name: &str, value: &str) -> RequestBuilder {
    let mut headers = reqwest::header::HeaderMap::new();
    if let (Ok(name), Ok(value)) = (
        reqwest::header::HeaderName::from_bytes(name.as_bytes()),
        reqwest::header::HeaderValue::from_str(value),
    ) {
        headers.insert(name, value);
    }
    // Unlike `header`, this replaces what is there.
    request.headers(headers)
}
