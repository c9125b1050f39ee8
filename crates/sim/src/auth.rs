//! Who asks: bearer tokens and the users behind them.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// A user as authorization sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
}

/// The group whose members may do everything, whatever RBAC says.
pub(crate) const MASTERS: &str = "system:masters";

/// The issuer of tokens. A service account's token is derived from the admin's, so that it stays good when a
/// simulator is started again with the same admin token.
pub(crate) struct Tokens {
    admin: String,
}

impl Tokens {
    /// Takes the admin's token, or makes a random one.
    pub(crate) fn new(admin: Option<String>) -> Tokens {
        Tokens { admin: admin.unwrap_or_else(|| hex(&rand::random::<[u8; 20]>())) }
    }

    pub(crate) fn admin(&self) -> &str {
        &self.admin
    }

    pub(crate) fn for_service_account(&self, namespace: &str, name: &str) -> String {
        let proof = Sha256::digest(format!("{}\0{namespace}\0{name}", self.admin));
        format!("sim.{namespace}.{name}.{}", hex(&proof))
    }

    /// The user that a token stands for.
    pub(crate) fn authenticate(&self, token: &str) -> Option<User> {
        if token == self.admin {
            return Some(User::new("kubernetes-admin", &[MASTERS]));
        }
        // A namespace has no dots, the name of a service account may have some.
        let (namespace, rest) = token.strip_prefix("sim.")?.split_once('.')?;
        let (name, _) = rest.rsplit_once('.')?;
        if token != self.for_service_account(namespace, name) {
            return None;
        }
        let everywhere = "system:serviceaccounts";
        let here = format!("{everywhere}:{namespace}");
        Some(User::new(&format!("system:serviceaccount:{namespace}:{name}"), &[everywhere, &here]))
    }
}

impl User {
    /// The user whom a certificate names: its common name, in the groups that are its organizations
    /// (`apiserver/pkg/authentication/request/x509`). TLS has checked who signed it.
    pub(crate) fn of_certificate(der: &[u8]) -> Option<User> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next()?.as_str().ok()?;
        let groups: Vec<&str> = subject.iter_organization().filter_map(|group| group.as_str().ok()).collect();
        (!name.is_empty()).then(|| User::new(name, &groups))
    }

    /// Who asks without saying who it is.
    pub(crate) fn anonymous() -> User {
        User { name: "system:anonymous".to_owned(), groups: vec!["system:unauthenticated".to_owned()] }
    }

    fn new(name: &str, groups: &[&str]) -> User {
        let groups = groups.iter().chain(&["system:authenticated"]);
        User { name: name.to_owned(), groups: groups.map(|group| (*group).to_owned()).collect() }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_for_its_user_and_no_other() {
        let tokens = Tokens::new(None);
        let token = tokens.for_service_account("rec", "agent.v2");
        let user = tokens.authenticate(&token).unwrap();
        assert_eq!(user.name, "system:serviceaccount:rec:agent.v2");
        assert!(user.groups.contains(&"system:serviceaccounts:rec".to_owned()));
        assert_eq!(tokens.authenticate(&token.replace("rec", "kube-system")), None);
        assert_eq!(tokens.authenticate(""), None);
        assert_eq!(Tokens::new(None).authenticate(&token), None);
        assert_eq!(tokens.authenticate(tokens.admin()).unwrap().groups[0], MASTERS);
    }
}
