//! A running service and what is around it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use bus::{Bus, BusOptions};
use cluster::{AuditArgs, KubectlArgs, NAME, Parts, QueryArgs, StoredArgs, start as start_service};
use contracts::{
    ErrorCode, Token, TokenKind,
    auth::{AuthResult, Scope, UserData},
};
use reqwest::{Client, Method, RequestBuilder, Response, header::CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use store::{Sealer, Store, testing::TestDatabase};
use testkit::TestBus;
use tokio::time::timeout;
use tokio_util::sync::DropGuard;
use web::{
    App, ProblemDocument, RateLimit, Readiness, Server, ServerConfig, Shutdown, auth::Verifier,
    config::RateLimitArgs, process,
};

use crate::onboarding::Onboarding;

/// The service, an onboarding, and keys of two users; it stops when this is dropped.
pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) onboarding: Onboarding,
    _bus: Bus,
}

/// The service on a free port.
pub(crate) struct Service {
    url: String,
    client: Client,
    /// A key of ann, who may read.
    pub(crate) ann: String,
    /// A key of bob, who may change clusters.
    pub(crate) bob: String,
    /// A key of bob that may do something else only.
    pub(crate) blind: String,
    /// Keys of two more users, who may do everything.
    pub(crate) carol: String,
    pub(crate) dave: String,
    _stop: DropGuard,
    _database: Option<TestDatabase>,
}

/// How a service is started.
pub(crate) struct Setup {
    pub(crate) url: SecretString,
    pub(crate) prefix: String,
    /// Seconds that an agent may take.
    pub(crate) patience: u64,
    /// Queries under way: of all users, and of one.
    pub(crate) max_requests: u16,
    pub(crate) max_requests_per_user: u16,
    /// Requests a minute; absent: not limited.
    pub(crate) rate_limit: Option<u32>,
    pub(crate) max_in_flight: usize,
    /// Absent: a file of its own.
    pub(crate) database: Option<SecretString>,
    pub(crate) secrets_key: SecretString,
    pub(crate) stored: StoredArgs,
    pub(crate) kubectl: KubectlArgs,
}

/// A key that seals, made of this byte.
pub(crate) fn secrets_key(byte: u8) -> String {
    BASE64_STANDARD.encode([byte; 32])
}

impl Setup {
    pub(crate) fn on(test: &TestBus) -> Self {
        Self {
            url: test.url.clone(),
            prefix: test.prefix.clone(),
            patience: 60,
            max_requests: 100,
            max_requests_per_user: 100,
            rate_limit: None,
            max_in_flight: 100,
            database: None,
            secrets_key: secrets_key(1).into(),
            stored: StoredArgs::default(),
            kubectl: KubectlArgs::default(),
        }
    }

    /// The service alone.
    pub(crate) async fn service(&self) -> Result<Service> {
        let options = BusOptions {
            prefix: self.prefix.clone(),
            max_in_flight: self.max_in_flight,
            ..BusOptions::default()
        };
        let bus = Bus::connect(&self.url, options)?;
        timeout(Duration::from_secs(10), bus.ready()).await.context("the broker is away")?;
        let own = self.database.is_none().then(TestDatabase::sqlite);
        let url = self.database.as_ref().or(own.as_ref().map(TestDatabase::url)).context("a database")?;
        let store = Store::open(url, NAME).await?;
        let keys = [new_key(), new_key(), new_key(), new_key(), new_key()];
        let users = [
            user("ann", Scope::Read),
            user("bob", Scope::Operate),
            user("bob", Scope::Other("audit".into())),
            user("carol", Scope::Admin),
            user("dave", Scope::Admin),
        ];
        let known = keys.iter().map(Token::hash).zip(users).collect();
        let parts = Parts {
            sealer: Sealer::of(&store, Some(&self.secrets_key))?,
            store,
            stored: self.stored.clone(),
            kubectl: self.kubectl.clone(),
            audit: AuditArgs::default(),
            bus: bus.clone(),
            verifier: Keys(Arc::new(known)),
            rate_limit: RateLimit::new(&RateLimitArgs {
                rate_limit_enabled: self.rate_limit.is_some(),
                rate_limit_requests_per_minute: self.rate_limit.unwrap_or(1).try_into()?,
            }),
            queries: QueryArgs {
                websocket_timeout: self.patience,
                max_requests: self.max_requests,
                max_requests_per_user: self.max_requests_per_user,
            },
        };
        let readiness = process::broker_check(Readiness::new(), &bus);
        let shutdown = Shutdown::new();
        let routes = start_service(parts, &shutdown).await?;
        let router = App::new("cluster", "1").routes(routes).readiness(readiness).into_router();
        let server = Server::bind(&ServerConfig::new("127.0.0.1", 0)).await?;
        let url = format!("http://{}", server.local_addr());
        let stop = shutdown.token();
        tokio::spawn(server.run(router, stop.clone()));
        let [ann, bob, blind, carol, dave] = keys.each_ref().map(text);
        let client = client()?;
        Ok(Service { url, client, ann, bob, blind, carol, dave, _stop: stop.drop_guard(), _database: own })
    }

    /// The service with an onboarding, each with a connection of its own.
    pub(crate) async fn world(&self) -> Result<World> {
        let options = BusOptions { prefix: self.prefix.clone(), ..BusOptions::default() };
        let bus = Bus::connect(&self.url, options)?;
        timeout(Duration::from_secs(10), bus.ready()).await.context("the broker is away")?;
        Ok(World { onboarding: Onboarding::start(&bus).await?, service: self.service().await?, _bus: bus })
    }
}

pub(crate) async fn start(test: &TestBus) -> Result<World> {
    Setup::on(test).world().await
}

impl World {
    /// Asks as ann; below `/api/v3.0/cluster`.
    pub(crate) async fn get(&self, path: &str) -> Result<Response> {
        self.service.get(path).await
    }

    /// Asks as ann; the answer is a success in JSON.
    pub(crate) async fn json(&self, path: &str) -> Result<Value> {
        json(self.get(path).await?).await
    }
}

impl Service {
    /// A request below `/api/v3.0/cluster`, without a key.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}/api/v3.0/cluster{path}", self.url))
    }

    /// A request of a path from the root, with a key.
    pub(crate) fn call(&self, key: &str, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).header("X-API-Key", key)
    }

    /// Asks with a key.
    pub(crate) async fn get_as(&self, key: &str, path: &str) -> Result<Response> {
        Ok(self.request(Method::GET, path).header("X-API-Key", key).send().await?)
    }

    /// Asks as ann.
    pub(crate) async fn get(&self, path: &str) -> Result<Response> {
        self.get_as(&self.ann, path).await
    }

    /// Asks without a key for a path from the root.
    pub(crate) async fn get_root(&self, path: &str) -> Result<Response> {
        Ok(self.client.get(format!("{}{path}", self.url)).send().await?)
    }
}

/// The body of a success.
pub(crate) async fn json(response: Response) -> Result<Value> {
    let (status, kind) = (response.status(), response.headers().get(CONTENT_TYPE).cloned());
    let body = response.text().await?;
    ensure!(status == 200, "{status}: {body}");
    ensure!(kind.context("content type")? == "application/json");
    Ok(serde_json::from_str(&body)?)
}

/// The body of a problem, of this status and code.
pub(crate) async fn problem(response: Response, status: u16, code: &str) -> Result<ProblemDocument> {
    let (found, kind) = (response.status(), response.headers().get(CONTENT_TYPE).cloned());
    let body = response.text().await?;
    ensure!(found == status, "{found} instead of {status}: {body}");
    ensure!(kind.context("content type")? == "application/problem+json");
    let document: ProblemDocument = serde_json::from_str(&body)?;
    ensure!(document.code.as_str() == code && document.status == status, "{document:?}");
    Ok(document)
}

/// The keys of the test, instead of user-auth's.
#[derive(Clone)]
struct Keys(Arc<HashMap<String, UserData>>);

impl Verifier for Keys {
    async fn verify(&self, key: Token) -> AuthResult {
        let hash = key.hash();
        match self.0.get(&hash).cloned() {
            Some(user) => AuthResult::valid("r".into(), hash, None, user),
            None => AuthResult::refused("r".into(), ErrorCode::Unauthenticated, "this API key was revoked"),
        }
    }
}

fn user(name: &str, scope: Scope) -> UserData {
    UserData {
        id: format!("id of {name}"),
        username: name.to_owned(),
        email: format!("{name}@example.com"),
        roles: Vec::new(),
        is_active: true,
        scopes: vec![scope],
    }
}

fn new_key() -> Token {
    Token::generate(TokenKind::ApiKey, &mut rand::rng())
}

fn text(key: &Token) -> String {
    key.secret().expose_secret().to_owned()
}

/// A well-formed key that nobody knows any more.
pub(crate) fn revoked_key() -> String {
    text(&new_key())
}

fn client() -> Result<Client> {
    // Of the many tests of this process the first one installs it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(Client::builder().no_proxy().build()?)
}
