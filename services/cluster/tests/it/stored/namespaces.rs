//! Namespaces, asked of the cluster itself.

use anyhow::{Context, Result, ensure};
use axum::{
    Json, Router,
    extract::{Query, State},
    routing::get,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use testkit::{TestBus, eventually};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
};

use super::nowhere;
use crate::world::{Setup, problem};

/// What a cluster that is played here has seen.
#[derive(Default)]
struct Seen {
    pages: AtomicUsize,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

/// A server, in plain HTTP, whose answers are these.
async fn play(router: Router) -> Result<(String, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let serving = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
    Ok((url, serving))
}

fn page_of(total: usize, query: &HashMap<String, String>) -> Value {
    let limit: usize = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(total);
    let from: usize = query.get("continue").and_then(|from| from.parse().ok()).unwrap_or(0);
    let to = (from + limit).min(total);
    let items: Vec<Value> = (from..to).map(|n| json!({"metadata": {"name": format!("ns-{n:05}")}})).collect();
    let next = if to < total { to.to_string() } else { String::new() };
    json!({"kind": "PartialObjectMetadataList", "metadata": {"continue": next}, "items": items})
}

#[tokio::test]
async fn ten_thousand_come_page_by_page() -> Result<()> {
    const TOTAL: usize = 10_000;
    let seen = Arc::new(Seen::default());
    let router = Router::new()
        .route(
            "/api/v1/namespaces",
            get(|State(seen): State<Arc<Seen>>, Query(query): Query<HashMap<String, String>>| async move {
                seen.pages.fetch_add(1, Ordering::Relaxed);
                Json(page_of(TOTAL, &query))
            }),
        )
        .with_state(Arc::clone(&seen));
    let (url, _serving) = play(router).await?;
    let service = Setup::on(&TestBus::memory()).service().await?;
    let mut given = nowhere("many");
    given["server_url"] = url.into();
    let id = service.onboard(&service.bob, &given).await?;
    let found = service.get_json(&service.bob, &format!("/get-namespaces/{id}")).await?;
    let names = found["namespaces"].as_array().context("namespaces")?;
    ensure!(names.len() == TOTAL && names[0] == "ns-00000" && names[TOTAL - 1] == "ns-09999");
    ensure!(seen.pages.load(Ordering::Relaxed) == 20);
    Ok(())
}

#[tokio::test]
async fn so_many_requests_and_no_more_are_under_way_to_a_cluster() -> Result<()> {
    let (seen, gate) = (Arc::new(Seen::default()), Arc::new(Semaphore::new(0)));
    let router = Router::new()
        .route(
            "/api/v1/namespaces",
            get(|State((seen, gate)): State<(Arc<Seen>, Arc<Semaphore>)>| async move {
                let now = seen.under_way.fetch_add(1, Ordering::SeqCst) + 1;
                seen.most.fetch_max(now, Ordering::SeqCst);
                drop(gate.acquire().await);
                seen.under_way.fetch_sub(1, Ordering::SeqCst);
                Json(page_of(1, &HashMap::new()))
            }),
        )
        .with_state((Arc::clone(&seen), Arc::clone(&gate)));
    let (url, _serving) = play(router).await?;
    let mut setup = Setup::on(&TestBus::memory());
    setup.stored.max_requests_per_cluster = 3;
    let service = setup.service().await?;
    let mut given = nowhere("slow");
    given["server_url"] = url.into();
    let id = service.onboard(&service.bob, &given).await?;
    let mut asking = JoinSet::new();
    for _ in 0..12 {
        asking.spawn(service.call(&service.bob, Method::GET, &format!("/get-namespaces/{id}")).send());
    }
    let full = async || (seen.under_way.load(Ordering::SeqCst) == 3).then_some(());
    eventually("three requests", full).await?;
    gate.add_permits(100);
    while let Some(answer) = asking.join_next().await {
        ensure!(answer??.status() == 200);
    }
    ensure!(seen.most.load(Ordering::SeqCst) == 3, "{}", seen.most.load(Ordering::SeqCst));
    Ok(())
}

#[tokio::test]
async fn answers_that_are_none_are_told_as_what_they_are() -> Result<()> {
    let endless = || async {
        // The same page again, and again.
        Json(json!({"metadata": {"continue": "x"}, "items": [{"metadata": {"name": "a"}}]}))
    };
    let refusing = || async {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403,
                            "message": "namespaces is forbidden: User \"x\" cannot list resource"});
        (axum::http::StatusCode::FORBIDDEN, Json(status))
    };
    let redirecting = || async { axum::response::Redirect::temporary("http://169.254.169.254/latest") };
    let router = Router::new()
        .route("/endless/api/v1/namespaces", get(endless))
        .route("/page/api/v1/namespaces", get(|| async { "<html>hello</html>" }))
        .route("/forbidden/api/v1/namespaces", get(refusing))
        .route("/redirect/api/v1/namespaces", get(redirecting))
        .route("/silent/api/v1/namespaces", get(std::future::pending::<()>));
    let (url, _serving) = play(router).await?;
    let mut setup = Setup::on(&TestBus::memory());
    setup.stored.cluster_timeout = 1;
    let service = setup.service().await?;
    for (path, status, code, says) in [
        ("page", 502, "cluster_unreachable", "not that of a Kubernetes API server"),
        ("forbidden", 403, "forbidden", "cannot list resource"),
        ("redirect", 502, "cluster_unreachable", "307"),
        ("silent", 502, "cluster_unreachable", "within 1 s"),
    ] {
        let mut given = nowhere(path);
        given["server_url"] = format!("{url}/{path}").into();
        let id = service.onboard(&service.bob, &given).await?;
        let asked = service.call(&service.bob, Method::GET, &format!("/get-namespaces/{id}")).send().await?;
        let document = problem(asked, status, code).await.context(path)?;
        ensure!(document.detail.contains(says), "{document:?}");
    }
    // It ends, whatever the server says.
    let mut given = nowhere("endless");
    given["server_url"] = format!("{url}/endless").into();
    let id = service.onboard(&service.bob, &given).await?;
    let found = service.get_json(&service.bob, &format!("/get-namespaces/{id}")).await?;
    ensure!(found["namespaces"] == json!(["a", "a"]), "{found}");
    Ok(())
}
