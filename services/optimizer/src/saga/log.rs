//! Where journals are kept, and who may write them.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use contracts::Timestamp;
use store::StoreError;
use thiserror::Error;

use super::{Entry, NewSaga, SagaId};
use crate::phases::Subject;

/// A process that carries sagas on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner(pub String);

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The right to carry a saga on. Each time somebody takes it, its epoch is one higher, and what is written with an earlier one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Of which saga.
    pub saga: SagaId,
    /// The how-many-eth owner this is.
    pub epoch: i64,
}

/// A saga that somebody has just taken on.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// What it began with.
    pub saga: NewSaga,
    /// Its journal.
    pub journal: Vec<Entry>,
    /// The right to carry it on.
    pub lease: Lease,
    /// For how long nobody has carried it on, of all the time since it was begun.
    pub unattended: Duration,
}

/// Why nothing was written.
#[derive(Debug, Error)]
pub enum LogError {
    /// Somebody else carries it on.
    #[error("another process has taken the operation over")]
    Fenced,
    /// Another saga works on the same.
    #[error("another operation works on {subject}: {by}")]
    Taken {
        /// On what.
        subject: Subject,
        /// Which.
        by: SagaId,
    },
    /// The saga is to be cancelled, and this would be the point of no return.
    #[error("the operation is to be cancelled")]
    Cancelled,
    /// The database cannot be used now. Whether something was written is not known; writing it again is harmless.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The journals of all sagas. Every method may be repeated.
#[async_trait]
pub trait Log: Send + Sync {
    /// The time, the same for all who use it.
    fn now(&self) -> Timestamp;

    /// Begins a saga, with its first entry. Nobody has its lease.
    ///
    /// # Errors
    /// [`LogError::Taken`] when another live saga has one of the subjects.
    async fn begin(&self, saga: &NewSaga, subjects: &[Subject]) -> Result<(), LogError>;

    /// Takes on a saga that is not over and nobody carries on, the oldest first; `None` when there is none.
    ///
    /// # Errors
    /// [`LogError::Store`].
    async fn claim(&self, owner: &Owner, lease: Duration) -> Result<Option<Claimed>, LogError>;

    /// Keeps a lease for that long from now, and tells whether the saga is to be cancelled.
    ///
    /// # Errors
    /// [`LogError::Fenced`].
    async fn renew(&self, lease: Lease, duration: Duration) -> Result<bool, LogError>;

    /// Writes an entry, and takes what it says for this saga alone. With [`Event::Ended`](super::Event::Ended) everything is let go. One after which
    /// there is no way back is not written when the saga is to be cancelled: whoever has cancelled it before was promised that.
    ///
    /// # Errors
    /// [`LogError::Fenced`], [`LogError::Taken`] and [`LogError::Cancelled`], and nothing is written.
    async fn append(&self, lease: Lease, entry: &Entry) -> Result<(), LogError>;

    /// Lets the lease go, so that another process can carry on at once.
    ///
    /// # Errors
    /// [`LogError::Store`].
    async fn release(&self, lease: Lease) -> Result<(), LogError>;
}
