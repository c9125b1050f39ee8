//! `/livez`: the process runs. `/readyz`: it can do its job now.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::future::{BoxFuture, join_all};
use serde::{Deserialize, Serialize};

use crate::Json;

/// How long one check may take before it counts as failed.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// The named checks behind `/readyz`.
#[derive(Clone, Default)]
pub struct Readiness {
    checks: Vec<(&'static str, Check)>,
}

/// What `/livez` and `/readyz` answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok` or `unavailable`.
    pub status: String,
    /// For each check `ok`, or why it failed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checks: BTreeMap<String, String>,
}

impl Readiness {
    /// No checks: ready as soon as the process runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check that must pass within [`CHECK_TIMEOUT`]. Its error is shown to anybody who asks: a few words,
    /// nothing internal.
    #[must_use]
    pub fn check<F, Fut>(mut self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks.push((name, Arc::new(move || Box::pin(check()))));
        self
    }

    /// Makes all checks, side by side.
    pub async fn health(&self) -> Health {
        let results = join_all(self.checks.iter().map(|(name, check)| run(name, check))).await;
        let ready = results.iter().all(|(_, result)| result.is_ok());
        let report = |result: Result<(), String>| result.err().unwrap_or_else(|| "ok".to_owned());
        Health {
            status: if ready { "ok" } else { "unavailable" }.to_owned(),
            checks: results.into_iter().map(|(name, result)| (name.to_owned(), report(result))).collect(),
        }
    }

    async fn answer(self) -> Response {
        let health = self.health().await;
        let status = if health.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(health)).into_response()
    }
}

impl Health {
    /// Whether every check has passed.
    pub fn is_ok(&self) -> bool {
        self.status == "ok"
    }
}

async fn run(name: &'static str, check: &Check) -> (&'static str, Result<(), String>) {
    let result = tokio::time::timeout(CHECK_TIMEOUT, check()).await;
    (name, result.unwrap_or_else(|_| Err(format!("no answer within {} s", CHECK_TIMEOUT.as_secs()))))
}

pub(crate) fn routes(readiness: Readiness) -> Router {
    let live = || async { Json(Health { status: "ok".to_owned(), checks: BTreeMap::new() }) };
    Router::new().route("/livez", get(live)).route("/readyz", get(move || readiness.clone().answer()))
}
