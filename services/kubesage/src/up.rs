//! `kubesage up`: every service in one process.

use std::{net::SocketAddr, path::Path, time::Duration};

use bus::{Bus, BusOptions};
use contracts::{Timestamp, TokenKind, auth::UserData, queues::Service};
use onboarding::{AgentArgs, Onboarding, SessionTiming};
use secrecy::SecretString;
use store::Store;
use tokio::time::timeout;
use url::Url;
use user_auth::UserAuth;
use utoipa_axum::router::OpenApiRouter;
use web::{
    App, Outcome, RateLimit, Readiness, Server, ServerConfig, Shutdown,
    auth::{RemoteVerifier, Verifier},
    config::AuthArgs,
    process::{self, Failure},
};

use crate::{
    agent_of::{self, Kubeconfig},
    banner::{self, Banner, ClusterKind},
    cli::UpArgs,
    data_dir::DataDir,
    dev_env::{DevEnv, Keys, new_key},
    simulated::{self, SimulatedCluster},
};

/// The broker is given this long at start; after that the process runs without and keeps trying.
const BROKER_PATIENCE: Duration = Duration::from_secs(10);
/// The same for the agent, before the banner is printed.
const AGENT_PATIENCE: Duration = Duration::from_secs(10);
/// The cluster of the quick start.
const DEMO: &str = "demo";

/// Runs every service until the process is told to stop.
pub(crate) async fn run(args: UpArgs) -> Result<Outcome, Failure> {
    let server = Server::bind(&args.tls.server_config(&args.host, args.port)).await?;
    let inside = match args.tls.use_ssl {
        // The agent inside could not verify a certificate that is made out to another name than 127.0.0.1.
        true => Some(Server::bind(&ServerConfig::new("127.0.0.1", 0)).await?),
        false => None,
    };
    let data_dir = DataDir::open(&args.data_dir)?;
    let addresses = Addresses::of(&server, inside.as_ref())?;
    let mut keys = Keys::load(&data_dir)?;
    let shutdown = Shutdown::on_signals()?;

    let services = Services::start(&args, &data_dir, &addresses, &shutdown).await?;
    let admin = services.admin(&mut keys).await?;
    let simulated = match args.kubeconfig {
        None => Some(simulated::start(&data_dir).await?),
        Some(_) => None,
    };
    let (name, kubeconfig) = target(&args, simulated.as_ref());
    let cluster = services.onboarding.ensure_cluster(&admin, &name, &keys.agent_key).await?;
    DevEnv {
        url: &addresses.public,
        keys: &keys,
        agent_id: &cluster.agent_id,
        cluster_id: &cluster.cluster_id,
    }
    .save(&data_dir)?;

    let app = App::new("Kubesage", env!("CARGO_PKG_VERSION"))
        .routes(services.user_auth.routes)
        .routes(services.onboarding.routes.clone())
        .routes(services.cluster)
        .readiness(services.readiness);
    tracing::info!(address = %server.local_addr(), "serving");
    let router = app.into_router();
    shutdown.spawn_critical("http", server.run(router.clone(), shutdown.token()));
    if let Some(inside) = inside {
        shutdown.spawn_critical("http inside", inside.run(router, shutdown.token()));
    }
    agent_of::start(&addresses.inside, &cluster, &name, &keys, kubeconfig, &shutdown).await?;

    let connected = timeout(AGENT_PATIENCE, services.onboarding.connected(&cluster.agent_id)).await.is_ok();
    let kind = match &simulated {
        Some(simulated) => ClusterKind::Simulated { kubeconfig: simulated.kubeconfig.clone() },
        None => ClusterKind::Real { name },
    };
    let banner = Banner {
        url: &addresses.public,
        api_key: &keys.api_key,
        agent_id: &cluster.agent_id,
        cluster: kind,
        connected,
        dev_env: data_dir.path().join("dev.env"),
    };
    banner::print(&banner.to_string())?;
    Ok(shutdown.run_until_done().await)
}

/// Where the process is reached.
struct Addresses {
    /// By everybody.
    public: Url,
    /// By itself; the same, unless that speaks TLS.
    inside: Url,
}

impl Addresses {
    fn of(server: &Server, inside: Option<&Server>) -> Result<Self, url::ParseError> {
        let scheme = if inside.is_some() { "https" } else { "http" };
        let public = reachable(scheme, server.local_addr())?;
        let inside = inside.map(|inside| reachable("http", inside.local_addr())).transpose()?;
        Ok(Self { inside: inside.unwrap_or_else(|| public.clone()), public })
    }
}

/// The address by which this machine reaches the server.
fn reachable(scheme: &str, address: SocketAddr) -> Result<Url, url::ParseError> {
    let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
    let host = if address.is_ipv6() && !address.ip().is_unspecified() { format!("[{host}]") } else { host };
    Url::parse(&format!("{scheme}://{host}:{}", address.port()))
}

/// The cluster's name and how the agent reaches it.
fn target(args: &UpArgs, simulated: Option<&SimulatedCluster>) -> (String, Kubeconfig) {
    match (simulated, &args.kubeconfig) {
        (Some(simulated), _) => {
            (DEMO.to_owned(), Kubeconfig { path: simulated.agent_kubeconfig.clone(), context: None })
        }
        (None, path) => {
            let path = path.clone().unwrap_or_default();
            let named = |path: &Path| {
                path.file_name().map_or_else(|| "cluster".into(), |name| name.display().to_string())
            };
            let name = args.context.clone().unwrap_or_else(|| named(&path));
            (name, Kubeconfig { path, context: args.context.clone() })
        }
    }
}

/// The services, started.
struct Services {
    user_auth: UserAuth,
    onboarding: Onboarding,
    cluster: OpenApiRouter,
    readiness: Readiness,
}

impl Services {
    async fn start(
        args: &UpArgs,
        data_dir: &DataDir,
        addresses: &Addresses,
        shutdown: &Shutdown,
    ) -> Result<Self, Failure> {
        let bus = connect(args).await?;
        let in_data_dir = || SecretString::from(format!("sqlite:{}/", data_dir.path().display()));
        let database = args.database_url.clone().unwrap_or_else(in_data_dir);
        let accounts_store = Store::open(&database, user_auth::NAME).await?;
        let clusters_store = Store::open(&database, onboarding::NAME).await?;
        // What the services show each other when the broker is away; nobody else needs it.
        let service_token = new_key(TokenKind::ServiceToken).secret().clone();
        let auth = auth_args(&addresses.inside, &service_token);
        let rate_limit = RateLimit::new(&args.rate_limit);

        let parts = user_auth::Parts {
            store: accounts_store.clone(),
            bus: bus.clone(),
            service_token: Some(service_token),
            rate_limit: rate_limit.clone(),
        };
        let user_auth = UserAuth::start(parts, shutdown).await?;
        let parts = onboarding::Parts {
            store: clusters_store.clone(),
            bus: bus.clone(),
            verifier: RemoteVerifier::start(&bus, Service::Onboarding, &auth)?,
            rate_limit: rate_limit.clone(),
            agents: agent_args(&addresses.public),
            timing: SessionTiming::default(),
        };
        let onboarding = Onboarding::start(parts, shutdown).await?;
        let cluster = cluster::routes(cluster::Parts {
            verifier: RemoteVerifier::start(&bus, Service::Cluster, &auth)?,
            bus: bus.clone(),
            rate_limit,
            queries: args.queries.clone(),
        });
        let readiness = process::broker_check(Readiness::new(), &bus);
        let readiness = database_check(readiness, "users database", accounts_store);
        let readiness = database_check(readiness, "clusters database", clusters_store);
        Ok(Self { user_auth, onboarding, cluster, readiness })
    }

    /// The administrator whose key this is. A kept key that was revoked is replaced by a new one.
    async fn admin(&self, keys: &mut Keys) -> Result<UserData, Failure> {
        let accounts = &self.user_auth.accounts;
        let admin = accounts.ensure_admin(&keys.api_key, Timestamp::now()).await?;
        if accounts.verify(keys.api_key.clone()).await.valid {
            return Ok(admin);
        }
        keys.api_key = new_key(TokenKind::ApiKey);
        Ok(accounts.ensure_admin(&keys.api_key, Timestamp::now()).await?)
    }
}

async fn connect(args: &UpArgs) -> Result<Bus, Failure> {
    let options = BusOptions {
        client_name: "kubesage".to_owned(),
        prefix: args.queue_prefix.clone(),
        ..BusOptions::default()
    };
    let bus = Bus::connect(&args.bus_url, options)?;
    if timeout(BROKER_PATIENCE, bus.ready()).await.is_err() {
        tracing::warn!("the message broker cannot be reached yet; trying on");
    }
    Ok(bus)
}

fn database_check(readiness: Readiness, name: &'static str, store: Store) -> Readiness {
    readiness.check(name, move || {
        let store = store.clone();
        async move { store.ping().await.map_err(|_| "the database cannot be used".to_owned()) }
    })
}

fn auth_args(url: &Url, service_token: &SecretString) -> AuthArgs {
    AuthArgs {
        user_service_url: Some(url.clone()),
        service_token: Some(service_token.clone()),
        ..AuthArgs::default()
    }
}

fn agent_args(url: &Url) -> AgentArgs {
    AgentArgs { public_url: url.clone(), ..AgentArgs::default() }
}
