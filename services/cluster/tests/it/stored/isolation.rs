//! Nobody sees or changes clusters of others.

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::TestBus;

use super::{fields, simulated, texts};
use crate::world::{Setup, problem};

#[tokio::test]
async fn every_endpoint_knows_whose_a_cluster_is() -> Result<()> {
    let cluster = simulated().await?;
    let service = Setup::on(&TestBus::memory()).service().await?;
    let given = fields("prod", cluster.kubeconfig())?;
    let carols = service.onboard(&service.carol, &given).await?;
    let daves = service.onboard(&service.dave, &given).await?;
    ensure!(carols != daves);

    let command = json!({"command": "get pods"});
    let forbidden_command = json!({"command": "exec -it x -- sh"});
    let of = |id: i64| -> Vec<(Method, String, Option<&Value>)> {
        vec![
            (Method::GET, format!("/get-namespaces/{id}"), None),
            (Method::POST, format!("/select-cluster-and-get-namespaces/{id}"), None),
            (Method::POST, format!("/execute-kubectl-direct/{id}"), Some(&command)),
            (Method::POST, format!("/execute-kubectl-direct/{id}"), Some(&forbidden_command)),
            (Method::DELETE, format!("/remove-cluster/{id}"), None),
        ]
    };
    for (key, others) in [(&service.carol, daves), (&service.dave, carols)] {
        for (method, path, body) in of(others).into_iter().chain(of(i64::MAX)).chain(of(-1)) {
            let request = service.call(key, method.clone(), &path);
            let request = if let Some(body) = body { request.json(body) } else { request };
            let document = problem(request.send().await?, 404, "not_found").await;
            document.with_context(|| format!("{method} {path}"))?;
        }
        // Each has a cluster of this name, and sees it alone.
        let none = service.call(key, Method::PUT, "/cluster/none/credentials").json(&json!({
            "server_url": "https://127.0.0.1:9", "token": "t", "use_secure_tls": false}));
        problem(none.send().await?, 404, "not_found").await?;
        let list = service.get_json(key, "/clusters").await?;
        ensure!(list["clusters"].as_array().context("clusters")?.len() == 1, "{list}");
        let own = service.get_json(key, "/cluster/prod/credentials").await?;
        ensure!(own["id"] != others, "{own}");
        ensure!(service.get_json(key, &format!("/get-namespaces/{}", own["id"])).await.is_ok());
        let audit = service.audit(key, "", 2).await?;
        ensure!(audit.iter().all(|event| event["data"]["cluster_id"] != others), "{audit:?}");
        let audit = service.get_json(key, &format!("/api/v1/audit?cluster={others}")).await?;
        ensure!(audit["events"] == json!([]), "{audit}");
    }
    let events = service.audit(&service.carol, "", 2).await?;
    ensure!(!texts(&events, "event_type").contains(&"cluster_deleted"), "{events:?}");
    Ok(())
}

/// Every path of the API document is tried without a key and with one that lacks its scope.
#[tokio::test]
async fn no_endpoint_is_open() -> Result<()> {
    let service = Setup::on(&TestBus::memory()).service().await?;
    let document: Value = service.get_root("/openapi.json").await?.json().await?;
    let paths = document["paths"].as_object().context("paths")?;
    let mut tried = 0;
    for (path, operations) in paths.iter().filter(|(path, _)| !path.ends_with("/health")) {
        let path = path.replace("{cluster_id}", "1").replace("{cluster_name}", "c");
        let path = path.replace("{namespace}", "n").replace("{name}", "p");
        for method in operations.as_object().context("operations")?.keys() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes())?;
            for (key, status) in [("", StatusCode::UNAUTHORIZED), (&*service.blind, StatusCode::FORBIDDEN)] {
                let request = service.call(key, method.clone(), &format!("{path}?agent_id=a"));
                let body = json!({"command": "get pods", "cluster_name": "c", "server_url": "https://c"});
                let sent = if method == Method::GET { request } else { request.json(&body) }.send().await?;
                // Unknown parameters are told of first, which tells nothing else.
                let is_refused = sent.status() == status
                    || (sent.status() == StatusCode::UNPROCESSABLE_ENTITY && !key.is_empty());
                ensure!(is_refused, "{method} {path}: {}", sent.status());
                tried += 1;
            }
        }
    }
    ensure!(tried >= 30, "{tried}");
    Ok(())
}
