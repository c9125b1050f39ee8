//! Namespaces that end, and objects that go with their owners.

use anyhow::Result;
use kube::api::{DeleteParams, Patch, PatchParams};
use proptest::prelude::*;
use serde_json::{Value, json};
use testkit::{Cluster, eventually_within};

use crate::common::{
    PATIENCE, at_once, cluster_objects, condition, create, is_true, objects, pod, until, until_gone,
    with_nodes,
};

fn config_map(name: &str, owners: &[(String, String)]) -> Value {
    let owners: Vec<Value> = owners
        .iter()
        .map(|(name, uid)| {
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid, "blockOwnerDeletion": true })
        })
        .collect();
    let metadata = json!({ "name": name, "ownerReferences": owners });
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata })
}

#[tokio::test]
async fn a_namespace_goes_when_everything_in_it_has() -> Result<()> {
    let cluster = with_nodes().await?;
    let (pods, namespaces) = (objects(&cluster, "v1", "Pod"), cluster_objects(&cluster, "v1", "Namespace"));
    create(&cluster, pod("runs", json!({ "terminationGracePeriodSeconds": 1 }))).await?;
    until(&pods, "runs", |pod| is_true(pod, "Ready")).await?;
    let mut kept = config_map("kept", &[]);
    kept["metadata"]["finalizers"] = json!(["example.com/keep"]);
    create(&cluster, kept).await?;
    namespaces.delete(cluster.namespace(), &DeleteParams::default()).await?;
    until_gone(&pods, "runs").await?;
    let stuck = until(&namespaces, cluster.namespace(), |namespace| {
        condition(namespace, "NamespaceContentRemaining").is_some_and(|it| {
            it["message"] == "Some resources are remaining: configmaps. has 1 resource instances"
        })
    })
    .await?;
    assert_eq!(
        condition(&stuck, "NamespaceFinalizersRemaining").unwrap()["message"],
        "Some content in the namespace has finalizers remaining: example.com/keep in 1 resource instances"
    );
    assert_eq!(condition(&stuck, "NamespaceDeletionContentFailure").unwrap()["status"], "False");
    let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    objects(&cluster, "v1", "ConfigMap").patch("kept", &PatchParams::default(), &patch).await?;
    until_gone(&namespaces, cluster.namespace()).await
}

#[tokio::test]
async fn owners_go_first_last_or_alone() -> Result<()> {
    let cluster = Cluster::simulated_or_real(at_once()).await?;
    let maps = objects(&cluster, "v1", "ConfigMap");
    for (name, how, is_kept) in [
        ("background", DeleteParams::background(), false),
        ("foreground", DeleteParams::foreground(), false),
        ("orphan", DeleteParams::orphan(), true),
    ] {
        let owner = create(&cluster, config_map(name, &[])).await?;
        let child = format!("{name}-child");
        let owners = [(name.to_owned(), owner.metadata.uid.unwrap_or_default())];
        create(&cluster, config_map(&child, &owners)).await?;
        maps.delete(name, &how).await?;
        until_gone(&maps, name).await?;
        if is_kept {
            until(&maps, &child, |child| child["metadata"]["ownerReferences"].is_null()).await?;
        } else {
            until_gone(&maps, &child).await?;
        }
    }
    // Another object has the owner's name.
    let owner = create(&cluster, config_map("again", &[])).await?;
    drop(owner);
    create(&cluster, config_map("stranger", &[("again".to_owned(), "no-such-uid".to_owned())])).await?;
    until_gone(&maps, "stranger").await
}

#[tokio::test]
async fn an_owner_does_not_wait_for_one_that_calls_it_by_another_name() -> Result<()> {
    let cluster = Cluster::simulated_or_real(at_once()).await?;
    let maps = objects(&cluster, "v1", "ConfigMap");
    let uid = create(&cluster, config_map("owner", &[])).await?.metadata.uid.unwrap_or_default();
    let mut held = config_map("held", &[("owner".to_owned(), uid.clone())]);
    held["metadata"]["finalizers"] = json!(["example.com/keep"]);
    create(&cluster, held).await?;
    create(&cluster, config_map("mistaken", &[("another".to_owned(), uid)])).await?;
    maps.delete("owner", &DeleteParams::foreground()).await?;
    until(&maps, "held", |held| held["metadata"]["deletionTimestamp"].is_string()).await?;
    let freed = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    maps.patch("held", &PatchParams::default(), &freed).await?;
    until_gone(&maps, "owner").await
}

/// What happens to a family of objects: the parent of each is one before it, or none.
#[derive(Debug, Clone)]
struct Family {
    parents: Vec<Option<usize>>,
    deleted: Vec<(usize, bool)>,
}

fn family() -> impl Strategy<Value = Family> {
    let members = 2..9_usize;
    members.prop_flat_map(|count| {
        let parents = (0..count)
            .map(|index| {
                proptest::option::weighted(0.8, 0..index.max(1))
                    .prop_map(move |parent| parent.filter(|parent| *parent < index))
            })
            .collect::<Vec<_>>();
        let deleted = proptest::collection::vec((0..count, any::<bool>()), 1..4);
        (parents, deleted).prop_map(|(parents, deleted)| Family { parents, deleted })
    })
}

async fn descendants_are_collected(family: Family) -> Result<()> {
    let cluster = Cluster::simulated_or_real(at_once()).await?;
    let maps = objects(&cluster, "v1", "ConfigMap");
    let mut uids: Vec<String> = Vec::new();
    for (index, parent) in family.parents.iter().enumerate() {
        let owners: Vec<_> =
            parent.iter().map(|parent| (format!("m{parent}"), uids[*parent].clone())).collect();
        uids.push(
            create(&cluster, config_map(&format!("m{index}"), &owners))
                .await?
                .metadata
                .uid
                .unwrap_or_default(),
        );
    }
    let mut gone = vec![false; family.parents.len()];
    for (index, foreground) in &family.deleted {
        let how = if *foreground { DeleteParams::foreground() } else { DeleteParams::background() };
        match maps.delete(&format!("m{index}"), &how).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            answer => drop(answer?),
        }
        gone[*index] = true;
    }
    for index in 0..gone.len() {
        gone[index] |= family.parents[index].is_some_and(|parent| gone[parent]);
    }
    let mut expected: Vec<String> =
        gone.iter().enumerate().filter(|(_, gone)| !**gone).map(|(index, _)| format!("m{index}")).collect();
    expected.push("kube-root-ca.crt".to_owned());
    expected.sort();
    eventually_within(PATIENCE, "only what has an owner is left", async || {
        let left = maps.list(&Default::default()).await.ok()?;
        let left: Vec<String> = left.items.into_iter().filter_map(|map| map.metadata.name).collect();
        (left == expected).then_some(())
    })
    .await
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn what_an_owner_leaves_behind_is_collected(family in family()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(descendants_are_collected(family)).unwrap();
    }
}
