//! Tokens of service accounts that are kept in secrets (`pkg/controller/serviceaccount/tokens_controller.go`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Again, Cluster, Controller, Key, Queue};
use crate::api::DeleteOptions;
use crate::auth::{self, Tokens};
use crate::kinds::{SECRETS, SERVICE_ACCOUNTS};
use crate::object;
use crate::status::ApiError;
use crate::store::Change;

const TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// Fills in such secrets, and deletes those whose service account is gone.
pub(crate) struct TokenSecrets {
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) ca_pem: String,
}

impl Controller for TokenSecrets {
    fn observe(&mut self, change: &Change, cluster: &Cluster<'_>, queue: &mut Queue) {
        match change.kind.plural {
            "secrets" if change.object["type"] == TYPE => queue.add(Key::of(SECRETS, &change.object)),
            "serviceaccounts" => {
                let namespace = object::namespace(&change.object);
                let secrets = cluster.api.objects(SECRETS, Some(namespace)).into_iter();
                for secret in secrets.filter(|secret| secret["type"] == TYPE) {
                    queue.add(Key::of(SECRETS, &secret));
                }
            }
            _ => {}
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        let (api, namespace) = (cluster.api, key.namespace.as_str());
        let Ok(secret) = api.get(SECRETS, namespace, &key.name) else { return Ok(None) };
        let annotations = &secret["metadata"]["annotations"];
        let name = annotations[ACCOUNT_NAME].as_str().unwrap_or_default();
        let account = api.get(SERVICE_ACCOUNTS, namespace, name).ok();
        let uid = &annotations[ACCOUNT_UID];
        let Some(account) = account.filter(|account| uid.is_null() || *uid == account["metadata"]["uid"])
        else {
            api.delete(SECRETS, namespace, &key.name, &DeleteOptions::default())?;
            return Ok(None);
        };
        let text = |text: &str| Value::from(auth::encoded(text));
        let mut data = match &secret["data"] {
            Value::Object(data) => data.clone(),
            _ => serde_json::Map::new(),
        };
        data.insert("ca.crt".to_owned(), text(&self.ca_pem));
        data.insert("namespace".to_owned(), text(namespace));
        data.entry("token").or_insert_with(|| text(&auth::legacy_token(&self.tokens, &secret, &account)));
        let annotation = json!({ ACCOUNT_UID: account["metadata"]["uid"] });
        let filled = json!({ "metadata": { "annotations": annotation }, "data": data });
        api.update(SECRETS, namespace, &key.name, |secret| json_patch::merge(secret, &filled))?;
        Ok(None)
    }
}
