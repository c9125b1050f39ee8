//! Those who ask.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Asked, PATIENCE_SECONDS,
    tally::{Fate, Tally},
};
use crate::client::{self, Client};

const DEADLINE: Duration = Duration::from_secs(PATIENCE_SECONDS as u64);
/// Later than that, an answer counts as late.
const MARGIN: Duration = Duration::from_millis(100);
/// And when none has come by then, there is none.
const LOST: Duration = Duration::from_secs(5);

/// Callers, each with one request at a time.
pub(super) struct Callers(JoinSet<()>);

impl Callers {
    pub(super) fn start(
        asked: &Asked,
        callers: usize,
        seed: u64,
        tally: &Arc<Tally>,
        stop: &CancellationToken,
    ) -> Self {
        let mut tasks = JoinSet::new();
        for number in 0..callers as u64 {
            let random = StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(number));
            let caller = Caller { asked: asked.clone(), tally: Arc::clone(tally), random, client: None };
            tasks.spawn(caller.run(stop.clone()));
        }
        Self(tasks)
    }

    /// Waits for the requests under way.
    pub(super) async fn finish(mut self) -> Result<()> {
        while let Some(ended) = self.0.join_next().await {
            ended?;
        }
        Ok(())
    }
}

struct Caller {
    asked: Asked,
    tally: Arc<Tally>,
    random: StdRng,
    client: Option<Client>,
}

impl Caller {
    async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let path = self.path();
            // One in twenty goes away before the answer has come.
            let leaves = self.random.random_ratio(1, 20);
            let leaves_after = Duration::from_millis(self.random.random_range(0..50));
            let start = Instant::now();
            let asking = self.ask(&path);
            let fate = if leaves {
                timeout(leaves_after, asking).await.unwrap_or(Ok(Fate::Left))
            } else {
                timeout(DEADLINE + LOST, asking).await.unwrap_or(Ok(Fate::Lost("no answer".to_owned())))
            };
            let fate = fate.unwrap_or_else(|error| self.broken(start, &error));
            if matches!(fate, Fate::Left | Fate::Lost(_) | Fate::Cut | Fate::ProcessDown) {
                self.client = None;
            }
            if let Some(by) = start.elapsed().checked_sub(DEADLINE + MARGIN)
                && matches!(fate, Fate::Answered | Fate::Problem(_) | Fate::Cut)
            {
                self.tally.late(by);
            }
            if fate == Fate::ProcessDown {
                sleep(Duration::from_millis(50)).await;
            }
            self.tally.count(start, fate);
            sleep(Duration::from_millis(self.random.random_range(0..20))).await;
        }
    }

    /// Small and large queries of the real agent, and small ones of the others.
    fn path(&mut self) -> String {
        let Asked { real, others, .. } = &self.asked;
        let query =
            |what: &str, agent: &str, more: &str| format!("/api/v3.0/cluster/{what}?agent_id={agent}{more}");
        match self.random.random_range(0..20) {
            0 => query("pods", real, ""),
            1 | 2 => query("pods", real, &format!("&limit={}", self.random.random_range(1..500))),
            3 => query("nodes", real, ""),
            4..10 => query("namespaces", real, ""),
            _ => query("namespaces", &others[self.random.random_range(0..others.len())], ""),
        }
    }

    async fn ask(&mut self, path: &str) -> Result<Fate> {
        let request = client::get(self.asked.address, path, &self.asked.api_key);
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::connect(self.asked.address).await?,
        };
        let mut body = Vec::new();
        let answer = client.ask(&request, &mut body).await?;
        self.client = Some(client);
        if answer.status == 200 {
            let whole = serde_json::from_slice::<Value>(&body).is_ok_and(|body| body["success"] == true);
            return Ok(if whole {
                Fate::Answered
            } else {
                Fate::Lost("an answer that is not whole".to_owned())
            });
        }
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        Ok(match problem["code"].as_str() {
            // Whatever is done to the processes, they know what to say of it.
            Some("internal") => Fate::Lost("an internal error".to_owned()),
            Some(code) => Fate::Problem(code.to_owned()),
            None => Fate::Lost(format!("status {} without a code", answer.status)),
        })
    }

    /// What a broken connection means.
    fn broken(&self, start: Instant, error: &anyhow::Error) -> Fate {
        if self.tally.was_down_since(start) {
            return Fate::ProcessDown;
        }
        match error.downcast_ref::<client::CutShort>() {
            Some(_) => Fate::Cut,
            None => Fate::Lost(format!("{error:#}")),
        }
    }
}
