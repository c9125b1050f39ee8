//! The simulated agents: they come back when they are lost, and behave as they are told.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{sync::watch, task::JoinSet, time::sleep};

use crate::{
    agents::session::{Manner, Session},
    system::Credentials,
};

/// Between two attempts to connect.
const PAUSES_MS: std::ops::Range<u64> = 500..3_000;

pub(super) struct Crowd {
    agents: Arc<Vec<Credentials>>,
    manners: Vec<watch::Sender<Manner>>,
    _tasks: JoinSet<()>,
}

impl Crowd {
    pub(super) fn start(onboarding: SocketAddr, agents: Vec<Credentials>, seed: u64) -> Self {
        let mut tasks = JoinSet::new();
        let mut manners = Vec::new();
        for (number, credentials) in agents.iter().enumerate() {
            let (manner, told) = watch::channel(Manner::Prompt);
            manners.push(manner);
            let random = StdRng::seed_from_u64(seed ^ number as u64);
            tasks.spawn(keep(onboarding, credentials.clone(), told, random));
        }
        Self { agents: Arc::new(agents), manners, _tasks: tasks }
    }

    pub(super) fn len(&self) -> usize {
        self.agents.len()
    }

    pub(super) fn agent_ids(&self) -> Vec<String> {
        self.agents.iter().map(|agent| agent.agent_id.clone()).collect()
    }

    /// Has some agents begin a new session each, in which they behave so.
    pub(super) fn behave(&self, random: &mut StdRng, agents: usize, manner: Manner) {
        for _ in 0..agents {
            self.manners[random.random_range(0..self.manners.len())].send_replace(manner);
        }
    }

    /// Has all of them behave.
    pub(super) fn calm(&self) {
        for manner in &self.manners {
            manner.send_if_modified(|manner| {
                let changes = *manner != Manner::Prompt;
                *manner = Manner::Prompt;
                changes
            });
        }
    }
}

/// Keeps a session open, in whatever manner is wanted now.
async fn keep(
    onboarding: SocketAddr,
    credentials: Credentials,
    mut manner: watch::Receiver<Manner>,
    mut random: StdRng,
) {
    loop {
        let wanted = *manner.borrow_and_update();
        if let Ok(session) = Session::open(onboarding, Ipv4Addr::LOCALHOST, &credentials).await {
            tokio::select! {
                _ = session.serve(wanted) => {}
                changed = manner.changed() => if changed.is_err() { return },
            }
        }
        sleep(Duration::from_millis(random.random_range(PAUSES_MS))).await;
    }
}
