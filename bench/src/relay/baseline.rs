//! Raw request/reply, as the better of two ways to get replies.

use std::{collections::HashMap, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::CONNECTIONS;
use crate::{
    measure::{Measured, Running, Timeline},
    usage::Watched,
};

pub(super) struct Baseline {
    _echo: Child,
    queue: String,
    /// The better way at each number of requests in flight.
    best: HashMap<usize, &'static str>,
    watched: Vec<Watched>,
    timeline: Timeline,
}

impl Baseline {
    /// Starts the process that echoes, and finds the better way.
    pub(super) async fn start(timeline: Timeline) -> Result<Self> {
        let queue = format!("bench-{}", uuid::Uuid::new_v4().simple());
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["echo", "--queue", &queue]).stdout(Stdio::piped()).kill_on_drop(true);
        let mut echo = command.spawn()?;
        let mut lines = BufReader::new(echo.stdout.take().context("standard output is piped")?).lines();
        let line = timeout(Duration::from_secs(10), lines.next_line()).await??;
        ensure!(line.as_deref() == Some("ready"), "the echo does not start");
        let mut watched = vec![Watched::new("echo", echo.id().context("the echo has ended")?)];
        watched.extend(Watched::broker());
        let mut baseline = Self { _echo: echo, queue, best: HashMap::new(), watched, timeline };
        for in_flight in CONNECTIONS {
            let short = Timeline { warm_up: 0.5, seconds: 1.5 };
            let queue = baseline.ask("queue", in_flight, short).await?.figures.rate();
            let direct = baseline.ask("direct", in_flight, short).await?.figures.rate();
            println!("raw, {in_flight} in flight: {queue:.0}/s by a queue, {direct:.0}/s by direct reply-to");
            baseline.best.insert(in_flight, if direct > queue { "direct" } else { "queue" });
        }
        Ok(baseline)
    }

    pub(super) async fn measure(&self, in_flight: usize) -> Result<Measured> {
        let replies = self.best.get(&in_flight).copied().unwrap_or("queue");
        self.ask(replies, in_flight, self.timeline).await
    }

    async fn ask(&self, replies: &str, in_flight: usize, timeline: Timeline) -> Result<Measured> {
        let in_flight = in_flight.to_string();
        let arguments = ["ask", "--queue", &self.queue, "--replies", replies, "--in-flight", &in_flight];
        Running::start(&arguments, &[], timeline, &self.watched).await?.finish().await
    }
}
