//! Nodes: `ValidateNode` and `ValidateNodeUpdate`.

use std::collections::HashSet;

use serde_json::Value;

use super::errors::{Errors, Raw, quote};
use super::format;
use super::metadata::label_key;
use super::pod::taint_effect;
use super::read::{items, text};
use crate::schema::Path;

/// `ValidateNode`, which has the taints in the metadata.
pub(super) fn node(errors: &mut Errors, spec: &Value) {
    let root = Path::ROOT;
    let (metadata, path) = (root.field("metadata"), root.field("spec"));
    taints(errors, &spec["taints"], &metadata.field("taints"));
    let ranges = path.field("podCIDRs");
    for (index, range) in items(&spec["podCIDRs"]) {
        let range = range.as_str().unwrap_or_default();
        errors.broken(&ranges.index(index), range, &format::cidr(range));
    }
}

/// `validateNodeTaints`.
fn taints(errors: &mut Errors, taints: &Value, path: &Path<'_>) {
    let mut seen = HashSet::new();
    for (index, taint) in items(taints) {
        let path = path.index(index);
        let [key, value, effect] = ["key", "value", "effect"].map(|field| text(taint, field));
        label_key(errors, key, &path.field("key"));
        let rules = format::label_value(value);
        if !rules.is_empty() {
            errors.invalid(&path.field("value"), value, &rules.join(";"));
        }
        taint_effect(errors, effect, &path.field("effect"));
        if !seen.insert((key, effect)) {
            // The server's own struct `core.Taint`, whose fields have no JSON names.
            let shown = format!(
                "{{\"Key\":{},\"Value\":{},\"Effect\":{},\"TimeAdded\":{}}}",
                quote(key),
                quote(value),
                quote(effect),
                taint["timeAdded"],
            );
            errors.duplicate_why(&path, Raw(&shown), "taints must be unique by key and effect pair");
        }
    }
}

/// The machine behind a node stays the same; its addresses are given once.
pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    let root = Path::ROOT;
    let path = root.field("spec");
    let (new, old) = (&new["spec"], &old["spec"]);
    if !text(old, "providerID").is_empty() && new["providerID"] != old["providerID"] {
        let why = "node updates may not change providerID except from \"\" to valid";
        errors.forbidden(&path.field("providerID"), why);
    }
    if !super::read::is_empty(&old["podCIDRs"]) && new["podCIDRs"] != old["podCIDRs"] {
        let why = "node updates may not change podCIDR except from \"\" to valid";
        errors.forbidden(&path.field("podCIDRs"), why);
    }
}
