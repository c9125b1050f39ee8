//! What holds after any sequence of operations.

use std::cell::Cell;
use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::json;
use testkit::Cluster;
use tokio::runtime::Runtime;

use crate::common::anywhere;

#[derive(Debug, Clone)]
enum Operation {
    Create(u8, u8),
    Replace(u8, u8, u8),
    Patch(u8, u8, u8),
    Delete(u8, u8),
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let name = || (0..2u8, 0..6u8);
    let operation = prop_oneof![
        4 => name().prop_map(|(namespace, name)| Operation::Create(namespace, name)),
        2 => (name(), any::<u8>()).prop_map(|((namespace, name), value)| Operation::Replace(namespace, name, value)),
        2 => (name(), any::<u8>()).prop_map(|((namespace, name), value)| Operation::Patch(namespace, name, value)),
        2 => name().prop_map(|(namespace, name)| Operation::Delete(namespace, name)),
    ];
    proptest::collection::vec(operation, 0..40)
}

/// One case of a property: leases that its label tells from those of others.
struct Case {
    client: kube::Client,
    /// They sort differently as `namespace/name` than namespace by namespace.
    namespaces: [String; 2],
    label: String,
}

impl Case {
    fn leases(&self, namespace: u8) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.namespaces[usize::from(namespace)])
    }

    fn all(&self) -> Api<Lease> {
        Api::all(self.client.clone())
    }

    fn selector(&self) -> String {
        format!("case={}", self.label)
    }

    fn name(&self, number: u8) -> String {
        format!("{}-{number}", self.label)
    }

    fn lease(&self, name: &str, holder: u8) -> Result<Lease> {
        Ok(serde_json::from_value(json!({
            "metadata": { "name": name, "labels": { "case": self.label } },
            "spec": { "holderIdentity": format!("holder-{holder}") },
        }))?)
    }

    /// Does it; whether it succeeds does not matter, what counts is that everyone sees the same of it.
    async fn apply(&self, operation: &Operation) -> Result<()> {
        let answer = match *operation {
            Operation::Create(namespace, number) => {
                let lease = self.lease(&self.name(number), 0)?;
                self.leases(namespace).create(&PostParams::default(), &lease).await.map(drop)
            }
            Operation::Replace(namespace, number, holder) => {
                let (leases, name) = (self.leases(namespace), self.name(number));
                let Some(old) = leases.get_opt(&name).await? else { return Ok(()) };
                let mut new = self.lease(&name, holder)?;
                new.metadata.resource_version = old.metadata.resource_version;
                leases.replace(&name, &PostParams::default(), &new).await.map(drop)
            }
            Operation::Patch(namespace, number, seconds) => {
                let patch =
                    Patch::Merge(json!({ "spec": { "leaseDurationSeconds": u32::from(seconds) + 1 } }));
                let leases = self.leases(namespace);
                leases.patch(&self.name(number), &PatchParams::default(), &patch).await.map(drop)
            }
            Operation::Delete(namespace, number) => {
                self.leases(namespace).delete(&self.name(number), &DeleteParams::default()).await.map(drop)
            }
        };
        match answer {
            Ok(()) | Err(kube::Error::Api(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn apply_all(&self, operations: &[Operation]) -> Result<()> {
        for operation in operations {
            self.apply(operation).await?;
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Lease>> {
        Ok(self.all().list(&ListParams::default().labels(&self.selector())).await?.items)
    }
}

/// Checks a property of a cluster for many values.
fn check<T: std::fmt::Debug>(
    values: &impl Strategy<Value = T>,
    property: &impl AsyncFn(&Case, T) -> Result<()>,
) -> Result<()> {
    let runtime = Runtime::new()?;
    let cluster: Cluster = runtime.block_on(anywhere())?;
    let other = runtime.block_on(cluster.another_namespace("b"))?;
    let namespaces = [cluster.namespace().to_owned(), other];
    let count = Cell::new(0);
    let outcome = TestRunner::new(ProptestConfig::with_cases(32)).run(values, |value| {
        count.set(count.get() + 1);
        let label = cluster.unique(&count.get().to_string());
        let case = Case { client: cluster.client(), namespaces: namespaces.clone(), label };
        let held = runtime.block_on(property(&case, value));
        held.map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    outcome.map_err(|error| anyhow::anyhow!("{error}"))
}

fn key(lease: &Lease) -> String {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    format!("{}/{}", text(&lease.metadata.namespace), text(&lease.metadata.name))
}

#[test]
fn a_watch_from_the_start_adds_up_to_the_list() -> Result<()> {
    check(&operations(), &async |case, operations| {
        let start = case.all().list(&ListParams::default().limit(1)).await?;
        let start = start.metadata.resource_version.context("no version")?;
        case.apply_all(&operations).await?;
        case.leases(0).create(&PostParams::default(), &case.lease("end", 0)?).await?;
        let list = case.list().await?;
        case.leases(0).delete("end", &DeleteParams::default()).await?;

        let mut seen = BTreeMap::new();
        let mut last = start.parse::<u64>()?;
        let watched = WatchParams::default().labels(&case.selector());
        let mut events = case.all().watch(&watched, &start).await?.boxed();
        while !seen.contains_key(&format!("{}/end", case.namespaces[0])) {
            let (lease, known) = match events.try_next().await?.context("the watch ends")? {
                WatchEvent::Added(lease) => (lease.clone(), seen.insert(key(&lease), lease).is_some()),
                WatchEvent::Modified(lease) => (lease.clone(), seen.insert(key(&lease), lease).is_none()),
                WatchEvent::Deleted(lease) => (lease.clone(), seen.remove(&key(&lease)).is_none()),
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(status) => bail!("{status:?}"),
            };
            ensure!(!known, "{} is added once, and changed and deleted while it is there", key(&lease));
            let version = lease.metadata.resource_version.context("no version")?.parse()?;
            ensure!(version > last, "versions grow: {version} after {last}");
            last = version;
        }
        ensure!(Vec::from_iter(seen.into_values()) == list, "it does not add up to {list:#?}");
        Ok(())
    })
}

#[test]
fn pages_return_each_object_of_the_first_snapshot_once() -> Result<()> {
    let values = (operations(), 1..5u32, any::<bool>());
    check(&values, &async |case, (operations, limit, in_one_namespace)| {
        let (before, between) = operations.split_at(operations.len() / 2);
        case.apply_all(before).await?;
        let mut expected = case.list().await?;
        let leases = if in_one_namespace { case.leases(0) } else { case.all() };
        if in_one_namespace {
            expected.retain(|lease| lease.metadata.namespace.as_ref() == Some(&case.namespaces[0]));
        }

        let mut between = between.chunks(8);
        let mut query = ListParams::default().labels(&case.selector()).limit(limit);
        let mut shown = Vec::new();
        loop {
            let page = leases.list(&query).await?;
            ensure!(page.items.len() <= limit as usize, "{} of {limit}", page.items.len());
            shown.extend(page.items);
            let Some(token) = page.metadata.continue_.filter(|token| !token.is_empty()) else { break };
            query = query.continue_token(&token);
            case.apply_all(between.next().unwrap_or_default()).await?;
        }
        ensure!(shown == expected, "shown {shown:#?}, expected {expected:#?}");
        Ok(())
    })
}

/// Simulated: how much is remembered is an option.
#[test]
fn a_full_history_forgets_the_oldest_changes() {
    let store = sim::Api::new(3);
    for number in 0..6 {
        let namespace =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": format!("n{number}") } });
        store.create(namespace).expect("it is new");
    }
    let newest = *store.revision().borrow();
    assert_eq!(newest, 6);
    assert_eq!(store.changes_since(newest - 3).expect("still kept").len(), 3);
    let error = store.changes_since(newest - 4).expect_err("forgotten");
    assert_eq!((error.code, error.message.as_str()), (410, "too old resource version: 2 (3)"));
}
