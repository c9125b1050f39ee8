//! What services are given, keep and lose.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use sim::Seed;
use testkit::Cluster;

use crate::common::{anywhere, simulated};

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

fn service(name: &str, ports: &Value) -> Value {
    json!({ "metadata": { "name": name }, "spec": { "type": "NodePort", "ports": ports } })
}

/// Two protocols at one port.
fn dns(node_port: &Value) -> Value {
    let port = |protocol: &str, node_port: &Value| json!({ "name": protocol.to_lowercase(), "protocol": protocol, "port": 53, "nodePort": node_port });
    json!([port("UDP", &Value::Null), port("TCP", node_port)])
}

#[tokio::test]
async fn protocols_share_a_port_of_the_nodes() -> Result<()> {
    let cluster = anywhere().await?;
    let services = cluster.core("services");
    let made = cluster.post(&services, service("dns", &dns(&Value::Null))).await?;
    let given = made["spec"]["ports"][0]["nodePort"].clone();
    assert!(given.is_number(), "{made}");
    assert_eq!(made["spec"]["ports"][1]["nodePort"], given);
    let deleted = cluster.call(Method::DELETE, &format!("{services}/dns"), None).await?;
    assert_eq!(deleted.0, 200);

    // What is asked for by one protocol is given to the other; nobody else can have it.
    let asked = cluster.post(&services, service("asked", &dns(&given))).await?;
    assert_eq!(asked["spec"]["ports"][0]["nodePort"], given);
    let (status, refused) =
        cluster.call(Method::POST, &services, Some(service("late", &dns(&given)))).await?;
    assert_eq!(status, 422, "{refused}");
    let message = refused["message"].as_str().unwrap_or_default();
    assert!(message.ends_with("provided port is already allocated"), "{message}");

    let twice =
        json!([{ "name": "a", "port": 1, "nodePort": 30001 }, { "name": "b", "port": 2, "nodePort": 30001 }]);
    let (status, refused) = cluster.call(Method::POST, &services, Some(service("twice", &twice))).await?;
    assert_eq!(
        (status, &refused["details"]["causes"][0]["field"]),
        (422, &json!("spec.ports[1].nodePort")),
        "{refused}"
    );
    Ok(())
}

/// Simulated: a real cluster gives ports by chance, and needs its own.
#[tokio::test]
async fn ports_of_the_nodes_that_are_asked_for_are_not_given_away() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    let services = cluster.core("services");
    let ports = json!([{ "name": "a", "port": 1 }, { "name": "b", "port": 2, "nodePort": 30000 }]);
    let made = cluster.post(&services, service("web", &ports)).await?;
    let given: Vec<&Value> = (0..2).map(|index| &made["spec"]["ports"][index]["nodePort"]).collect();
    assert_eq!(given, [30001, 30000]);

    let many: Vec<Value> =
        (1..30_000).map(|port| json!({ "name": format!("p{port}"), "port": port })).collect();
    let begun = std::time::Instant::now();
    let (status, refused) =
        cluster.call(Method::POST, &services, Some(service("many", &many.into()))).await?;
    let why = "Internal error occurred: failed to allocate a nodePort: range is full";
    assert_eq!((status, &refused["message"]), (500, &json!(why)));
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    Ok(())
}

#[tokio::test]
async fn an_address_is_one() -> Result<()> {
    let cluster = anywhere().await?;
    let mut wrong = service("web", &json!([{ "port": 80 }]));
    wrong["spec"]["clusterIP"] = "x".into();
    let (status, refused) = cluster.call(Method::POST, &cluster.core("services"), Some(wrong)).await?;
    let why = "Service \"web\" is invalid: spec.clusterIPs[0]: Invalid value: \"x\": must be a valid IP address, \
               (e.g. 10.9.8.7 or 2001:db8::ffff)";
    assert_eq!((status, &refused["message"]), (422, &json!(why)));
    Ok(())
}
