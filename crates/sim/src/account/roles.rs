//! Roles that can be assumed, and the sessions of those who have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use cloud::CloudError;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::options::ACCOUNT_ID;
use crate::journal::Journal;

/// Who may come in and who has, in a journal.
pub(super) const ROLES: &str = "roles";
/// So many sessions may be there at a time.
const MOST_SESSIONS: usize = 1000;
/// The name of every session; STS has its callers choose one.
const SESSION_NAME: &str = "kubesage-optimizer";
/// Where credentials say that they are from.
const PROVIDER: &str = "simulated";

/// Who may assume which role, and who has.
///
/// Sessions go by the machine's clock, not by the cluster's: whoever signs with their credentials does too.
#[derive(Debug)]
pub(crate) struct Roles {
    lifetime: Duration,
    known: Mutex<Known>,
    journal: Option<Arc<Journal>>,
}

/// Who is known.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Known {
    /// Roles and their external ids.
    accepted: BTreeSet<(String, String)>,
    /// By the ids of their access keys.
    sessions: BTreeMap<String, Session>,
}

/// The session of who has assumed a role.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    /// What its holder signs with.
    #[serde(with = "kept_credentials")]
    pub(crate) credentials: Credentials,
    /// Who its holder is.
    pub(crate) arn: String,
    /// Its end.
    pub(crate) ends_at: SystemTime,
}

impl Roles {
    pub(super) fn new(lifetime: Duration, known: Known, journal: Option<Arc<Journal>>) -> Roles {
        Roles { lifetime, known: Mutex::new(known), journal }
    }

    pub(super) fn accept(&self, role_arn: &str, external_id: &str) {
        self.change(|known| known.accepted.insert((role_arn.to_owned(), external_id.to_owned())));
    }

    pub(super) fn end_sessions(&self) {
        self.change(|known| known.sessions.clear());
    }

    /// Begins a session (`AssumeRole`).
    ///
    /// # Errors
    /// [`CloudError::Denied`] when the role does not trust who comes with this external id.
    pub(crate) fn assume(&self, role_arn: &str, external_id: &str) -> Result<Session, CloudError> {
        let is_accepted = self.lock().accepted.contains(&(role_arn.to_owned(), external_id.to_owned()));
        if !is_accepted {
            let resource: String = role_arn.chars().take(200).collect();
            let message =
                format!("User is not authorized to perform: sts:AssumeRole on resource: {resource}");
            return Err(CloudError::Denied { message });
        }
        let now = SystemTime::now();
        let ends_at = now + self.lifetime;
        let id = format!("ASIA{}", hex::encode_upper(rand::random::<[u8; 8]>()));
        let secret = hex::encode(rand::random::<[u8; 20]>());
        let token = format!("{id}.{}", hex::encode(rand::random::<[u8; 32]>()));
        let role = role_arn.rsplit('/').next().unwrap_or_default();
        let session = Session {
            credentials: Credentials::new(&id, secret, Some(token), Some(ends_at), PROVIDER),
            arn: format!("arn:aws:sts::{ACCOUNT_ID}:assumed-role/{role}/{SESSION_NAME}"),
            ends_at,
        };
        self.change(|Known { sessions, .. }| {
            sessions.retain(|_, session| session.ends_at > now);
            if sessions.len() >= MOST_SESSIONS {
                return Err(CloudError::Throttled);
            }
            sessions.insert(id, session.clone());
            Ok(session)
        })
    }

    /// The session with this access key, if it has not ended.
    pub(super) fn session(&self, access_key_id: &str) -> Option<Session> {
        let session = self.lock().sessions.get(access_key_id)?.clone();
        (session.ends_at > SystemTime::now()).then_some(session)
    }

    /// The session of who sends this session token.
    pub(crate) fn session_of(&self, token: &str) -> Option<Session> {
        let session = self.session(token.split_once('.')?.0)?;
        let expected = session.credentials.session_token()?;
        bool::from(expected.as_bytes().ct_eq(token.as_bytes())).then_some(session)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.lock();
        let result = change(&mut known);
        if let Some(journal) = &self.journal {
            journal.keep(ROLES, &*known);
        }
        result
    }

    /// No code panics while it holds the lock, so a poisoned one is still good.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Credentials in a journal, which only its owner reads.
mod kept_credentials {
    use std::time::SystemTime;

    use aws_credential_types::Credentials;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::PROVIDER;

    type Parts = (String, String, Option<String>, Option<SystemTime>);

    pub(super) fn serialize<S: Serializer>(
        credentials: &Credentials,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let token = credentials.session_token();
        let (id, secret) = (credentials.access_key_id(), credentials.secret_access_key());
        (id, secret, token, credentials.expiry()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Credentials, D::Error> {
        let (id, secret, token, expiry) = Parts::deserialize(deserializer)?;
        Ok(Credentials::new(id, secret, token, expiry, PROVIDER))
    }
}
