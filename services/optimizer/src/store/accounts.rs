//! Rows of `accounts`.

use contracts::events::Event;
use sqlx::FromRow;
use store::{StoreError, Transaction};

use super::{
    Added, Database, add, finish, is_id,
    operations::{live, turns_of},
};
use crate::saga::SagaId;

/// An account of AWS, or the simulated one. Without `Debug`: an external id belongs in no log.
#[derive(Clone, FromRow)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) name: String,
    pub(crate) aws_account: String,
    pub(crate) role_arn: String,
    pub(crate) external_id: String,
    pub(crate) region: String,
    pub(crate) created_at: i64,
}

const COLUMNS: &str = "id, user_id, name, aws_account, role_arn, external_id, region, created_at";

impl Database {
    /// Adds an account. [`Added::Before`]: the user has one of that name, or somebody has one there.
    pub(crate) async fn add_account(&self, account: &Account, event: &Event) -> Result<Added, StoreError> {
        let insert = sqlx::query(
            "INSERT INTO accounts (id, user_id, name, aws_account, role_arn, external_id, region, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        )
        .bind(&account.id)
        .bind(&account.user_id)
        .bind(&account.name)
        .bind(&account.aws_account)
        .bind(&account.role_arn)
        .bind(&account.external_id)
        .bind(&account.region)
        .bind(account.created_at);
        let added = async {
            // So that no other of the user's comes meanwhile.
            let transaction = self.store.begin_exclusive(&turns_of(&account.user_id)).await?;
            add(transaction, "accounts", &account.user_id, insert, event).await
        };
        self.store.bounded(added).await
    }

    /// The accounts of a user, by name.
    pub(crate) async fn accounts_of(&self, user_id: &str) -> Result<Vec<Account>, StoreError> {
        let query =
            sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM accounts WHERE user_id = $1 ORDER BY name"));
        self.store.read(sqlx::query_as(query).bind(user_id).fetch_all(self.store.pool())).await
    }

    /// All accounts.
    pub(crate) async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let query = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM accounts ORDER BY id"));
        self.store.read(sqlx::query_as(query).fetch_all(self.store.pool())).await
    }

    /// An account, whosever it is.
    pub(crate) async fn account(&self, id: &str) -> Result<Option<Account>, StoreError> {
        if !is_id(id) {
            return Ok(None);
        }
        let query = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM accounts WHERE id = $1"));
        self.store.read(sqlx::query_as(query).bind(id).fetch_optional(self.store.pool())).await
    }

    /// An account of this user.
    pub(crate) async fn account_of(&self, user_id: &str, id: &str) -> Result<Option<Account>, StoreError> {
        Ok(self.account(id).await?.filter(|account| account.user_id == user_id))
    }

    /// Another role by which an account is entered.
    pub(crate) async fn change_role(
        &self,
        id: &str,
        role_arn: &str,
        external_id: &str,
    ) -> Result<(), StoreError> {
        let changed = sqlx::query("UPDATE accounts SET role_arn = $2, external_id = $3 WHERE id = $1")
            .bind(id)
            .bind(role_arn)
            .bind(external_id)
            .execute(self.store.pool());
        self.store.read(changed).await.map(drop)
    }

    /// Forgets an account in which no operation is under way, and its instances.
    pub(crate) async fn remove_account(
        &self,
        account: &Account,
        event: &Event,
    ) -> Result<Removed, StoreError> {
        let removed = async {
            let mut transaction = self.store.begin_exclusive(&turns_of(&account.user_id)).await?;
            let live = live(&mut transaction, &account.user_id).await?;
            if let Some(saga) = live.iter().find(|saga| saga.target.account_id == account.id) {
                return Ok(Removed::InUse(saga.id));
            }
            sqlx::query("DELETE FROM lab_instances WHERE account_id = $1")
                .bind(&account.id)
                .execute(&mut *transaction)
                .await?;
            let removed = sqlx::query("DELETE FROM accounts WHERE id = $1").bind(&account.id);
            Ok(if finish(transaction, removed, event).await? { Removed::Now } else { Removed::Gone })
        };
        self.store.bounded(removed).await
    }
}

/// Whether there is such an account, whosever it is.
pub(super) async fn has_account(transaction: &mut Transaction, id: &str) -> Result<bool, StoreError> {
    let found = sqlx::query("SELECT id FROM accounts WHERE id = $1").bind(id);
    Ok(found.fetch_optional(&mut **transaction).await?.is_some())
}

/// What has become of an account that was to be removed.
pub(crate) enum Removed {
    Now,
    /// It was removed before.
    Gone,
    /// This operation is under way in it.
    InUse(SagaId),
}
