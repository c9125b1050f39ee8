//! Small queries at a modest rate, on one connection.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    client::{self, Client},
    stats::Figures,
    system::{System, contains},
};

/// So many come before anything counts.
const WARM_UP: u32 = 30;

/// What is asked, and how often.
pub(crate) struct Queries {
    cluster: SocketAddr,
    api_key: String,
    every: Duration,
    expect: String,
}

impl Queries {
    /// Each answer must hold what is expected.
    pub(crate) fn new(system: &System, every: Duration, expect: &str) -> Self {
        Self {
            cluster: system.addresses.cluster,
            api_key: system.api_key.clone(),
            every,
            expect: expect.to_owned(),
        }
    }

    /// Asks for the namespaces of the agents that `agent` names, for so long.
    pub(crate) async fn within<'a>(&self, time: Duration, agent: impl FnMut() -> &'a str) -> Result<Figures> {
        self.until(tokio::time::sleep(time), agent).await
    }

    /// Asks for the namespaces of the agents that `agent` names, until `end` comes.
    pub(crate) async fn until<'a>(
        &self,
        end: impl Future<Output = ()>,
        mut agent: impl FnMut() -> &'a str,
    ) -> Result<Figures> {
        let mut client = Client::connect(self.cluster).await?;
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut body, mut times) = (Vec::new(), Vec::new());
        let (mut asked, mut wrong) = (0, 0);
        let mut start = Instant::now();
        tokio::pin!(end);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = &mut end => return Ok(Figures::of(times, wrong, start.elapsed())),
            }
            if asked == WARM_UP {
                start = Instant::now();
            }
            let path = format!("/api/v3.0/cluster/namespaces?agent_id={}", agent());
            let at = Instant::now();
            let answer = client.ask(&client::get(self.cluster, &path, &self.api_key), &mut body).await;
            let is_good = answer.as_ref().is_ok_and(|answer| answer.status == 200);
            match (is_good && contains(&body, &self.expect), asked >= WARM_UP) {
                (true, true) => times.push(at.elapsed()),
                (true, false) => {}
                (false, _) => wrong += 1,
            }
            if answer.is_err() {
                client = Client::connect(self.cluster).await?;
            }
            asked += 1;
        }
    }
}
