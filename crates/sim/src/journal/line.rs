//! The lines of the file: a checksum, and JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::object::Object;

/// The first line, without a checksum: every version can tell which one has written the file.
pub(super) const HEADER: &str = "kubesage simulated cluster, format 1\n";

/// What a line says.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line<'a> {
    /// An object; its resourceVersion tells when.
    Put(#[serde(serialize_with = "value")] &'a Object),
    Removed {
        plural: &'a str,
        key: &'a str,
        revision: u64,
    },
    /// What there is besides objects.
    Kept {
        name: &'a str,
        value: &'a RawValue,
    },
    /// The end of what was there when the file was written, and its resourceVersion.
    Revision(u64),
}

/// The same, read.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Read {
    Put(Value),
    Removed { plural: String, key: String, revision: u64 },
    Kept { name: String, value: Box<RawValue> },
    Revision(u64),
}

impl Line<'_> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let json = serde_json::to_string(self).expect("what a line says is JSON");
        format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes()
    }
}

impl Read {
    /// What a line says, without the end of the line.
    pub(super) fn decode(line: &str) -> Result<Read, String> {
        let (sum, json) = line.split_once(' ').ok_or("it has no checksum")?;
        if u32::from_str_radix(sum, 16) != Ok(crc32fast::hash(json.as_bytes())) {
            return Err("its checksum is another".to_owned());
        }
        serde_json::from_str(json).map_err(|error| error.to_string())
    }
}

fn value<S: serde::Serializer>(object: &Object, serializer: S) -> Result<S::Ok, S::Error> {
    Value::serialize(object, serializer)
}
