//! A running service, the account that it works in, and those who ask it.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bus::{Bus, BusOptions};
use cloud::{Group, Instance};
use contracts::{ErrorCode, Token, auth::AuthResult};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, api::ListParams};
use optimizer::{
    Clouds, NAME, OperationArgs, Parts,
    cluster::{ACCESS_GROUP, cluster_role_rules},
    start,
};
use reqwest::{Client, Method, RequestBuilder, Response, header::CONTENT_TYPE};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sim::{Account, CloudOptions, Delays, Options, Seed};
use simulated_cloud::Settings;
use store::testing::TestDatabase;
pub(crate) use testkit::{Answer, User};
use testkit::{Cluster, Keys, TestBus, eventually_within, send};
use web::{App, RateLimit, Server, ServerConfig, Shutdown, auth::Verifier, config::RateLimitArgs};

pub(crate) const ACCOUNTS: &str = "/api/v1/accounts";
pub(crate) const INSTANCES: &str = "/api/v1/lab/instances";
pub(crate) const OPERATIONS: &str = "/api/v1/operations";

/// Far longer than anything takes here; only a failure waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
const ROLE: &str = "kubesage-optimizer";

/// A service on a free port; it stops when this is dropped.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    bus: TestBus,
    address: std::net::SocketAddr,
    client: Client,
    keys: Keys,
    shutdown: Shutdown,
    are_revoked: Arc<AtomicBool>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.token().cancel();
    }
}

impl World {
    /// With the shop, in which everything happens at once.
    pub(crate) async fn start(database: &TestDatabase) -> Result<Self> {
        Self::with(database, Delays::none()).await
    }

    /// With the shop, whose pods take so long.
    pub(crate) async fn with(database: &TestDatabase, delays: Delays) -> Result<Self> {
        Self::with_settings(database, delays, OperationArgs::default()).await
    }

    /// And whose service is set so.
    pub(crate) async fn with_settings(
        database: &TestDatabase,
        delays: Delays,
        operations: OperationArgs,
    ) -> Result<Self> {
        let options =
            Options { seed: Seed::Shop, delays, cloud: CloudOptions::at_once(), ..Options::default() };
        let cluster = Cluster::simulated(options).await?;
        cluster.grant(ROLE, &cluster_role_rules(), ACCESS_GROUP).await?;
        let sim = cluster.sim().context("a simulator")?;
        let account = sim.account().context("an account")?;
        let clouds = Clouds::default().and_simulated(Settings {
            url: sim.url(),
            ca_pem: sim.ca_pem(),
            role_arn: account.role_arn().to_owned(),
            external_id: account.external_id().to_owned(),
            timeout: None,
        })?;
        let (keys, bus, shutdown) = (Keys::generate(), TestBus::memory(), Shutdown::new());
        let are_revoked = Arc::new(AtomicBool::new(false));
        let parts = Parts {
            store: database.open(NAME, store::Options::default()).await?,
            bus: connect(&bus)?,
            verifier: Revocable { keys: keys.verifier(), are_revoked: are_revoked.clone() },
            rate_limit: RateLimit::new(&RateLimitArgs {
                rate_limit_enabled: false,
                rate_limit_requests_per_minute: NonZeroU32::MIN,
            }),
            clouds,
            operations,
        };
        let service = start(parts, &shutdown).await?;
        let server = Server::bind(&ServerConfig::new("127.0.0.1", 0)).await?;
        let address = server.local_addr();
        let router = App::new(NAME, "0").routes(service.routes).into_router();
        shutdown.spawn_critical("http", server.run(router, shutdown.token()));
        let client = Client::builder().no_proxy().timeout(PATIENCE).build()?;
        Ok(Self { cluster, bus, address, client, keys, shutdown, are_revoked })
    }

    pub(crate) fn simulated(&self) -> &Account {
        self.cluster.sim().unwrap().account().unwrap()
    }

    /// From now on no key is good.
    pub(crate) fn revoke_keys(&self) {
        self.are_revoked.store(true, Ordering::SeqCst);
    }

    /// Another process on the same bus.
    pub(crate) fn another_bus(&self) -> Result<Bus> {
        connect(&self.bus)
    }

    /// Calls with the user's key and, unless it is null, a body.
    pub(crate) async fn call(&self, user: User, method: Method, path: &str, body: Value) -> Result<Answer> {
        let request = self.request(user, method, path);
        let request = if body.is_null() { request } else { request.json(&body) };
        send(request).await
    }

    pub(crate) async fn get(&self, user: User, path: &str) -> Result<Answer> {
        self.call(user, Method::GET, path, Value::Null).await
    }

    pub(crate) async fn post(&self, user: User, path: &str, body: Value) -> Result<Answer> {
        self.call(user, Method::POST, path, body).await
    }

    pub(crate) async fn patch(&self, user: User, path: &str, body: Value) -> Result<Answer> {
        self.call(user, Method::PATCH, path, body).await
    }

    pub(crate) async fn delete(&self, user: User, path: &str) -> Result<Answer> {
        self.call(user, Method::DELETE, path, Value::Null).await
    }

    fn request(&self, user: User, method: Method, path: &str) -> RequestBuilder {
        let key = self.keys.of(user).secret().expose_secret();
        self.client.request(method, format!("http://{}{path}", self.address)).header("X-API-Key", key)
    }

    /// What names the simulated account.
    pub(crate) fn new_account(&self, name: &str) -> Value {
        let account = self.simulated();
        json!({ "name": name, "role_arn": account.role_arn(), "external_id": account.external_id(), "region": account.region() })
    }

    /// Adds the simulated account; its id.
    pub(crate) async fn account(&self, user: User) -> Result<String> {
        self.post(user, ACCOUNTS, self.new_account("shop")).await?.text(201, "/id")
    }

    /// The node of the shop that can be replaced.
    pub(crate) async fn old(&self) -> Result<Old> {
        let of_type = ListParams::default().labels("node.kubernetes.io/instance-type=m5.xlarge");
        let node = self.nodes().list(&of_type).await?.items.pop().context("no such node")?;
        let provider = node.spec.context("a spec")?.provider_id.context("it is an instance")?;
        let (zone, instance) =
            provider.trim_start_matches("aws:///").split_once('/').context(provider.clone())?;
        Ok(Old {
            node: node.metadata.name.context("a name")?,
            instance: instance.to_owned(),
            zone: zone.to_owned(),
        })
    }

    /// What names that node's instance, in shadow mode when that is not said otherwise.
    pub(crate) fn new_instance(account_id: &str, old: &Old) -> Value {
        json!({
            "account_id": account_id, "instance_id": old.instance, "instance_type": "m5.xlarge",
            "availability_zone": old.zone, "pipeline_mode": "KUBERNETES",
            "cluster_membership": { "cluster_name": "shop" },
        })
    }

    /// Puts that node's instance into the lab; its path.
    pub(crate) async fn instance(&self, account_id: &str, old: &Old, is_shadow: bool) -> Result<String> {
        let mut new = Self::new_instance(account_id, old);
        new["is_shadow_mode"] = is_shadow.into();
        let id = self.post(User::Ada, INSTANCES, new).await?.text(201, "/id")?;
        Ok(format!("{INSTANCES}/{id}"))
    }

    /// Begins an operation; its path.
    pub(crate) async fn evaluate(&self, instance: &str) -> Result<String> {
        let begun = self.post(User::Ada, &format!("{instance}/evaluate"), Value::Null).await?;
        Ok(format!("{OPERATIONS}/{}", begun.text(202, "/operation_id")?))
    }

    /// The answer that tells the events of an operation, from the first on or after one.
    pub(crate) async fn stream(&self, user: User, operation: &str, after: Option<&str>) -> Result<Response> {
        let mut request = self.request(user, Method::GET, &format!("{operation}/events"));
        if let Some(after) = after {
            request = request.header("Last-Event-ID", after);
        }
        Ok(request.send().await?)
    }

    /// The events of an operation until it is over, from the first on or after one.
    pub(crate) async fn events(&self, operation: &str, after: Option<&str>) -> Result<Vec<Value>> {
        let response = self.stream(User::Ada, operation, after).await?.error_for_status()?;
        ensure!(response.headers()[CONTENT_TYPE] == "text/event-stream");
        let text = response.text().await?;
        let mut events = Vec::new();
        for block in text.split("\n\n") {
            let fields: BTreeMap<_, _> = block.lines().filter_map(|line| line.split_once(": ")).collect();
            let Some(data) = fields.get("data") else { continue };
            let event: Value = serde_json::from_str(data)?;
            ensure!(
                fields["id"].parse().ok() == event["seq"].as_u64() && event["what"] == fields["event"],
                "{block}"
            );
            events.push(event);
        }
        Ok(events)
    }

    /// Waits until the decision of a phase is being carried out.
    pub(crate) async fn until_in(&self, operation: &str, phase: &str) -> Result<()> {
        eventually_within(PATIENCE, phase, async || {
            let report = self.get(User::Ada, operation).await.ok()?;
            let phases = report.body["phases"].as_array()?;
            phases.iter().any(|it| it["phase"] == phase && it["state"] == "running").then_some(())
        })
        .await
    }

    pub(crate) fn nodes(&self) -> Api<Node> {
        Api::all(self.cluster.client())
    }

    /// All instances and groups.
    pub(crate) fn things(&self) -> (Vec<Instance>, Vec<Group>) {
        self.simulated().with(|world, now| {
            world.advance(now);
            (world.instances().cloned().collect(), world.groups().collect())
        })
    }
}

/// Knows whose a key is, until all are revoked.
#[derive(Clone)]
struct Revocable<V> {
    keys: V,
    are_revoked: Arc<AtomicBool>,
}

impl<V: Verifier> Verifier for Revocable<V> {
    async fn verify(&self, key: Token) -> AuthResult {
        if self.are_revoked.load(Ordering::SeqCst) {
            return AuthResult::refused(String::new(), ErrorCode::Unauthenticated, "it was revoked");
        }
        self.keys.verify(key).await
    }
}

/// An instance that is to be replaced.
pub(crate) struct Old {
    pub(crate) node: String,
    pub(crate) instance: String,
    pub(crate) zone: String,
}

fn connect(bus: &TestBus) -> Result<Bus> {
    Ok(Bus::connect(&bus.url, BusOptions { prefix: bus.prefix.clone(), ..BusOptions::default() })?)
}
