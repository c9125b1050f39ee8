//! Sagas, as their users see them.

use std::collections::HashMap;

use contracts::events::EventType;
use serde_json::json;
use sqlx::FromRow;
use store::{StoreError, Transaction};
use thiserror::Error;

use super::{
    Database,
    accounts::has_account,
    sagas::{journal_in, read, told},
};
use crate::{
    counted,
    phases::Subject,
    saga::{Entry, LogError, NewSaga, SagaId, State},
};

/// So many operations are listed.
const MAX_LISTED: i64 = 100;

/// Why an operation was not begun.
#[derive(Debug, Error)]
pub(crate) enum NotBegun {
    #[error("its account is gone")]
    NoAccount,
    #[error("{0} of your operations are under way already")]
    TooMany(i64),
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
    id: String,
    saga: String,
    /// 1 when it is in the simulated account.
    pub(crate) is_simulated: i64,
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

const COLUMNS: &str = "id, saga, is_simulated, created_at, cancel_requested_at, ended_at";

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

    /// The newest operations of a user, the newest first, each with what it began with and its journal. What cannot be read is left out: a
    /// later version may have written it.
    pub(crate) async fn operations_of(
        &self,
        user_id: &str,
    ) -> Result<Vec<(Operation, NewSaga, Vec<Entry>)>, StoreError> {
        const NEWEST: &str = "FROM sagas WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2";
        let operations = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} {NEWEST}"));
        let operations = sqlx::query_as::<_, Operation>(operations).bind(user_id).bind(MAX_LISTED);
        let operations = self.store.read(operations.fetch_all(self.store.pool())).await?;
        let entries = sqlx::AssertSqlSafe(format!(
            "SELECT saga_id, entry FROM journal WHERE saga_id IN (SELECT id {NEWEST}) ORDER BY saga_id, seq"
        ));
        let entries = sqlx::query_as::<_, (String, String)>(entries).bind(user_id).bind(MAX_LISTED);
        let mut journals: HashMap<String, Vec<String>> = HashMap::new();
        for (id, entry) in self.store.read(entries.fetch_all(self.store.pool())).await? {
            journals.entry(id).or_default().push(entry);
        }
        let mut readable = Vec::with_capacity(operations.len());
        for operation in operations {
            let journal = journals.remove(&operation.id).unwrap_or_default();
            let journal: Result<Vec<Entry>, _> = journal.iter().map(|entry| read(entry)).collect();
            match operation.saga().and_then(|saga| Ok((saga, journal?))) {
                Ok((saga, journal)) => readable.push((operation, saga, journal)),
                Err(error) => {
                    tracing::error!(operation = operation.id, %error, "an operation cannot be told of");
                }
            }
        }
        Ok(readable)
    }

    /// Begins an operation in one of its user's accounts, who has fewer than so many under way.
    pub(crate) async fn begin_operation(
        &self,
        saga: &NewSaga,
        is_simulated: bool,
        subjects: &[Subject],
        max_live: u16,
    ) -> Result<(), NotBegun> {
        let begun = async {
            // So that neither the account goes meanwhile, nor another operation comes.
            let mut transaction = self.store.begin_exclusive(&turns_of(&saga.user_id)).await?;
            let live: i64 =
                sqlx::query_scalar("SELECT COUNT(*) FROM sagas WHERE user_id = $1 AND ended_at IS NULL")
                    .bind(&saga.user_id)
                    .fetch_one(&mut *transaction)
                    .await
                    .map_err(StoreError::from)?;
            if live >= max_live.into() {
                return Err(NotBegun::TooMany(live));
            }
            if !has_account(&mut transaction, &saga.target.account_id).await? {
                return Err(NotBegun::NoAccount);
            }
            self.begin_in(&mut transaction, saga, is_simulated, subjects).await?;
            transaction.commit().await?;
            counted::begun();
            Ok(())
        };
        self.store.bounded(begun).await
    }

    /// Has an operation cancelled between two of its steps, and tells of it once, unless `check` of where it is says otherwise. It does not go on
    /// meanwhile.
    pub(crate) async fn request_cancel<E: From<StoreError>>(
        &self,
        operation: &Operation,
        saga: &NewSaga,
        check: impl FnOnce(&State) -> Result<(), E>,
    ) -> Result<(), E> {
        let now = self.now();
        let requested = async {
            let mut transaction = self.store.begin().await?;
            let asked = sqlx::query(
                "UPDATE sagas SET cancel_requested_at = $2 \
                 WHERE id = $1 AND ended_at IS NULL AND cancel_requested_at IS NULL",
            );
            let asked = asked.bind(&operation.id).bind(now.as_millis()).execute(&mut *transaction);
            let is_new = asked.await.map_err(StoreError::from)?.rows_affected() == 1;
            check(&State::of(saga, &journal_in(&mut transaction, saga.id, 0).await?))?;
            if is_new {
                let is_simulated = operation.is_simulated == 1;
                let event = told(EventType::OperationCancelRequested, saga, is_simulated, now, json!({}));
                transaction.emit(&event).await?;
                transaction.commit().await?;
            }
            Ok(())
        };
        self.store.bounded(requested).await
    }
}

/// Who adds to or takes from what a user has, one after the other.
pub(super) fn turns_of(user_id: &str) -> String {
    format!("lab of {user_id}")
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
