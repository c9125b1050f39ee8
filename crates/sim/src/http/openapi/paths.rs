//! The paths of a document: which requests the server takes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::operations::{Operation, describe, path_parameters};
use crate::kinds::{Kind, Subresource};

/// The paths of the kinds, with what can be done there.
pub(super) fn of(kinds: &[&'static Kind]) -> BTreeMap<String, Value> {
    let mut paths = BTreeMap::new();
    for kind in kinds {
        let prefix = if kind.group.is_empty() { "/api/" } else { "/apis/" };
        let base = format!("{prefix}{}", kind.api_version());
        let collection = if kind.namespaced {
            let all = format!("{base}/{}", kind.plural);
            add(&mut paths, all, &only(kind, None, &["list"], true));
            format!("{base}/namespaces/{{namespace}}/{}", kind.plural)
        } else {
            format!("{base}/{}", kind.plural)
        };
        let item = format!("{collection}/{{name}}");
        for part in kind.subresources {
            let operations = only(kind, Some(part), part.verbs, false);
            add(&mut paths, format!("{item}/{}", part.name), &operations);
        }
        add(&mut paths, collection, &only(kind, None, &["create", "deletecollection", "list"], false));
        add(&mut paths, item, &only(kind, None, &["delete", "get", "patch", "update"], false));
    }
    paths
}

/// Those of the verbs that the kind, or a part of it, knows.
fn only(
    kind: &'static Kind,
    part: Option<&'static Subresource>,
    verbs: &[&'static str],
    everywhere: bool,
) -> Vec<Operation> {
    let known = part.map_or(kind.verbs, |part| part.verbs);
    let verbs = verbs.iter().filter(|verb| known.contains(verb));
    verbs.map(|&verb| Operation { kind, part, verb, everywhere }).collect()
}

fn add(paths: &mut BTreeMap<String, Value>, path: String, operations: &[Operation]) {
    if operations.is_empty() {
        return;
    }
    let mut item = json!({ "parameters": path_parameters(&path) });
    for operation in operations {
        item[operation.method()] = describe(operation);
    }
    paths.insert(path, item);
}
