//! Why something is not done.

use store::StoreError;
use thiserror::Error;
use web::{FieldError, Problem};

/// Why something is not done.
#[derive(Debug, Error)]
pub enum Error {
    /// The values that cannot be accepted.
    #[error("some values cannot be accepted")]
    Invalid(Vec<FieldError>),
    /// There is no such thing, as far as the caller may know.
    #[error("{0}")]
    NotFound(&'static str),
    /// It contradicts what is there.
    #[error("{0}")]
    Conflict(&'static str),
    /// The caller may not do it.
    #[error("{0}")]
    Forbidden(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(fields) => {
                let mut fields = fields.into_iter();
                let first = fields.next().map(|field| Self::invalid(field.field, field.message));
                let first = first.unwrap_or_else(|| Self::bad_request("some values cannot be accepted"));
                fields.fold(first, |problem, field| problem.and_field(field.field, field.message))
            }
            Error::NotFound(detail) => Self::not_found(detail),
            Error::Conflict(detail) => Self::conflict(detail),
            Error::Forbidden(detail) => Self::forbidden(detail),
            Error::Store(StoreError::Unavailable(cause)) => {
                Self::unavailable(&cause, "the database cannot be used right now; try again")
            }
            Error::Store(other) => Self::internal(&other),
        }
    }
}
