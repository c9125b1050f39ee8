//! The first administrator.

use contracts::{
    Timestamp, Token, TokenKind,
    auth::{Scope, UserData},
};
use store::Transaction;

use crate::{
    Accounts, Error, events,
    keys::NewKey,
    model::{ADMIN_ROLE, ApiKey, KeyOfUser, User},
    store::{keys, users},
    users::{ADMINISTRATORS, NewUser},
};

/// The name of the first user.
const USERNAME: &str = "admin";
/// An address that nobody has (RFC 2606).
const EMAIL: &str = "admin@kubesage.invalid";

impl Accounts {
    /// Gives an empty database an administrator, whose key is `configured` or else a new one, which is answered: it can
    /// be shown this once. A database with users stays as it is. Of replicas that start together one does it.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn bootstrap(
        &self,
        configured: Option<&Token>,
        now: Timestamp,
    ) -> Result<Option<Token>, Error> {
        let mut transaction = self.store.begin_exclusive(ADMINISTRATORS).await?;
        if !users::is_empty(&mut *transaction).await? {
            return Ok(None);
        }
        let made = match configured {
            Some(_) => None,
            None => Some(Token::generate(TokenKind::ApiKey, &mut rand::rng())),
        };
        if let Some(token) = configured.or(made.as_ref()) {
            let admin = create_admin(&mut transaction, now).await?;
            create_admin_key(&mut transaction, &admin, token, now).await?;
        }
        transaction.commit().await?;
        Ok(made)
    }

    /// Makes sure that `token` is a key of an administrator: of the first one there is, or of a new one in an empty
    /// database; answers who that is. A key that is there already stays as it is, even revoked.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn ensure_admin(&self, token: &Token, now: Timestamp) -> Result<UserData, Error> {
        let mut transaction = self.store.begin_exclusive(ADMINISTRATORS).await?;
        if let Some(known) = keys::find_by_token(&mut *transaction, token).await? {
            return Ok(known.user_data());
        }
        let admin = match users::first_active_admin(&mut *transaction, "").await? {
            Some(admin) => admin,
            None => create_admin(&mut transaction, now).await?,
        };
        let key = create_admin_key(&mut transaction, &admin, token, now).await?;
        transaction.commit().await?;
        Ok(KeyOfUser { key, user: admin }.user_data())
    }
}

async fn create_admin(transaction: &mut Transaction, now: Timestamp) -> Result<User, Error> {
    let admin = NewUser {
        username: USERNAME.to_owned(),
        email: EMAIL.to_owned(),
        roles: vec![ADMIN_ROLE.to_owned()],
    };
    let admin = admin.into_user(now);
    users::insert(&mut **transaction, &admin).await?;
    transaction.emit(&events::user_created(&admin, now)).await?;
    Ok(admin)
}

async fn create_admin_key(
    transaction: &mut Transaction,
    admin: &User,
    token: &Token,
    now: Timestamp,
) -> Result<ApiKey, Error> {
    let key = NewKey { name: "bootstrap".to_owned(), scopes: vec![Scope::Admin], expires_in_days: None };
    let key = key.into_key(&admin.id, token, now);
    keys::insert(&mut **transaction, &key, token).await?;
    transaction.emit(&events::key_created(&key, admin, now)).await?;
    Ok(key)
}
