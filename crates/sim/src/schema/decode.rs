//! From what a client sent to the form in which the server keeps it, as Go's structs make it.
//!
//! The rules and texts are those of `sigs.k8s.io/json`, which reads a body into a struct, and of `encoding/json`,
//! which writes the struct again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use super::{Path, Quantity, Root, Shape, Type, Zero, time};
use crate::kinds::Kind;
use crate::status::ApiError;

/// As many unknown fields are told (`sigs.k8s.io/json/internal/golang/encoding/json/kubernetes_patch.go`).
const MAX_UNKNOWN: usize = 100;

/// An object in the server's form.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) object: Value,
    /// What strict validation refuses: `unknown field "spec.foo"`.
    pub(crate) unknown: Vec<String>,
}

impl Decoded {
    /// The object, if nothing in it is unknown: `fieldValidation=Strict`.
    pub(crate) fn strict(self, root: &Root) -> Result<Value, ApiError> {
        if self.unknown.is_empty() {
            return Ok(self.object);
        }
        Err(cannot_be_handled(root, &format!("strict decoding error: {}", self.unknown.join(", "))))
    }
}

/// Reads an object of a kind. Without a type for the kind, the object stays as it is.
pub(crate) fn decode(kind: &Kind, object: Value) -> Result<Decoded, ApiError> {
    match Root::of(kind) {
        Some(root) => decode_root(root, object),
        None => Ok(Decoded { object, unknown: Vec::new() }),
    }
}

/// Reads what has the type of `root`.
pub(crate) fn decode_root(root: &'static Root, object: Value) -> Result<Decoded, ApiError> {
    decode_fields(root, object, Dialect::Json).map_err(|why| cannot_be_handled(root, &why))
}

/// Which of Kubernetes' two decoders finds an error; their texts differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `encoding/json`, which reads bodies.
    Json,
    /// `FromUnstructured` in `apimachinery/pkg/runtime/converter.go`, which reads what a strategic merge patch leaves.
    Unstructured,
}

/// Like [`decode_root`], with the error of the decoder alone.
pub(crate) fn decode_fields(
    root: &'static Root,
    mut object: Value,
    dialect: Dialect,
) -> Result<Decoded, String> {
    let mut decoder = Decoder { dialect, unknown: Vec::new() };
    let place = Place { within: root.ty, go_type: None, path: Path::ROOT };
    decoder.value(&Shape::Object(root.ty), &mut object, place)?;
    Ok(Decoded { object, unknown: decoder.unknown })
}

/// Text of `transformDecodeError` in `apiserver/pkg/endpoints/handlers/rest.go`.
fn cannot_be_handled(root: &Root, why: &str) -> ApiError {
    let Root { kind, version, .. } = root;
    ApiError::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"))
}

struct Decoder {
    dialect: Dialect,
    unknown: Vec<String>,
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The innermost struct around it.
    within: &'a Type,
    /// Its Go type, where that is not the plain one.
    go_type: Option<&'static str>,
    path: Path<'a>,
}

impl Decoder {
    fn value(&mut self, shape: &Shape, value: &mut Value, place: Place<'_>) -> Result<(), String> {
        match (shape, &mut *value) {
            (_, Value::Null) => *value = zero(shape),
            (Shape::Object(ty), Value::Object(map)) => self.object(ty, map, &place.path)?,
            (Shape::List(inner), Value::Array(items)) => {
                let go_type = place.go_type.and_then(|name| name.strip_prefix("[]"));
                for (index, item) in items.iter_mut().enumerate() {
                    self.value(inner, item, Place { go_type, path: place.path.index(index), ..place })?;
                }
            }
            (Shape::Map(inner), Value::Object(map)) => {
                let go_type = place.go_type.and_then(|name| name.strip_prefix("map[string]"));
                for (key, item) in map {
                    self.value(inner, item, Place { go_type, path: place.path.key(key), ..place })?;
                }
            }
            (Shape::Time | Shape::MicroTime, value) => time::decode(shape, value)?,
            (Shape::Quantity, value) => decode_quantity(value)?,
            (Shape::IntOrString, value) => check_int_or_string(value)?,
            (Shape::Bytes, Value::String(text)) => check_base64(text)?,
            (_, value) if holds(shape, value) => {}
            (_, value) => {
                return Err(match self.dialect {
                    Dialect::Json => mismatch(shape, value, place),
                    Dialect::Unstructured => not_convertible(shape, value, place.go_type),
                });
            }
        }
        Ok(())
    }

    fn object(
        &mut self,
        ty: &'static Type,
        map: &mut Map<String, Value>,
        path: &Path<'_>,
    ) -> Result<(), String> {
        let mut failure = Ok(());
        map.retain(|name, value| {
            if failure.is_err() {
                return true;
            }
            let Some(field) = ty.fields.get(name.as_str()) else {
                self.report_unknown(&path.field(name));
                return false;
            };
            if value.is_null() {
                return false;
            }
            let place = Place { within: ty, go_type: field.go_type, path: path.field(name) };
            failure = self.value(&field.shape, value, place);
            matches!(field.zero, Zero::Kept | Zero::Null) || !is_empty(&field.shape, value)
        });
        failure?;
        complete(ty, map);
        Ok(())
    }

    fn report_unknown(&mut self, path: &Path<'_>) {
        if self.unknown.len() < MAX_UNKNOWN {
            self.unknown.push(format!("unknown field \"{path}\""));
        }
    }
}

/// Writes the fields that Go writes even if they hold nothing.
pub(crate) fn complete(ty: &Type, map: &mut Map<String, Value>) {
    for name in &ty.completed {
        if !map.contains_key(*name) {
            let field = &ty.fields[name];
            let value = if field.zero == Zero::Null { Value::Null } else { zero(&field.shape) };
            map.insert((*name).to_owned(), value);
        }
    }
}

/// What Go writes for the zero value of a type.
fn zero(shape: &Shape) -> Value {
    match shape {
        Shape::String => "".into(),
        Shape::Integer { .. } | Shape::Number | Shape::IntOrString => 0.into(),
        Shape::Boolean => false.into(),
        Shape::Quantity => "0".into(),
        Shape::Object(ty) => {
            let mut map = Map::new();
            complete(ty, &mut map);
            map.into()
        }
        Shape::Time | Shape::MicroTime | Shape::Bytes | Shape::List(_) | Shape::Map(_) | Shape::Any => {
            Value::Null
        }
    }
}

/// Whether `omitempty` drops the value.
fn is_empty(shape: &Shape, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty() && matches!(shape, Shape::Map(_)),
    }
}

/// Whether a plain value is one that the shape holds.
fn holds(shape: &Shape, value: &Value) -> bool {
    match (shape, value) {
        (Shape::Integer { bits: 32 }, Value::Number(number)) => is_int32(number),
        (Shape::Integer { .. }, Value::Number(number)) => number.is_i64(),
        (Shape::String, Value::String(_))
        | (Shape::Number, Value::Number(_))
        | (Shape::Boolean, Value::Bool(_))
        | (Shape::Any, _) => true,
        _ => false,
    }
}

fn is_int32(number: &Number) -> bool {
    number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
}

/// As `UnmarshalJSON` in `apimachinery/pkg/util/intstr/intstr.go`.
fn check_int_or_string(value: &Value) -> Result<(), String> {
    let found = match value {
        Value::String(_) => return Ok(()),
        Value::Number(number) if is_int32(number) => return Ok(()),
        Value::Number(number) => format!("number {number}"),
        other => json_type(other).to_owned(),
    };
    Err(format!("json: cannot unmarshal {found} into Go value of type int32"))
}

fn decode_quantity(value: &mut Value) -> Result<(), String> {
    let quantity = match &*value {
        Value::String(text) => Quantity::parse(text),
        other => Quantity::parse(&other.to_string()),
    };
    *value = quantity.map_err(|error| error.to_string())?.to_string().into();
    Ok(())
}

fn check_base64(text: &str) -> Result<(), String> {
    STANDARD.decode(text).map(drop).map_err(|error| base64_error(text, &error))
}

/// Text of `CorruptInputError` in `encoding/base64`.
pub(crate) fn base64_error(text: &str, error: &base64::DecodeError) -> String {
    let at = match error {
        base64::DecodeError::InvalidByte(offset, _)
        | base64::DecodeError::InvalidLastSymbol { offset, .. } => *offset,
        _ => text.len(),
    };
    format!("illegal base64 data at input byte {at}")
}

/// Text of `UnmarshalTypeError` in `encoding/json`.
fn mismatch(shape: &Shape, value: &Value, place: Place<'_>) -> String {
    let found = match (shape, value) {
        (Shape::Integer { .. }, Value::Number(number)) => format!("number {number}"),
        _ => json_type(value).to_owned(),
    };
    let expected = place.go_type.map_or_else(|| go_type(shape), str::to_owned);
    match place.path.fields() {
        fields if fields.is_empty() => {
            format!("json: cannot unmarshal {found} into Go value of type {expected}")
        }
        fields => format!(
            "json: cannot unmarshal {found} into Go struct field {}.{fields} of type {expected}",
            place.within.short_name()
        ),
    }
}

/// Texts of `fromUnstructured` in `apimachinery/pkg/runtime/converter.go`.
fn not_convertible(shape: &Shape, value: &Value, named: Option<&str>) -> String {
    let found = match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    };
    match (shape, value) {
        (Shape::Object(_), _) => format!("cannot restore struct from: {found}"),
        (Shape::Map(_), _) => format!("cannot restore map from {found}"),
        (Shape::List(_) | Shape::Bytes, _) => format!("cannot restore slice from {found}"),
        // Go can convert these, though JSON cannot.
        (Shape::String | Shape::Integer { .. }, Value::Number(_))
            if found == "int64" || !matches!(shape, Shape::String) =>
        {
            format!("cannot convert {found} to {}", named.map_or_else(|| go_type(shape), str::to_owned))
        }
        _ => format!("unrecognized type: {}", go_type(shape)),
    }
}

/// What a value is to Go's decoder.
pub(crate) fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The plain name of the type in Go.
fn go_type(shape: &Shape) -> String {
    match shape {
        Shape::String => "string".to_owned(),
        Shape::Integer { bits } => format!("int{bits}"),
        Shape::Number => "float64".to_owned(),
        Shape::Boolean => "bool".to_owned(),
        Shape::Time => "v1.Time".to_owned(),
        Shape::MicroTime => "v1.MicroTime".to_owned(),
        Shape::Quantity => "resource.Quantity".to_owned(),
        Shape::IntOrString => "intstr.IntOrString".to_owned(),
        Shape::Bytes => "[]uint8".to_owned(),
        Shape::Object(ty) => {
            let mut parts = ty.name.rsplit('.');
            let name = parts.next().unwrap_or_default();
            format!("{}.{name}", parts.next().unwrap_or_default())
        }
        Shape::List(inner) => format!("[]{}", go_type(inner)),
        Shape::Map(inner) => format!("map[string]{}", go_type(inner)),
        Shape::Any => "interface {}".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds;

    fn read(plural: &str, object: Value) -> Decoded {
        decode(kinds::by_plural(plural).unwrap(), object).unwrap()
    }

    fn refused(plural: &str, object: Value) -> String {
        let error = decode(kinds::by_plural(plural).unwrap(), object).unwrap_err();
        assert_eq!((error.code, error.reason), (400, "BadRequest"));
        error.message.split_once(": ").unwrap().1.to_owned()
    }

    #[test]
    fn wrong_types_are_told_as_go_does() {
        for (plural, object, expected) in [
            (
                "deployments",
                json!({ "spec": { "replicas": "3" } }),
                "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                "pods",
                json!({ "spec": { "containers": [{}, { "image": 5 }] } }),
                "json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string",
            ),
            (
                "pods",
                json!({ "spec": { "containers": {} } }),
                "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
            ),
            (
                "pods",
                json!({ "metadata": { "labels": { "a": true } } }),
                "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
            ),
            (
                "pods",
                json!({ "metadata": { "labels": [] } }),
                "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
            ),
            (
                "pods",
                json!({ "spec": 3 }),
                "json: cannot unmarshal number into Go struct field Pod.spec of type v1.PodSpec",
            ),
            (
                "pods",
                json!({ "spec": { "containers": [{ "imagePullPolicy": 1 }] } }),
                "json: cannot unmarshal number into Go struct field Container.spec.containers.imagePullPolicy of type v1.PullPolicy",
            ),
            (
                "persistentvolumeclaims",
                json!({ "spec": { "accessModes": [{}] } }),
                "json: cannot unmarshal object into Go struct field PersistentVolumeClaimSpec.spec.accessModes of type v1.PersistentVolumeAccessMode",
            ),
            ("pods", json!([]), "json: cannot unmarshal array into Go value of type v1.Pod"),
            (
                "deployments",
                json!({ "spec": { "replicas": 1.5 } }),
                "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                "poddisruptionbudgets",
                json!({ "spec": { "minAvailable": true } }),
                "json: cannot unmarshal bool into Go value of type int32",
            ),
            ("secrets", json!({ "data": { "a": "§" } }), "illegal base64 data at input byte 0"),
            (
                "persistentvolumeclaims",
                json!({ "spec": { "resources": { "requests": { "storage": "much" } } } }),
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            ),
        ] {
            assert_eq!(refused(plural, object), expected);
        }
    }

    #[test]
    fn unknown_fields_are_dropped_and_told() {
        let pod = json!({
            "metadata": { "name": "a" },
            "spec": { "foo": 1, "containers": [{ "name": "c", "imagee": "i" }] },
        });
        let decoded = read("pods", pod);
        assert!(decoded.object["spec"].get("foo").is_none());
        let root = Root::of(kinds::by_plural("pods").unwrap()).unwrap();
        let error = decoded.strict(root).unwrap_err();
        let expected = "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \
                        \"spec.containers[0].imagee\", unknown field \"spec.foo\"";
        assert_eq!(error.message, expected);
    }

    #[test]
    fn empty_values_go_where_go_omits_them() {
        let decoded = read(
            "pods",
            json!({
                "metadata": { "name": "a", "labels": {}, "annotations": null },
                "spec": {
                    "containers": [{ "name": "c", "image": "", "securityContext": {} }],
                    "terminationGracePeriodSeconds": 0,
                    "nodeName": "",
                    "tolerations": [],
                },
            }),
        );
        assert_eq!(decoded.object["metadata"], json!({ "name": "a" }));
        let spec = &decoded.object["spec"];
        assert_eq!(spec["containers"][0]["securityContext"], json!({}));
        assert_eq!(spec["terminationGracePeriodSeconds"], 0);
        for field in ["nodeName", "tolerations"] {
            assert!(spec.get(field).is_none(), "{field}");
        }
    }

    #[test]
    fn amounts_and_times_become_canonical() {
        let limits = json!({ "cpu": "0.5", "memory": "1024Mi", "pods": 10 });
        let spec = json!({ "containers": [{ "name": "c", "resources": { "limits": limits } }] });
        let metadata = json!({ "deletionTimestamp": "2026-11-20T09:37:24.5+01:00" });
        let decoded = read("pods", json!({ "metadata": metadata, "spec": spec }));
        let limits = &decoded.object["spec"]["containers"][0]["resources"]["limits"];
        assert_eq!(*limits, json!({ "cpu": "500m", "memory": "1Gi", "pods": "10" }));
        assert_eq!(decoded.object["metadata"]["deletionTimestamp"], "2026-11-20T08:37:24Z");
    }

    #[test]
    fn what_go_never_omits_is_written() {
        let set = read("replicasets", json!({ "metadata": { "name": "a" }, "spec": {} })).object;
        assert_eq!(set["status"], json!({ "replicas": 0 }));
        let template = json!({ "metadata": {}, "spec": { "containers": null } });
        assert_eq!(set["spec"], json!({ "selector": null, "template": template }));
        let event = read("events", json!({ "metadata": { "name": "a" } })).object;
        assert_eq!(event["source"], json!({}));
        assert_eq!(event["reportingComponent"], "");
        assert!(event.as_object().unwrap().contains_key("firstTimestamp"));
    }

    #[test]
    fn objects_of_the_recorded_story_are_in_the_servers_form() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
        let mut seen = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let Ok(exchange) = serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()) else {
                continue;
            };
            let body = &exchange["response"]["body"];
            let Some(kind) = kinds::of(body) else { continue };
            let decoded = decode(kind, body.clone()).unwrap();
            assert!(decoded.unknown.is_empty(), "{}: {:?}", path.display(), decoded.unknown);
            assert_eq!(decoded.object, *body, "{}", path.display());
            seen += 1;
        }
        assert!(seen > 15, "{seen}");
    }
}
