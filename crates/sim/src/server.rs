//! The running simulator.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::account::{Account, CloudOptions, EksTokens};
use crate::api::Api;
use crate::auth::Tokens;
use crate::clock::Clock;
use crate::controllers::{Controllers, Delays};
use crate::faults::{FAULTS, Fault, FaultError, FaultPlan, Faults, RequestLine};
use crate::http::{Server, router};
use crate::journal::{Found, Journal, StateError};
use crate::kubeconfig::{self, Credentials};
use crate::programs::{Programs, Running, Surroundings};
use crate::seed::Seed;
use crate::serve::Service;
use crate::status::ApiError;
use crate::tls::{Authority, CertificateError, ClientCertificate};

/// What is kept besides the cluster and its account.
const PORT: &str = "port";
const ADMIN_TOKEN: &str = "admin token";

/// How a simulator is set up.
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What the cluster holds at first.
    pub seed: Seed,
    /// The token of the administrator; a random one when absent.
    pub admin_token: Option<String>,
    /// The time between two bookmarks of a watch.
    pub bookmark_interval: Duration,
    /// How long a client may take for the TLS handshake, for the head of a request and for its body.
    pub read_timeout: Duration,
    /// How many changes are kept for watches and continued lists.
    pub history: usize,
    /// Whether controllers, scheduler and kubelets are at work; without them there is only the API server.
    pub controllers: bool,
    /// How long controllers and kubelets take.
    pub delays: Delays,
    /// Whether the nodes are instances of a simulated AWS account.
    pub cloud: CloudOptions,
    /// What runs in place of containers; those of other images run nothing.
    pub programs: Programs,
    /// Where the cluster, its account and its credentials are kept, so that they go on when the process was killed and another is
    /// started here; in memory alone when absent. Of a cluster that is there already, the seed is not planted again, the
    /// administrator's token is the same unless another is given, and so is the port where 0 is asked for and it is free.
    pub state_dir: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: Seed::default(),
            admin_token: None,
            bookmark_interval: Duration::from_secs(60),
            // `ReadHeaderTimeout` of `apiserver/pkg/server/secure_serving.go`.
            read_timeout: Duration::from_secs(32),
            history: 10_000,
            controllers: true,
            delays: Delays::default(),
            cloud: CloudOptions::default(),
            programs: Programs::default(),
            state_dir: None,
        }
    }
}

/// Why a simulator does not start.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The address cannot be listened on.
    #[error("the simulated API server cannot listen on {address}: {source}")]
    Listen {
        /// The address of the options.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The server's certificate cannot be made.
    #[error("the simulated API server has no certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The seed does not fit together.
    #[error("the simulated cluster cannot be filled: {0}")]
    Seed(#[from] ApiError),
    /// The directory of the options cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}

/// A running simulator; it stops when it is dropped.
pub struct Sim {
    server: Arc<Server>,
    authority: Authority,
    address: SocketAddr,
    task: JoinHandle<()>,
    ended: CancellationToken,
    shutdown: DropGuard,
}

impl Sim {
    /// Fills the store, or goes on with what an earlier process has left, and begins to serve.
    ///
    /// # Errors
    /// [`SimError::Listen`] when the address is in use or not this machine's; [`SimError::State`] when the directory is in use, cannot
    /// be written, or holds what this version cannot read.
    pub async fn start(options: Options) -> Result<Sim, SimError> {
        let shutdown = CancellationToken::new();
        let (journal, found) = match &options.state_dir {
            Some(directory) => {
                let (journal, found) = Journal::open(directory, shutdown.clone())?;
                (Some(Arc::new(journal)), found)
            }
            None => (None, None),
        };
        let mut has_cloud = options.seed == Seed::Shop;
        let (api, found) = match found {
            Some(mut found) => {
                has_cloud = Account::is_in(&found);
                (Api::restored(options.history, &mut found)?, found)
            }
            None => {
                let api = Api::new(options.history);
                options.seed.plant(&api)?;
                (api, Found::default())
            }
        };
        let api = Arc::new(api);

        let account = if options.cloud.is_on.unwrap_or(has_cloud) {
            let (account, machines) = Account::new(Arc::clone(&api), options.cloud, &found, journal.clone())?;
            Some((Arc::new(account), machines))
        } else {
            None
        };

        let listener = listen(options.listen, found.kept(PORT)?).await?;
        let in_use = |source| SimError::Listen { address: options.listen, source };
        let address = listener.local_addr().map_err(in_use)?;
        let admin_token = match options.admin_token {
            Some(token) => Some(token),
            None => found.kept(ADMIN_TOKEN)?,
        };
        let mut tokens = Tokens::new(admin_token).map_err(CertificateError::Key)?;
        if let Some((account, _)) = &account {
            let roles = Arc::clone(account.roles());
            tokens = tokens.with_eks(EksTokens::new(roles, account.eks_cluster().to_owned()));
        }
        let tokens = Arc::new(tokens);
        let authority = Authority::derived_from(tokens.admin())?;
        let tls = TlsAcceptor::from(Arc::new(authority.server_config(address.ip())?));
        let plan = found.kept(FAULTS)?.unwrap_or_default();
        let faults = Arc::new(Faults::new(plan, shutdown.clone(), journal.clone()));
        let surroundings = Surroundings {
            url: reached_at(address),
            ca_pem: authority.pem(),
            tokens: Arc::clone(&tokens),
            api: Arc::clone(&api),
            shutdown: shutdown.clone(),
        };
        let programs = Arc::new(Running::new(options.programs, surroundings));
        let server = Arc::new(Server {
            api: Arc::clone(&api),
            tokens: Arc::clone(&tokens),
            faults: Arc::clone(&faults),
            programs: Arc::clone(&programs),
            account: account.as_ref().map(|(account, _)| Arc::clone(account)),
            journal: journal.clone(),
            bookmark_interval: options.bookmark_interval,
            read_timeout: options.read_timeout,
            address: address.to_string(),
        });
        if let Some((account, _)) = &account {
            account.serve_cluster(reached_at(address), authority.pem());
        }
        if let Some(journal) = &journal {
            journal.keep(PORT, &address.port());
            journal.keep(ADMIN_TOKEN, &server.tokens.admin());
            // From here on it is there after the end of the process; before, it never was.
            api.persist(journal)?;
        }
        if let Some((account, machines)) = account {
            let shutdown = shutdown.clone();
            tokio::spawn(async move {
                // As below.
                let _end = shutdown.clone().drop_guard();
                account.run(machines, shutdown).await;
            });
        }
        if options.controllers {
            let controllers =
                Controllers::new(api, faults, programs, options.delays, tokens, authority.pem());
            let shutdown = shutdown.clone();
            tokio::spawn(async move {
                // A cluster whose controllers have died would stand still and answer on: it ends with them.
                let _end = shutdown.clone().drop_guard();
                controllers.run(shutdown).await;
            });
        }
        let router = router(Arc::clone(&server));
        let service = Service { tls, router, read_timeout: options.read_timeout };
        let ended = shutdown.clone();
        let task = tokio::spawn(service.run(listener, shutdown.clone()));
        Ok(Sim { server, authority, address, task, ended, shutdown: shutdown.drop_guard() })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// `https://` and where it is reached; from this machine, where it listens on all addresses.
    #[must_use]
    pub fn url(&self) -> String {
        reached_at(self.address)
    }

    /// The certificate of the authority that signed the server's, as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.authority.pem()
    }

    /// The token of the administrator, who may do everything.
    #[must_use]
    pub fn admin_token(&self) -> &str {
        self.server.tokens.admin()
    }

    /// The token of a service account, which may do what the RBAC objects in the store allow it.
    #[must_use]
    pub fn token_for(&self, namespace: &str, service_account: &str) -> String {
        self.server.tokens.for_service_account(namespace, service_account)
    }

    /// A kubeconfig for the bearer of a token, as JSON, which is YAML, with the context `kubesage-sim`.
    #[must_use]
    pub fn kubeconfig(&self, token: &str) -> String {
        kubeconfig::render(&self.url(), &self.ca_pem(), &Credentials::Token(token))
    }

    /// A certificate by which a user in at most one group is known.
    ///
    /// # Errors
    /// When the names do not fit into a certificate.
    pub fn client_certificate(
        &self,
        user: &str,
        group: Option<&str>,
    ) -> Result<ClientCertificate, CertificateError> {
        self.authority.client_certificate(user, group)
    }

    /// The same as [`kubeconfig`](Self::kubeconfig) for who has a certificate instead of a token.
    #[must_use]
    pub fn kubeconfig_with_certificate(&self, certificate: &ClientCertificate) -> String {
        kubeconfig::render(&self.url(), &self.ca_pem(), &Credentials::Certificate(certificate))
    }

    /// The objects, for reading and writing past HTTP.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.server.api
    }

    /// The time that the cluster goes by, which tests can move forward.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.server.api.clock()
    }

    /// The AWS account whose instances the nodes are, where there is one.
    #[must_use]
    pub fn account(&self) -> Option<&Account> {
        self.server.account.as_deref()
    }

    /// Forgets the history: older continue tokens and watches are answered with 410 `Expired`.
    pub fn compact(&self) {
        self.server.api.compact();
    }

    /// Makes every answer from now on take this long, but at most an hour.
    pub fn set_latency(&self, latency: Duration) {
        self.server.faults.set_latency(latency);
    }

    /// Cuts the connections of all open watches.
    pub fn drop_watches(&self) {
        self.server.faults.drop_watches();
    }

    /// Answers the next `times` requests with this HTTP status, and those after them as ever.
    ///
    /// # Errors
    /// When the status is not from 400 to 599.
    pub fn fail_next(&self, times: u32, status: u16) -> Result<(), FaultError> {
        let fault = Fault { times: Some(times), status: Some(status), ..Fault::default() };
        self.change_faults(|plan| plan.requests = vec![fault])
    }

    /// What shall go wrong from now on, as far as it has not happened yet.
    #[must_use]
    pub fn fault_plan(&self) -> FaultPlan {
        self.server.faults.plan()
    }

    /// Changes what shall go wrong from now on.
    ///
    /// # Errors
    /// When the plan cannot be; nothing changes then.
    pub fn change_faults(&self, change: impl FnOnce(&mut FaultPlan)) -> Result<(), FaultError> {
        self.server.faults.change(change)
    }

    /// How often what was asked, refused requests included.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<RequestLine, u64> {
        self.server.faults.requests()
    }

    /// Waits until the cluster has ended by itself, which it does only by a defect of the simulator.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Stops listening, cuts the watches and waits for the other answers under way.
    pub async fn stop(self) {
        drop(self.shutdown);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the simulated API server ended badly");
        }
    }
}

/// Listens, where any port will do on the one that kubeconfigs of an earlier process name, if nobody else has it by now.
async fn listen(address: SocketAddr, last: Option<u16>) -> Result<TcpListener, SimError> {
    if let Some(port) = last.filter(|_| address.port() == 0)
        && let Ok(listener) = TcpListener::bind((address.ip(), port)).await
    {
        return Ok(listener);
    }
    TcpListener::bind(address).await.map_err(|source| SimError::Listen { address, source })
}

/// `https://` and where it is reached; from this machine, where it listens on all addresses.
fn reached_at(mut address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    format!("https://{address}")
}
