//! Bearer tokens: the administrator's, those of tests for service accounts, and those that the API gives out.

use ring::signature::Ed25519KeyPair;
use sha2::{Digest as _, Sha256};

use super::{MASTERS, User, bound, jwt};
use crate::account::EksTokens;
use crate::api::Api;
use crate::kinds::SERVICE_ACCOUNTS;
use crate::object;

/// For whom a token is good that says nothing else: the API server itself (`--api-audiences`).
pub(crate) const API_AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";
const INVALID: &str = "invalid bearer token";

/// The issuer of tokens. Its key and the derived tokens come from the administrator's token, so that they stay good
/// when a simulator is started again with the same one.
pub(crate) struct Tokens {
    admin: String,
    key: Ed25519KeyPair,
    /// Those of an AWS account.
    eks: Option<EksTokens>,
}

/// Whom a token stands for, and for which of the audiences that were asked about it is good.
#[derive(Debug)]
pub(crate) struct Bearer {
    pub(crate) user: User,
    pub(crate) audiences: Vec<String>,
}

impl Tokens {
    /// Takes the administrator's token, or makes a random one.
    ///
    /// # Errors
    /// When no key can be made of it.
    pub(crate) fn new(admin: Option<String>) -> Result<Tokens, ring::error::KeyRejected> {
        let admin = admin.unwrap_or_else(|| hex::encode(rand::random::<[u8; 20]>()));
        let seed = Sha256::digest(format!("service account tokens\0{admin}"));
        Ok(Tokens { key: Ed25519KeyPair::from_seed_unchecked(&seed)?, admin, eks: None })
    }

    /// Knows also the tokens that are signed in an AWS account.
    pub(crate) fn with_eks(self, eks: EksTokens) -> Tokens {
        Tokens { eks: Some(eks), ..self }
    }

    pub(crate) fn admin(&self) -> &str {
        &self.admin
    }

    pub(super) fn key(&self) -> &Ed25519KeyPair {
        &self.key
    }

    /// A token that never ends, for a service account that need not be there.
    pub(crate) fn for_service_account(&self, namespace: &str, name: &str) -> String {
        let proof = Sha256::digest(format!("{}\0{namespace}\0{name}", self.admin));
        format!("sim.{namespace}.{name}.{}", hex::encode(proof))
    }

    /// Whom a token stands for before one of these audiences.
    ///
    /// # Errors
    /// Why it stands for nobody, as a `TokenReview` says it.
    pub(crate) fn authenticate(&self, api: &Api, token: &str, audiences: &[&str]) -> Result<Bearer, String> {
        let signed = || self.eks.as_ref()?.user_of(token);
        if let Some(user) = self.lasting(api, token).or_else(signed) {
            let audiences = common(audiences, &[API_AUDIENCE]);
            return if audiences.is_empty() {
                Err(INVALID.to_owned())
            } else {
                Ok(Bearer { user, audiences })
            };
        }
        let claims = jwt::read(&self.key, token).ok_or(INVALID)?;
        let bearer = bound::bearer_of(api, token, &claims, audiences);
        bearer.map_err(|why| format!("[{INVALID}, {why}]"))
    }

    /// The user of a token that is good for as long as the cluster lives.
    fn lasting(&self, api: &Api, token: &str) -> Option<User> {
        if token == self.admin {
            return Some(User::new("kubernetes-admin", [MASTERS]));
        }
        // A namespace has no dots, the name of a service account may have some.
        let (namespace, rest) = token.strip_prefix("sim.")?.split_once('.')?;
        let (name, _) = rest.rsplit_once('.')?;
        if token != self.for_service_account(namespace, name) {
            return None;
        }
        let mut user = User::service_account(namespace, name);
        if let Ok(account) = api.get(SERVICE_ACCOUNTS, namespace, name) {
            user.uid = object::field(&account, "metadata.uid");
        }
        Some(user)
    }
}

/// The audiences in both lists.
pub(super) fn common(asked: &[&str], good: &[&str]) -> Vec<String> {
    asked.iter().filter(|audience| good.contains(audience)).map(|audience| (*audience).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_for_its_user_and_no_other() {
        let (api, tokens) = (Api::new(10), Tokens::new(None).unwrap());
        let user = |tokens: &Tokens, token: &str| {
            tokens.authenticate(&api, token, &[API_AUDIENCE]).map(|bearer| bearer.user)
        };
        let token = tokens.for_service_account("rec", "agent.v2");
        let agent = user(&tokens, &token).unwrap();
        assert_eq!(agent.name, "system:serviceaccount:rec:agent.v2");
        assert!(agent.groups.contains(&"system:serviceaccounts:rec".to_owned()));
        for (tokens, token) in [
            (&tokens, token.replace("rec", "kube-system").as_str()),
            (&tokens, ""),
            (&tokens, "a.b.c"),
            (&Tokens::new(None).unwrap(), &token),
        ] {
            assert_eq!(user(tokens, token), Err("invalid bearer token".to_owned()), "{token}");
        }
        assert_eq!(user(&tokens, tokens.admin()).unwrap().groups[0], MASTERS);
        assert!(tokens.authenticate(&api, tokens.admin(), &["vault"]).is_err(), "it is for the API server");
    }
}
