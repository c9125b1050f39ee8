//! Every service, built from its parts.

use std::path::Path;

use bus::{Bus, BusOptions};
use contracts::{Timestamp, TokenKind, auth::UserData, queues::Service};
use onboarding::{Onboarding, SessionTiming};
use optimizer::{Clouds, Optimizer};
use secrecy::{ExposeSecret, SecretString};
use store::{Sealer, Store};
use url::Url;
use user_auth::UserAuth;
use utoipa_axum::router::OpenApiRouter;
use web::{
    RateLimit, Readiness, Shutdown,
    auth::{RemoteVerifier, Verifier},
    config::AuthArgs,
    process::{self, Failure},
};

use crate::{
    addresses::Addresses,
    cli::UpArgs,
    data_dir::DataDir,
    dev_env::{Keys, new_key},
};

/// The services, started.
pub(crate) struct Services {
    pub(crate) user_auth: UserAuth,
    pub(crate) onboarding: Onboarding,
    pub(crate) cluster: OpenApiRouter,
    pub(crate) optimizer: Optimizer,
    pub(crate) readiness: Readiness,
}

impl Services {
    pub(crate) async fn start(
        args: &UpArgs,
        data_dir: &DataDir,
        addresses: &Addresses,
        clouds: Clouds,
        shutdown: &Shutdown,
    ) -> Result<Self, Failure> {
        let bus = connect(args)?;
        let database = database(args, data_dir)?;
        let accounts_store = Store::open(&database, user_auth::NAME).await?;
        let clusters_store = Store::open(&database, onboarding::NAME).await?;
        let stored_store = Store::open(&database, cluster::NAME).await?;
        let lab_store = Store::open(&database, optimizer::NAME).await?;
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
            own_url: addresses.public.clone(),
            agents: args.agents.clone(),
            timing: SessionTiming::default(),
            aws: args.aws.sts().await,
            aws_principal: args.aws.aws_trusted_principal.clone(),
        };
        let onboarding = Onboarding::start(parts, shutdown).await?;
        let parts = cluster::Parts {
            sealer: Sealer::kept_at(&data_dir.path().join("cluster.key"), args.secrets_key.as_ref())?,
            store: stored_store.clone(),
            bus: bus.clone(),
            verifier: RemoteVerifier::start(&bus, Service::Cluster, &auth)?,
            rate_limit: rate_limit.clone(),
            queries: args.queries.clone(),
            stored: args.stored.clone(),
            kubectl: args.kubectl.clone(),
            audit: args.audit.clone(),
        };
        cluster::clear_leftovers();
        let cluster = cluster::start(parts, shutdown).await?;
        let parts = optimizer::Parts {
            store: lab_store.clone(),
            bus: bus.clone(),
            verifier: RemoteVerifier::start(&bus, Service::Optimizer, &auth)?,
            rate_limit,
            clouds,
            operations: args.operations.clone(),
        };
        let optimizer = optimizer::start(parts, shutdown).await?;
        let readiness = process::broker_check(Readiness::new(), &bus)
            .check("users database", move || accounts_store.clone().readiness())
            .check("clusters database", move || clusters_store.clone().readiness())
            .check("stored clusters database", move || stored_store.clone().readiness())
            .check("operations database", move || lab_store.clone().readiness());
        Ok(Self { user_auth, onboarding, cluster, optimizer, readiness })
    }

    /// The administrator whose key this is. A kept key that was revoked is replaced by a new one.
    pub(crate) async fn admin(&self, keys: &mut Keys) -> Result<UserData, Failure> {
        let accounts = &self.user_auth.accounts;
        let admin = accounts.ensure_admin(&keys.api_key, Timestamp::now()).await?;
        if accounts.verify(keys.api_key.clone()).await.valid {
            return Ok(admin);
        }
        keys.api_key = new_key(TokenKind::ApiKey);
        Ok(accounts.ensure_admin(&keys.api_key, Timestamp::now()).await?)
    }
}

/// The database that is asked for, or SQLite in the data directory.
fn database(args: &UpArgs, data_dir: &DataDir) -> Result<SecretString, Failure> {
    let Some(url) = &args.database_url else {
        return Ok(format!("sqlite:{}/", data_dir.path().display()).into());
    };
    let file = url
        .expose_secret()
        .strip_prefix("sqlite:")
        .filter(|path| !path.ends_with('/') && !Path::new(path).is_dir());
    match file {
        Some(path) => Err(format!(
            "DATABASE_URL must name a directory, such as sqlite:{path}/: each service keeps a file in it"
        )
        .into()),
        None => Ok(url.clone()),
    }
}

fn connect(args: &UpArgs) -> Result<Bus, Failure> {
    let options = BusOptions {
        client_name: "kubesage".to_owned(),
        prefix: args.queue_prefix.clone(),
        ..BusOptions::default()
    };
    Ok(Bus::connect(&args.bus_url, options)?)
}

fn auth_args(url: &Url, service_token: &SecretString) -> AuthArgs {
    AuthArgs {
        user_service_url: Some(url.clone()),
        service_token: Some(service_token.clone()),
        ..AuthArgs::default()
    }
}
