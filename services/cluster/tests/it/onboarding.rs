//! Onboarding, played: it answers what the test tells it, and keeps what it was asked.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use bus::{Bus, Context, PublishError, RequestError, RequestOptions, ServeOptions};
use contracts::queues::{self, Route};
use serde_json::{Value, json, value::RawValue};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

/// A question that only finds out whether somebody serves.
const ANYBODY: &str = "anybody there?";

/// It answers with the text that it was told last, whatever it is asked. Clones are the same.
#[derive(Clone)]
pub(crate) struct Onboarding {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    /// The whole answer as JSON; absent: none ever.
    answer: Option<Box<RawValue>>,
    asked: Vec<Asked>,
}

/// What it was asked.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) queue: &'static str,
    pub(crate) request: Value,
    pub(crate) context: Context,
}

impl Onboarding {
    /// Serves both of its queues on the bus from when this returns.
    pub(crate) async fn start(bus: &Bus) -> Result<Self> {
        let this = Self { inner: Arc::new(Mutex::new(Inner { answer: None, asked: Vec::new() })) };
        for route in [queues::QUERIES, queues::CONNECTED_AGENTS] {
            let (serving, bus) = (this.clone(), bus.clone());
            tokio::spawn(async move {
                let answer = move |request: Value, context| serving.clone().answer(route, request, context);
                bus.serve(route, ServeOptions::default(), CancellationToken::new(), answer).await;
            });
        }
        for route in [queues::QUERIES, queues::CONNECTED_AGENTS] {
            eventually("somebody to serve", async || {
                let options = RequestOptions::within(Duration::from_secs(10));
                match bus.request::<_, Value>(route, &ANYBODY, options).await {
                    Err(RequestError::Publish(PublishError::Unroutable { .. })) => None,
                    other => Some(other),
                }
            })
            .await??;
        }
        Ok(this)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self, route: Route, request: Value, context: Context) -> Box<RawValue> {
        if request == ANYBODY {
            return RawValue::NULL.to_owned();
        }
        let answer = {
            let mut inner = self.lock();
            inner.asked.push(Asked { queue: route.requests, request, context });
            inner.answer.clone()
        };
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }

    /// From now on it answers so: the whole message, in JSON.
    pub(crate) fn answers(&self, message: &str) -> Result<()> {
        self.lock().answer = Some(RawValue::from_string(message.to_owned())?);
        Ok(())
    }

    /// From now on the agent answers this.
    pub(crate) fn agent_answers(&self, result: &str) -> Result<()> {
        self.answers(&format!(
            r#"{{"request_id":"r","agent_id":"agent-1","result":{result},"error":null,"owner":"replica-1","timestamp":"2024-01-01T12:00:00.000Z"}}"#
        ))
    }

    /// From now on there is an error instead of a result.
    pub(crate) fn fails(&self, code: &str, error: &str) -> Result<()> {
        let message = json!({"request_id": "r", "agent_id": "agent-1", "result": null, "error": error, "code": code,
                             "timestamp": "2024-01-01T12:00:00.000Z"});
        self.answers(&message.to_string())
    }

    /// What it was asked last, after what it was asked before was taken.
    pub(crate) fn take_asked(&self) -> Result<Asked> {
        let asked = std::mem::take(&mut self.lock().asked);
        ensure!(asked.len() <= 1, "it was asked {} times", asked.len());
        asked.into_iter().next().context("it was not asked")
    }

    /// How often it was asked and this was not taken yet.
    pub(crate) fn times_asked(&self) -> usize {
        self.lock().asked.len()
    }
}
