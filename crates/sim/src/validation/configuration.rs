//! Config maps and secrets: `ValidateConfigMap` and `ValidateSecret`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::errors::Errors;
use super::format;
use super::read::{entries, text};
use crate::json;
use crate::kinds::Kind;
use crate::schema::Path;

/// `MaxSecretSize`, for config maps too.
const MAX_SIZE: usize = 1024 * 1024;
const TYPE_PREFIX: &str = "kubernetes.io/";

pub(super) fn config_map(errors: &mut Errors, map: &Value) {
    let root = Path::ROOT;
    let mut size = 0;
    let data = root.field("data");
    for (key, value) in entries(&map["data"]) {
        errors.broken(&data.key(key), key, &format::config_map_key(key));
        if !map["binaryData"][key].is_null() {
            errors.invalid(&data.key(key), key, "duplicate of key present in binaryData");
        }
        size += value.as_str().unwrap_or_default().len();
    }
    let binary = root.field("binaryData");
    for (key, value) in entries(&map["binaryData"]) {
        errors.broken(&binary.key(key), key, &format::config_map_key(key));
        size += decoded(value).len();
    }
    if size > MAX_SIZE {
        errors.too_long(&root, MAX_SIZE);
    }
}

pub(super) fn secret(errors: &mut Errors, secret: &Value) {
    let root = Path::ROOT;
    let data = root.field("data");
    let mut size = 0;
    for (key, value) in entries(&secret["data"]) {
        errors.broken(&data.key(key), key, &format::config_map_key(key));
        size += decoded(value).len();
    }
    if size > MAX_SIZE {
        errors.too_long(&data, MAX_SIZE);
    }
    let has = |key: &str| !secret["data"][key].is_null();
    match text(secret, "type").strip_prefix(TYPE_PREFIX) {
        Some("service-account-token") => {
            let account = "kubernetes.io/service-account.name";
            if text(&secret["metadata"]["annotations"], account).is_empty() {
                let path = root.field("metadata");
                let path = path.field("annotations");
                errors.required(&path.key(account), "");
            }
        }
        Some("basic-auth") if !has("username") && !has("password") => {
            errors.required(&data.key("username"), "");
            errors.required(&data.key("password"), "");
        }
        Some("ssh-auth") => required(errors, secret, &["ssh-privatekey"], &data),
        Some("tls") => required(errors, secret, &["tls.crt", "tls.key"], &data),
        Some("dockercfg") => holds_json(errors, secret, ".dockercfg", &data),
        Some("dockerconfigjson") => holds_json(errors, secret, ".dockerconfigjson", &data),
        _ => {}
    }
}

fn required(errors: &mut Errors, secret: &Value, keys: &[&str], path: &Path<'_>) {
    for key in keys.iter().filter(|key| secret["data"][**key].is_null()) {
        errors.required(&path.key(key), "");
    }
}

fn holds_json(errors: &mut Errors, secret: &Value, key: &str, path: &Path<'_>) {
    required(errors, secret, &[key], path);
    let value = &secret["data"][key];
    if !value.is_null()
        && let Err(why) = json::read_map(&decoded(value))
    {
        errors.invalid(&path.key(key), "<secret contents redacted>", &why);
    }
}

fn decoded(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default()
}

/// `ValidateConfigMapUpdate` and `ValidateSecretUpdate`.
pub(super) fn update(errors: &mut Errors, kind: &Kind, new: &Value, old: &Value) {
    let root = Path::ROOT;
    if kind.plural == "secrets" {
        errors.immutable(&root.field("type"), &new["type"], &old["type"]);
    }
    if old["immutable"] != true {
        return;
    }
    let why = "field is immutable when `immutable` is set";
    if new["immutable"] != true {
        errors.forbidden(&root.field("immutable"), why);
    }
    for field in ["data", "binaryData"] {
        if new[field] != old[field] {
            errors.forbidden(&root.field(field), why);
        }
    }
}
