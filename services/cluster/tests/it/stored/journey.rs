//! From a kubeconfig to its removal, on the simulated cluster over TLS with an authority of its own, or on the one that
//! `KUBESAGE_TEST_KUBECONFIG` names.

use anyhow::{Context, Result, ensure};
use reqwest::{Method, multipart};
use serde_json::{Value, json};
use store::{Backend, test_on_both};
use testkit::{Cluster, TestBus};

use super::{fields, texts};
use crate::world::{Service, Setup, json as answered, problem};

test_on_both! {
    async fn a_cluster_is_onboarded_used_and_removed(database: TestDatabase) -> Result<()> {
        let cluster = Cluster::simulated_or_real(sim::Options::default()).await?;
        let bus = match database.backend() {
            Backend::Sqlite => TestBus::memory(),
            Backend::Postgres => TestBus::rabbitmq(),
        };
        let setup = Setup { database: Some(database.url().clone()), ..Setup::on(&bus) };
        let service = setup.service().await?;
        let key = service.carol.clone();

        // By fields.
        let given = fields("by-fields", cluster.kubeconfig())?;
        let onboarded = service.post(&key, "/onboard-cluster?verify=true", &given).await?;
        ensure!(onboarded.status() == 201, "{}", onboarded.text().await?);
        let onboarded: Value = onboarded.json().await?;
        let id = onboarded["id"].as_i64().context("an id")?;
        ensure!(onboarded["token"].is_null() && onboarded["tls_key"].is_null(), "{onboarded}");
        ensure!(onboarded["use_secure_tls"] == true && onboarded["message"].is_string(), "{onboarded}");
        ensure!(onboarded["kubernetes_version"].as_str().is_some_and(|v| v.starts_with("v1.")), "{onboarded}");
        problem(service.post(&key, "/onboard-cluster", &given).await?, 409, "conflict").await?;

        // By kubeconfig.
        let yaml = std::fs::read_to_string(cluster.kubeconfig())?;
        let path = format!("/onboard-cluster/kubeconfig?verify=true&context={}", cluster.context());
        let sent = service.call(&key, Method::POST, &path).header("content-type", "application/yaml").body(yaml);
        let sent = sent.send().await?;
        ensure!(sent.status() == 201, "{}", sent.text().await?);
        let sent: Value = sent.json().await?;
        ensure!(sent["clusters"][0]["cluster_name"] == cluster.context(), "{sent}");
        ensure!(sent["refused"] == json!([]), "{sent}");

        let list = service.get_json(&key, "/clusters").await?;
        let mut names = texts(list["clusters"].as_array().context("clusters")?, "cluster_name");
        names.sort_unstable();
        let mut expected = ["by-fields", cluster.context()];
        expected.sort_unstable();
        ensure!(names == expected, "{list}");

        let credentials = service.get_json(&key, "/cluster/by-fields/credentials").await?;
        ensure!(credentials["server_url"] == given["server_url"] && credentials["token"] == given["token"]);

        let found = service.get_json(&key, &format!("/get-namespaces/{id}")).await?;
        let namespaces = found["namespaces"].as_array().context("namespaces")?;
        ensure!(namespaces.contains(&"default".into()) && namespaces.contains(&cluster.namespace().into()));
        ensure!(found["cluster_info"]["is_active"] == false, "{found}");

        let path = format!("/select-cluster-and-get-namespaces/{id}");
        let selected = answered(service.call(&key, Method::POST, &path).send().await?).await?;
        ensure!(selected["cluster_info"]["is_active"] == true, "{selected}");
        ensure!(selected["namespaces"] == found["namespaces"]);

        kubectl(&service, &key, id).await?;

        let removed = service.call(&key, Method::DELETE, &format!("/remove-cluster/{id}")).send().await?;
        answered(removed).await?;
        let gone = service.call(&key, Method::GET, &format!("/get-namespaces/{id}")).send().await?;
        problem(gone, 404, "not_found").await?;

        let events = service.audit(&key, &format!("?cluster={id}"), 6).await?;
        ensure!(
            texts(&events, "event_type")
                == [
                    "cluster_deleted",
                    "cluster_kubectl_executed",
                    "cluster_kubectl_executed",
                    "cluster_selected_and_namespaces_retrieved",
                    "cluster_credentials_read",
                    "cluster_onboarded",
                ],
            "{events:#?}"
        );
        ensure!(events[2]["data"]["command"] == "get pods -A -o wide", "{events:#?}");
        ensure!(events[2]["data"]["exit_code"] == 0, "{events:#?}");
        ensure!(events.iter().all(|event| event["username"] == "carol"));
        audit_pages(&service, &key).await
    }
}

async fn kubectl(service: &Service, key: &str, id: i64) -> Result<()> {
    let path = format!("/execute-kubectl-direct/{id}");
    let ran = answered(service.post(key, &path, &json!({"command": "get pods -A -o wide"})).await?).await?;
    ensure!(ran["exit_code"] == 0, "{ran}");
    let output = ran["output"].as_str().context("output")?;
    // A real cluster for tests may have none.
    let has_none = ran["error"].as_str().is_some_and(|error| error.contains("No resources found"));
    ensure!(has_none || (output.starts_with("NAMESPACE") && output.contains("kube-system")), "{ran}");
    ensure!(ran["truncated"] == false && ran["parsed"].is_null(), "{ran}");

    let ran =
        answered(service.post(key, &path, &json!({"command": "kubectl get ns default -o json"})).await?)
            .await?;
    ensure!(ran["parsed"]["metadata"]["name"] == "default", "{ran}");
    Ok(())
}

/// Page by page, the same as at once.
async fn audit_pages(service: &Service, key: &str) -> Result<()> {
    let all = service.get_json(key, "/api/v1/audit").await?;
    let all = all["events"].as_array().context("events")?.clone();
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = service.get_json(key, &format!("/api/v1/audit?limit=2{cursor}")).await?;
        paged.extend(page["events"].as_array().context("events")?.clone());
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    ensure!(paged == all, "{paged:#?}\n{all:#?}");
    let of_type = service.get_json(key, "/api/v1/audit?type=cluster_onboarded&cluster=by-fields").await?;
    ensure!(of_type["events"].as_array().context("events")?.len() == 1, "{of_type}");
    let since = all[1]["occurred_at"].as_str().context("a time")?;
    let newest = service.get_json(key, &format!("/api/v1/audit?since={since}")).await?;
    ensure!(newest["events"].as_array().context("events")?.len() >= 2, "{newest}");
    let nobody = service.get_json(&service.dave, "/api/v1/audit").await?;
    ensure!(nobody["events"] == json!([]), "{nobody}");
    Ok(())
}

#[tokio::test]
async fn contexts_that_cannot_be_taken_over_are_named_and_the_others_stored() -> Result<()> {
    let service = Setup::on(&TestBus::memory()).service().await?;
    let yaml = r#"
clusters:
- {name: c, cluster: {server: "https://127.0.0.1:9", insecure-skip-tls-verify: true}}
- {name: files, cluster: {server: "https://127.0.0.1:9", certificate-authority: /etc/ca.pem}}
users:
- {name: token, user: {token: t}}
- {name: eks, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: aws, args: [eks, get-token]}}}
contexts:
- {name: good, context: {cluster: c, user: token}}
- {name: eks, context: {cluster: c, user: eks}}
- {name: files, context: {cluster: files, user: token}}
"#;
    let form = multipart::Form::new().text("kubeconfig", yaml);
    let sent = service.call(&service.bob, Method::POST, "/onboard-cluster/kubeconfig").multipart(form);
    let sent = sent.send().await?;
    ensure!(sent.status() == 201, "{}", sent.text().await?);
    let sent: Value = sent.json().await?;
    ensure!(texts(sent["clusters"].as_array().context("clusters")?, "cluster_name") == ["good"], "{sent}");
    let refused = sent["refused"].as_array().context("refused")?;
    ensure!(texts(refused, "context") == ["eks", "files"], "{sent}");
    let reasons = texts(refused, "reason");
    ensure!(reasons[0].contains("\"aws\"") && reasons[1].contains("/etc/ca.pem"), "{sent}");

    let again = async |query: &str| {
        let path = format!("/onboard-cluster/kubeconfig{query}");
        let request = service.call(&service.bob, Method::POST, &path).header("content-type", "text/yaml");
        anyhow::Ok(request.body(yaml).send().await?)
    };
    // Of a single one it is said as it is, of several which is refused why.
    problem(again("?context=good").await?, 409, "conflict").await?;
    let none = problem(again("").await?, 422, "invalid").await?;
    let fields: Vec<&str> = none.errors.iter().map(|error| &*error.field).collect();
    ensure!(fields == ["contexts[good]", "contexts[eks]", "contexts[files]"], "{none:?}");
    Ok(())
}
