//! What every cluster has from its first start.

use anyhow::Result;
use serde_json::json;
use sim::{Delays, Options, Seed};
use testkit::{Cluster, eventually};

use crate::common::anywhere;

#[tokio::test]
async fn there_are_the_service_of_the_api_server_and_the_system_s_priorities() -> Result<()> {
    let cluster = anywhere().await?;
    let (_, service) = cluster.get("/api/v1/namespaces/default/services/kubernetes").await?;
    assert_eq!(service["metadata"]["labels"], json!({ "component": "apiserver", "provider": "kubernetes" }));
    assert_eq!(service["spec"]["ports"][0]["port"], 443);
    let slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    let (_, slice) = cluster.get(slice).await?;
    assert!(slice["endpoints"][0]["addresses"][0].is_string(), "{slice}");
    for (name, value) in [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)]
    {
        let (_, class) = cluster.get(&format!("/apis/scheduling.k8s.io/v1/priorityclasses/{name}")).await?;
        assert_eq!(class["value"], value);
    }
    Ok(())
}

#[tokio::test]
async fn in_the_shop_claims_are_bound() -> Result<()> {
    let options = Options { seed: Seed::Shop, delays: Delays::none(), ..Options::default() };
    let cluster = Cluster::simulated(options).await?;
    let claims = cluster.core("persistentvolumeclaims");
    let spec = json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } });
    let claim = json!({ "metadata": { "name": "data" }, "spec": spec });
    let (_, created) = cluster.call(reqwest::Method::POST, &claims, Some(claim)).await?;
    assert_eq!(created["spec"]["storageClassName"], "standard", "{created}");
    eventually("a volume", async || {
        let (_, claim) = cluster.get(&format!("{claims}/data")).await.ok()?;
        (claim["status"]["phase"] == "Bound").then_some(())
    })
    .await
}
