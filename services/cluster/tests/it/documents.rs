//! The API document tells what there is.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testkit::TestBus;

use crate::world::Setup;

const LIST: [&str; 7] =
    ["agent_id", "cluster_id", "namespace", "label_selector", "limit", "continue", "fresh"];
const LOG: [&str; 6] = ["namespace", "name", "agent_id", "cluster_id", "container", "lines"];

/// What there is of clusters by stored credentials.
const STORED: [&str; 9] = [
    "/onboard-cluster",
    "/onboard-cluster/kubeconfig",
    "/clusters",
    "/remove-cluster/{cluster_id}",
    "/cluster/{cluster_name}/credentials",
    "/get-namespaces/{cluster_id}",
    "/select-cluster-and-get-namespaces/{cluster_id}",
    "/execute-kubectl-direct/{cluster_id}",
    "/api/v1/audit",
];

/// The names in `name` of the objects of a list.
fn names<'a>(list: &'a Value, name: &str) -> Vec<&'a str> {
    list.as_array().into_iter().flatten().filter_map(|item| item[name].as_str()).collect()
}

/// The properties of a schema, through `$ref` and `allOf`.
fn properties<'a>(schema: &'a Value, document: &'a Value) -> BTreeSet<&'a str> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        return target.map(|target| properties(target, document)).unwrap_or_default();
    }
    let own =
        schema["properties"].as_object().into_iter().flat_map(|fields| fields.keys().map(String::as_str));
    let parts = schema["allOf"].as_array().into_iter().flatten();
    own.chain(parts.flat_map(|part| properties(part, document))).collect()
}

#[tokio::test]
async fn every_path_is_documented_with_its_parameters_and_its_answer() -> Result<()> {
    let service = Setup::on(&TestBus::memory()).service().await?;
    let document: Value = service.get_root("/openapi.json").await?.json().await?;
    let envelope = ["success", "agent_id", "cluster_id", "message", "timestamp"];
    let expected: [(&str, &[&str], &[&str]); 9] = [
        ("/namespaces", &LIST, &["namespaces", "total_count"]),
        ("/nodes", &LIST, &["nodes", "total_count"]),
        ("/pods", &LIST, &["pods", "total_count"]),
        ("/deployments", &LIST, &["deployments", "total_count"]),
        ("/services", &LIST, &["services", "total_count"]),
        ("/resources", &LIST, &[]),
        ("/pods/{namespace}/{name}/logs", &LOG, &[]),
        ("/agents/connected", &[], &["success", "connected_agents", "total_count", "timestamp"]),
        ("/health", &[], &["status", "service", "timestamp", "version"]),
    ];
    let paths = document["paths"].as_object().context("paths")?;
    let documented: BTreeSet<String> = paths.keys().cloned().collect();
    let of_agents = expected.iter().map(|(path, ..)| format!("/api/v3.0/cluster{path}"));
    let there: BTreeSet<String> = of_agents.chain(STORED.map(str::to_owned)).collect();
    assert_eq!(documented, there);

    for (path, parameters, fields) in expected {
        let operation = &document["paths"][format!("/api/v3.0/cluster{path}")]["get"];
        assert_eq!(names(&operation["parameters"], "name"), parameters, "{path}");
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        let described = properties(schema, &document);
        let answers_for_an_agent = parameters.contains(&"agent_id");
        for field in fields.iter().chain(envelope.iter().filter(|_| answers_for_an_agent)) {
            assert!(described.contains(field), "{path} lacks {field}: {described:?}");
        }
        assert!(operation["summary"].is_string(), "{path}");
        assert_eq!(operation["security"].is_null(), path != "/health", "{path}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let required =
                matches!(parameter["name"].as_str(), Some("agent_id" | "name")) || parameter["in"] == "path";
            assert_eq!(parameter["required"], json!(required), "{path} {parameter}");
            assert!(parameter["description"].is_string(), "{path} {parameter}");
        }
    }
    Ok(())
}

/// The id comes back as it was given.
#[tokio::test]
async fn a_clusters_id_is_documented_as_text_or_integer() -> Result<()> {
    let service = Setup::on(&TestBus::memory()).service().await?;
    let document: Value = service.get_root("/openapi.json").await?.json().await?;
    let schema = &document["paths"]["/api/v3.0/cluster/nodes"]["get"]["responses"]["200"]["content"]["application/json"]
        ["schema"];
    let envelope = schema["allOf"].as_array().context("allOf")?.iter().find_map(|part| {
        let id = &part["properties"]["cluster_id"];
        (!id.is_null()).then_some(id)
    });
    let kinds = |of: &Value| of["oneOf"].as_array().cloned().unwrap_or_default();
    let id = kinds(envelope.context("cluster_id")?);
    assert!(id.contains(&json!({"type": "null"})), "{id:?}");
    let reference = id.iter().find_map(|kind| kind["$ref"].as_str()).context("a type of its own")?;
    let types = kinds(document.pointer(reference.trim_start_matches('#')).context("the type")?);
    let types: BTreeSet<&str> = types.iter().filter_map(|kind| kind["type"].as_str()).collect();
    assert_eq!(types, BTreeSet::from(["integer", "string"]));
    Ok(())
}
