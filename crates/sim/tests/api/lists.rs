//! Lists and pages, through the real client and as bodies.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use sim::Seed;

use crate::common::cluster;

#[tokio::test]
async fn pages_have_the_metadata_of_the_recorded_ones() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    let (status, first) = cluster.get("/api/v1/namespaces?limit=2").await?;
    assert_eq!((status, &first["kind"], &first["apiVersion"]), (200, &json!("NamespaceList"), &json!("v1")));
    assert_eq!(first["metadata"]["remainingItemCount"], 2);
    assert_eq!(first["items"][0]["metadata"]["name"], "default");
    assert!(first["items"][0].get("kind").is_none(), "the list says what its items are");

    let token = first["metadata"]["continue"].as_str().context("no continue token")?;
    let (_, second) = cluster.get(&format!("/api/v1/namespaces?limit=2&continue={token}")).await?;
    assert_eq!(second["items"][0]["metadata"]["name"], "kube-public");
    assert_eq!(second["metadata"], json!({ "resourceVersion": first["metadata"]["resourceVersion"] }));

    let (_, selected) =
        cluster.get("/api/v1/namespaces?limit=1&labelSelector=kubernetes.io/metadata.name").await?;
    assert!(selected["metadata"]["continue"].is_string());
    assert!(selected["metadata"].get("remainingItemCount").is_none(), "not with a selector");
    Ok(())
}

#[tokio::test]
async fn pages_show_the_snapshot_of_the_first_one() -> Result<()> {
    let cluster = cluster(Seed::Shop).await?;
    let namespaces: Api<Namespace> = Api::all(cluster.admin().await?);
    let before: Vec<_> = namespaces.list(&ListParams::default()).await?.items;

    let mut page = namespaces.list(&ListParams::default().limit(4)).await?;
    namespaces.delete("storefront", &DeleteParams::default()).await?;
    let late = Namespace {
        metadata: kube::api::ObjectMeta { name: Some("late".into()), ..Default::default() },
        ..Default::default()
    };
    namespaces.create(&PostParams::default(), &late).await?;
    let patch = Patch::Merge(json!({ "metadata": { "labels": { "team": "b" } } }));
    namespaces.patch("search", &PatchParams::default(), &patch).await?;

    let mut shown = page.items;
    while let Some(token) = page.metadata.continue_.filter(|token| !token.is_empty()) {
        page = namespaces.list(&ListParams::default().limit(4).continue_token(&token)).await?;
        shown.append(&mut page.items);
    }
    assert_eq!(shown, before);
    let names = |items: &[Namespace]| {
        items.iter().filter_map(|item| item.metadata.name.clone()).collect::<BTreeSet<_>>()
    };
    let now = names(&namespaces.list(&ListParams::default()).await?.items);
    assert!(now.contains("late"));
    Ok(())
}

#[tokio::test]
async fn a_continue_token_expires_with_the_history() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    let (_, first) = cluster.get("/api/v1/namespaces?limit=2").await?;
    let token = first["metadata"]["continue"].as_str().context("no continue token")?;
    let namespaces: Api<Namespace> = Api::all(cluster.admin().await?);
    let patch = Patch::Merge(json!({ "metadata": { "labels": { "team": "b" } } }));
    namespaces.patch("default", &PatchParams::default(), &patch).await?;
    cluster.sim.compact();

    let (status, body) = cluster.get(&format!("/api/v1/namespaces?limit=2&continue={token}")).await?;
    assert_eq!((status, &body["reason"], &body["code"]), (410, &json!("Expired"), &json!(410)));
    assert_eq!(
        body["message"],
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list."
    );
    let rest = body["metadata"]["continue"].as_str().context("no token to go on with")?;
    let (status, second) = cluster.get(&format!("/api/v1/namespaces?limit=2&continue={rest}")).await?;
    assert_eq!((status, &second["items"][0]["metadata"]["name"]), (200, &json!("kube-public")));

    for token in ["!", "bm90IGpzb24", "eyJ2IjoidjIiLCJydiI6MSwic3RhcnQiOiJhIn0"] {
        let (status, body) = cluster.get(&format!("/api/v1/namespaces?continue={token}")).await?;
        assert_eq!((status, &body["reason"]), (400, &json!("BadRequest")), "{token}");
        let message = body["message"].as_str().context("no message")?;
        assert!(message.starts_with("continue key is not valid"), "{message}");
    }
    Ok(())
}

#[tokio::test]
async fn lists_at_a_resource_version() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    let revision = *cluster.sim.api().revision().borrow();
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "new" } });
    cluster.sim.api().create(namespace)?;
    let path = |query: String| format!("/api/v1/namespaces?{query}");
    let count = |body: &serde_json::Value| body["items"].as_array().map(Vec::len);

    let (_, exact) =
        cluster.get(&path(format!("resourceVersion={revision}&resourceVersionMatch=Exact"))).await?;
    assert_eq!(
        (count(&exact), &exact["metadata"]["resourceVersion"]),
        (Some(4), &json!(revision.to_string()))
    );
    let (_, newer) = cluster.get(&path(format!("resourceVersion={revision}"))).await?;
    assert_eq!(count(&newer), Some(5));
    let (status, future) = cluster.get(&path(format!("resourceVersion={}", revision + 2))).await?;
    assert_eq!((status, &future["reason"]), (504, &json!("Timeout")));
    Ok(())
}

#[tokio::test]
async fn selectors_narrow_lists() -> Result<()> {
    let cluster = cluster(Seed::Shop).await?;
    let client = cluster.admin().await?;
    let pods: Api<Pod> = Api::all(client.clone());
    let all = pods.list(&ListParams::default()).await?.items;
    let node_name = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let node = all.iter().find_map(node_name).context("no pod on a node")?;

    let on_node = pods.list(&ListParams::default().fields(&format!("spec.nodeName={node}"))).await?.items;
    assert!(!on_node.is_empty() && on_node.len() < all.len());
    assert!(on_node.iter().all(|pod| node_name(pod).as_deref() == Some(&node)));
    let pending = pods.list(&ListParams::default().fields("status.phase=Pending")).await?.items;
    let others = pods.list(&ListParams::default().fields("status.phase!=Pending")).await?.items;
    assert!(!pending.is_empty());
    assert_eq!(pending.len() + others.len(), all.len());

    let cart: Api<Pod> = Api::namespaced(client.clone(), "cart");
    assert_eq!(cart.list(&ListParams::default()).await?.items.len(), 4);
    assert_eq!(
        cart.list(&ListParams::default().labels("app.kubernetes.io/name in (cart-api)")).await?.items.len(),
        3
    );
    let nodes: Api<Node> = Api::all(client);
    assert_eq!(nodes.list(&ListParams::default().labels("kubernetes.io/arch!=amd64")).await?.items.len(), 1);
    Ok(())
}
