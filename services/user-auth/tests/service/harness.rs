//! A running service, and callers of it.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use bus::{Bus, BusOptions, PublishError, RequestError, RequestOptions};
use contracts::{
    Timestamp, Token, TokenKind,
    auth::{AuthRequest, AuthResult},
    queues::Service as Asking,
};
use reqwest::{Client, Method, RequestBuilder, StatusCode, header::CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use store::{Backend, Options, Store, testing::TestDatabase};
use testkit::{Cleanup, TestBus, eventually};
use user_auth::{Accounts, NAME, Parts, UserAuth};
use web::{
    App, RateLimit, Server, ServerConfig, Shutdown,
    config::{AuthArgs, RateLimitArgs},
};

pub(crate) const KEYS: &str = "/api/v1/api-keys";

/// What the other services show.
pub(crate) const SERVICE_TOKEN: &str = "kt_0123456789012345678901234567890123456789";

/// A service on a free port, with an administrator; it stops when this is dropped.
pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    pub(crate) accounts: Accounts,
    /// The first administrator's key.
    pub(crate) admin: String,
    shutdown: Shutdown,
    /// Kept for as long as the service uses its queues.
    _queues: Option<Arc<Cleanup>>,
}

/// Where a service's surroundings are, and what it is told.
pub(crate) struct Setup {
    pub(crate) database_url: SecretString,
    pub(crate) database: Options,
    pub(crate) bus: TestBus,
    pub(crate) service_token: Option<SecretString>,
    /// Requests a minute; absent: not limited.
    pub(crate) rate_limit: Option<u32>,
}

impl Setup {
    /// SQLite comes with the in-process bus, PostgreSQL with RabbitMQ.
    pub(crate) fn on(database: &TestDatabase) -> Self {
        Self {
            database_url: database.url().clone(),
            database: Options::default(),
            bus: match database.backend() {
                Backend::Sqlite => TestBus::memory(),
                Backend::Postgres => TestBus::rabbitmq(),
            },
            service_token: Some(SERVICE_TOKEN.into()),
            rate_limit: None,
        }
    }

    pub(crate) async fn start(&self) -> Result<Running> {
        let store = Store::open_with(&self.database_url, NAME, self.database.clone()).await?;
        let bus = self.connect()?;
        let shutdown = Shutdown::new();
        let parts = Parts {
            store: store.clone(),
            bus: bus.clone(),
            service_token: self.service_token.clone(),
            rate_limit: RateLimit::new(&RateLimitArgs {
                rate_limit_enabled: self.rate_limit.is_some(),
                rate_limit_requests_per_minute: self.rate_limit.unwrap_or(1).try_into()?,
            }),
        };
        let service = UserAuth::start(parts, &shutdown).await?;
        let admin = new_token();
        service.accounts.ensure_admin(&admin, Timestamp::now()).await?;
        let server = Server::bind(&ServerConfig::new("127.0.0.1", 0)).await?;
        let url = format!("http://{}", server.local_addr());
        let router = App::new(NAME, "0").routes(service.routes).into_router();
        shutdown.spawn_critical("http", server.run(router, shutdown.token()));
        bus.ready().await;
        Ok(Running {
            url,
            client: client()?,
            store,
            bus,
            accounts: service.accounts,
            admin: admin.secret().expose_secret().to_owned(),
            shutdown,
            _queues: self.bus.cleanup.clone(),
        })
    }

    /// Another process on the same bus.
    pub(crate) fn connect(&self) -> Result<Bus> {
        let options = BusOptions { prefix: self.bus.prefix.clone(), ..BusOptions::default() };
        Ok(Bus::connect(&self.bus.url, options)?)
    }
}

pub(crate) async fn start(database: &TestDatabase) -> Result<Running> {
    Setup::on(database).start().await
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.token().cancel();
    }
}

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Running {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// Calls with a key and, unless it is null, a body.
    pub(crate) async fn call(&self, key: &str, method: Method, path: &str, body: Value) -> Result<Answer> {
        let request = self.request(method, path).header("X-API-Key", key);
        let request = if body.is_null() { request } else { request.json(&body) };
        send(request).await
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> Result<Answer> {
        self.call(key, Method::GET, path, Value::Null).await
    }

    pub(crate) async fn post(&self, key: &str, path: &str, body: Value) -> Result<Answer> {
        self.call(key, Method::POST, path, body).await
    }

    pub(crate) async fn patch(&self, key: &str, path: &str, body: Value) -> Result<Answer> {
        self.call(key, Method::PATCH, path, body).await
    }

    pub(crate) async fn delete(&self, key: &str, path: &str) -> Result<Answer> {
        self.call(key, Method::DELETE, path, Value::Null).await
    }

    /// Makes a user; answers its id.
    pub(crate) async fn user(&self, username: &str, roles: &[&str]) -> Result<String> {
        let user = json!({"username": username, "email": format!("{username}@example.com"), "roles": roles});
        self.post(&self.admin, "/api/v1/users", user).await?.text(201, "/id")
    }

    /// Makes a key of a user; answers its id and the key.
    pub(crate) async fn key_of(&self, user_id: &str, scopes: &[&str]) -> Result<(String, String)> {
        let key = json!({"name": "test", "scopes": scopes, "user_id": user_id});
        let made = self.post(&self.admin, KEYS, key).await?;
        Ok((made.text(201, "/id")?, made.text(201, "/key")?))
    }

    /// The id and a key of a new user without roles.
    pub(crate) async fn user_with_key(&self, username: &str, scopes: &[&str]) -> Result<(String, String)> {
        let user = self.user(username, &[]).await?;
        let (_, key) = self.key_of(&user, scopes).await?;
        Ok((user, key))
    }

    /// Rotates a key, with the key of a caller.
    pub(crate) async fn rotate(&self, key: &str, id: &str, body: Value) -> Result<Answer> {
        self.post(key, &format!("{KEYS}/{id}/rotate"), body).await
    }

    /// Revokes a key, with the key of a caller.
    pub(crate) async fn revoke(&self, key: &str, id: &str) -> Result<Answer> {
        self.delete(key, &format!("{KEYS}/{id}")).await
    }

    /// Asks whose the key is, which every valid one may.
    pub(crate) async fn me(&self, key: &str) -> Result<Answer> {
        self.get(key, "/api/v1/users/me").await
    }

    /// The id of the user that the key belongs to.
    pub(crate) async fn user_id(&self, key: &str) -> Result<String> {
        self.me(key).await?.text(200, "/id")
    }

    /// Asks over the bus, as the cluster service does.
    pub(crate) async fn verify(&self, key: &str) -> Result<AuthResult> {
        verify_for(&self.bus, Asking::Cluster, key).await
    }

    /// Changes a row behind the service's back.
    pub(crate) async fn sql(&self, sql: &str, id: &str) -> Result<()> {
        let changed = sqlx::query(AssertSqlSafe(sql.to_owned())).bind(id);
        let changed = changed.execute(self.store.pool()).await?;
        anyhow::ensure!(changed.rows_affected() == 1, "{sql} changed nothing");
        Ok(())
    }
}

impl Answer {
    /// Checks the status; answers the body.
    pub(crate) fn json(&self, status: u16) -> Result<&Value> {
        anyhow::ensure!(self.status == status, "{} instead of {status}: {}", self.status, self.body);
        Ok(&self.body)
    }

    /// Checks the status; answers a text of the body.
    pub(crate) fn text(&self, status: u16, pointer: &str) -> Result<String> {
        let text = self.json(status)?.pointer(pointer).and_then(Value::as_str);
        Ok(text.with_context(|| format!("{pointer} in {}", self.body))?.to_owned())
    }

    /// Checks that it is a problem of this status and code; answers its detail.
    pub(crate) fn problem(&self, status: u16, code: &str) -> Result<String> {
        anyhow::ensure!(self.text(status, "/code")? == code, "not {code}: {}", self.body);
        self.text(status, "/detail")
    }

    /// Checks that these values were not acceptable.
    pub(crate) fn refuses_fields(&self, fields: &[&str]) -> Result<()> {
        self.problem(422, "invalid")?;
        let named: Vec<&str> = self.body["errors"]
            .as_array()
            .context("errors")?
            .iter()
            .filter_map(|error| error["field"].as_str())
            .collect();
        anyhow::ensure!(named == fields, "{named:?} instead of {fields:?}");
        Ok(())
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Result<Answer> {
    let response = request.send().await?;
    let status = response.status();
    let is_problem =
        response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    anyhow::ensure!(is_problem != status.is_success(), "{status} of another kind");
    let text = response.text().await?;
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? };
    Ok(Answer { status, body })
}

pub(crate) async fn verify_for(bus: &Bus, service: Asking, key: &str) -> Result<AuthResult> {
    let request = AuthRequest {
        request_id: "r-1".to_owned(),
        api_key: SecretString::from(key).into(),
        service: service.as_str().to_owned(),
        timestamp: Timestamp::now(),
    };
    let options = RequestOptions::within(Duration::from_secs(10));
    bus.ready().await;
    // Serving begins in the background.
    eventually("the service to serve", async || {
        match bus.request(service.auth_route(), &request, options).await {
            Err(RequestError::Publish(PublishError::Unroutable { .. })) => None,
            answer => Some(answer),
        }
    })
    .await?
    .map_err(Into::into)
}

pub(crate) fn client() -> Result<Client> {
    // Of the many tests of this process the first one installs it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(Client::builder().no_proxy().build()?)
}

pub(crate) fn new_token() -> Token {
    Token::generate(TokenKind::ApiKey, &mut rand::rng())
}

/// How another service is told to ask this one.
pub(crate) fn auth_args(service: Option<&Running>) -> Result<AuthArgs> {
    Ok(AuthArgs {
        user_service_url: service.map(|service| service.url.parse()).transpose()?,
        service_token: Some(SERVICE_TOKEN.into()),
        auth_cache_seconds: 300,
    })
}
