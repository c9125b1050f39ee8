//! Who asks the recorded questions, and hears the answers.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use reqwest::Method;
use serde_json::Value;
use sim::{Delays, Options, Seed};
use testkit::{Caller, Cluster};

use crate::cast::Cast;
use crate::compare::{Names, differences, level, level_cluster};
use crate::recording::Recording;

const PAUSE: Duration = Duration::from_millis(20);

/// The story's teller.
pub(crate) struct Narrator {
    pub(crate) cluster: Cluster,
    pub(crate) cast: Cast,
    pub(crate) names: Names,
    /// Who asks what is not asked by the administrator.
    pub(crate) other: Caller,
    /// A state that controllers bring about is there within this time.
    patience: Duration,
}

type Answer = http::Response<Vec<u8>>;

impl Narrator {
    pub(crate) async fn start() -> Result<Narrator> {
        // Pods take as long to stop as they may, and the clock is moved when they shall be gone; the namespace at the
        // end of the story stays.
        let long = Duration::from_secs(3600);
        let delays = Delays { stop: long, namespace: long, ..Delays::none() };
        let options = Options { seed: Seed::Empty, delays, ..Options::default() };
        let cluster = Cluster::simulated_or_real(options).await?;
        let patience = Duration::from_secs(if cluster.sim().is_some() { 5 } else { 60 });
        let cast = Cast::new(&cluster).await?;
        let other = cluster.with_token("unknown").await?;
        Ok(Narrator { cluster, cast, names: Names::default(), other, patience })
    }

    /// The path of a resource or an object of the core group in the story's namespace.
    pub(crate) fn core(&self, resource: &str) -> String {
        format!("/api/v1/namespaces/{}/{resource}", self.cast.namespace)
    }

    /// Asks what was asked; an error tells what is answered otherwise. What is only read may become right with time.
    pub(crate) async fn tell(&mut self, recording: &Recording) -> Result<()> {
        let until = Instant::now() + self.patience;
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
        let caller = if request.authorized { &*self.cluster } else { &self.other };
        let mut headers: Vec<_> =
            request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut body = request.body.clone();
        self.names.rewrite(&mut body);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        if !body.is_empty() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("content-type", "application/json"));
        }
        caller.ask(method, &path, &headers, body).await.with_context(|| path.clone())
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
        let text = String::from_utf8_lossy(answer.body());
        if answer.status() != recorded.status {
            told.push_str(&format!("  status: recorded {}, given {}\n", recorded.status, answer.status()));
        }
        for (name, value) in &recorded.headers {
            let given = answer.headers().get(name.as_str());
            if given.map(http::HeaderValue::as_bytes) != Some(value.as_bytes()) {
                told.push_str(&format!("  {name}: recorded {value}, given {given:?}\n"));
            }
        }
        let (expected, given) = match (&recorded.lines, &recorded.body) {
            (Some(lines), _) => {
                let given: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
                (Value::Array(lines.clone()), Value::Array(given?))
            }
            (None, Value::String(recorded_text)) => (recorded_text.as_str().into(), (*text).into()),
            (None, body) => (body.clone(), serde_json::from_str(&text).unwrap_or_else(|_| (*text).into())),
        };
        self.names.learn(&expected, &given);
        let (mut expected, mut given) = (expected, given);
        self.names.rewrite(&mut expected);
        level(&mut expected);
        level(&mut given);
        if self.cluster.sim().is_none() {
            level_cluster(&mut expected);
            level_cluster(&mut given);
        }
        told.push_str(&differences(&expected, &given));
        Ok(told)
    }

    /// What happens besides what was recorded.
    pub(crate) async fn does(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.cluster.send(method, path, &[("content-type", kind)], body).await?;
        ensure!((200..300).contains(&status), "{path}: {status} {answer}");
        Ok(answer)
    }

    /// Waits until an object is as it should be; whether it is in time.
    pub(crate) async fn sees(&self, path: &str, right: impl Fn(u16, &Value) -> bool) -> Result<bool> {
        let until = Instant::now() + self.patience;
        loop {
            let (status, object) = self.cluster.get(path).await?;
            if right(status, &object) {
                return Ok(true);
            }
            if Instant::now() > until {
                return Ok(false);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
