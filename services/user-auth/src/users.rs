//! Making, listing and changing users.

use contracts::Timestamp;
use uuid::Uuid;

use crate::{
    Accounts, Error, events,
    model::User,
    rules::{Check, distinct},
    store::{Page, users},
};

/// Transactions that count administrators hold this name.
pub(crate) const ADMINISTRATORS: &str = "administrators";

/// A user to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewUser {
    pub(crate) username: String,
    pub(crate) email: String,
    pub(crate) roles: Vec<String>,
}

/// What is to change in a user; what is absent stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct UserChange {
    pub(crate) is_active: Option<bool>,
    pub(crate) roles: Option<Vec<String>>,
}

impl NewUser {
    pub(crate) fn into_user(self, now: Timestamp) -> User {
        User {
            id: Uuid::now_v7().to_string(),
            username: self.username,
            email: self.email,
            roles: distinct(self.roles),
            created_at: now,
            deactivated_at: None,
        }
    }
}

impl Accounts {
    /// Makes a user, who has no key yet.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Conflict`] when the username is taken.
    pub(crate) async fn create_user(&self, new: NewUser, now: Timestamp) -> Result<User, Error> {
        Check::default().username(&new.username).email(&new.email).roles(&new.roles).done()?;
        let user = new.into_user(now);
        let created = async {
            let mut transaction = self.store.begin().await?;
            users::insert(&mut *transaction, &user).await?;
            transaction.emit(&events::user_created(&user, now)).await?;
            Ok::<_, Error>(transaction.commit().await?)
        };
        self.store.bounded(created).await?;
        Ok(user)
    }

    /// Users in the order in which they were made.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) async fn list_users(&self, page: Page) -> Result<Vec<User>, Error> {
        Ok(self.store.bounded(users::list(self.store.pool(), &page)).await?)
    }

    /// The user of this id.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub(crate) async fn user(&self, id: Uuid) -> Result<User, Error> {
        let id = id.to_string();
        self.store.bounded(users::find(self.store.pool(), &id)).await
    }

    /// Changes a user's roles, or whether the user's keys are valid.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`]; [`Error::Conflict`] when nobody would be left to manage users.
    pub(crate) async fn update_user(
        &self,
        id: Uuid,
        change: UserChange,
        now: Timestamp,
    ) -> Result<User, Error> {
        Check::default().roles(change.roles.as_deref().unwrap_or_default()).done()?;
        self.store.bounded(self.try_update_user(id, change, now)).await
    }

    async fn try_update_user(&self, id: Uuid, change: UserChange, now: Timestamp) -> Result<User, Error> {
        let mut transaction = self.store.begin_exclusive(ADMINISTRATORS).await?;
        let before = users::find(&mut *transaction, &id.to_string()).await?;
        let after = changed(before.clone(), change, now);
        if after == before {
            return Ok(after);
        }
        if before.is_active_admin()
            && !after.is_active_admin()
            && users::first_active_admin(&mut *transaction, &after.id).await?.is_none()
        {
            return Err(Error::Conflict(
                "this is the last active administrator: nobody would be left to manage users",
            ));
        }
        users::update(&mut *transaction, &after).await?;
        transaction.emit(&events::user_updated(&after, now)).await?;
        transaction.commit().await?;
        Ok(after)
    }
}

fn changed(mut user: User, change: UserChange, now: Timestamp) -> User {
    match change.is_active {
        Some(true) => user.deactivated_at = None,
        Some(false) => user.deactivated_at = user.deactivated_at.or(Some(now)),
        None => {}
    }
    if let Some(roles) = change.roles {
        user.roles = distinct(roles);
    }
    user
}
