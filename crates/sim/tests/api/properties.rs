//! What holds of the store after any sequence of operations.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use sim::kinds::{Kind, by_plural};
use sim::{Api, ListQuery};

#[derive(Debug, Clone)]
enum Operation {
    Create(u8, u8),
    Replace(u8, u8, u8),
    Patch(u8, u8, u8),
    Delete(u8, u8),
    DeleteNamespace(u8),
}

fn operation() -> impl Strategy<Value = Operation> {
    let name = || (0..3u8, 0..6u8);
    prop_oneof![
        4 => name().prop_map(|(namespace, name)| Operation::Create(namespace, name)),
        2 => (name(), any::<u8>()).prop_map(|((namespace, name), value)| Operation::Replace(namespace, name, value)),
        2 => (name(), any::<u8>()).prop_map(|((namespace, name), value)| Operation::Patch(namespace, name, value)),
        2 => name().prop_map(|(namespace, name)| Operation::Delete(namespace, name)),
        1 => (0..3u8).prop_map(Operation::DeleteNamespace),
    ]
}

fn kind(plural: &str) -> &'static Kind {
    by_plural(plural).expect("a kind of the registry")
}

/// Names that sort differently as `namespace/name` than namespace by namespace.
fn namespace(number: u8) -> &'static str {
    ["a", "a-b", "b"][usize::from(number)]
}

fn config_map(namespace_number: u8, name: u8, value: u8) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": format!("c{name}"), "namespace": namespace(namespace_number) },
        "data": { "value": value.to_string() },
    })
}

/// Whether it succeeds does not matter: what counts is that everyone sees the same of it.
fn apply(store: &Api, operation: &Operation) {
    let maps = kind("configmaps");
    match *operation {
        Operation::Create(namespace_number, name) => {
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace(namespace_number) },
            });
            let _ = store.create(namespace);
            let _ = store.create(config_map(namespace_number, name, 0));
        }
        Operation::Replace(number, name, value) => {
            drop(store.update(maps, namespace(number), &format!("c{name}"), |object| {
                object["data"] = json!({ "value": value.to_string() })
            }))
        }
        Operation::Patch(number, name, value) => {
            drop(store.update(maps, namespace(number), &format!("c{name}"), |object| {
                object["data"]["patched"] = value.to_string().into()
            }))
        }
        Operation::Delete(number, name) => {
            let _ = store.delete(maps, namespace(number), &format!("c{name}"), &Default::default());
        }
        Operation::DeleteNamespace(number) => {
            let _ = store.delete(kind("namespaces"), "", namespace(number), &Default::default());
        }
    }
}

fn list(store: &Api) -> Vec<Value> {
    let page = store.list(kind("configmaps"), &ListQuery::default()).expect("a list");
    page.items.iter().map(|object| Value::clone(object)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_watch_from_the_start_adds_up_to_the_list(operations in proptest::collection::vec(operation(), 0..60)) {
        let store = Api::new(10_000);
        operations.iter().for_each(|operation| apply(&store, operation));

        let mut seen = BTreeMap::new();
        let mut last = 0;
        for change in store.changes_since(0).expect("the whole history") {
            prop_assert!(change.revision > last, "versions grow");
            last = change.revision;
            if std::ptr::eq(change.kind, kind("configmaps")) {
                let before = match change.after() {
                    Some(object) => seen.insert(change.key.clone(), Value::clone(object)),
                    None => seen.remove(&change.key),
                };
                prop_assert_eq!(before.as_ref(), change.before.as_ref().map(|object| &***object));
            }
        }
        prop_assert_eq!(Vec::from_iter(seen.into_values()), list(&store));
    }

    #[test]
    fn pages_return_each_object_of_the_first_snapshot_once(
        operations in proptest::collection::vec(operation(), 0..60),
        limit in 1..5usize,
        in_one_namespace in any::<bool>(),
    ) {
        let store = Api::new(10_000);
        let (before, between) = operations.split_at(operations.len() / 2);
        before.iter().for_each(|operation| apply(&store, operation));
        let namespace = in_one_namespace.then(|| "a".to_owned());
        let expected: Vec<Value> = list(&store)
            .into_iter()
            .filter(|object| namespace.as_ref().is_none_or(|name| object["metadata"]["namespace"] == **name))
            .collect();

        let mut between = between.iter();
        let mut query = ListQuery { namespace, limit, ..ListQuery::default() };
        let mut shown = Vec::new();
        loop {
            let page = store.list(kind("configmaps"), &query).expect("a page");
            prop_assert!(page.items.len() <= limit);
            shown.extend(page.items.iter().map(|object| Value::clone(object)));
            prop_assert_eq!(page.remaining.unwrap_or(0), expected.len() - shown.len());
            query.continue_token = page.continue_token;
            if query.continue_token.is_none() {
                break;
            }
            between.by_ref().take(8).for_each(|operation| apply(&store, operation));
        }
        prop_assert_eq!(shown, expected);
    }
}

#[test]
fn a_full_history_forgets_the_oldest_changes() {
    let store = Api::new(3);
    for number in 0..6 {
        apply(&store, &Operation::Create(0, number));
    }
    let newest = *store.revision().borrow();
    assert_eq!(newest, 7);
    assert_eq!(store.changes_since(newest - 3).expect("still kept").len(), 3);
    let error = store.changes_since(newest - 4).expect_err("forgotten");
    assert_eq!((error.code, error.message.as_str()), (410, "too old resource version: 3 (4)"));
}
