//! A RabbitMQ for one test alone, to which may be done what others would suffer from.
//!
//! The node runs as the current user, listens on loopback only, has its own ports, cookie and folder, and an `epmd` (the
//! daemon that knows Erlang's nodes by name) of its own. It is told what to do through the Erlang shell on its standard
//! input, which takes milliseconds where `rabbitmqctl` takes seconds. That input is also what ends it: when the test's process
//! is gone, in whatever way, the shell ends at the end of its input, and the node with it.

mod control;
mod node;

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::net::TcpStream;
use uuid::Uuid;

use self::node::Node;
use crate::eventually_within;
pub use control::{Channels, Queue};

/// Debian's own `rabbitmq-server` on `PATH` becomes another user first; this is what it calls then.
const DEBIAN_LAUNCHER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// A node boots in five to ten seconds, on a busy machine in more.
const START_UP: Duration = Duration::from_secs(90);
/// Ports are taken from below those that the system gives to outgoing connections (32768 and above on Linux): one of those
/// could be taken while the node is away.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A private RabbitMQ node. Dropped, it is gone without a trace.
pub struct OwnBroker {
    // Dropped in this order: the folder goes when nobody writes to it any more.
    node: Option<Node>,
    _names: Arc<NameServer>,
    launcher: PathBuf,
    /// Of its Erlang machine.
    name: String,
    ports: Ports,
    folder: TempDir,
}

#[derive(Clone, Copy)]
struct Ports {
    amqp: u16,
    distribution: u16,
    names: u16,
}

impl OwnBroker {
    /// What is missing on this machine to run one.
    pub fn missing() -> Option<&'static str> {
        match (launcher(), on_path("epmd")) {
            (None, _) => Some("no rabbitmq-server is installed"),
            (_, None) => Some("no epmd on PATH"),
            _ => None,
        }
    }

    /// Starts a node and waits until it accepts connections.
    ///
    /// # Errors
    /// When RabbitMQ is not installed, or the node does not come up; the error holds its log.
    pub async fn new() -> Result<Self> {
        let ports = Ports::find()?;
        let mut broker = Self::prepared("own", ports, name_server(ports.names).await?)?;
        broker.start().await?;
        Ok(broker)
    }

    /// Starts so many nodes, which are one cluster.
    ///
    /// # Errors
    /// As [`new`](Self::new), and when a node does not join.
    pub async fn cluster(count: usize) -> Result<Vec<Self>> {
        let first = Ports::find()?;
        let names = name_server(first.names).await?;
        let mut nodes: Vec<Self> = Vec::new();
        for number in 0..count {
            let ports = Ports { names: first.names, ..if number == 0 { first } else { Ports::find()? } };
            let mut node = Self::prepared(&format!("own-{number}"), ports, Arc::clone(&names))?;
            node.start().await?;
            if number > 0 {
                node.join("own-0").await?;
            }
            nodes.push(node);
        }
        Ok(nodes)
    }

    fn prepared(name: &str, ports: Ports, names: Arc<NameServer>) -> Result<Self> {
        let launcher = launcher().context("no rabbitmq-server is installed")?;
        let folder = tempfile::tempdir()?;
        Ok(Self { node: None, _names: names, launcher, name: name.to_owned(), ports, folder })
    }

    /// Makes the node, which knows nothing yet, one of the cluster of another node.
    async fn join(&mut self, other: &str) -> Result<()> {
        let join = format!(
            "begin ok = rabbit:stop(), ok = rabbit_mnesia:join_cluster('{other}@localhost', disc), ok = rabbit:start(), [] end"
        );
        let node = self.node.as_mut().context("the node is not running")?;
        node.eval_within(START_UP, &join).await.with_context(|| self.log())?;
        let port = self.ports.amqp;
        eventually_within(START_UP, "RabbitMQ to accept connections", async || accepts(port).await).await
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.amqp).into()
    }

    /// The node as a client's URL.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address())
    }

    /// Starts the node again where it was, with the data that it had, and waits until it accepts connections.
    ///
    /// # Errors
    /// When it is running, or does not come up; the error holds its log.
    pub async fn start(&mut self) -> Result<()> {
        anyhow::ensure!(self.node.is_none(), "the node is running");
        let node = self.node.insert(Node::start(&mut launch(
            &self.launcher,
            &self.name,
            self.ports,
            self.folder.path(),
        ))?);
        let port = self.ports.amqp;
        let mut ended = false;
        let up = eventually_within(START_UP, "RabbitMQ to accept connections", async || {
            ended = node.has_ended();
            if ended { Some(()) } else { accepts(port).await }
        });
        let up = up.await;
        if ended {
            bail!("the node ended by itself:\n{}", self.log());
        }
        up.with_context(|| self.log())
    }

    /// Kills the node without a word (SIGKILL).
    pub fn kill(&mut self) {
        self.node = None;
    }

    /// Stops the node's process where it is: its connections stay, and nothing comes from them.
    ///
    /// # Errors
    /// When it is not running.
    pub fn freeze(&self) -> Result<()> {
        self.node.as_ref().context("the node is not running")?.signal("STOP")
    }

    /// Ends [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// When it is not running.
    pub fn thaw(&self) -> Result<()> {
        self.node.as_ref().context("the node is not running")?.signal("CONT")
    }

    /// Stops the node as an administrator does.
    ///
    /// # Errors
    /// When it is not running or does not end.
    pub async fn stop(&mut self) -> Result<()> {
        self.eval("begin spawn(fun() -> rabbit:stop_and_halt() end), [] end").await?;
        let mut node = self.node.take().context("the node is not running")?;
        eventually_within(START_UP, "the node to end", async || node.has_ended().then_some(())).await
    }

    /// Evaluates an Erlang expression on the node that is text (iodata), in one line.
    ///
    /// # Errors
    /// When it fails, or does not answer within ten seconds.
    pub async fn eval(&mut self, expression: &str) -> Result<String> {
        self.node.as_mut().context("the node is not running")?.eval(expression).await
    }

    /// What the node has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(log_file(self.folder.path())).unwrap_or_default()
    }
}

fn launch(launcher: &Path, name: &str, ports: Ports, folder: &Path) -> Command {
    let path = |name: &str| folder.join(name).into_os_string();
    let mut command = Command::new(launcher);
    command.current_dir(folder).env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
    command
        // The cookie lies in it.
        .env("HOME", folder)
        .env("LANG", "C.UTF-8")
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("ERL_EPMD_PORT", ports.names.to_string())
        .env("ERL_FLAGS", "-start_epmd false -setcookie own -kernel inet_dist_use_interface {127,0,0,1}")
        .env("RABBITMQ_NODENAME", format!("{name}@localhost"))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", ports.amqp.to_string())
        .env("RABBITMQ_DIST_PORT", ports.distribution.to_string())
        // The shell on standard input; with it the launcher becomes the node, instead of waiting for it.
        .env("RABBITMQ_ALLOW_INPUT", "true")
        .env("RABBITMQ_MNESIA_BASE", path("data"))
        .env("RABBITMQ_LOG_BASE", path("log"))
        .env("RABBITMQ_LOGS", log_file(folder))
        .env("RABBITMQ_PID_FILE", path("pid"))
        // None of these is there: neither the machine's settings nor its plugins are ours.
        .env("RABBITMQ_CONF_ENV_FILE", path("no.env"))
        .env("RABBITMQ_CONFIG_FILE", path("no"))
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", path("no.config"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("no.plugins"));
    command
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("log/node.log")
}

fn launcher() -> Option<PathBuf> {
    let debian = PathBuf::from(DEBIAN_LAUNCHER);
    if debian.exists() { Some(debian) } else { on_path("rabbitmq-server") }
}

fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}

async fn name_server(port: u16) -> Result<Arc<NameServer>> {
    let names = NameServer::start(port)?;
    eventually_within(START_UP, "epmd", async || accepts(port).await).await?;
    Ok(Arc::new(names))
}

async fn accepts(port: u16) -> Option<()> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok().map(drop)
}

impl Ports {
    /// Three that nobody listens on. Each test begins its search elsewhere.
    fn find() -> Result<Self> {
        let (random, _) = Uuid::new_v4().as_u64_pair();
        let all = PORTS.len() as u64;
        let mut free = (0..all)
            .filter_map(|n| u16::try_from(u64::from(PORTS.start) + random.wrapping_add(n) % all).ok())
            .filter(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
        let mut next = || free.next().context("no port is free");
        Ok(Self { amqp: next()?, distribution: next()?, names: next()? })
    }
}

/// An `epmd` that ends when its guard's input does: with the test's process at the latest.
struct NameServer {
    guard: Child,
}

impl NameServer {
    fn start(port: u16) -> Result<Self> {
        let script = r#"epmd -address 127.0.0.1 -port "$0" & read -r _; kill $!; wait $!"#;
        let mut guard = Command::new("sh");
        guard.args(["-c", script, &port.to_string()]).stdin(Stdio::piped()).stdout(Stdio::null());
        Ok(Self { guard: guard.stderr(Stdio::null()).spawn().context("cannot start epmd")? })
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // Waiting closes the input first.
        let _ = self.guard.wait();
    }
}
