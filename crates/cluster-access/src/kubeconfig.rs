//! Kubeconfigs: what one says of its contexts, and one of a single cluster. Nothing in them is run, and no file that they name is
//! read.

use base64::{Engine, prelude::BASE64_STANDARD};
use kube::config::{AuthInfo, Cluster, Kubeconfig};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use thiserror::Error;
use url::Url;

use crate::{Credentials, Trust, error::chain};

/// Larger files are refused, in bytes.
pub const MAX_LENGTH: usize = 1 << 20;
/// More contexts are refused.
pub const MAX_CONTEXTS: usize = 100;

/// A context with what is in its cluster and its user, as it stands there: not checked any further.
#[derive(Clone, Debug)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// The URL of the API server.
    pub server: String,
    /// Whether the server's certificate is checked.
    pub is_secure: bool,
    /// The authorities' certificates, PEM in Base64.
    pub ca_data: Option<String>,
    /// The name in the server's certificate, where it is another than the URL's host.
    pub tls_server_name: Option<String>,
    /// A bearer token.
    pub token: Option<SecretString>,
    /// A client's certificate, PEM in Base64.
    pub tls_cert: Option<String>,
    /// Its key, PEM in Base64.
    pub tls_key: Option<SecretString>,
}

/// A context by its name, or why it cannot be taken over.
pub type NamedContext = (String, Result<Context, RefusedContext>);

/// Why a file is no kubeconfig.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidKubeconfig {
    /// It is too long.
    #[error("the kubeconfig is longer than {} KiB", MAX_LENGTH / 1024)]
    TooLong,
    /// It cannot be read.
    #[error("this is no kubeconfig: {0}")]
    Unreadable(String),
    /// It has no contexts.
    #[error("the kubeconfig has no contexts; see `kubectl config get-contexts`")]
    NoContexts,
    /// It has too many of them.
    #[error("the kubeconfig has more than {MAX_CONTEXTS} contexts")]
    TooManyContexts,
}

/// Why a context cannot be taken over, and what to do instead.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RefusedContext {
    /// It names a cluster or a user that is not in the file.
    #[error("names the {0} {1:?}, which is not in the file")]
    Dangling(&'static str, String),
    /// Its cluster has no server.
    #[error("its cluster has no server")]
    NoServer,
    /// Its user runs a program.
    #[error(
        "its user gets its credentials from the program {command:?} (exec), which is not run here; give a token instead: kubectl create \
         serviceaccount kubesage, bind it to the role it is to have, kubectl create token kubesage --duration=8760h"
    )]
    Exec {
        /// Which one.
        command: String,
    },
    /// It names a file.
    #[error(
        "names the file {path:?} ({field}), which cannot be read from here; put its content into the kubeconfig: kubectl config view --raw --flatten"
    )]
    File {
        /// The field that names it.
        field: &'static str,
        /// The file.
        path: String,
    },
    /// It has something else that is not supported.
    #[error("has {field}, which is not supported; {instead}")]
    Unsupported {
        /// The field.
        field: &'static str,
        /// What to do.
        instead: &'static str,
    },
    /// Its user has nothing to log in with.
    #[error("its user has neither a token nor a client certificate")]
    NoCredentials,
}

/// The contexts of a kubeconfig by name, each with why it cannot be taken over, if so.
///
/// # Errors
/// [`InvalidKubeconfig`] when it is none.
pub fn contexts(yaml: &str) -> Result<Vec<NamedContext>, InvalidKubeconfig> {
    if yaml.len() > MAX_LENGTH {
        return Err(InvalidKubeconfig::TooLong);
    }
    // The parser quotes lines of the file, which may hold a token.
    let kubeconfig = Kubeconfig::from_yaml(yaml).map_err(|error| {
        InvalidKubeconfig::Unreadable(chain(&error).lines().next().unwrap_or_default().to_owned())
    })?;
    if kubeconfig.contexts.is_empty() {
        return Err(InvalidKubeconfig::NoContexts);
    }
    if kubeconfig.contexts.len() > MAX_CONTEXTS {
        return Err(InvalidKubeconfig::TooManyContexts);
    }
    let names = kubeconfig.contexts.iter().map(|context| context.name.clone());
    Ok(names.map(|name| (name.clone(), context(&kubeconfig, &name))).collect())
}

fn context(kubeconfig: &Kubeconfig, name: &str) -> Result<Context, RefusedContext> {
    let named = kubeconfig.contexts.iter().find(|context| context.name == name);
    let context = named.and_then(|named| named.context.as_ref());
    let context = context.ok_or_else(|| RefusedContext::Dangling("context", name.to_owned()))?;
    let cluster = kubeconfig.clusters.iter().find(|cluster| cluster.name == context.cluster);
    let cluster = cluster.and_then(|named| named.cluster.as_ref());
    let cluster = cluster.ok_or_else(|| RefusedContext::Dangling("cluster", context.cluster.clone()))?;
    let user_name = context.user.clone().unwrap_or_default();
    let user = kubeconfig.auth_infos.iter().find(|user| user.name == user_name);
    let user = user.and_then(|named| named.auth_info.as_ref());
    let user = user.ok_or(RefusedContext::Dangling("user", user_name))?;

    check_cluster(cluster)?;
    check_user(user)?;
    let token = user.token.clone().filter(|token| !token.expose_secret().is_empty());
    if token.is_none() && user.client_certificate_data.is_none() {
        return Err(RefusedContext::NoCredentials);
    }
    Ok(Context {
        name: name.to_owned(),
        server: cluster.server.clone().ok_or(RefusedContext::NoServer)?,
        is_secure: cluster.insecure_skip_tls_verify != Some(true),
        ca_data: cluster.certificate_authority_data.clone(),
        tls_server_name: cluster.tls_server_name.clone(),
        token,
        tls_cert: user.client_certificate_data.clone(),
        tls_key: user.client_key_data.clone(),
    })
}

fn check_cluster(cluster: &Cluster) -> Result<(), RefusedContext> {
    if cluster.certificate_authority_data.is_none() {
        no_file("certificate-authority", cluster.certificate_authority.as_ref())?;
    }
    if cluster.proxy_url.is_some() {
        let instead = "give a URL that this service reaches without a proxy";
        return Err(RefusedContext::Unsupported { field: "proxy-url", instead });
    }
    Ok(())
}

fn check_user(user: &AuthInfo) -> Result<(), RefusedContext> {
    if let Some(exec) = &user.exec {
        return Err(RefusedContext::Exec { command: exec.command.clone().unwrap_or_default() });
    }
    let with_a_token = "give a token of a service account instead: kubectl create token";
    let unsupported = [
        ("auth-provider", user.auth_provider.is_some()),
        ("username and password", user.username.is_some() || user.password.is_some()),
        ("as (impersonation)", user.impersonate.is_some() || user.impersonate_uid.is_some()),
        ("as-groups (impersonation)", user.impersonate_groups.is_some()),
        ("as-user-extra (impersonation)", user.impersonate_user_extra.is_some()),
    ];
    if let Some((field, _)) = unsupported.into_iter().find(|(_, is_there)| *is_there) {
        return Err(RefusedContext::Unsupported { field, instead: with_a_token });
    }
    // It would be read again and again, and stand for `token`.
    if user.token_file.as_ref().is_some_and(|path| !path.is_empty()) {
        let instead = "put the token itself into `token`";
        return Err(RefusedContext::Unsupported { field: "tokenFile", instead });
    }
    if user.client_certificate_data.is_none() {
        no_file("client-certificate", user.client_certificate.as_ref())?;
    }
    if user.client_key_data.is_none() {
        no_file("client-key", user.client_key.as_ref())?;
    }
    Ok(())
}

fn no_file(field: &'static str, path: Option<&String>) -> Result<(), RefusedContext> {
    match path {
        Some(path) if !path.is_empty() => Err(RefusedContext::File { field, path: path.clone() }),
        _ => Ok(()),
    }
}

/// A kubeconfig with these credentials alone, as text; `proxy` is the way to the server.
pub fn write(credentials: &Credentials, proxy: &Url) -> SecretString {
    let encoded = |pem: &str| BASE64_STANDARD.encode(pem);
    let mut cluster = json!({"server": credentials.server.to_string(), "proxy-url": proxy.as_str()});
    match &credentials.trust {
        Trust::Public => {}
        Trust::Authorities(pem) => cluster["certificate-authority-data"] = encoded(pem).into(),
        Trust::Nobody => cluster["insecure-skip-tls-verify"] = true.into(),
    }
    if let Some(name) = &credentials.server_name {
        cluster["tls-server-name"] = name.as_str().into();
    }
    let mut user = json!({});
    if let Some(token) = &credentials.token {
        user["token"] = token.expose_secret().into();
    }
    if let Some(identity) = &credentials.identity {
        user["client-certificate-data"] = encoded(&identity.certificate).into();
        user["client-key-data"] = encoded(identity.key.expose_secret()).into();
    }
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": "user"}}],
        "current-context": "cluster",
    });
    kubeconfig.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: 'https://203.0.113.7:6443', {cluster}}}}}]\n\
             users: [{{name: u, user: {{{user}}}}}]\ncontexts: [{{name: prod, context: {{cluster: c, user: u}}}}]\n"
        )
    }

    fn only(yaml: &str) -> Result<Context, RefusedContext> {
        contexts(yaml).unwrap().remove(0).1
    }

    #[test]
    fn a_context_is_its_cluster_and_its_user() {
        let context =
            only(&kubeconfig("certificate-authority-data: Q0E=, tls-server-name: api", "token: t")).unwrap();
        assert_eq!((context.name.as_str(), context.server.as_str()), ("prod", "https://203.0.113.7:6443"));
        assert_eq!(context.ca_data.as_deref(), Some("Q0E="));
        assert_eq!(context.tls_server_name.as_deref(), Some("api"));
        assert_eq!(context.token.unwrap().expose_secret(), "t");
        assert!(context.is_secure);
        assert!(!only(&kubeconfig("insecure-skip-tls-verify: true", "token: t")).unwrap().is_secure);
    }

    #[test]
    fn programs_and_files_are_refused_by_name() {
        for (cluster, user, named) in [
            (
                "",
                "exec: {command: aws, args: [eks, get-token], apiVersion: client.authentication.k8s.io/v1}",
                "aws",
            ),
            ("", "tokenFile: /var/run/token", "tokenFile"),
            ("", "client-certificate: /c.pem", "/c.pem"),
            ("", "client-certificate-data: eA==, client-key: /k.pem", "/k.pem"),
            ("certificate-authority: /ca.pem", "token: t", "/ca.pem"),
            ("proxy-url: 'http://p:3128'", "token: t", "proxy-url"),
            ("", "auth-provider: {name: gcp}", "auth-provider"),
            ("", "username: a, password: hunter2", "password"),
            ("", "token: t, as: root", "impersonation"),
            ("", "", "neither"),
        ] {
            let refused = only(&kubeconfig(cluster, user)).unwrap_err().to_string();
            assert!(refused.contains(named), "{user}: {refused}");
            assert!(!refused.contains("hunter2"));
        }
    }

    #[test]
    fn what_is_no_kubeconfig_says_so_and_shows_nothing_of_it() {
        for text in
            ["", "a: b", "[1, 2]", "token: hunter2\n  x: [", "contexts: hunter2", &"x".repeat(MAX_LENGTH + 1)]
        {
            let error = contexts(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let dangling = "contexts: [{name: a, context: {cluster: none, user: none}}]";
        assert_eq!(only(dangling).unwrap_err(), RefusedContext::Dangling("cluster", "none".to_owned()));
        let bomb = format!(
            "a: &a [x]\n{}",
            (0..30).fold(String::new(), |text, n| { format!("{text}b{n}: &b{n} [*a, *a, *a, *a]\n") })
        );
        assert!(contexts(&bomb).is_err());
    }
}
