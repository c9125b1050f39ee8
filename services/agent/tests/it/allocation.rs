//! What of its nodes a cluster's workloads hold. The simulator has no metrics server, so a few answers of an API server with one
//! are replayed here.

use anyhow::Result;
use axum::{Json, Router, extract::Path, http::StatusCode, routing::get};
use contracts::query::{Command, Params};
use serde_json::{Value, json};
use sim::Seed;
use tokio::net::TcpListener;

use crate::world::World;

/// An API server with one node, one pod of two containers, a volume, and a metrics server that answers with this status.
async fn replayed(metrics: StatusCode, volumes: StatusCode) -> Result<String> {
    let list = |kind: &str, items: Value| json!({"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items});
    let node = json!({"metadata": {"name": "a"}, "status": {"capacity": {"cpu": "4", "memory": "8Gi"}}});
    let container = |name: &str, cpu: &str| json!({"name": name, "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}});
    let pod = json!({"metadata": {"name": "db-0", "namespace": "shop", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "u", "controller": true}]},
        "spec": {"nodeName": "a", "containers": [container("db", "100m"), container("log", "100m")]},
        "status": {"phase": "Running"}});
    let volume = json!({"metadata": {"name": "v"}, "spec": {"capacity": {"storage": "8Gi"}}});
    let used = json!({"items": [{"metadata": {"name": "db-0", "namespace": "shop"}, "containers": [
        {"name": "db", "usage": {"cpu": "700m", "memory": "512Mi"}}, {"name": "log", "usage": {"cpu": "1m", "memory": "2Gi"}}]}]});
    let refused = |status: StatusCode| {
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": "refused", "reason": "Forbidden", "code": status.as_u16()})
    };
    let answer = move |Path(path): Path<String>| async move {
        match path.as_str() {
            "version" => {
                (StatusCode::OK, Json(json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0"})))
            }
            "api/v1/nodes" => (StatusCode::OK, Json(list("NodeList", json!([node])))),
            "api/v1/pods" => (StatusCode::OK, Json(list("PodList", json!([pod])))),
            "api/v1/persistentvolumes" if volumes == StatusCode::OK => {
                (volumes, Json(list("PersistentVolumeList", json!([volume]))))
            }
            "api/v1/persistentvolumes" => (volumes, Json(refused(volumes))),
            "apis/metrics.k8s.io/v1beta1/pods" if metrics == StatusCode::OK => (metrics, Json(used)),
            _ => (metrics, Json(refused(metrics))),
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/{*path}", get(answer))).await });
    Ok(url)
}

async fn allocation(metrics: StatusCode, volumes: StatusCode) -> Result<Value> {
    let mut world = World::simulated(Seed::Empty).await?;
    let url = replayed(metrics, volumes).await?;
    let directory = tempfile::TempDir::new()?;
    let kubeconfig = directory.path().join("kubeconfig");
    let named = |field: &str, value: Value| json!([{"name": "replayed", field: value}]);
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "replayed",
        "clusters": named("cluster", json!({"server": url})), "users": named("user", json!({})),
        "contexts": named("context", json!({"cluster": "replayed", "user": "replayed"}))});
    std::fs::write(&kubeconfig, config.to_string())?;
    world.config.cluster.kubeconfig = Some(kubeconfig);
    let _running = world.start().await?;
    let mut relay = world.relay.session().await?;
    relay.get(Command::GetAllocation, Params::default()).await
}

#[tokio::test]
async fn the_larger_of_request_and_usage_is_held_container_by_container() -> Result<()> {
    let counted = allocation(StatusCode::OK, StatusCode::OK).await?;
    let gib = 1_u64 << 30;
    assert_eq!(counted["nodes"], json!([{"name": "a", "cpu_millis": 4000, "memory_bytes": 8 * gib}]));
    assert_eq!(
        counted["workloads"],
        json!([{"namespace": "shop", "workload": "StatefulSet/db", "node": "a", "pods": 1,
        "cpu_millis": 800, "memory_bytes": 3 * gib}])
    );
    assert_eq!((&counted["usage_known"], &counted["storage_bytes"]), (&json!(true), &json!(8 * gib)));
    Ok(())
}

#[tokio::test]
async fn without_a_metrics_server_or_the_right_to_it_requests_count() -> Result<()> {
    for status in [StatusCode::NOT_FOUND, StatusCode::FORBIDDEN, StatusCode::SERVICE_UNAVAILABLE] {
        let counted = allocation(status, StatusCode::FORBIDDEN).await?;
        assert_eq!(counted["workloads"][0]["cpu_millis"], 200, "{counted}");
        assert_eq!((&counted["usage_known"], &counted["storage_bytes"]), (&json!(false), &Value::Null));
    }
    Ok(())
}
