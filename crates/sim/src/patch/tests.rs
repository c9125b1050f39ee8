use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::kinds;

const STRATEGIC: &str = "application/strategic-merge-patch+json";
const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json-patch+json";

fn root(plural: &str) -> &'static Root {
    Root::of(kinds::by_plural(plural).unwrap()).unwrap()
}

fn try_patch(plural: &str, content_type: &str, object: &Value, patch: &Value) -> Result<Value, ApiError> {
    let mut object = schema::decode_root(root(plural), object.clone()).unwrap().object;
    apply(content_type, root(plural), &mut object, patch.to_string().as_bytes())?;
    Ok(object)
}

fn pod(spec: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" }, "spec": spec })
}

/// The containers of a pod after a strategic patch of its spec.
fn patched_spec(spec: &Value, patch: &Value) -> Value {
    let object = try_patch("pods", STRATEGIC, &pod(spec), &json!({ "spec": patch })).unwrap();
    object["spec"].clone()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

fn refused(patch: &Value) -> (u16, String) {
    let spec = json!({ "containers": [{ "name": "a" }] });
    let error = try_patch("pods", STRATEGIC, &pod(&spec), patch).unwrap_err();
    (error.code, error.message)
}

#[test]
fn lists_are_merged_by_key() {
    let spec = json!({
        "containers": [
            { "name": "a", "image": "a:1", "env": [{ "name": "X", "value": "1" }] },
            { "name": "b", "image": "b:1" },
        ],
        "tolerations": [{ "key": "one" }],
    });
    let patch = json!({
        "containers": [{ "name": "b", "image": "b:2" }, { "name": "a", "env": [{ "name": "Y", "value": "2" }] }],
        "tolerations": [{ "key": "two" }],
    });
    let spec = patched_spec(&spec, &patch);
    assert_eq!(names(&spec["containers"]), ["b", "a"]);
    assert_eq!(spec["containers"][0]["image"], "b:2");
    assert_eq!(spec["containers"][1]["image"], "a:1");
    assert_eq!(names(&spec["containers"][1]["env"]), ["Y", "X"]);
    assert_eq!(spec["tolerations"], json!([{ "key": "two" }]));
}

#[test]
fn directives_delete_and_replace() {
    let spec = json!({ "containers": [{ "name": "a" }, { "name": "b" }], "nodeSelector": { "x": "1" } });
    let after = |patch: Value| patched_spec(&spec, &patch);
    let deleted = after(json!({ "containers": [{ "name": "a", "$patch": "delete" }] }));
    assert_eq!(names(&deleted["containers"]), ["b"]);
    let replaced = after(json!({ "containers": [{ "$patch": "replace" }, { "name": "c" }] }));
    assert_eq!(names(&replaced["containers"]), ["c"]);
    let selector = after(json!({ "nodeSelector": { "$patch": "replace", "y": "2" } }));
    assert_eq!(selector["nodeSelector"], json!({ "y": "2" }));
    let selector = after(json!({ "nodeSelector": { "$patch": "delete" } }));
    assert!(selector.get("nodeSelector").is_none());
}

#[test]
fn orders_are_kept_as_asked() {
    let containers: Vec<Value> = ["a", "b", "c"].iter().map(|name| json!({ "name": name })).collect();
    let patch = json!({
        "$setElementOrder/containers": [{ "name": "c" }, { "name": "new" }, { "name": "a" }],
        "containers": [{ "name": "new" }],
    });
    let spec = patched_spec(&json!({ "containers": containers }), &patch);
    assert_eq!(names(&spec["containers"]), ["b", "c", "new", "a"]);
}

#[test]
fn scalars_are_merged_and_deleted() {
    let node = json!({ "metadata": { "name": "n", "finalizers": ["a/x", "a/y"] } });
    let patch = json!({ "metadata": { "finalizers": ["a/z", "a/x"] } });
    let merged = try_patch("nodes", STRATEGIC, &node, &patch).unwrap();
    assert_eq!(merged["metadata"]["finalizers"], json!(["a/z", "a/x", "a/y"]));
    let patch = json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": ["a/x"] } });
    let less = try_patch("nodes", STRATEGIC, &node, &patch).unwrap();
    assert_eq!(less["metadata"]["finalizers"], json!(["a/y"]));
}

#[test]
fn retained_keys_are_all_that_stay() {
    let strategy = json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1 } });
    let deployment = json!({ "metadata": { "name": "d" }, "spec": { "strategy": strategy } });
    let patch = json!({ "spec": { "strategy": { "$retainKeys": ["type"], "type": "Recreate" } } });
    let patched = try_patch("deployments", STRATEGIC, &deployment, &patch).unwrap();
    assert_eq!(patched["spec"]["strategy"], json!({ "type": "Recreate" }));
    let patch = json!({ "spec": { "strategy": { "$retainKeys": ["rollingUpdate"], "type": "Recreate" } } });
    let error = try_patch("deployments", STRATEGIC, &deployment, &patch).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (400, "invalid patch format of retainKeys"));
}

#[test]
fn strategic_patches_are_refused_as_the_server_does() {
    let (code, message) = refused(&json!({ "spec": { "containers": [{ "image": "x" }] } }));
    assert_eq!(
        (code, message.as_str()),
        (500, "map: map[image:x] does not contain declared merge key: name")
    );
    let (code, message) = refused(&json!({ "spec": { "$patch": "mix" } }));
    assert_eq!((code, message.as_str()), (500, "unknown patch type: mix in map: map[$patch:mix]"));
    let (code, message) = refused(&json!({ "spec": { "priority": "high" } }));
    let expected =
        " \"\" is invalid: patch: Invalid value: \"map[spec:map[priority:high]]\": unrecognized type: int32";
    assert_eq!((code, message.as_str()), (422, expected));
    for (patch, expected) in [
        (json!({ "metadata": { "labels": { "a": 1 } } }), "cannot convert int64 to string"),
        (json!({ "metadata": { "labels": { "a": true } } }), "unrecognized type: string"),
        (json!({ "metadata": { "labels": "a" } }), "cannot restore map from string"),
        (json!({ "spec": { "tolerations": {} } }), "cannot restore slice from map"),
        (json!({ "spec": [] }), "cannot restore struct from: slice"),
        (json!({ "spec": { "priority": 1.5 } }), "cannot convert float64 to int32"),
        (json!({ "spec": { "restartPolicy": 1 } }), "cannot convert int64 to v1.RestartPolicy"),
    ] {
        let (code, message) = refused(&patch);
        assert_eq!(code, 422);
        assert!(message.ends_with(&format!(": {expected}")), "{message}");
    }
}

#[test]
fn merge_patches_replace_lists_and_delete_with_null() {
    let node = json!({
        "metadata": { "name": "n", "labels": { "a": "1", "b": "2" } },
        "spec": { "unschedulable": true, "taints": [{ "key": "x", "effect": "NoSchedule" }] },
    });
    let patch =
        json!({ "metadata": { "labels": { "a": null } }, "spec": { "unschedulable": null, "taints": [] } });
    let patched = try_patch("nodes", MERGE, &node, &patch).unwrap();
    assert_eq!(patched["metadata"]["labels"], json!({ "b": "2" }));
    assert_eq!(patched["spec"], json!({}));
    let error = try_patch("nodes", MERGE, &node, &json!("x")).unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (
            400,
            "error decoding patch: json: cannot unmarshal string into Go value of type map[string]interface {}"
        )
    );
}

#[test]
fn json_patches_apply_in_whole_or_not_at_all() {
    let map = json!({ "metadata": { "name": "c" }, "data": { "k": "1" } });
    let after = |patch: Value| try_patch("configmaps", JSON, &map, &patch);
    let patch = json!([
        { "op": "test", "path": "/data/k", "value": "1" },
        { "op": "replace", "path": "/data/k", "value": "2" },
        { "op": "add", "path": "/data/l", "value": "3" },
    ]);
    assert_eq!(after(patch).unwrap()["data"], json!({ "k": "2", "l": "3" }));
    for patch in [
        json!([{ "op": "test", "path": "/data/k", "value": "2" }]),
        json!([{ "op": "remove", "path": "/data/none" }]),
        json!([{ "op": "replace", "path": "/data/none", "value": "2" }]),
        json!([{ "op": "invent", "path": "/data/k" }]),
    ] {
        let error = after(patch).unwrap_err();
        assert_eq!((error.code, error.reason), (422, "Invalid"));
        assert_eq!(error.message, "the server rejected our request due to an error in our request");
    }
    for (patch, why) in [
        (json!({}), "object into Go value of type []handlers.jsonPatchOp"),
        (json!([1]), "number into Go value of type handlers.jsonPatchOp"),
        (json!([{ "op": 1 }]), "number into Go struct field jsonPatchOp.op of type string"),
    ] {
        let error = after(patch).unwrap_err();
        let expected = format!("error decoding patch: json: cannot unmarshal {why}");
        assert_eq!((error.code, error.message), (400, expected));
    }
}

#[test]
fn json_patches_stay_within_bounds() {
    let map = json!({ "metadata": { "name": "c" }, "data": { "k": "x".repeat(1024) } });
    let doubling: Vec<Value> =
        (0..40).map(|n| json!({ "op": "copy", "from": "/data", "path": format!("/data/c{n}") })).collect();
    assert_eq!(try_patch("configmaps", JSON, &map, &doubling.into()).unwrap_err().code, 422);
    let nesting = (0..2000).flat_map(|_| {
        [
            json!({ "op": "add", "path": "/other", "value": {} }),
            json!({ "op": "move", "from": "/data", "path": "/other/data" }),
            json!({ "op": "move", "from": "/other", "path": "/data" }),
        ]
    });
    assert_eq!(try_patch("configmaps", JSON, &map, &nesting.collect()).unwrap_err().code, 422);
    let many: Vec<Value> = (0..=MAX_DEPTH * 100).map(|_| json!({ "op": "remove", "path": "/x" })).collect();
    assert_eq!(try_patch("configmaps", JSON, &map, &many.into()).unwrap_err().code, 413);
}

#[test]
fn other_media_types_are_refused() {
    let map = json!({ "metadata": { "name": "c" } });
    let error = try_patch("configmaps", "application/json", &map, &json!({})).unwrap_err();
    assert_eq!((error.code, error.reason), (415, "UnsupportedMediaType"));
}

/// Any JSON, with the words that patches know.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "metadata",
        "labels",
        "finalizers",
        "spec",
        "containers",
        "name",
        "env",
        "ports",
        "containerPort",
        "tolerations",
        "volumes",
        "a",
        "$patch",
        "delete",
        "replace",
        "merge",
        "$retainKeys",
        "$setElementOrder/containers",
        "$deleteFromPrimitiveList/finalizers",
        "op",
        "path",
        "/spec",
        "copy",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(word.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A patch of pods whose lists name no element twice.
fn pod_patch() -> impl Strategy<Value = Value> {
    let text = prop::option::of("[a-c]");
    let named = |inner: BoxedStrategy<Value>| {
        prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| {
            let with_name = |(name, mut value): (String, Value)| {
                value["name"] = name.into();
                value
            };
            Value::Array(map.into_iter().map(with_name).rev().collect())
        })
    };
    let env = named(text.clone().prop_map(|value| json!({ "value": value })).boxed());
    let container = (text.clone(), prop::option::of(env), prop::option::weighted(0.2, Just("delete")));
    let container = container.prop_map(|(image, env, directive)| {
        let mut container = json!({ "image": image });
        if let Some(env) = env {
            container["env"] = env;
        }
        if let Some(directive) = directive {
            container["$patch"] = directive.into();
        }
        container
    });
    let labels = prop::collection::btree_map("[a-c]", text.clone(), 0..3);
    let finalizers = prop::collection::btree_set("[a-c]/x", 0..3);
    (named(container.boxed()), labels, finalizers, text).prop_map(|(containers, labels, finalizers, node)| {
        json!({
            "metadata": { "labels": labels, "finalizers": finalizers },
            "spec": { "containers": containers, "nodeName": node },
        })
    })
}

proptest! {
    #[test]
    fn no_patch_is_too_strange(object in any_json(), patch in any_json()) {
        for content_type in [JSON, MERGE, STRATEGIC] {
            let mut object = object.clone();
            let _ = apply(content_type, root("pods"), &mut object, patch.to_string().as_bytes());
        }
    }

    #[test]
    fn a_second_time_changes_nothing(first in pod_patch(), second in pod_patch()) {
        for content_type in [MERGE, STRATEGIC] {
            let start = pod(&json!({ "containers": [{ "name": "a" }, { "name": "b" }] }));
            let object = try_patch("pods", content_type, &start, &first).unwrap();
            let once = try_patch("pods", content_type, &object, &second).unwrap();
            let twice = try_patch("pods", content_type, &once, &second).unwrap();
            prop_assert_eq!(once, twice);
        }
    }
}
