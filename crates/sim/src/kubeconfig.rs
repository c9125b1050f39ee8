//! The kubeconfig of a simulated cluster.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::tls::ClientCertificate;

/// The name of the cluster, the user and the context.
const NAME: &str = "kubesage-sim";

/// How a user proves who it is.
pub(crate) enum Credentials<'a> {
    Token(&'a str),
    Certificate(&'a ClientCertificate),
}

/// A kubeconfig for one user of the server at `url`, as JSON: that is YAML, and quotes whatever must be quoted.
pub(crate) fn render(url: &str, ca_pem: &str, credentials: &Credentials<'_>) -> String {
    let user = match credentials {
        Credentials::Token(token) => json!({ "token": token }),
        Credentials::Certificate(ClientCertificate { certificate, key }) => {
            json!({ "client-certificate-data": encoded(certificate), "client-key-data": encoded(key) })
        }
    };
    let cluster = json!({ "server": url, "certificate-authority-data": encoded(ca_pem) });
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": NAME, "cluster": cluster }],
        "users": [{ "name": NAME, "user": user }],
        "contexts": [{ "name": NAME, "context": { "cluster": NAME, "user": NAME } }],
        "current-context": NAME,
    });
    format!("{config:#}\n")
}

fn encoded(pem: &str) -> Value {
    BASE64_STANDARD.encode(pem).into()
}
