//! Why a query has no result.

use std::{error::Error, fmt};

use contracts::{ErrorCode, agent::ResponseError};
use kube::core::Status;
use web::error_chain;

/// Longer details are cut: they travel in frames and stand in logs.
const MAX_DETAIL_CHARS: usize = 1024;

/// Why a query has no result, as it is told to the server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct QueryError {
    pub(crate) code: ErrorCode,
    pub(crate) detail: String,
}

impl QueryError {
    pub(crate) fn new(code: ErrorCode, detail: impl AsRef<str>) -> Self {
        let detail = detail.as_ref().chars().take(MAX_DETAIL_CHARS).collect();
        Self { code, detail }
    }

    pub(crate) fn invalid(detail: impl AsRef<str>) -> Self {
        Self::new(ErrorCode::Invalid, detail)
    }

    pub(crate) fn unreachable(detail: impl AsRef<str>) -> Self {
        Self::new(ErrorCode::ClusterUnreachable, detail)
    }

    /// A fault of the agent's.
    pub(crate) fn internal(error: impl Error) -> Self {
        Self::new(ErrorCode::AgentError, format!("the agent failed: {error}"))
    }

    /// The API server's own refusal, by its HTTP status.
    fn refused(status: &Status) -> Self {
        let code = match status.code {
            401 | 403 => ErrorCode::Forbidden,
            404 => ErrorCode::NotFound,
            410 => ErrorCode::Expired,
            422 => ErrorCode::Invalid,
            429 => ErrorCode::RateLimited,
            400..=499 => ErrorCode::BadRequest,
            _ => ErrorCode::ClusterUnreachable,
        };
        Self::new(code, &status.message)
    }
}

impl From<kube::Error> for QueryError {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) => Self::refused(status),
            kube::Error::BuildRequest(_) | kube::Error::HttpError(_) => {
                Self::new(ErrorCode::BadRequest, error_chain(&error))
            }
            kube::Error::HyperError(_)
            | kube::Error::Service(_)
            | kube::Error::ReadEvents(_)
            | kube::Error::Auth(_) => {
                Self::unreachable(format!("the API server cannot be reached: {}", error_chain(&error)))
            }
            _ => Self::new(ErrorCode::AgentError, error_chain(&error)),
        }
    }
}

impl From<QueryError> for ResponseError {
    fn from(error: QueryError) -> Self {
        Self { code: error.code, detail: error.detail }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl Error for QueryError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Status::failure(message, "").with_code(code).boxed())
    }

    #[test]
    fn a_refusal_keeps_its_meaning_and_its_message() {
        let cases = [
            (400, ErrorCode::BadRequest),
            (401, ErrorCode::Forbidden),
            (403, ErrorCode::Forbidden),
            (404, ErrorCode::NotFound),
            (410, ErrorCode::Expired),
            (414, ErrorCode::BadRequest),
            (422, ErrorCode::Invalid),
            (429, ErrorCode::RateLimited),
            (500, ErrorCode::ClusterUnreachable),
            (503, ErrorCode::ClusterUnreachable),
        ];
        for (http, code) in cases {
            let error = QueryError::from(status(http, "because"));
            assert_eq!(error, QueryError { code, detail: "because".to_owned() });
        }
    }

    #[test]
    fn a_long_message_is_cut() {
        let error = QueryError::from(status(400, &"ä".repeat(5000)));
        assert_eq!(error.detail.chars().count(), MAX_DETAIL_CHARS);
    }
}
