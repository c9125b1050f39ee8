//! Making, listing, revoking and rotating keys.

use std::time::Duration;

use contracts::{
    Timestamp, Token,
    auth::{Scope, UserData},
};
use store::Transaction;
use uuid::Uuid;

use crate::{
    Accounts, Error, events,
    model::{ApiKey, User},
    rules::{Check, distinct},
    store::{Page, keys, users},
};

/// No user has more keys that are neither revoked nor expired.
const MAX_USABLE_KEYS: i64 = 100;
const MILLIS_A_DAY: i64 = 24 * 60 * 60 * 1000;

/// A key to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewKey {
    pub(crate) name: String,
    pub(crate) scopes: Vec<Scope>,
    /// Absent: it does not expire.
    pub(crate) expires_in_days: Option<u32>,
}

impl NewKey {
    /// The row of this key when `token` is its secret.
    pub(crate) fn into_key(self, user_id: &str, token: &Token, now: Timestamp) -> ApiKey {
        let lifetime = self.expires_in_days.map(|days| i64::from(days) * MILLIS_A_DAY);
        ApiKey {
            id: Uuid::now_v7().to_string(),
            user_id: user_id.to_owned(),
            name: self.name,
            preview: token.preview(),
            scopes: distinct(self.scopes),
            created_at: now,
            expires_at: lifetime.and_then(|lifetime| later(now, lifetime)),
            revoked_at: None,
            last_used_at: None,
            replaced_by: None,
        }
    }
}

impl Accounts {
    /// Makes a key for `user_id` with `token` as its secret, on behalf of `caller`.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Forbidden`] when the key would be for another user and the caller is no
    /// administrator, or could do more than the caller's own; [`Error::NotFound`] when there is no such user;
    /// [`Error::Conflict`] when the user is deactivated or has too many keys.
    pub(crate) async fn create_key(
        &self,
        caller: &UserData,
        user_id: &str,
        new: NewKey,
        token: &Token,
        now: Timestamp,
    ) -> Result<ApiKey, Error> {
        Check::default()
            .key_name(&new.name)
            .scopes(&new.scopes)
            .expires_in_days(new.expires_in_days)
            .done()?;
        if user_id != caller.id && !caller.is_admin() {
            return Err(Error::Forbidden("only an administrator may make keys for other users".to_owned()));
        }
        may_grant(caller, &new.scopes)?;
        let created = async {
            let mut transaction = self.store.begin_exclusive(&keys_of(user_id)).await?;
            let user = users::find(&mut *transaction, user_id).await?;
            if !user.is_active() {
                return Err(Error::Conflict("this user is deactivated"));
            }
            let key = new.into_key(user_id, token, now);
            insert(&mut transaction, &key, token, now).await?;
            transaction.emit(&events::key_created(&key, &user, now)).await?;
            transaction.commit().await?;
            Ok(key)
        };
        self.store.bounded(created).await
    }

    /// A user's keys in the order in which they were made, the revoked and expired ones too.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) async fn list_keys(&self, user_id: &str, page: Page) -> Result<Vec<ApiKey>, Error> {
        let keys = keys::list(self.store.pool(), user_id, &page);
        Ok(self.store.bounded(keys).await?)
    }

    /// Makes a key worthless from now on; one that was revoked before stays so.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such key, or it is another user's and the caller is no administrator.
    pub(crate) async fn revoke_key(&self, caller: &UserData, id: Uuid, now: Timestamp) -> Result<(), Error> {
        let revoked = async {
            let (mut transaction, mut key, user) =
                self.begin_with_key(id, |key| key.user_id == caller.id || caller.is_admin()).await?;
            if key.revoked_at.is_none() {
                key.revoked_at = Some(now);
                keys::update(&mut *transaction, &key).await?;
                transaction.emit(&events::key_revoked(&key, &user, now)).await?;
                transaction.commit().await?;
            }
            Ok(())
        };
        self.store.bounded(revoked).await
    }

    /// Makes a new key, with `token` as its secret, in place of the caller's key `id`, which ends after `overlap`. The
    /// new one has the same name and scopes and lives as long as the old one was made to.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such key of the caller's; [`Error::Forbidden`] when it can do more than the
    /// one that the caller uses; [`Error::Conflict`] when it is revoked, expired or rotated already.
    pub(crate) async fn rotate_key(
        &self,
        caller: &UserData,
        id: Uuid,
        overlap: Duration,
        token: &Token,
        now: Timestamp,
    ) -> Result<ApiKey, Error> {
        let rotated = async {
            let (mut transaction, mut old, user) =
                self.begin_with_key(id, |key| key.user_id == caller.id).await?;
            may_grant(caller, &old.scopes)?;
            if let Some(reason) = old.refusal(now) {
                return Err(Error::Conflict(reason));
            }
            if old.replaced_by.is_some() {
                return Err(Error::Conflict("this API key was rotated already"));
            }
            let new = successor(&old, token, now);
            insert(&mut transaction, &new, token, now).await?;
            transaction.emit(&events::key_created(&new, &user, now)).await?;

            let overlap = i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX);
            let end = later(now, overlap).unwrap_or(now);
            old.expires_at = Some(old.expires_at.map_or(end, |at| at.min(end)));
            old.replaced_by = Some(new.id.clone());
            keys::update(&mut *transaction, &old).await?;
            transaction.emit(&events::key_rotated(&old, &user, now)).await?;
            transaction.commit().await?;
            Ok(new)
        };
        self.store.bounded(rotated).await
    }

    /// Begins to change a key, if the caller may know of it. Others who change keys of the same user wait.
    async fn begin_with_key(
        &self,
        id: Uuid,
        may_know: impl Fn(&ApiKey) -> bool,
    ) -> Result<(Transaction, ApiKey, User), Error> {
        let id = id.to_string();
        let missing = || Error::NotFound("there is no such API key");
        // Whose it is never changes; the rest is read again when nobody else can change it.
        let key = keys::find(self.store.pool(), &id).await?;
        let key = key.filter(|key| may_know(key)).ok_or_else(missing)?;
        let mut transaction = self.store.begin_exclusive(&keys_of(&key.user_id)).await?;
        let key = keys::find(&mut *transaction, &id).await?.ok_or_else(missing)?;
        let user = users::find(&mut *transaction, &key.user_id).await?;
        Ok((transaction, key, user))
    }
}

/// Transactions that change a user's keys hold this name.
fn keys_of(user_id: &str) -> String {
    format!("keys of {user_id}")
}

/// Refuses scopes that the caller's own key does not include.
fn may_grant(caller: &UserData, scopes: &[Scope]) -> Result<(), Error> {
    match scopes.iter().find(|scope| !caller.may(scope)) {
        Some(scope) => {
            Err(Error::Forbidden(format!("a key cannot make one with more scope than its own: {scope}")))
        }
        None => Ok(()),
    }
}

async fn insert(
    transaction: &mut Transaction,
    key: &ApiKey,
    token: &Token,
    now: Timestamp,
) -> Result<(), Error> {
    if keys::count_usable(&mut **transaction, &key.user_id, now).await? >= MAX_USABLE_KEYS {
        return Err(Error::Conflict("this user has 100 usable keys: revoke those that are not needed"));
    }
    keys::insert(&mut **transaction, key, token).await
}

fn successor(old: &ApiKey, token: &Token, now: Timestamp) -> ApiKey {
    let lifetime = old.expires_at.map(|at| at.millis_since(old.created_at));
    ApiKey {
        id: Uuid::now_v7().to_string(),
        preview: token.preview(),
        created_at: now,
        expires_at: lifetime.and_then(|lifetime| later(now, lifetime)),
        last_used_at: None,
        ..old.clone()
    }
}

fn later(time: Timestamp, millis: i64) -> Option<Timestamp> {
    Timestamp::from_millis(time.as_millis().saturating_add(millis))
}
