//! OpenAPI v2, which kubectl asks for where v3 knows nothing of a kind. No kind is described there: the answer is a
//! document without definitions, from which kubectl concludes that the server does not have the kind.

use bytes::Bytes;
use http::HeaderMap;
use http::header::ACCEPT;
use serde_json::json;

/// The media type of the document in protobuf as clients ask for it, and as it can be parsed and is answered
/// (`kube-openapi/pkg/handler/handler.go`).
const ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const ANSWERED: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Media type and body of `/openapi/v2`, in protobuf for those who ask for it.
pub(in crate::http) fn document(headers: &HeaderMap) -> (&'static str, Bytes) {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepted.any(|value| [ASKED, ANSWERED].iter().any(|known| value.contains(known))) {
        return (ANSWERED, in_protobuf().into());
    }
    let info = json!({ "title": "Kubernetes", "version": "v1.36.2" });
    let document = json!({ "swagger": "2.0", "info": info, "paths": {} });
    ("application/json", document.to_string().into())
}

/// The same as a `Document` of gnostic's `OpenAPIv2.proto`: `swagger` is field 1, `info` 2 with `title` 1 and
/// `version` 2, `paths` 8.
fn in_protobuf() -> Vec<u8> {
    let info = [field(1, b"Kubernetes"), field(2, b"v1.36.2")].concat();
    [field(1, b"2.0"), field(2, &info), field(8, b"")].concat()
}

/// A field whose content has a length, of one byte here.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or_default();
    [&[number << 3 | 2, length], content].concat()
}
