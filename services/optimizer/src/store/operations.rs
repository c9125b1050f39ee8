//! Sagas, as their users see them.

use contracts::events::Event;
use sqlx::FromRow;
use store::StoreError;

use super::{Database, sagas::read};
use crate::saga::{Entry, NewSaga, SagaId};

/// So many operations are listed.
const MAX_LISTED: i64 = 100;

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

    /// The operations of a user that are not over.
    pub(crate) async fn live_operations_of(&self, user_id: &str) -> Result<Vec<NewSaga>, StoreError> {
        let sagas =
            sqlx::query_scalar::<_, String>("SELECT saga FROM sagas WHERE user_id = $1 AND ended_at IS NULL")
                .bind(user_id)
                .fetch_all(self.store.pool());
        self.store.read(sagas).await?.iter().map(|saga| read(saga)).collect()
    }

    /// Has an operation cancelled between two of its steps, if it is not over, and tells of it once.
    pub(crate) async fn request_cancel(&self, id: SagaId, event: &Event) -> Result<(), StoreError> {
        let requested = async {
            let mut transaction = self.store.begin().await?;
            let updated = sqlx::query(
                "UPDATE sagas SET cancel_requested_at = $2 \
                 WHERE id = $1 AND ended_at IS NULL AND cancel_requested_at IS NULL",
            )
            .bind(id.to_string())
            .bind(self.now().as_millis())
            .execute(&mut *transaction)
            .await?;
            if updated.rows_affected() == 1 {
                transaction.emit(event).await?;
            }
            transaction.commit().await
        };
        self.store.bounded(requested).await
    }
}
