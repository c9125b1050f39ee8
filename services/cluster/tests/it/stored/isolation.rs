//! Nobody sees or changes clusters of others.

use anyhow::{Context, Result, ensure};
use contracts::auth::Scope;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::TestBus;

use super::{fields, nowhere, simulated, texts};
use crate::world::{Setup, problem};

#[tokio::test]
async fn every_endpoint_knows_whose_a_cluster_is() -> Result<()> {
    let cluster = simulated().await?;
    let service = Setup::on(&TestBus::memory()).service().await?;
    let given = fields("prod", cluster.kubeconfig())?;
    let carols = service.onboard(&service.carol, &given).await?;
    let daves = service.onboard(&service.dave, &given).await?;
    ensure!(carols != daves);
    service.onboard(&service.carol, &nowhere("only-carols")).await?;
    service.onboard(&service.dave, &nowhere("only-daves")).await?;

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
        // A name that only the other has.
        let only = if others == daves { "only-daves" } else { "only-carols" };
        let path = format!("/cluster/{only}/credentials");
        let replacing = service.call(key, Method::PUT, &path).json(&json!({
            "server_url": "https://127.0.0.1:9", "token": "t", "use_secure_tls": false}));
        problem(replacing.send().await?, 404, "not_found").await?;
        problem(service.call(key, Method::GET, &path).send().await?, 404, "not_found").await?;

        let list = service.get_json(key, "/clusters").await?;
        ensure!(list["clusters"].as_array().context("clusters")?.len() == 2, "{list}");
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

/// What each path needs: the lowest scope that is let in. Who is let in is told of what is not there, or is wrong with the request.
const NEEDS: [(&str, &str, Scope); 10] = [
    ("post", "/onboard-cluster", Scope::Operate),
    ("post", "/onboard-cluster/kubeconfig", Scope::Operate),
    ("get", "/clusters", Scope::Read),
    ("delete", "/remove-cluster/{cluster_id}", Scope::Operate),
    ("get", "/cluster/{cluster_name}/credentials", Scope::Admin),
    ("put", "/cluster/{cluster_name}/credentials", Scope::Operate),
    ("get", "/get-namespaces/{cluster_id}", Scope::Read),
    ("post", "/select-cluster-and-get-namespaces/{cluster_id}", Scope::Read),
    ("post", "/execute-kubectl-direct/{cluster_id}", Scope::Operate),
    ("get", "/api/v1/audit", Scope::Read),
];

#[tokio::test]
async fn each_path_needs_its_scope() -> Result<()> {
    let service = Setup::on(&TestBus::memory()).service().await?;
    let document: Value = service.get_root("/openapi.json").await?.json().await?;
    let paths = document["paths"].as_object().context("paths")?;
    let mut there: Vec<(&str, &str)> = Vec::new();
    for (path, operations) in paths.iter().filter(|(path, _)| !path.starts_with("/api/v3.0/")) {
        there.extend(operations.as_object().context("operations")?.keys().map(|method| (&**method, &**path)));
    }
    let mut expected = NEEDS.map(|(method, path, _)| (method, path));
    there.sort_unstable();
    expected.sort_unstable();
    ensure!(there == expected, "{there:?}");

    let keys = [
        (&service.blind, vec![]),
        (&service.ann, vec![Scope::Read]),
        (&service.bob, vec![Scope::Read, Scope::Operate]),
        (&service.carol, vec![Scope::Read, Scope::Operate, Scope::Admin]),
    ];
    for (method, path, needed) in NEEDS {
        let url = path.replace("{cluster_id}", "1").replace("{cluster_name}", "c");
        let body = match path {
            "/onboard-cluster" => json!({"cluster_name": "c", "server_url": "nowhere"}),
            "/execute-kubectl-direct/{cluster_id}" => json!({"command": "get pods"}),
            _ => json!({"server_url": "nowhere"}),
        };
        let send = async |key: &str| {
            let request = service.call(key, Method::from_bytes(method.to_uppercase().as_bytes())?, &url);
            let request = if matches!(method, "post" | "put") { request.json(&body) } else { request };
            anyhow::Ok(request.send().await?.status())
        };
        ensure!(send("").await? == StatusCode::UNAUTHORIZED, "{method} {path}");
        for (key, scopes) in &keys {
            let status = send(key).await?;
            let is_let_in = ![StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
            ensure!(is_let_in == scopes.contains(&needed), "{method} {path} with {scopes:?}: {status}");
        }
    }
    Ok(())
}
