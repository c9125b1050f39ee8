//! Sessions that are kept until shortly before their end.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use moka::{Expiry, future::Cache};

use crate::{AwsError, RoleArn, Session, Sts};

/// So long before its end a session is not given out any more: who gets it has work to do with it.
const BEFORE_END: Duration = Duration::from_secs(300);
/// So many roles are in use at once at most; further ones are assumed anew each time.
const MAX_SESSIONS: u64 = 10_000;

type Key = (RoleArn, String);

/// Sessions of roles. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    sts: Sts,
    kept: Cache<Key, Session>,
}

struct UntilShortlyBeforeEnd;

impl Expiry<Key, Session> for UntilShortlyBeforeEnd {
    fn expire_after_create(&self, _: &Key, session: &Session, _: Instant) -> Option<Duration> {
        let left = session.expires.duration_since(SystemTime::now()).unwrap_or_default();
        Some(left.saturating_sub(BEFORE_END))
    }
}

impl Sessions {
    /// Nothing is kept yet.
    pub fn new(sts: Sts) -> Self {
        let kept = Cache::builder().max_capacity(MAX_SESSIONS).expire_after(UntilShortlyBeforeEnd).build();
        Self { sts, kept }
    }

    /// Others, in which something is changed ([`Sts::acting`]). Nothing is kept of them yet.
    #[must_use]
    pub fn acting(&self) -> Self {
        Self::new(self.sts.clone().acting())
    }

    /// Who assumes roles.
    pub fn sts(&self) -> &Sts {
        &self.sts
    }

    /// A session of the role that lasts five minutes at least. Those who ask for the same at once wait for one call.
    ///
    /// # Errors
    /// [`AwsError`]; it is not kept.
    pub async fn session(&self, role: &RoleArn, external_id: &str) -> Result<Session, AwsError> {
        let key = (role.clone(), external_id.to_owned());
        let assumed = self.kept.try_get_with(key, self.sts.assume(role, Some(external_id))).await;
        assumed.map_err(|error: Arc<AwsError>| (*error).clone())
    }

    /// Forgets a role, such as one that was taken away.
    pub async fn forget(&self, role: &RoleArn, external_id: &str) {
        self.kept.invalidate(&(role.clone(), external_id.to_owned())).await;
    }
}
