//! One measurement: a process of this program makes the load while others are watched.

use std::{
    io::{BufRead, Write},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{sleep_until, timeout},
};

use crate::{
    stats::Figures,
    usage::{self, Watched},
};

const MEASURING: &str = "measuring";

/// When a process that makes load begins to count, and ends.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Timeline {
    /// Seconds before anything counts
    #[arg(long, default_value = "1")]
    pub(crate) warm_up: f64,
    /// Seconds that count
    #[arg(long, default_value = "4")]
    pub(crate) seconds: f64,
}

impl Timeline {
    /// From when to when it is measured, if it begins now.
    pub(crate) fn begin(&self) -> (Instant, Instant) {
        let from = Instant::now() + Duration::from_secs_f64(self.warm_up);
        (from, from + Duration::from_secs_f64(self.seconds))
    }

    /// Waits for the end of the warm-up, and tells the process that watches.
    pub(crate) async fn measuring(&self, from: Instant) -> Result<()> {
        sleep_until(from.into()).await;
        START.get_or_init(|| usage::own_cpu().unwrap_or_default());
        println!("{MEASURING}");
        Ok(std::io::stdout().flush()?)
    }

    fn arguments(&self) -> [String; 4] {
        ["--warm-up".into(), self.warm_up.to_string(), "--seconds".into(), self.seconds.to_string()]
    }

    fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up + self.seconds) + Duration::from_secs(60)
    }
}

/// What this process had used when it began to count.
static START: std::sync::OnceLock<Duration> = std::sync::OnceLock::new();

/// Tells the process that watches what was measured, and waits until it has looked.
pub(crate) fn report(figures: Figures) -> Result<()> {
    let cpu = usage::own_cpu()?.saturating_sub(START.get().copied().unwrap_or_default());
    let figures = Figures { cpu_us: cpu.as_secs_f64() * 1e6, rss_kib: usage::own_rss_kib()?, ..figures };
    println!("{}", serde_json::to_string(&figures)?);
    std::io::stdout().flush()?;
    std::io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}

/// What was measured, of the load and of each watched process.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) figures: Figures,
    pub(crate) used: Vec<Used>,
}

/// What a process used meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    pub(crate) name: String,
    /// Processor time of one request, in microseconds.
    pub(crate) cpu_us: f64,
    pub(crate) rss_kib: u64,
}

/// A measurement that has begun.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    watched: Vec<(Watched, Duration)>,
    patience: Duration,
}

impl Running {
    /// Starts the load with these arguments of this program, and waits for the end of its warm-up.
    pub(crate) async fn start(
        arguments: &[&str],
        variables: &[(&str, &str)],
        timeline: Timeline,
        watched: &[Watched],
    ) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).args(timeline.arguments()).envs(variables.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("standard output is piped")?).lines();
        let patience = timeline.patience();
        let line = timeout(patience, lines.next_line()).await.context("the load does not begin")??;
        ensure!(line.as_deref() == Some(MEASURING), "the load does not begin: {line:?}");
        let watched = watched.iter().map(|one| Ok((one.clone(), one.cpu()?))).collect::<Result<_>>()?;
        Ok(Self { child, lines, watched, patience })
    }

    /// Waits for the figures. Wrong answers are an error.
    pub(crate) async fn finish(mut self) -> Result<Measured> {
        let line =
            timeout(self.patience, self.lines.next_line()).await.context("the load does not end")??;
        let figures: Figures = serde_json::from_str(&line.context("the load has failed")?)?;
        ensure!(figures.wrong == 0, "{} of {} answers were wrong", figures.wrong, figures.requests);
        ensure!(figures.requests > 0, "there was no answer");
        let of_each = |time: Duration| time.as_secs_f64() * 1e6 / figures.requests as f64;
        let mut used = Vec::new();
        for (watched, before) in &self.watched {
            let cpu_us = of_each(watched.cpu()?.saturating_sub(*before));
            used.push(Used { name: watched.name.clone(), cpu_us, rss_kib: watched.rss_kib()? });
        }
        let cpu_us = figures.cpu_us / figures.requests as f64;
        used.push(Used { name: "load".to_owned(), cpu_us, rss_kib: figures.rss_kib });
        // It ends when nobody holds its standard input any more.
        drop(self.child.stdin.take());
        timeout(self.patience, self.child.wait()).await??;
        Ok(Measured { figures, used })
    }
}
