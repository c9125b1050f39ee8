//! Roles that can be assumed, and the sessions of those who have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use cloud::CloudError;
use subtle::ConstantTimeEq as _;

use super::options::ACCOUNT_ID;

/// So many sessions may be there at a time.
const MOST_SESSIONS: usize = 1000;
/// The name of every session; STS has its callers choose one.
const SESSION_NAME: &str = "kubesage-optimizer";

/// Who may assume which role, and who has.
///
/// Sessions go by the machine's clock, not by the cluster's: whoever signs with their credentials does too.
#[derive(Debug)]
pub(crate) struct Roles {
    lifetime: Duration,
    accepted: Mutex<BTreeSet<(String, String)>>,
    /// By the ids of their access keys.
    sessions: Mutex<BTreeMap<String, Session>>,
}

/// The session of who has assumed a role.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// What its holder signs with.
    pub(crate) credentials: Credentials,
    /// Who its holder is.
    pub(crate) arn: String,
    /// Its end.
    pub(crate) ends_at: SystemTime,
}

impl Roles {
    pub(super) fn new(lifetime: Duration) -> Roles {
        Roles { lifetime, accepted: Mutex::default(), sessions: Mutex::default() }
    }

    pub(super) fn accept(&self, role_arn: &str, external_id: &str) {
        lock(&self.accepted).insert((role_arn.to_owned(), external_id.to_owned()));
    }

    pub(super) fn end_sessions(&self) {
        lock(&self.sessions).clear();
    }

    /// Begins a session (`AssumeRole`).
    ///
    /// # Errors
    /// [`CloudError::Denied`] when the role does not trust who comes with this external id.
    pub(crate) fn assume(&self, role_arn: &str, external_id: &str) -> Result<Session, CloudError> {
        let is_accepted = lock(&self.accepted).contains(&(role_arn.to_owned(), external_id.to_owned()));
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
            credentials: Credentials::new(&id, secret, Some(token), Some(ends_at), "simulated"),
            arn: format!("arn:aws:sts::{ACCOUNT_ID}:assumed-role/{role}/{SESSION_NAME}"),
            ends_at,
        };
        let mut sessions = lock(&self.sessions);
        sessions.retain(|_, session| session.ends_at > now);
        if sessions.len() >= MOST_SESSIONS {
            return Err(CloudError::Throttled);
        }
        sessions.insert(id, session.clone());
        Ok(session)
    }

    /// The session with this access key, if it has not ended.
    pub(super) fn session(&self, access_key_id: &str) -> Option<Session> {
        let session = lock(&self.sessions).get(access_key_id)?.clone();
        (session.ends_at > SystemTime::now()).then_some(session)
    }

    /// The session of who sends this session token.
    pub(crate) fn session_of(&self, token: &str) -> Option<Session> {
        let session = self.session(token.split_once('.')?.0)?;
        let expected = session.credentials.session_token()?;
        bool::from(expected.as_bytes().ct_eq(token.as_bytes())).then_some(session)
    }
}

/// No code panics while it holds a lock, so a poisoned one is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
