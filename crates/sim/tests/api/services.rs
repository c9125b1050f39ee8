//! What services are given, keep and lose.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use testkit::Cluster;

use crate::common::anywhere;

/// Changes the type of the service `web`, and other fields of it.
async fn patch(cluster: &Cluster, spec: &Value) -> Result<Value> {
    let body = json!({ "spec": spec }).to_string();
    let merge = [("content-type", "application/merge-patch+json")];
    let (status, service) = cluster.send(Method::PATCH, &cluster.core("services/web"), &merge, body).await?;
    assert_eq!(status, 200, "{service}");
    Ok(service["spec"].clone())
}

#[tokio::test]
async fn a_service_gets_and_loses_what_its_type_needs() -> Result<()> {
    let cluster = anywhere().await?;
    let ports = json!([{ "name": "http", "port": 80 }, { "name": "admin", "port": 81 }]);
    let service =
        json!({ "metadata": { "name": "web" }, "spec": { "selector": { "a": "b" }, "ports": ports } });
    let created = cluster.post(&cluster.core("services"), service).await?;
    let address = created["spec"]["clusterIP"].clone();
    assert!(address.is_string());

    let open = patch(&cluster, &json!({ "type": "NodePort" })).await?;
    assert_eq!(open["clusterIP"], address);
    assert_eq!(open["externalTrafficPolicy"], "Cluster");
    let number = |index: usize| open["ports"][index]["nodePort"].clone();
    assert!(number(0).is_number() && number(0) != number(1), "{open}");

    // By name each port keeps its number, although another is left out and its own port is another one.
    let changed = patch(&cluster, &json!({ "ports": [{ "name": "admin", "port": 8081 }] })).await?;
    assert_eq!(changed["ports"][0]["nodePort"], number(1));

    let closed = patch(&cluster, &json!({ "type": "ClusterIP" })).await?;
    assert_eq!(closed["clusterIP"], address);
    assert!(
        closed["ports"][0]["nodePort"].is_null() && closed["externalTrafficPolicy"].is_null(),
        "{closed}"
    );

    let named = patch(&cluster, &json!({ "type": "ExternalName", "externalName": "example.com" })).await?;
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        assert!(named[field].is_null(), "{named}");
    }

    let again = patch(&cluster, &json!({ "type": "ClusterIP", "externalName": null })).await?;
    assert_eq!(again["clusterIPs"], json!([again["clusterIP"]]));
    assert!(again["clusterIP"].is_string());
    Ok(())
}

#[tokio::test]
async fn a_balanced_service_gives_its_ports_back() -> Result<()> {
    let cluster = anywhere().await?;
    let spec =
        json!({ "type": "LoadBalancer", "ports": [{ "port": 80 }], "loadBalancerClass": "example.com/none" });
    let service = json!({ "metadata": { "name": "web" }, "spec": spec });
    let created = cluster.post(&cluster.core("services"), service).await?;
    assert_eq!(created["spec"]["allocateLoadBalancerNodePorts"], true);
    assert!(created["spec"]["ports"][0]["nodePort"].is_number());
    let closed = patch(&cluster, &json!({ "type": "ClusterIP" })).await?;
    assert!(closed["ports"][0]["nodePort"].is_null(), "{closed}");
    for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass", "externalTrafficPolicy"] {
        assert!(closed[field].is_null(), "{closed}");
    }
    Ok(())
}
