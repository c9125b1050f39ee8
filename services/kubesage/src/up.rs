//! `kubesage up`: every service in one process.

use std::{path::Path, time::Duration};

use onboarding::Onboarding;
use tokio::time::timeout;
use web::{App, Outcome, Server, Shutdown, process::Failure};

use crate::{
    addresses::{Addresses, listen_inside},
    agent_of::{self, Kubeconfig},
    banner::{self, Banner, ClusterKind},
    cli::UpArgs,
    data_dir::DataDir,
    dev_env::{DevEnv, Keys},
    services::Services,
    simulated::{self, SimulatedCluster},
};

/// The agent is given this long before it is announced that it has not connected.
const AGENT_PATIENCE: Duration = Duration::from_secs(10);
/// The cluster of the quick start.
const DEMO: &str = "demo";

/// Runs every service until the process is told to stop.
pub(crate) async fn run(args: UpArgs) -> Result<Outcome, Failure> {
    let server = Server::bind(&args.tls.server_config(&args.host, args.port)).await?;
    let inside = listen_inside(&args, &server).await?;
    let data_dir = DataDir::open(&args.data_dir)?;
    let addresses = Addresses::of(&args, &server, inside.as_ref())?;
    let mut keys = Keys::load(&data_dir)?;
    let shutdown = Shutdown::on_signals()?;

    let simulated = match args.kubeconfig {
        None => Some(simulated::start(&data_dir).await?),
        Some(_) => None,
    };
    let clouds = simulated.as_ref().map(SimulatedCluster::clouds).transpose()?.unwrap_or_default();
    let services = Services::start(&args, &data_dir, &addresses, clouds, &shutdown).await?;
    let admin = services.admin(&mut keys).await?;
    let account_id = match simulated.as_ref().and_then(SimulatedCluster::account) {
        Some(account) => Some(services.optimizer.ensure_account(&admin, account).await?),
        None => None,
    };
    let (name, kubeconfig) = target(&args, simulated.as_ref());
    let cluster = services.onboarding.ensure_cluster(&admin, &name, &keys.agent_key).await?;
    DevEnv {
        url: &addresses.public,
        keys: &keys,
        agent_id: &cluster.agent_id,
        cluster_id: &cluster.cluster_id,
        account_id: account_id.as_deref(),
    }
    .save(&data_dir)?;

    let app = App::new("Kubesage", env!("CARGO_PKG_VERSION"))
        .routes(services.user_auth.routes)
        .routes(services.onboarding.routes.clone())
        .routes(services.cluster)
        .routes(services.optimizer.routes)
        .readiness(services.readiness);
    tracing::info!(address = %server.local_addr(), "serving");
    let router = app.into_router();
    shutdown.spawn_critical("http", server.run(router.clone(), shutdown.token()));
    if let Some(inside) = inside {
        shutdown.spawn_critical("http inside", inside.run(router, shutdown.token()));
    }
    agent_of::start(&addresses.inside, &cluster, &name, &keys, kubeconfig, &shutdown).await?;

    let banner = Banner {
        url: addresses.public,
        api_key: keys.api_key,
        agent_id: cluster.agent_id,
        cluster: match &simulated {
            Some(simulated) => {
                ClusterKind::Simulated { kubeconfig: simulated.kubeconfig.clone(), account_id }
            }
            None => ClusterKind::Real { name },
        },
        dev_env: data_dir.path().join("dev.env"),
    };
    // In a task, so that a signal is heeded meanwhile.
    let (onboarding, token) = (services.onboarding, shutdown.token());
    shutdown.spawn(async move {
        token.run_until_cancelled(announce(banner, onboarding)).await;
    });
    Ok(shutdown.run_until_done().await)
}

/// Tells a person how to use the process once its agent has connected, or that it has not.
async fn announce(banner: Banner, onboarding: Onboarding) {
    let connected = timeout(AGENT_PATIENCE, onboarding.connected(&banner.agent_id)).await.is_ok();
    if let Err(error) = banner::print(&banner.text(connected)) {
        tracing::warn!(%error, "nobody reads the standard output");
    }
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
