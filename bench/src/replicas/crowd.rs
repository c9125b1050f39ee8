//! The agents, in a process of their own, behind a balancer: they stand for other machines.

use std::{net::SocketAddr, path::Path, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use testkit::{Balancer, Identity};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, stdin},
    process::{Child, ChildStdin, Command},
    sync::watch,
    time::{interval, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use crate::system::Credentials;

/// How often the process says how its agents are.
const SAYS: Duration = Duration::from_millis(10);

/// What a process of agents that come back is told.
#[derive(Args, Debug)]
pub(crate) struct CrowdArgs {
    /// A file with the agents' ids and keys, as JSON.
    #[arg(long)]
    file: PathBuf,
}

/// What it is told later, a line each.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// New connections go to these servers.
    Balance(Vec<SocketAddr>),
    /// Ends every connection.
    Cut,
}

/// How its agents are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    connected: usize,
    pub(super) replaced: u64,
}

/// Plays the agents until nobody holds its standard input any more.
#[tokio::main]
pub(crate) async fn run(args: &CrowdArgs) -> Result<()> {
    let credentials: Vec<Credentials> = serde_json::from_slice(&std::fs::read(&args.file)?)?;
    let balancer = Balancer::start(Vec::new()).await?;
    let mut orders = BufReader::new(stdin()).lines();
    let mut crowd = None;
    let (mut said, mut says) = (Told::default(), interval(SAYS));
    loop {
        tokio::select! {
            line = orders.next_line() => match line?.as_deref().map(serde_json::from_str).transpose()? {
                Some(Order::Balance(servers)) => {
                    balancer.balance(servers);
                    // They begin once there are servers.
                    crowd.get_or_insert_with(|| {
                        testkit::Crowd::start(balancer.address(), credentials.iter().map(identity).collect())
                    });
                }
                Some(Order::Cut) => balancer.cut(),
                None => return Ok(()),
            },
            _ = says.tick() => {
                let Some(crowd) = &crowd else { continue };
                let now = Told { connected: crowd.connected(), replaced: crowd.replaced() };
                if now != said {
                    println!("{}", serde_json::to_string(&now)?);
                    said = now;
                }
            }
        }
    }
}

pub(super) fn identity(credentials: &Credentials) -> Identity {
    Identity { agent_id: credentials.agent_id.clone(), key: credentials.agent_key.clone() }
}

/// The process, from outside. Dropped, it is killed.
pub(super) struct Crowd {
    child: Child,
    orders: ChildStdin,
    told: watch::Receiver<Told>,
    expected: usize,
    _listening: AbortOnDropHandle<()>,
}

impl Crowd {
    /// Starts it, and waits until all its agents have a session with one of these servers.
    pub(super) async fn start(
        directory: &Path,
        credentials: &[Credentials],
        servers: Vec<SocketAddr>,
        patience: Duration,
    ) -> Result<Self> {
        let file = directory.join(format!("{}.agents", uuid::Uuid::new_v4().simple()));
        std::fs::write(&file, serde_json::to_vec(credentials)?)?;
        // It gives way to the services, as other machines do.
        let mut command = Command::new("nice");
        command.arg(std::env::current_exe()?).args(["crowd", "--file"]).arg(&file);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let orders = child.stdin.take().context("standard input is piped")?;
        let mut lines = BufReader::new(child.stdout.take().context("standard output is piped")?).lines();
        let (telling, told) = watch::channel(Told::default());
        let listening = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let Ok(now) = serde_json::from_str(&line) else { return };
                telling.send_replace(now);
            }
        });
        let _listening = AbortOnDropHandle::new(listening);
        let mut crowd = Self { child, orders, told, expected: credentials.len(), _listening };
        crowd.balance(servers).await?;
        crowd.until_all_connected(patience).await?;
        Ok(crowd)
    }

    /// New connections go to these servers from now on.
    pub(super) async fn balance(&mut self, servers: Vec<SocketAddr>) -> Result<()> {
        self.order(&Order::Balance(servers)).await
    }

    /// Ends every connection.
    pub(super) async fn cut(&mut self) -> Result<()> {
        self.order(&Order::Cut).await
    }

    async fn order(&mut self, order: &Order) -> Result<()> {
        let line = format!("{}\n", serde_json::to_string(order)?);
        Ok(self.orders.write_all(line.as_bytes()).await?)
    }

    /// Waits until all have a session.
    pub(super) async fn until_all_connected(&self, within: Duration) -> Result<()> {
        let expected = self.expected;
        self.until(within, |told| told.connected == expected).await
    }

    /// Waits until fewer than so many have a session.
    pub(super) async fn until_fewer(&self, count: usize, within: Duration) -> Result<()> {
        self.until(within, |told| told.connected < count).await
    }

    async fn until(&self, within: Duration, is_so: impl Fn(&Told) -> bool) -> Result<()> {
        let mut told = self.told.clone();
        let reached = timeout(within, told.wait_for(is_so)).await;
        reached.with_context(|| format!("of {} agents: {:?}", self.expected, *self.told.borrow()))??;
        Ok(())
    }

    /// Nobody may have been taken for a copy of itself.
    pub(super) fn end(self) -> Result<()> {
        let replaced = self.told.borrow().replaced;
        ensure!(replaced == 0, "{replaced} agents were taken for copies");
        drop(self.child);
        Ok(())
    }
}
