//! What AWS says instead of a session.

use std::error::Error;

use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use thiserror::Error;

/// Why there is no session. The texts are for whoever handed the role over; none holds a credential.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AwsError {
    /// AWS does not say which of the two, so that nobody finds out which roles there are.
    #[error(
        "AWS denies it: the role's trust policy does not allow it with this external id, or there is no such role"
    )]
    Denied,
    /// AWS says so where the one who asks has no right to.
    #[error(
        "AWS denies it: Kubesage's own identity may not assume roles; its operator allows it sts:AssumeRole"
    )]
    NotPermitted,
    /// Said by what stands in for AWS, and by IAM.
    #[error("there is no such role")]
    NoSuchRole,
    /// Too many calls; later it may work.
    #[error("AWS asks us to call less often; try again in a minute")]
    Throttled,
    /// The credentials that Kubesage itself has.
    #[error("Kubesage's own AWS credentials have expired")]
    Expired,
    /// The same.
    #[error("Kubesage has no valid AWS credentials of its own")]
    NoCredentials,
    /// The parameters are not those of a role, or its session may not be so long.
    #[error("AWS does not accept the request: {0}")]
    Invalid(String),
    /// No answer, or none that can be read.
    #[error("AWS cannot be reached: {0}")]
    Unreachable(String),
    /// Something else that AWS says.
    #[error("AWS answers {code}")]
    Other {
        /// AWS's code.
        code: String,
    },
}

impl AwsError {
    /// Whether it is the role that is refused, which stays so until its owner changes something. All else passes, or is Kubesage's own
    /// fault, which its operator mends: the same may succeed later.
    pub fn is_of_role(&self) -> bool {
        match self {
            Self::Denied | Self::NoSuchRole | Self::Invalid(_) => true,
            Self::NotPermitted
            | Self::Throttled
            | Self::Expired
            | Self::NoCredentials
            | Self::Unreachable(_)
            | Self::Other { .. } => false,
        }
    }

    /// By the code of the answer
    /// (<https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html>, and `AssumeRole`'s own).
    fn of_code(code: &str, message: Option<&str>) -> Self {
        match code {
            // "… because no identity-based policy allows the sts:AssumeRole action"
            // (<https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>)
            "AccessDenied" | "AccessDeniedException"
                if message.is_some_and(|message| message.contains("identity-based policy")) =>
            {
                Self::NotPermitted
            }
            "AccessDenied" | "AccessDeniedException" => Self::Denied,
            "NoSuchEntity" | "NoSuchEntityException" => Self::NoSuchRole,
            "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "TooManyRequestsException" => {
                Self::Throttled
            }
            "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => Self::Expired,
            "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch"
            | "MissingAuthenticationToken"
            | "IncompleteSignature" => Self::NoCredentials,
            "ValidationError"
            | "ValidationException"
            | "MalformedPolicyDocument"
            | "RegionDisabledException" => Self::Invalid(message.unwrap_or(code).chars().take(200).collect()),
            other => Self::Other { code: other.chars().take(100).collect() },
        }
    }

    /// What a call has ended with.
    pub(crate) fn of_call<E, R>(error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata,
    {
        match error {
            SdkError::ServiceError(answered) => {
                let said = answered.err();
                Self::of_code(said.code().unwrap_or("an unknown error"), said.message())
            }
            SdkError::TimeoutError(_) => Self::Unreachable("no answer in time".to_owned()),
            SdkError::DispatchFailure(failure) => {
                let cause = failure.as_connector_error().map(error_chain).unwrap_or_default();
                // There was nothing to sign the request with: the SDK has no type for it.
                if cause.contains("credentials") { Self::NoCredentials } else { Self::Unreachable(cause) }
            }
            SdkError::ConstructionFailure(_) => Self::NoCredentials,
            _ => Self::Unreachable("the answer cannot be read".to_owned()),
        }
    }
}

/// An error and what it comes from, in one line.
fn error_chain(error: &(impl Error + 'static)) -> String {
    let first: &(dyn Error + 'static) = error;
    let chain = std::iter::successors(Some(first), |error: &&(dyn Error + 'static)| (*error).source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart() {
        for (code, expected, is_of_role) in [
            ("AccessDenied", AwsError::Denied, true),
            ("NoSuchEntity", AwsError::NoSuchRole, true),
            ("ValidationError", AwsError::Invalid("ValidationError".to_owned()), true),
            ("Throttling", AwsError::Throttled, false),
            ("ExpiredToken", AwsError::Expired, false),
            ("InvalidClientTokenId", AwsError::NoCredentials, false),
            ("SignatureDoesNotMatch", AwsError::NoCredentials, false),
            ("InternalFailure", AwsError::Other { code: "InternalFailure".to_owned() }, false),
        ] {
            let error = AwsError::of_code(code, None);
            assert_eq!((&error, error.is_of_role()), (&expected, is_of_role));
        }
        let own = "not authorized to perform: sts:AssumeRole on resource: r because no identity-based policy allows the action";
        let own = AwsError::of_code("AccessDenied", Some(own));
        assert!(own == AwsError::NotPermitted && !own.is_of_role());
    }
}
