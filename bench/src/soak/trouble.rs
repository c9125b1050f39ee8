//! What goes wrong.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::Duration,
};

use anyhow::Result;
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use testkit::{Channels, OwnBroker, Proxy};
use tokio::time::sleep;

use super::{crowd::Crowd, tally::Tally};
use crate::{
    agents::{bad::Harm, session::Manner},
    program::Program,
    system::{self, System},
    table,
};

/// The processes and the connections that trouble comes to.
pub(super) struct Stage {
    pub(super) system: System,
    pub(super) agent: Program,
    broker: OwnBroker,
    proxies: HashMap<&'static str, Proxy>,
    happened: BTreeMap<&'static str, u32>,
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    KillOnboarding,
    KillCluster,
    KillUserAuth,
    KillAgent,
    KillBroker,
    FreezeBroker,
    BlockPublishers,
    CloseChannels,
    DeletePrivateQueues,
    CutBroker(&'static str),
    ResetBroker(&'static str),
    StallBroker(&'static str),
    HarmfulAgents(Harm),
    TalkativeAgents,
    SlowAgents,
    AgentsLeave,
}

const SERVICES: [&str; 3] = ["user-auth", "cluster", "onboarding"];

impl Trouble {
    fn any(random: &mut StdRng) -> Self {
        let service = SERVICES.choose(random).copied().unwrap_or("cluster");
        match random.random_range(0..16) {
            0 => Self::KillOnboarding,
            1 => Self::KillCluster,
            2 => Self::KillUserAuth,
            3 => Self::KillAgent,
            4 => Self::CutBroker(service),
            5 => Self::ResetBroker(service),
            6 => Self::StallBroker(service),
            7 => {
                let harms = [Harm::Deaf, Harm::Trickling, Harm::Endless, Harm::Beating, Harm::Unasked];
                Self::HarmfulAgents(harms.choose(random).copied().unwrap_or(Harm::Deaf))
            }
            8 => Self::TalkativeAgents,
            9 => Self::SlowAgents,
            10 => Self::KillBroker,
            11 => Self::FreezeBroker,
            12 => Self::BlockPublishers,
            13 => Self::CloseChannels,
            14 => Self::DeletePrivateQueues,
            _ => Self::AgentsLeave,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::KillOnboarding => "onboarding killed",
            Self::KillCluster => "cluster killed",
            Self::KillUserAuth => "user-auth killed",
            Self::KillAgent => "agent killed",
            Self::KillBroker => "RabbitMQ killed",
            Self::FreezeBroker => "RabbitMQ frozen",
            Self::BlockPublishers => "RabbitMQ's disk alarm",
            Self::CloseChannels => "channels closed by RabbitMQ",
            Self::DeletePrivateQueues => "reply queues and their like deleted",
            Self::CutBroker(_) => "connections to the broker cut for a while",
            Self::ResetBroker(_) => "connections to the broker reset",
            Self::StallBroker(_) => "connections to the broker stalled",
            Self::HarmfulAgents(Harm::Deaf) => "agents that read nothing",
            Self::HarmfulAgents(Harm::Trickling) => "agents that answer at a byte a second",
            Self::HarmfulAgents(Harm::Endless) => "agents whose answers do not end",
            Self::HarmfulAgents(Harm::Beating) => "agents that flood with heartbeats",
            Self::HarmfulAgents(Harm::Unasked) => "agents that flood with answers",
            Self::TalkativeAgents => "agents that answer what nobody asked",
            Self::SlowAgents => "agents that answer late",
            Self::AgentsLeave => "agents that leave and come back",
        }
    }
}

impl Stage {
    pub(super) fn new(
        system: System,
        agent: Program,
        broker: OwnBroker,
        proxies: HashMap<&'static str, Proxy>,
    ) -> Self {
        Self { system, agent, broker, proxies, happened: BTreeMap::new() }
    }

    /// Where the broker is reached by who is not to be disturbed more than it is.
    pub(super) fn broker_url(&self) -> String {
        self.broker.url()
    }

    /// The broker's queues that live as long as a connection.
    pub(super) async fn private_queues(&mut self) -> Result<Vec<String>> {
        let names = self.broker.queues().await?.into_iter().map(|queue| queue.name);
        Ok(names.filter(|name| name.starts_with("kubesage.private.")).collect())
    }

    /// One thing goes wrong and is put right again; then there is peace for a moment.
    pub(super) async fn trouble(&mut self, random: &mut StdRng, tally: &Tally, crowd: &Crowd) -> Result<()> {
        let trouble = Trouble::any(random);
        let lasts = Duration::from_millis(random.random_range(500..4_000));
        println!("{trouble:?} for {:.1} s", lasts.as_secs_f64());
        *self.happened.entry(trouble.name()).or_default() += 1;
        let many = crowd.len() / 4;
        match trouble {
            Trouble::KillOnboarding => {
                restart(&mut self.system.onboarding, self.system.addresses.onboarding, lasts).await?;
            }
            Trouble::KillCluster => {
                tally.down();
                restart(&mut self.system.cluster, self.system.addresses.cluster, lasts).await?;
                tally.up();
            }
            Trouble::KillUserAuth => {
                let address = self.system.user_auth.address().await?;
                restart(&mut self.system.user_auth, address, lasts).await?;
            }
            Trouble::KillAgent => {
                self.agent.kill().await?;
                sleep(lasts).await;
                self.agent.restart(("PORT", "0".to_owned()))?;
            }
            Trouble::KillBroker => {
                self.broker.kill();
                sleep(lasts).await;
                self.broker.start().await?;
            }
            Trouble::FreezeBroker => {
                self.broker.freeze()?;
                sleep(lasts).await;
                self.broker.thaw()?;
            }
            Trouble::BlockPublishers => {
                self.broker.block_publishers().await?;
                sleep(lasts).await;
                self.broker.unblock_publishers().await?;
            }
            Trouble::CloseChannels => {
                let which = [Channels::Consuming, Channels::Publishing].choose(random).copied();
                self.broker.close_channels(which.unwrap_or(Channels::Consuming)).await?;
            }
            Trouble::DeletePrivateQueues => {
                for queue in self.private_queues().await? {
                    // It may be gone by now.
                    let _ = self.broker.delete_queue(&queue).await;
                }
            }
            Trouble::CutBroker(service) => {
                self.proxies[service].cut();
                sleep(lasts).await;
                self.proxies[service].resume();
            }
            Trouble::ResetBroker(service) => self.proxies[service].reset(),
            Trouble::StallBroker(service) => {
                self.proxies[service].swallow();
                sleep(lasts).await;
                // What was swallowed is lost, and so the connections can never go on.
                self.proxies[service].resume();
                self.proxies[service].reset();
            }
            Trouble::HarmfulAgents(harm) => {
                // Of those that flood one is enough for a machine that does all else as well.
                let agents = if matches!(harm, Harm::Deaf | Harm::Trickling) { many } else { 1 };
                misbehave(crowd, random, agents, Manner::Harmful(harm), lasts).await;
            }
            Trouble::TalkativeAgents => misbehave(crowd, random, many, Manner::Talkative, lasts).await,
            Trouble::SlowAgents => {
                misbehave(crowd, random, many, Manner::Slow(Duration::from_secs(6)), lasts).await;
            }
            Trouble::AgentsLeave => misbehave(crowd, random, many, Manner::Prompt, lasts).await,
        }
        sleep(Duration::from_millis(random.random_range(500..4_000))).await;
        Ok(())
    }

    pub(super) fn print(&self) {
        let rows: Vec<Vec<String>> =
            self.happened.iter().map(|(what, times)| vec![(*what).to_owned(), times.to_string()]).collect();
        table::print(&["what went wrong", "times"], &rows);
    }
}

async fn misbehave(crowd: &Crowd, random: &mut StdRng, agents: usize, manner: Manner, lasts: Duration) {
    crowd.behave(random, agents, manner);
    sleep(lasts).await;
    crowd.calm();
}

/// Kills a process and, after a while, starts it again where it was.
async fn restart(program: &mut Program, address: SocketAddr, after: Duration) -> Result<()> {
    program.kill().await?;
    sleep(after).await;
    program.restart(("PORT", address.port().to_string()))?;
    program.address().await?;
    system::ready(address).await
}
