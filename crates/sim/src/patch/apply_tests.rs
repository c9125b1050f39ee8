use serde_json::{Value, json};

use super::*;
use crate::managed::Writer;

fn deployments() -> &'static Root {
    Root::find("apps", "v1", "Deployment").unwrap()
}

fn deployment(spec: &Value) -> Value {
    let metadata = json!({ "name": "web", "namespace": "default" });
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec })
}

fn by(manager: &str, force: bool) -> Applier<'_> {
    Applier { manager, subresource: "", force, now: "2026-11-20T09:37:24Z".parse().unwrap() }
}

/// What a manager gets who wants this of the containers of an object.
fn applied(live: Option<&Value>, applier: Applier<'_>, containers: &Value) -> Result<Value, ApiError> {
    let spec = json!({ "template": { "spec": { "containers": containers } } });
    apply(deployments(), live, &deployment(&spec), applier)
}

fn containers(object: &Value) -> &Value {
    &object["spec"]["template"]["spec"]["containers"]
}

#[test]
fn managers_own_what_they_apply() {
    let object = applied(None, by("one", false), &json!([{ "name": "c", "image": "a" }])).unwrap();
    let entry = &object["metadata"]["managedFields"][0];
    assert_eq!((&entry["manager"], &entry["operation"]), (&json!("one"), &json!("Apply")));
    let container = json!({ ".": {}, "f:image": {}, "f:name": {} });
    let fields = json!({ "f:spec": { "f:template": { "f:spec": { "f:containers": {
        "k:{\"name\":\"c\"}": container
    } } } } });
    assert_eq!(entry["fieldsV1"], fields);
}

#[test]
fn fields_of_others_are_a_conflict_unless_forced() {
    let object = applied(None, by("one", false), &json!([{ "name": "c", "image": "a" }])).unwrap();
    let wanted = json!([{ "name": "c", "image": "b" }]);
    let error = applied(Some(&object), by("two", false), &wanted).unwrap_err();
    assert_eq!((error.code, error.reason), (409, "Conflict"));
    let path = ".spec.template.spec.containers[name=\"c\"].image";
    assert_eq!(error.message, format!("Apply failed with 1 conflict: conflict with \"one\": {path}"));
    let cause =
        json!({ "reason": "FieldManagerConflict", "message": "conflict with \"one\"", "field": path });
    assert_eq!(error.details.unwrap()["causes"], json!([cause]));

    let forced = applied(Some(&object), by("two", true), &wanted).unwrap();
    assert_eq!(containers(&forced)[0]["image"], "b");
    let back = applied(Some(&forced), by("one", false), &json!([{ "name": "c", "image": "a" }])).unwrap_err();
    assert!(back.message.contains("\"two\""), "{}", back.message);
}

#[test]
fn the_same_value_is_shared() {
    let wanted = json!([{ "name": "c", "image": "a" }]);
    let object = applied(None, by("one", false), &wanted).unwrap();
    let shared = applied(Some(&object), by("two", false), &wanted).unwrap();
    assert_eq!(shared["metadata"]["managedFields"].as_array().unwrap().len(), 2);
    // What one gives up stays, as the other still wants it.
    let less = applied(Some(&shared), by("one", false), &json!([{ "name": "c" }])).unwrap();
    assert_eq!(containers(&less)[0]["image"], "a");
}

#[test]
fn what_is_given_up_goes() {
    let wanted =
        json!([{ "name": "c", "image": "a", "env": [{ "name": "X", "value": "1" }] }, { "name": "d" }]);
    let object = applied(None, by("one", false), &wanted).unwrap();
    let less = applied(Some(&object), by("one", false), &json!([{ "name": "c", "image": "a" }])).unwrap();
    let resources = &containers(&less)[0]["resources"];
    assert_eq!(*containers(&less), json!([{ "name": "c", "image": "a", "resources": resources }]));
}

#[test]
fn elements_that_others_have_part_in_keep_their_name() {
    let object = applied(None, by("one", false), &json!([{ "name": "c", "image": "a" }])).unwrap();
    let both = applied(Some(&object), by("two", false), &json!([{ "name": "c", "stdin": true }])).unwrap();
    let less = applied(Some(&both), by("one", false), &json!([])).unwrap();
    let container = &containers(&less)[0];
    assert_eq!((&container["name"], &container["stdin"]), (&json!("c"), &json!(true)));
    assert!(container.get("image").is_none());
}

#[test]
fn updates_take_fields_over() {
    let object = applied(None, by("one", false), &json!([{ "name": "c", "image": "a" }])).unwrap();
    let mut updated = object.clone();
    updated["spec"]["template"]["spec"]["containers"][0]["image"] = "b".into();
    let now = "2026-11-20T09:38:00Z".parse().unwrap();
    let writer = Writer { manager: "kubectl", subresource: "", begins: false };
    managed::track(deployments().ty, &object, &mut updated, writer, now);
    let error =
        applied(Some(&updated), by("one", false), &json!([{ "name": "c", "image": "a" }])).unwrap_err();
    let expected = "Apply failed with 1 conflict: conflict with \"kubectl\" using apps/v1: \
                    .spec.template.spec.containers[name=\"c\"].image";
    assert_eq!(error.message, expected);
}

#[test]
fn what_was_there_before_the_first_apply_has_a_manager() {
    let spec = json!({ "replicas": 3, "selector": { "matchLabels": { "a": "b" } } });
    let live = deployment(&spec);
    let wanted = deployment(&json!({ "replicas": 5, "paused": true }));
    let error = apply(deployments(), Some(&live), &wanted, by("one", false)).unwrap_err();
    let expected =
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using apps/v1: .spec.replicas";
    assert_eq!(error.message, expected);
}

#[test]
fn applying_twice_changes_nothing() {
    let wanted = json!([{ "name": "c", "ports": [{ "containerPort": 80 }], "resources": { "limits": { "cpu": "0.5" } } }]);
    let once = applied(None, by("one", false), &wanted).unwrap();
    let later = Applier { now: "2026-11-20T10:00:00Z".parse().unwrap(), ..by("one", false) };
    let twice = applied(Some(&once), later, &wanted).unwrap();
    assert_eq!(containers(&once), containers(&twice));
}

#[test]
fn bodies_are_yaml_or_json() {
    let yaml = b"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: 2\n";
    assert_eq!(read(deployments(), yaml).unwrap()["spec"]["replicas"], 2);
    let unknown =
        br#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"foo":1}}"#;
    let error = read(deployments(), unknown).unwrap_err();
    let expected = "failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.foo: field not \
                    declared in schema";
    assert_eq!((error.code, error.message.as_str()), (500, expected));
    for body in ["", "[]", "a: [", "\u{0}", "apiVersion: v1", "&a [*a]"] {
        assert_eq!(read(deployments(), body.as_bytes()).unwrap_err().code, 400, "{body}");
    }
    let deep =
        format!("apiVersion: apps/v1\nkind: Deployment\nspec: {}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(read(deployments(), deep.as_bytes()).is_err());
    let nested: String = (0..3000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert!(read(deployments(), nested.as_bytes()).is_err());
}
