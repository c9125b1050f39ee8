//! Who watches over clusters is called.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result, ensure};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use testkit::eventually;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

use crate::{
    agent::Agent,
    world::{PATIENCE, Setup, User, World},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Whoever is called.
struct Watcher {
    url: String,
    calls: mpsc::Receiver<(HeaderMap, String)>,
    /// What it answers next; after that 204.
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
}

impl Watcher {
    async fn start(answers: &[StatusCode]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let (sender, calls) = mpsc::channel(16);
        let answers = Arc::new(Mutex::new(answers.iter().copied().collect::<VecDeque<_>>()));
        let state = (sender, Arc::clone(&answers));
        let called =
            |State((sender, answers)): State<(mpsc::Sender<_>, Arc<Mutex<VecDeque<StatusCode>>>)>,
             headers: HeaderMap,
             body: String| async move {
                let _ = sender.send((headers, body)).await;
                let next = answers.lock().ok().and_then(|mut answers| answers.pop_front());
                next.unwrap_or(StatusCode::NO_CONTENT)
            };
        let router = Router::new().route("/hook", post(called)).with_state(state);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, calls, answers })
    }

    async fn next(&mut self) -> Result<(HeaderMap, String)> {
        timeout(PATIENCE, self.calls.recv()).await?.context("the watcher has ended")
    }
}

/// A service that calls this watcher soon, and a cluster whose agent was there once.
async fn silent(
    database: &store::testing::TestDatabase,
    watcher: &Watcher,
) -> Result<(World, crate::world::Made)> {
    let mut setup = Setup::on(database);
    setup.agents.heartbeat_seconds = 1;
    setup.agents.stale_after_seconds = 2;
    setup.agents.disconnected_after_seconds = 3600;
    setup.agents.alerts.alert_webhook_url = Some(watcher.url.parse()?);
    setup.agents.alerts.alert_webhook_secret = Some(SECRET.into());
    let world = setup.start().await?;
    let cluster = world.cluster(User::Ada, "a").await?;
    let mut agent = Agent::open(&world, &cluster).await?;
    agent.beat(1, 1).await?;
    world.state_becomes(&cluster, "connected").await?;
    eventually("the heartbeat to be written", async || {
        let found = world.get(User::Ada, &cluster.path("")).await.ok()?;
        found.body["state_since"].is_string().then_some(())
    })
    .await?;
    agent.go_away().await?;
    Ok((world, cluster))
}

async fn alerts(world: &World, user: User) -> Result<Value> {
    Ok(world.get(user, "/api/v1/alerts").await?.json(200)?["alerts"].clone())
}

store::test_on_both! {
    async fn a_stale_cluster_is_told_of_with_a_signature_until_it_is_taken(database: TestDatabase) -> Result<()> {
        let mut watcher = Watcher::start(&[StatusCode::INTERNAL_SERVER_ERROR]).await?;
        let (world, cluster) = silent(&database, &watcher).await?;
        let (first, body) = watcher.next().await?;
        let id = first["webhook-id"].to_str()?.to_owned();
        let told: Value = serde_json::from_str(&body)?;
        assert_eq!((&told["type"], &told["data"]["cluster_name"]), (&json!("cluster.stale"), &json!("a")));
        assert_eq!(told["data"]["cluster_id"], cluster.cluster_id.as_str());
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &BASE64_STANDARD.decode(&SECRET[6..])?);
        let signed = format!("{id}.{}.{body}", first["webhook-timestamp"].to_str()?);
        let signature = first["webhook-signature"].to_str()?.strip_prefix("v1,").context("a version")?;
        ensure!(ring::hmac::verify(&key, signed.as_bytes(), &BASE64_STANDARD.decode(signature)?).is_ok());

        // It was not taken, and is told again under the same id.
        let waiting = alerts(&world, User::Ada).await?;
        assert_eq!(waiting[0]["state"], "waiting", "{waiting}");
        world.sql("UPDATE alerts SET next_attempt_at = 0 WHERE id = $1", &id).await?;
        let (again, same) = watcher.next().await?;
        assert_eq!((again["webhook-id"].to_str()?, same), (id.as_str(), body));
        eventually("it to be delivered", async || {
            (alerts(&world, User::Ada).await.ok()?[0]["state"] == "delivered").then_some(())
        })
        .await?;
        assert_eq!(alerts(&world, User::Bob).await?, json!([]));

        // And that it is back.
        let mut agent = Agent::open(&world, &cluster).await?;
        agent.beat(1, 1).await?;
        let (_, body) = watcher.next().await?;
        assert_eq!(serde_json::from_str::<Value>(&body)?["type"], "cluster.connected");
        Ok(())
    }

    async fn what_nobody_takes_is_dead_and_can_be_told_again(database: TestDatabase) -> Result<()> {
        let mut watcher = Watcher::start(&[StatusCode::GONE]).await?;
        let (world, _cluster) = silent(&database, &watcher).await?;
        watcher.next().await?;
        let dead = eventually("it to be dead", async || {
            let answer = world.get(User::Ada, "/api/v1/alerts?dead=true").await.ok()?;
            Some(answer.body["alerts"][0].clone()).filter(Value::is_object)
        })
        .await?;
        ensure!(dead["last_error"].as_str().is_some_and(|error| error.contains("410")), "{dead}");
        let path = format!("/api/v1/alerts/{}/redeliver", dead["id"].as_str().unwrap_or_default());
        world.post(User::Bob, &path, Value::Null).await?.problem(404, "not_found")?;
        world.post(User::Ada, &path, Value::Null).await?.json(202)?;
        watcher.next().await?;
        ensure!(watcher.answers.lock().is_ok_and(|answers| answers.is_empty()));
        world.post(User::Ada, &path, Value::Null).await?.problem(404, "not_found")?;
        Ok(())
    }
}
