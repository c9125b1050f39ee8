//! What a body says, read as the API server reads it.

use serde_json::{Map, Value};

use super::objects::Call;
use super::options::ObjectOptions;
use crate::conversion;
use crate::object;
use crate::patch::Patched;
use crate::schema::{self, Decoded, Root};
use crate::status::ApiError;
use crate::{json, protobuf, yaml};

const YAML: &str = "application/yaml";
/// How many bytes of a body an error shows (`summarizeData` of `apiserver/pkg/endpoints/handlers/rest.go`).
const SUMMARY: usize = 30;

/// What is to be done about fields that the type does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FieldValidation {
    Strict,
    Warn,
    Ignore,
}

impl FieldValidation {
    /// What options that have been checked ask for.
    fn of(options: &ObjectOptions) -> FieldValidation {
        match options.field_validation.as_str() {
            "Strict" => FieldValidation::Strict,
            "Ignore" => FieldValidation::Ignore,
            _ => FieldValidation::Warn,
        }
    }
}

/// An object as a client sent it, in the server's form, with what the client is to be warned of.
pub(super) struct Sent {
    pub(super) object: Value,
    pub(super) warnings: Vec<String>,
}

impl Call<'_> {
    /// The object in the body: of the kind, the name and the namespace that the path says.
    pub(super) fn object(&self) -> Result<Sent, ApiError> {
        let mut object = self.document(self.kind.kind)?;
        if let Some(root) = Root::of(self.spoken) {
            name_kind(root, &mut object)?;
        }
        let mut sent = self.decode(object)?;
        sent.object = conversion::to_stored(self.spoken, sent.object);
        self.set_namespace(&mut sent.object)?;
        Ok(sent)
    }

    /// Brings an object into the server's form.
    pub(super) fn decode(&self, object: Value) -> Result<Sent, ApiError> {
        let validation = FieldValidation::of(&self.options);
        let mut decoded = schema::decode(self.spoken, object)?;
        if self.media_type() != YAML {
            decoded.unknown.extend(schema::duplicates(self.body));
        }
        match (validation, Root::of(self.spoken)) {
            (FieldValidation::Strict, Some(root)) => {
                Ok(Sent { object: decoded.strict(root)?, warnings: Vec::new() })
            }
            (FieldValidation::Ignore, _) => Ok(Sent { object: decoded.object, warnings: Vec::new() }),
            (FieldValidation::Warn | FieldValidation::Strict, _) => {
                let Decoded { object, unknown } = decoded;
                Ok(Sent { object, warnings: unknown })
            }
        }
    }

    /// What the client is to be warned of after a patch, or the refusal of it.
    pub(super) fn judge(&self, patched: Patched) -> Result<Vec<String>, ApiError> {
        match FieldValidation::of(&self.options) {
            FieldValidation::Strict => patched.strict().map(|()| Vec::new()),
            FieldValidation::Ignore => Ok(Vec::new()),
            FieldValidation::Warn => Ok(patched.unknown),
        }
    }

    /// The body as something of another type than the kind's own.
    pub(super) fn decode_as(&self, group: &str, version: &str, kind: &str) -> Result<Value, ApiError> {
        let root = Root::find(group, version, kind).ok_or_else(ApiError::unsupported_body)?;
        let mut body = self.document(kind)?;
        name_kind(root, &mut body)?;
        Ok(schema::decode_root(root, body)?.object)
    }

    /// The same for what is created below an object, in its namespace.
    pub(super) fn decode_below(&self, group: &str, version: &str, kind: &str) -> Result<Value, ApiError> {
        let mut body = self.decode_as(group, version, kind)?;
        self.set_namespace(&mut body)?;
        Ok(body)
    }

    /// Refuses what is created below an object and does not bear its name.
    pub(super) fn check_name_below(&self, body: &Value, kind: &str) -> Result<(), ApiError> {
        if object::name(body) == self.path.name {
            return Ok(());
        }
        Err(ApiError::bad_request(format!("name in URL does not match name in {kind} object")))
    }

    /// What the body says, in any of the types that the server reads; protobuf has become JSON by now.
    fn document(&self, expected: &str) -> Result<Value, ApiError> {
        let read = match self.media_type() {
            "" | "application/json" | protobuf::MEDIA_TYPE => read_json(self.body)
                .map_err(|why| format!("couldn't get version/kind; json parse error: {why}")),
            YAML => yaml::parse(self.body).map_err(|error| format!("error converting YAML to JSON: {error}")),
            _ => return Err(ApiError::unsupported_body()),
        };
        read.map_err(|why| {
            let summary = summarize(self.body);
            ApiError::bad_request(format!(
                "the object provided is unrecognized (must be of type {expected}): {why} ({summary})"
            ))
        })
    }

    /// Puts the object into the namespace of the path, unless it says that it is in another one
    /// (`EnsureObjectNamespaceMatchesRequestNamespace` of `apiserver/pkg/registry/rest/meta.go`).
    pub(super) fn set_namespace(&self, object: &mut Value) -> Result<(), ApiError> {
        if !self.kind.namespaced {
            object::set_or_remove(&mut object["metadata"], "namespace", &Value::Null);
            return Ok(());
        }
        let namespace = self.path.namespace.as_str();
        if !["", namespace].contains(&object::namespace(object)) {
            let message =
                "the namespace of the provided object does not match the namespace sent on the request";
            return Err(ApiError::bad_request(message));
        }
        object["metadata"]["namespace"] = namespace.into();
        Ok(())
    }

    /// Refuses an object of another name than the path has (`checkName` of
    /// `apiserver/pkg/endpoints/handlers/rest.go`).
    pub(super) fn check_name(&self, object: &Value) -> Result<(), ApiError> {
        let (name, url) = (object::name(object), self.path.name.as_str());
        if name == url {
            return Ok(());
        }
        let message = format!("the name of the object ({name}) does not match the name on the URL ({url})");
        Err(ApiError::bad_request(message))
    }
}

/// An object, of which it can be told what it is (`SimpleMetaFactory` of `apimachinery/pkg/runtime/serializer/json`).
fn read_json(body: &[u8]) -> Result<Value, String> {
    let document = json::read(body)?;
    let Some(fields) = document.as_object() else {
        let wanted = "value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \
                      \"json:\\\"kind,omitempty\\\"\" }";
        return Err(json::mismatch(&document, wanted));
    };
    for name in ["apiVersion", "kind"] {
        if let Some(other) = fields.get(name).filter(|value| !value.is_string() && !value.is_null()) {
            return Err(json::mismatch(other, &format!("struct field .{name} of type string")));
        }
    }
    Ok(document)
}

/// Checks what the object says that it is; what it does not say is taken from the path.
fn name_kind(root: &Root, object: &mut Value) -> Result<(), ApiError> {
    let Some(fields) = object.as_object_mut() else {
        let message = format!(
            "{kind} in version \"{version}\" cannot be handled as a {kind}: json: cannot unmarshal {found} into Go \
             value of type v1.{kind}",
            kind = root.kind,
            version = root.version,
            found = if object.is_array() { "array" } else { "string" },
        );
        return Err(ApiError::bad_request(message));
    };
    let said = |fields: &Map<String, Value>, field: &str| {
        fields.get(field).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let api_version = said(fields, "apiVersion").unwrap_or_else(|| root.api_version());
    let name = said(fields, "kind").unwrap_or_else(|| root.kind.to_owned());
    if name != root.kind || !root.is_read_in(&api_version) {
        return Err(another_kind(root, &api_version, &name));
    }
    fields.insert("apiVersion".to_owned(), root.api_version().into());
    fields.insert("kind".to_owned(), name.into());
    if fields.get("metadata").is_none_or(Value::is_null) {
        fields.insert("metadata".to_owned(), Value::Object(Map::new()));
    }
    Ok(())
}

/// Texts of `transformDecodeError` and `apimachinery/pkg/runtime`.
fn another_kind(expected: &Root, api_version: &str, name: &str) -> ApiError {
    if name == expected.kind && Root::named(api_version, name).is_some() {
        return ApiError::other_version(api_version, &expected.api_version());
    }
    let version = api_version.rsplit('/').next().unwrap_or_default();
    let (expected, why) = (expected.kind, expected.unconvertible(api_version, name));
    ApiError::bad_request(format!("{name} in version \"{version}\" cannot be handled as a {expected}: {why}"))
}

fn summarize(body: &[u8]) -> String {
    let shown = &body[..body.len().min(SUMMARY)];
    let mut text = match shown.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(shown).into_owned(),
        Some(_) => hex::encode(shown),
    };
    if body.len() > SUMMARY {
        text.push_str(" ...");
    }
    text
}
