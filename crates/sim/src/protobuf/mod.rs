//! Bodies in protobuf: what clients written in Go send for the kinds that they know
//! (`apimachinery/pkg/runtime/serializer/protobuf`). They are read as the JSON that they stand for; answers are JSON,
//! which such clients accept too.

mod message;
mod numbers;
mod wire;

use serde_json::Value;

use self::wire::{Content, Fields, Malformed};
use crate::kinds::group_version;
use crate::schema::Root;
use crate::status::ApiError;

/// The media type of such bodies.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
/// What such a body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// A body as the JSON that it stands for.
///
/// # Errors
/// 400 for what cannot be read.
pub(crate) fn to_json(body: &[u8]) -> Result<Value, ApiError> {
    let message = body.strip_prefix(MAGIC).ok_or_else(|| {
        ApiError::bad_request(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
        )
    })?;
    let unknown = Unknown::read(message).map_err(refused)?;
    let (api_version, kind) = (unknown.api_version, unknown.kind);
    let mut types = Root::all()
        .filter(|root| root.kind == kind && group_version(root.group, root.version) == api_version);
    let root = types.next().ok_or_else(|| {
        ApiError::bad_request(format!("no kind \"{kind}\" is registered for version \"{api_version}\""))
    })?;
    let mut object = message::object(root.ty, unknown.raw).map_err(refused)?;
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    Ok(object.into())
}

fn refused(malformed: Malformed) -> ApiError {
    ApiError::bad_request(malformed.to_string())
}

/// The envelope of every object: `runtime.Unknown`.
#[derive(Default)]
struct Unknown<'a> {
    api_version: &'a str,
    kind: &'a str,
    raw: &'a [u8],
}

impl<'a> Unknown<'a> {
    fn read(message: &'a [u8]) -> Result<Unknown<'a>, Malformed> {
        let mut unknown = Unknown::default();
        for field in Fields::of(message) {
            match field? {
                (1, content) => unknown.read_type(content)?,
                (2, content) => unknown.raw = content.bytes()?,
                _ => {}
            }
        }
        Ok(unknown)
    }

    fn read_type(&mut self, content: Content<'a>) -> Result<(), Malformed> {
        for field in Fields::of(content.bytes()?) {
            match field? {
                (1, content) => self.api_version = content.text()?,
                (2, content) => self.kind = content.text()?,
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
