//! Sagas, as their users see them.

use contracts::events::Event;
use sqlx::FromRow;
use store::{StoreError, Transaction};
use thiserror::Error;

use super::{Database, sagas::read};
use crate::{
    phases::Subject,
    saga::{Entry, LogError, NewSaga, SagaId},
};

/// So many operations are listed.
const MAX_LISTED: i64 = 100;

/// Why an operation was not begun.
#[derive(Debug, Error)]
pub(crate) enum NotBegun {
    #[error("its account is gone")]
    NoAccount,
    #[error("{0} of your operations are under way already")]
    TooMany(usize),
    #[error(transparent)]
    Log(#[from] LogError),
}

impl From<StoreError> for NotBegun {
    fn from(error: StoreError) -> Self {
        Self::Log(LogError::Store(error))
    }
}

/// What is kept of a saga besides its journal.
#[derive(FromRow)]
pub(crate) struct Operation {
    saga: String,
    pub(crate) created_at: i64,
    pub(crate) cancel_requested_at: Option<i64>,
    pub(crate) ended_at: Option<i64>,
}

impl Operation {
    /// What it began with.
    pub(crate) fn saga(&self) -> Result<NewSaga, StoreError> {
        read(&self.saga)
    }
}

const COLUMNS: &str = "saga, created_at, cancel_requested_at, ended_at";

impl Database {
    /// An operation of this user.
    pub(crate) async fn operation_of(
        &self,
        user_id: &str,
        id: SagaId,
    ) -> Result<Option<Operation>, StoreError> {
        let query =
            sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM sagas WHERE user_id = $1 AND id = $2"));
        let found =
            sqlx::query_as(query).bind(user_id).bind(id.to_string()).fetch_optional(self.store.pool());
        self.store.read(found).await
    }

    /// Whether an operation is over.
    pub(crate) async fn is_over(&self, id: SagaId) -> Result<bool, StoreError> {
        let over =
            sqlx::query_scalar::<_, i64>("SELECT ended_at FROM sagas WHERE id = $1 AND ended_at IS NOT NULL")
                .bind(id.to_string())
                .fetch_optional(self.store.pool());
        Ok(self.store.read(over).await?.is_some())
    }

    /// What an operation began with, whosever it is, and its journal.
    pub(crate) async fn operation(&self, id: SagaId) -> Result<Option<(NewSaga, Vec<Entry>)>, StoreError> {
        let found = sqlx::query_scalar::<_, String>("SELECT saga FROM sagas WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.store.pool());
        let Some(saga) = self.store.read(found).await? else { return Ok(None) };
        Ok(Some((read(&saga)?, self.journal_of(id, 0).await?)))
    }

    /// The newest operations of a user, the newest first.
    pub(crate) async fn operations_of(&self, user_id: &str) -> Result<Vec<Operation>, StoreError> {
        let query = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM sagas WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2"
        ));
        self.store
            .read(sqlx::query_as(query).bind(user_id).bind(MAX_LISTED).fetch_all(self.store.pool()))
            .await
    }

    /// Begins an operation in one of its user's accounts, who has fewer than so many under way.
    pub(crate) async fn begin_operation(
        &self,
        saga: &NewSaga,
        subjects: &[Subject],
        max_live: usize,
    ) -> Result<(), NotBegun> {
        let begun = async {
            // So that neither the account goes meanwhile, nor another operation comes.
            let mut transaction = self.store.begin_exclusive(&turns_of(&saga.user_id)).await?;
            let live = live(&mut transaction, &saga.user_id).await?;
            if live.len() >= max_live {
                return Err(NotBegun::TooMany(live.len()));
            }
            let account = sqlx::query_scalar::<_, String>("SELECT id FROM accounts WHERE id = $1")
                .bind(&saga.target.account_id)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(StoreError::from)?;
            if account.is_none() {
                return Err(NotBegun::NoAccount);
            }
            self.begin_in(&mut transaction, saga, subjects).await?;
            Ok(transaction.commit().await?)
        };
        self.store.bounded(begun).await
    }

    /// Has an operation cancelled between two of its steps, if it is not over, and tells of it once.
    pub(crate) async fn request_cancel(&self, id: SagaId, event: &Event) -> Result<(), StoreError> {
        let requested = sqlx::query(
            "UPDATE sagas SET cancel_requested_at = $2 \
             WHERE id = $1 AND ended_at IS NULL AND cancel_requested_at IS NULL",
        )
        .bind(id.to_string())
        .bind(self.now().as_millis());
        self.change(requested, event).await.map(drop)
    }
}

/// Who works on what of a user, one after the other.
pub(super) fn turns_of(user_id: &str) -> String {
    format!("operations of {user_id}")
}

/// The operations of a user that are not over.
pub(super) async fn live(transaction: &mut Transaction, user_id: &str) -> Result<Vec<NewSaga>, StoreError> {
    let sagas =
        sqlx::query_scalar::<_, String>("SELECT saga FROM sagas WHERE user_id = $1 AND ended_at IS NULL")
            .bind(user_id)
            .fetch_all(&mut **transaction)
            .await?;
    sagas.iter().map(|saga| read(saga)).collect()
}
