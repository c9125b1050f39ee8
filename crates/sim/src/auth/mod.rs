//! Who asks: certificates, bearer tokens, and the users behind them.

mod bound;
mod jwt;
mod request;
mod tokens;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

pub(crate) use self::bound::{legacy_token, request_token};
pub(crate) use self::request::{authenticate, bearer_token};
pub(crate) use self::tokens::{API_AUDIENCE, Tokens};

/// The group whose members may do everything, whatever RBAC says.
pub(crate) const MASTERS: &str = "system:masters";
/// The group of everyone who has said who it is.
const AUTHENTICATED: &str = "system:authenticated";
const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// A user as authorization sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    /// Empty where there is none.
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Who has said who it is.
    pub(crate) fn new<'a>(name: &str, groups: impl IntoIterator<Item = &'a str>) -> User {
        let groups = groups.into_iter().chain([AUTHENTICATED]).map(str::to_owned).collect();
        User { name: name.to_owned(), groups, ..User::default() }
    }

    /// Who asks without saying who it is.
    pub(crate) fn anonymous() -> User {
        let groups = vec!["system:unauthenticated".to_owned()];
        User { name: "system:anonymous".to_owned(), groups, ..User::default() }
    }

    pub(crate) fn service_account(namespace: &str, name: &str) -> User {
        let here = format!("{SERVICE_ACCOUNTS}:{namespace}");
        User::new(&service_account_name(namespace, name), [SERVICE_ACCOUNTS, &here])
    }

    /// The user whom a certificate names: its common name, in the groups that are its organizations
    /// (`apiserver/pkg/authentication/request/x509`). TLS has checked who signed it.
    fn of_certificate(der: &[u8]) -> Option<User> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next()?.as_str().ok()?;
        let groups = subject.iter_organization().filter_map(|group| group.as_str().ok());
        (!name.is_empty()).then(|| User::new(name, groups))
    }

    /// `authentication.k8s.io/v1 UserInfo`.
    pub(crate) fn info(&self) -> Value {
        let mut info = json!({ "username": self.name, "groups": self.groups });
        if !self.uid.is_empty() {
            info["uid"] = self.uid.as_str().into();
        }
        if !self.extra.is_empty() {
            info["extra"] = json!(self.extra);
        }
        info
    }
}

/// The name under which a service account is a user.
pub(crate) fn service_account_name(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// As a secret holds a text.
pub(crate) fn encoded(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}
