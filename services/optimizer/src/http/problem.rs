//! How what could not be done is told.

use std::time::Duration;

use contracts::ErrorCode;
use store::StoreError;
use web::Problem;

use crate::lab::LabError;

/// After so long, too many operations under way may be fewer.
const BUSY: Duration = Duration::from_secs(30);

impl From<LabError> for Problem {
    fn from(error: LabError) -> Self {
        match error {
            LabError::NotFound(_) => Self::not_found(error.to_string()),
            LabError::Conflict(why) => Self::conflict(why),
            LabError::TooMany(why) => Self::new(ErrorCode::RateLimited, why).retry_after(BUSY),
            LabError::Invalid { field, message } => Self::invalid(field, message),
            LabError::Cloud(_) => Self::new(ErrorCode::Unavailable, error.to_string()),
            LabError::Store(StoreError::Unavailable(cause)) => {
                Self::unavailable(&cause, "the database cannot be used right now; try again")
            }
            LabError::Store(other) => Self::internal(&other),
        }
    }
}
