//! Requests, one after the other from each of several askers, and what became of them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use bus::{Bus, PublishError, RequestError, RequestOptions};
use testkit::eventually_within;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::world::{ECHO, SOON};

const ASKERS: usize = 20;
/// Between two requests of an asker: enough to keep the broker busy, and not the test alone.
const PAUSE: Duration = Duration::from_millis(5);
/// Longer than any fault in these tests may be felt, but for those that say so.
pub(crate) const PATIENT: Duration = Duration::from_secs(8);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered,
    Unavailable,
    Unroutable,
    Timeout,
    Other(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    /// How long after its deadline it ended, beyond what a mere timer of that time was late: that is the machine's doing.
    pub(crate) late: Duration,
    pub(crate) outcome: Outcome,
}

type Samples = Arc<Mutex<Vec<Sample>>>;

pub(crate) struct Load {
    samples: Samples,
    stop: CancellationToken,
    askers: JoinSet<()>,
}

impl Load {
    /// Starts asking, and waits until the first answers have come.
    pub(crate) async fn start(bus: &Bus, patience: Duration) -> Result<Self> {
        let (samples, stop) = (Samples::default(), CancellationToken::new());
        let mut askers = JoinSet::new();
        for _ in 0..ASKERS {
            let (bus, samples, stop) = (bus.clone(), Arc::clone(&samples), stop.clone());
            askers.spawn(async move {
                while !stop.is_cancelled() {
                    let sample = ask(&bus, patience).await;
                    lock(&samples).push(sample);
                    sleep(PAUSE).await;
                }
            });
        }
        let load = Self { samples, stop, askers };
        load.answers_after(Instant::now(), 100).await?;
        Ok(load)
    }

    /// Waits until a request that was begun after this time is answered; the time of the answer.
    pub(crate) async fn answered_after(&self, time: Instant) -> Result<Instant> {
        let answered = |sample: &&Sample| sample.begun >= time && sample.outcome == Outcome::Answered;
        eventually_within(SOON * 2, "an answer", async || {
            lock(&self.samples).iter().find(answered).map(|sample| sample.ended)
        })
        .await
    }

    /// Waits until so many requests that were begun after this time are answered.
    pub(crate) async fn answers_after(&self, time: Instant, count: usize) -> Result<()> {
        self.so_many_after(time, count, &Outcome::Answered).await
    }

    /// Waits until so many requests that were begun after this time had this outcome.
    pub(crate) async fn so_many_after(&self, time: Instant, count: usize, outcome: &Outcome) -> Result<()> {
        eventually_within(SOON * 2, &format!("{count} times {outcome:?}"), async || {
            let samples = lock(&self.samples);
            let found =
                samples.iter().filter(|sample| sample.begun >= time && sample.outcome == *outcome).count();
            (found >= count).then_some(())
        })
        .await
    }

    /// Asks no more, and returns what became of all requests.
    pub(crate) async fn finish(mut self) -> Vec<Sample> {
        self.stop.cancel();
        while self.askers.join_next().await.is_some() {}
        std::mem::take(&mut *lock(&self.samples))
    }
}

async fn ask(bus: &Bus, patience: Duration) -> Sample {
    let begun = Instant::now();
    let deadline = begun + patience;
    let timer = tokio::spawn(async move {
        sleep_until(deadline).await;
        deadline.elapsed()
    });
    let options = RequestOptions { deadline, ..RequestOptions::within(Duration::ZERO) };
    let answer: Result<String, _> = bus.request(ECHO, &"load", options).await;
    let ended = Instant::now();
    let late = ended.saturating_duration_since(deadline);
    let late = if late.is_zero() {
        timer.abort();
        late
    } else {
        late.saturating_sub(timer.await.unwrap_or_default())
    };
    Sample { begun, ended, late, outcome: outcome(answer) }
}

fn outcome(answer: Result<String, RequestError>) -> Outcome {
    match answer {
        Ok(text) if text == "load" => Outcome::Answered,
        Ok(text) => Outcome::Other(text),
        Err(RequestError::Publish(PublishError::Unavailable)) => Outcome::Unavailable,
        Err(RequestError::Publish(PublishError::Unroutable { .. })) => Outcome::Unroutable,
        Err(RequestError::Timeout) => Outcome::Timeout,
        Err(other) => Outcome::Other(other.to_string()),
    }
}

fn lock(samples: &Samples) -> MutexGuard<'_, Vec<Sample>> {
    samples.lock().unwrap_or_else(PoisonError::into_inner)
}
