//! Visiting all parts of an object together with their types.

use serde_json::{Map, Value};

use super::{Path, Shape, Type};

/// What [`walk`] calls.
type Visit<'v> = dyn FnMut(&'static Type, &Path<'_>, &mut Map<String, Value>) + 'v;

/// Calls `visit` on every map in `object` whose type is known, parents before their children.
pub(crate) fn walk(root: &'static Type, object: &mut Value, visit: &mut Visit<'_>) {
    if let Value::Object(map) = object {
        walk_map(root, &Path::ROOT, map, visit);
    }
}

fn walk_map(ty: &'static Type, path: &Path<'_>, map: &mut Map<String, Value>, visit: &mut Visit<'_>) {
    visit(ty, path, map);
    for (name, value) in map {
        if !matches!(value, Value::Object(_) | Value::Array(_)) {
            continue;
        }
        if let Some(field) = ty.fields.get(name.as_str()).filter(|field| field.shape.object().is_some()) {
            walk_shape(&field.shape, &path.field(name), value, visit);
        }
    }
}

fn walk_shape(shape: &'static Shape, path: &Path<'_>, value: &mut Value, visit: &mut Visit<'_>) {
    match (shape, value) {
        (Shape::Object(ty), Value::Object(map)) => walk_map(ty, path, map, visit),
        (Shape::List(inner), Value::Array(items)) => {
            for (index, item) in items.iter_mut().enumerate() {
                walk_shape(inner, &path.index(index), item, visit);
            }
        }
        (Shape::Map(inner), Value::Object(map)) => {
            for (key, value) in map {
                walk_shape(inner, &path.key(key), value, visit);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds;

    #[test]
    fn parents_come_before_children() {
        let mut pod = json!({
            "metadata": { "name": "a", "ownerReferences": [{}] },
            "spec": { "containers": [{ "name": "a" }, { "ports": [{ "name": "x" }] }], "unknown": {} },
        });
        let mut seen = Vec::new();
        let pods = Type::of(kinds::by_plural("pods").unwrap()).unwrap();
        walk(pods, &mut pod, &mut |ty, path, _| seen.push(format!("{} {path}", ty.short_name())));
        let expected = [
            "Pod ",
            "ObjectMeta metadata",
            "OwnerReference metadata.ownerReferences[0]",
            "PodSpec spec",
            "Container spec.containers[0]",
            "Container spec.containers[1]",
            "ContainerPort spec.containers[1].ports[0]",
        ];
        assert_eq!(seen, expected);
    }
}
