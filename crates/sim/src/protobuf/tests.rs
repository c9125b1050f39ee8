use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A field whose content has a length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 0x80);
    [&[number << 3 | 2, length], content].concat()
}

fn body(api_version: &str, kind: &str, object: &[u8]) -> Vec<u8> {
    let names = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [MAGIC.to_vec(), field(1, &names), field(2, object), field(3, b""), field(4, b"")].concat()
}

/// What `kubectl create namespace foo` sends.
#[test]
fn a_namespace_of_kubectl() {
    let sent = b"k8s\0\n\x0f\n\x02v1\x12\tNamespace\x12\x1b\n\x13\n\x03foo\x12\0\x1a\0\"\0*\x002\08\0B\0\x12\0\x1a\x02\n\0\x1a\0\"\0";
    let expected = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "foo" }, "spec": {}, "status": {},
    });
    assert_eq!(to_json(sent).unwrap(), expected);
}

#[test]
fn maps_bytes_amounts_times_and_numbers_or_texts() {
    let entry = |key: &[u8], value: &[u8]| [field(1, key), field(2, value)].concat();
    let secret = [field(2, &entry(b"a", b"\xff")), field(3, b"Opaque")].concat();
    let json = to_json(&body("v1", "Secret", &secret)).unwrap();
    assert_eq!((&json["data"]["a"], &json["type"]), (&json!("/w=="), &json!("Opaque")));

    let spec = [field(1, &[8, 1, 16, 0, 26, 3, b'5', b'0', b'%']), field(3, &[8, 0, 16, 2])].concat();
    let json = to_json(&body("policy/v1", "PodDisruptionBudget", &field(2, &spec))).unwrap();
    assert_eq!(json["spec"], json!({ "minAvailable": "50%", "maxUnavailable": 2 }));

    let hard = field(1, &entry(b"cpu", &field(1, b"500m")));
    let json = to_json(&body("v1", "ResourceQuota", &field(2, &hard))).unwrap();
    assert_eq!(json["spec"]["hard"], json!({ "cpu": "500m" }));

    let metadata = [field(1, b"l"), field(8, &[8, 60])].concat();
    let json = to_json(&body("coordination.k8s.io/v1", "Lease", &field(1, &metadata))).unwrap();
    assert_eq!(json["metadata"], json!({ "name": "l", "creationTimestamp": "1970-01-01T00:01:00Z" }));
}

/// A pointer to zero is a zero that was meant.
#[test]
fn a_zero_that_was_given_stays() {
    let json = to_json(&body("apps/v1", "Deployment", &field(2, &[8, 0]))).unwrap();
    assert_eq!(json["spec"]["replicas"], 0);
}

#[test]
fn embedded_structs_stand_beside_other_fields() {
    let volume = [field(1, b"v"), field(2, &field(2, &field(1, b"Memory")))].concat();
    let json = to_json(&body("v1", "Pod", &field(2, &field(1, &volume)))).unwrap();
    assert_eq!(json["spec"]["volumes"], json!([{ "name": "v", "emptyDir": { "medium": "Memory" } }]));
}

#[test]
fn what_cannot_be_read() {
    for body in [
        b"".to_vec(),
        b"{}".to_vec(),
        body("v1", "Chair", b""),
        body("v1", "Pod", &[0x0a, 9]),
        body("v1", "Pod", &[0]),
    ] {
        assert_eq!(to_json(&body).unwrap_err().code, 400, "{body:?}");
    }
}

proptest! {
    #[test]
    fn no_body_is_too_odd(object in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = to_json(&object);
        let _ = to_json(&body("v1", "Pod", &object));
    }
}
