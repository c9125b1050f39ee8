//! The ConfigMaps and Secrets that a pod cannot start without (`pkg/volume/{configmap,secret,projected}` and
//! `makeEnvironmentVariables` of `pkg/kubelet/kubelet_pods.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::api::Api;
use crate::kinds::{CONFIG_MAPS, Kind, SECRETS};
use crate::object::{self, Object};

/// The volumes that admission gives to every pod for its token hold what the cluster has for all of them.
const TOKEN_VOLUMES: &str = "kube-api-access-";

/// A volume that cannot be mounted.
#[derive(Debug)]
pub(super) struct Unmounted {
    pub(super) volume: String,
    pub(super) why: String,
}

/// What keeps the volumes of a pod from being mounted.
pub(super) fn unmounted(pod: &Value, api: &Api) -> Vec<Unmounted> {
    let store = Store { api, namespace: object::namespace(pod) };
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    volumes
        .filter_map(|volume| {
            let name = volume["name"].as_str().filter(|name| !name.starts_with(TOKEN_VOLUMES))?;
            let why = store.missing_in_volume(volume)?;
            Some(Unmounted { volume: name.to_owned(), why })
        })
        .collect()
}

/// What keeps the environment of a container from being made.
pub(super) fn unset_environment(pod: &Value, container: &Value, api: &Api) -> Option<String> {
    let store = Store { api, namespace: object::namespace(pod) };
    let list = |field: &str| container[field].as_array().into_iter().flatten();
    list("envFrom")
        .find_map(|from| store.missing_object(&from["configMapRef"], &from["secretRef"]))
        .or_else(|| list("env").find_map(|variable| store.missing_value(&variable["valueFrom"])))
}

/// The environment of a container, as far as it can be made.
pub(super) fn environment(pod: &Value, container: &Value, api: &Api) -> BTreeMap<String, String> {
    let store = Store { api, namespace: object::namespace(pod) };
    let list = |field: &str| container[field].as_array().into_iter().flatten();
    let mut environment = BTreeMap::new();
    for from in list("envFrom") {
        let prefix = from["prefix"].as_str().unwrap_or_default();
        let values =
            store.values(CONFIG_MAPS, &from["configMapRef"]).chain(store.values(SECRETS, &from["secretRef"]));
        environment.extend(values.map(|(name, value)| (format!("{prefix}{name}"), value)));
    }
    for variable in list("env") {
        let from = &variable["valueFrom"];
        let value = match variable["value"].as_str() {
            Some(value) => Some(value.to_owned()),
            None => store
                .value(CONFIG_MAPS, &from["configMapKeyRef"])
                .or_else(|| store.value(SECRETS, &from["secretKeyRef"]))
                .or_else(|| Some(object::field(pod, from["fieldRef"]["fieldPath"].as_str()?))),
        };
        let name = variable["name"].as_str().unwrap_or_default();
        environment.extend(value.map(|value| (name.to_owned(), value)));
    }
    environment
}

/// The ConfigMaps and Secrets of a namespace.
struct Store<'a> {
    api: &'a Api,
    namespace: &'a str,
}

impl Store<'_> {
    fn missing_in_volume(&self, volume: &Value) -> Option<String> {
        if let Some(sources) = volume["projected"]["sources"].as_array() {
            let mut missing: Vec<String> =
                sources.iter().filter_map(|source| self.missing_in_source(source, "name")).collect();
            // `utilerrors.NewAggregate`
            return match missing.len() {
                0 | 1 => missing.pop(),
                _ => Some(format!("[{}]", missing.join(", "))),
            };
        }
        self.missing_in_source(volume, "secretName")
    }

    /// What is missing of the files that a ConfigMap or a Secret gives.
    fn missing_in_source(&self, source: &Value, secret_name: &str) -> Option<String> {
        let files = |kind, source: &Value, name: &str, what: &str| {
            let found = match self.get(kind, source, name)? {
                Ok(found) => found,
                Err(missing) => return Some(missing),
            };
            let mut items = source["items"].as_array().into_iter().flatten();
            let key = items.find_map(|item| {
                let key = item["key"].as_str()?;
                (found["data"][key].is_null() && found["binaryData"][key].is_null()).then_some(key)
            })?;
            (source["optional"] != true).then(|| format!("references non-existent {what} key: {key}"))
        };
        files(CONFIG_MAPS, &source["configMap"], "name", "config")
            .or_else(|| files(SECRETS, &source["secret"], secret_name, "secret"))
    }

    fn missing_object(&self, config_map: &Value, secret: &Value) -> Option<String> {
        let missing = |kind, reference| self.get(kind, reference, "name")?.err();
        missing(CONFIG_MAPS, config_map).or_else(|| missing(SECRETS, secret))
    }

    fn missing_value(&self, from: &Value) -> Option<String> {
        let value = |kind: &'static Kind, reference: &Value| {
            let found = match self.get(kind, reference, "name")? {
                Ok(found) => found,
                Err(missing) => return Some(missing),
            };
            let key = reference["key"].as_str().unwrap_or_default();
            let is_missing = found["data"][key].is_null() && reference["optional"] != true;
            let place = format!("{} {}/{}", kind.kind, self.namespace, object::name(&found));
            is_missing.then(|| format!("couldn't find key {key} in {place}"))
        };
        value(CONFIG_MAPS, &from["configMapKeyRef"]).or_else(|| value(SECRETS, &from["secretKeyRef"]))
    }

    /// All values of the object that is named.
    fn values(&self, kind: &'static Kind, reference: &Value) -> impl Iterator<Item = (String, String)> {
        let found = self.get(kind, reference, "name").and_then(Result::ok);
        let data = found.and_then(|found| found["data"].as_object().cloned()).unwrap_or_default();
        data.into_iter().filter_map(move |(name, value)| Some((name, plain(kind, value.as_str()?)?)))
    }

    /// The value of the key that is named.
    fn value(&self, kind: &'static Kind, reference: &Value) -> Option<String> {
        let found = self.get(kind, reference, "name")?.ok()?;
        plain(kind, found["data"][reference["key"].as_str()?].as_str()?)
    }

    /// What a reference names, or that it is not there; `None` where there is no reference or it need not be there.
    fn get(&self, kind: &'static Kind, reference: &Value, name: &str) -> Option<Result<Arc<Object>, String>> {
        if !reference.is_object() {
            return None;
        }
        let name = reference[name].as_str().unwrap_or_default();
        match self.api.get(kind, self.namespace, name) {
            Ok(found) => Some(Ok(found)),
            Err(_) if reference["optional"] == true => None,
            Err(_) => Some(Err(format!("{} \"{name}\" not found", kind.singular()))),
        }
    }
}

/// A value as it was given: Secrets hold theirs in Base64.
fn plain(kind: &'static Kind, value: &str) -> Option<String> {
    if kind.plural != SECRETS.plural {
        return Some(value.to_owned());
    }
    String::from_utf8(BASE64_STANDARD.decode(value).ok()?).ok()
}
