//! How a process ends: asked by a signal, or because a task died that it cannot do without.

use std::{
    convert::Infallible,
    fmt::Display,
    io,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::panic;

/// How long the tasks have to end once the process is told to stop.
const GRACE: Duration = Duration::from_secs(30);

/// The process's tasks and the token that tells them to stop. Cheap to clone; clones are the same shutdown.
#[derive(Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
    failure: Arc<OnceLock<Failure>>,
    signals: Arc<Mutex<Option<mpsc::Receiver<()>>>>,
}

/// A critical task that ended before it was told to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    task: &'static str,
    reason: String,
}

/// How the process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was asked to stop and every task ended.
    Clean,
    /// A critical task died; the others were told to stop.
    Failed {
        /// The task that died first.
        task: &'static str,
        /// Its error, or what its panic said.
        reason: String,
    },
    /// A second signal came before every task had ended.
    Forced,
    /// The tasks did not end within 30 s.
    TimedOut,
}

impl Shutdown {
    /// A shutdown without tasks, deaf to signals.
    pub fn new() -> Self {
        Self::default()
    }

    /// A shutdown that SIGINT and SIGTERM bring about, from now on: one that comes before
    /// [`run_until_done`](Self::run_until_done) is not lost.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub fn on_signals() -> io::Result<Self> {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (sender, signals) = mpsc::channel(2);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if sender.send(()).await.is_err() {
                    return;
                }
            }
        });
        let shutdown = Self::new();
        *shutdown.signals.lock().unwrap_or_else(PoisonError::into_inner) = Some(signals);
        Ok(shutdown)
    }

    /// Cancelled when the process is to stop: a task then finishes or hands back what it is doing.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Starts a task that is waited for at the end.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task);
    }

    /// Starts a task without which the process is of no use: if it fails, panics or just ends before it is told to
    /// stop, the process stops with [`Outcome::Failed`].
    pub fn spawn_critical<F, E>(&self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send,
    {
        let shutdown = self.clone();
        self.tasks.spawn(async move {
            let reason = match AssertUnwindSafe(task).catch_unwind().await {
                Ok(Ok(())) if shutdown.token.is_cancelled() => return,
                Ok(Ok(())) => "ended before it was told to".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(payload) => format!("panicked: {}", panic::message(payload.as_ref())),
            };
            tracing::error!(task = name, reason, "critical task died");
            if !shutdown.token.is_cancelled() {
                // Of several that die together the first is the cause.
                let _ = shutdown.failure.set(Failure { task: name, reason });
                shutdown.token.cancel();
            }
        });
    }

    /// The same for a task that cannot fail: it serves, and ends once it is told to stop.
    pub fn spawn_service<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn_critical(name, task.map(Ok::<(), Infallible>));
    }

    /// The same for a task that knows no end: it is dropped when the process is to stop.
    pub fn spawn_endless<F>(&self, name: &'static str, task: F)
    where
        F: Future + Send + 'static,
    {
        let token = self.token();
        self.spawn_service(name, async move {
            token.run_until_cancelled(task).await;
        });
    }

    /// Runs until the first signal or the death of a critical task, then until every task has ended, a second signal or
    /// 30 s.
    pub async fn run_until_done(self) -> Outcome {
        let signals = self.signals.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (_sender, none) = mpsc::channel(1);
        self.run_with_signals(signals.unwrap_or(none)).await
    }

    /// As [`Shutdown::run_until_done`], with signals from elsewhere.
    pub async fn run_with_signals(self, signals: mpsc::Receiver<()>) -> Outcome {
        let mut signals = Signals(signals);
        tokio::select! {
            () = signals.next() => tracing::info!("asked to stop"),
            () = self.token.cancelled() => {}
        }
        self.token.cancel();
        self.tasks.close();
        let ended = tokio::select! {
            () = self.tasks.wait() => Outcome::Clean,
            () = signals.next() => Outcome::Forced,
            () = tokio::time::sleep(GRACE) => Outcome::TimedOut,
        };
        match self.failure.get().cloned() {
            Some(Failure { task, reason }) => Outcome::Failed { task, reason },
            None => ended,
        }
    }
}

/// Signals, of which there may be no more but whose end is not one.
struct Signals(mpsc::Receiver<()>);

impl Signals {
    async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
