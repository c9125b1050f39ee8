//! Lists and pages, through the real client and as bodies.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sim::Seed;
use testkit::Cluster;

use crate::common::{anywhere, idle_pod, sim, simulated};

/// The path of the namespace's leases: no cluster makes any by itself.
fn leases(cluster: &Cluster) -> String {
    cluster.path("coordination.k8s.io/v1", "leases")
}

async fn make_leases(cluster: &Cluster, names: &[&str]) -> Result<()> {
    for name in names {
        let lease = json!({ "metadata": { "name": name, "labels": { "letter": name } } });
        cluster.post(&leases(cluster), lease).await?;
    }
    Ok(())
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().into_iter().flatten();
    items.filter_map(|item| item["metadata"]["name"].as_str()).collect()
}

#[tokio::test]
async fn pages_have_the_metadata_of_the_recorded_ones() -> Result<()> {
    let cluster = anywhere().await?;
    make_leases(&cluster, &["a", "b", "c", "d"]).await?;
    let path = leases(&cluster);
    let (status, first) = cluster.get(&format!("{path}?limit=2")).await?;
    let version = json!("coordination.k8s.io/v1");
    assert_eq!((status, &first["kind"], &first["apiVersion"]), (200, &json!("LeaseList"), &version));
    assert_eq!(first["metadata"]["remainingItemCount"], 2);
    assert_eq!(names(&first), ["a", "b"]);
    assert!(first["items"][0].get("kind").is_none(), "the list says what its items are");

    let token = first["metadata"]["continue"].as_str().context("no continue token")?;
    let (_, second) = cluster.get(&format!("{path}?limit=2&continue={token}")).await?;
    assert_eq!(names(&second), ["c", "d"]);
    assert_eq!(second["metadata"], json!({ "resourceVersion": first["metadata"]["resourceVersion"] }));

    let (_, selected) = cluster.get(&format!("{path}?limit=1&labelSelector=letter")).await?;
    assert!(selected["metadata"]["continue"].is_string());
    assert!(selected["metadata"].get("remainingItemCount").is_none(), "not with a selector");
    Ok(())
}

#[tokio::test]
async fn pages_show_the_snapshot_of_the_first_one() -> Result<()> {
    let cluster = anywhere().await?;
    make_leases(&cluster, &["a", "b", "c", "d", "e", "f"]).await?;
    let leases: Api<Lease> = cluster.namespaced();
    let before: Vec<_> = leases.list(&ListParams::default()).await?.items;

    let mut page = leases.list(&ListParams::default().limit(2)).await?;
    leases.delete("d", &DeleteParams::default()).await?;
    let late = ObjectMeta { name: Some("late".to_owned()), ..ObjectMeta::default() };
    leases.create(&PostParams::default(), &Lease { metadata: late, ..Lease::default() }).await?;
    let patch = Patch::Merge(json!({ "metadata": { "labels": { "team": "b" } } }));
    leases.patch("f", &PatchParams::default(), &patch).await?;

    let mut shown = page.items;
    while let Some(token) = page.metadata.continue_.filter(|token| !token.is_empty()) {
        page = leases.list(&ListParams::default().limit(2).continue_token(&token)).await?;
        shown.append(&mut page.items);
    }
    assert_eq!(shown, before);
    let now = leases.list(&ListParams::default()).await?.items;
    let now: Vec<_> = now.iter().filter_map(|lease| lease.metadata.name.as_deref()).collect();
    assert_eq!(now, ["a", "b", "c", "e", "f", "late"]);
    Ok(())
}

/// Simulated: a real API server forgets after minutes.
#[tokio::test]
async fn a_continue_token_expires_with_the_history() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    make_leases(&cluster, &["a", "b", "c", "d"]).await?;
    let path = leases(&cluster);
    let (_, first) = cluster.get(&format!("{path}?limit=2")).await?;
    let token = first["metadata"]["continue"].as_str().context("no continue token")?;
    make_leases(&cluster, &["e"]).await?;
    sim(&cluster).compact();

    let (status, body) = cluster.get(&format!("{path}?limit=2&continue={token}")).await?;
    assert_eq!((status, &body["reason"], &body["code"]), (410, &json!("Expired"), &json!(410)));
    assert_eq!(
        body["message"],
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list."
    );
    let rest = body["metadata"]["continue"].as_str().context("no token to go on with")?;
    let (status, second) = cluster.get(&format!("{path}?limit=2&continue={rest}")).await?;
    assert_eq!((status, names(&second)), (200, vec!["c", "d"]));
    Ok(())
}

#[tokio::test]
async fn a_continue_token_that_cannot_be_read_is_refused() -> Result<()> {
    let cluster = anywhere().await?;
    for token in ["!", "bm90IGpzb24", "eyJ2IjoidjIiLCJydiI6MSwic3RhcnQiOiJhIn0"] {
        let (status, body) = cluster.get(&format!("{}?continue={token}", leases(&cluster))).await?;
        assert_eq!((status, &body["reason"]), (400, &json!("BadRequest")), "{token}");
        let message = body["message"].as_str().context("no message")?;
        assert!(message.starts_with("invalid continue token: continue key is not valid: "), "{message}");
    }
    Ok(())
}

#[tokio::test]
async fn lists_at_a_resource_version() -> Result<()> {
    let cluster = anywhere().await?;
    make_leases(&cluster, &["a", "b"]).await?;
    let path = |query: String| format!("{}?{query}", leases(&cluster));
    let (_, before) = cluster.get(&path(String::new())).await?;
    let version = before["metadata"]["resourceVersion"].as_str().context("no version")?;
    let new = cluster.post(&leases(&cluster), json!({ "metadata": { "name": "new" } })).await?;

    let exactly = path(format!("resourceVersion={version}&resourceVersionMatch=Exact"));
    let (_, exact) = cluster.get(&exactly).await?;
    assert_eq!((names(&exact), &exact["metadata"]["resourceVersion"]), (vec!["a", "b"], &json!(version)));
    let newest = new["metadata"]["resourceVersion"].as_str().context("no version")?;
    let (_, newer) = cluster.get(&path(format!("resourceVersion={newest}"))).await?;
    assert_eq!(BTreeSet::from_iter(names(&newer)), BTreeSet::from(["a", "b", "new"]), "in any order");
    let never = newest.parse::<u64>()? + 1_000_000_000;
    let (status, future) = cluster.get(&path(format!("resourceVersion={never}"))).await?;
    assert_eq!((status, &future["reason"]), (504, &json!("Timeout")));
    Ok(())
}

#[tokio::test]
async fn selectors_narrow_lists() -> Result<()> {
    let cluster = anywhere().await?;
    for (name, policy) in [("a", "Always"), ("b", "Never"), ("c", "Never")] {
        let mut pod = idle_pod(name, &json!({ "restartPolicy": policy }));
        pod["metadata"]["labels"] = json!({ "letter": name });
        cluster.post(&cluster.core("pods"), pod).await?;
    }
    let pods: Api<Pod> = cluster.namespaced();
    for (fields, labels, expected) in [
        ("spec.restartPolicy=Never", "", vec!["b", "c"]),
        ("spec.restartPolicy!=Never", "", vec!["a"]),
        ("spec.nodeName=", "", vec!["a", "b", "c"]),
        ("status.phase!=Pending", "", vec![]),
        ("metadata.name=b", "", vec!["b"]),
        ("", "letter in (a,c)", vec!["a", "c"]),
        ("", "letter notin (a,c)", vec!["b"]),
        ("", "letter!=a,letter", vec!["b", "c"]),
        ("", "!letter", vec![]),
        ("status.phase=Pending,spec.restartPolicy=Never", "letter=c", vec!["c"]),
    ] {
        let list = pods.list(&ListParams::default().fields(fields).labels(labels)).await?;
        let names: Vec<_> = list.items.iter().filter_map(|pod| pod.metadata.name.as_deref()).collect();
        assert_eq!(names, expected, "{fields:?} {labels:?}");
    }
    Ok(())
}
