//! What AWS's errors mean for who asked.

use std::error::Error;

use aws_access::AwsError;
use aws_sdk_ec2::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use cloud::CloudError;

/// So much of AWS's words is passed on.
const MOST_CHARACTERS: usize = 300;
/// What follows is for who may decode it, and long.
const ENCODED: &str = "Encoded authorization failure message";

/// What a call has ended with.
pub(crate) fn of_call<E>(error: &SdkError<E, HttpResponse>) -> CloudError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let SdkError::ServiceError(answered) = error {
        let said = answered.err();
        let status = answered.raw().status().as_u16();
        return of_answer(status, said.code().unwrap_or_default(), said.message().unwrap_or_default());
    }
    if let Some(error) = chain(error).find_map(|cause| cause.downcast_ref::<AwsError>()) {
        return of_session(error);
    }
    match error {
        // It was never sent.
        SdkError::ConstructionFailure(_) => refused("InvalidRequest", &words(error)),
        SdkError::TimeoutError(_) => late(),
        SdkError::DispatchFailure(_) => unknown(&words(error)),
        _ => unknown("an answer that nobody understands"),
    }
}

/// Whether AWS does not take the session any more.
pub(crate) fn is_of_session<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let SdkError::ServiceError(answered) = error else { return false };
    answered.err().code().is_some_and(is_code_of_session)
}

fn is_code_of_session(code: &str) -> bool {
    matches!(
        code,
        "AuthFailure"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "InvalidClientTokenId"
            | "RequestExpired"
            | "UnrecognizedClientException"
    )
}

/// Why there is no session.
pub(crate) fn of_session(error: &AwsError) -> CloudError {
    match error {
        AwsError::Throttled => CloudError::Throttled,
        error if error.is_of_role() => CloudError::Denied { message: cut(&error.to_string()) },
        error => unknown(&error.to_string()),
    }
}

/// By the code of the answer, which comes before its status: EC2 says `RequestLimitExceeded` with 503
/// (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>,
/// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/CommonErrors.html>).
fn of_answer(status: u16, code: &str, message: &str) -> CloudError {
    match code {
        "IdempotentParameterMismatch" => CloudError::TokenMismatch,
        "EC2ThrottledException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "TooManyRequestsException"
        // "You already have a pending update to an Auto Scaling resource"
        | "ResourceContention" => CloudError::Throttled,
        // Of that pool, in that zone: another may have some. `Unsupported` is what a zone without the type says. Quotas are none of it,
        // as they are those of the account.
        "InsufficientCapacity"
        | "InsufficientHostCapacity"
        | "InsufficientInstanceCapacity"
        | "InsufficientReservedInstanceCapacity"
        | "SpotMaxPriceTooLow"
        | "UnfulfillableCapacity"
        | "Unsupported" => CloudError::Shortage { message: cut(message) },
        "AccessDenied"
        | "AccessDeniedException"
        | "AuthFailure.ServiceLinkedRoleCreationNotPermitted"
        | "Blocked"
        | "InvalidSecurity"
        | "MissingAuthenticationToken"
        | "NotAuthorized"
        | "OptInRequired"
        | "PendingVerification"
        | "SignatureDoesNotMatch"
        | "UnauthorizedOperation" => CloudError::Denied { message: cut(message) },
        code if is_code_of_session(code) => CloudError::Denied { message: cut(message) },
        "ResourceNotFoundException" => not_found(message),
        code if code.ends_with(".NotFound") || code.ends_with(".NotFoundException") => not_found(message),
        "InternalError" | "InternalFailure" | "ServiceUnavailable" | "Unavailable" => unknown(code),
        "" => unknown(&format!("an answer that nobody understands ({status})")),
        code if status >= 500 => unknown(code),
        code => refused(code, message),
    }
}

pub(crate) fn refused(code: &str, message: &str) -> CloudError {
    CloudError::Refused { code: cut(code), message: cut(message) }
}

pub(crate) fn unknown(message: &str) -> CloudError {
    CloudError::Unknown { message: cut(message) }
}

/// What a change was not sent for.
pub(crate) fn unsent(error: CloudError) -> CloudError {
    match error {
        CloudError::Unknown { message } => unknown(&format!("nothing was sent: {message}")),
        known => known,
    }
}

/// Nobody has answered.
pub(crate) fn late() -> CloudError {
    unknown("no answer came in time")
}

/// An answer that lacks what every such answer has.
pub(crate) fn strange(what: &str) -> CloudError {
    unknown(&format!("an answer that nobody understands: {what}"))
}

/// "The instance ID 'i-…' does not exist"
fn not_found(message: &str) -> CloudError {
    let what = message.trim_end_matches('.').trim_end_matches(" does not exist").trim_end_matches(',');
    CloudError::NotFound { what: cut(what) }
}

fn cut(message: &str) -> String {
    let own = message.split(ENCODED).next().unwrap_or_default();
    own.trim().chars().take(MOST_CHARACTERS).collect()
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// An error and what it comes from, in one line.
fn words(error: &(dyn Error + 'static)) -> String {
    chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `RunInstances`, `AttachInstances` and their like, as the API references have their errors.
    #[test]
    fn codes_are_told_apart() {
        let shortage = |message: &str| CloudError::Shortage { message: message.to_owned() };
        let denied = |message: &str| CloudError::Denied { message: message.to_owned() };
        for (status, code, message, expected) in [
            (400, "IdempotentParameterMismatch", "The client token", CloudError::TokenMismatch),
            (503, "RequestLimitExceeded", "Request limit exceeded.", CloudError::Throttled),
            (400, "Throttling", "Rate exceeded", CloudError::Throttled),
            (429, "TooManyRequestsException", "", CloudError::Throttled),
            (400, "ResourceContention", "You already have a pending update", CloudError::Throttled),
            (500, "InsufficientInstanceCapacity", "There is no capacity", shortage("There is no capacity")),
            (400, "SpotMaxPriceTooLow", "Your Spot request price", shortage("Your Spot request price")),
            (400, "Unsupported", "is not supported", shortage("is not supported")),
            (
                403,
                "UnauthorizedOperation",
                "You are not authorized. Encoded authorization failure message: 3xY",
                denied("You are not authorized."),
            ),
            (403, "AccessDenied", "not allowed", denied("not allowed")),
            (403, "OptInRequired", "not subscribed", denied("not subscribed")),
            (401, "AuthFailure", "not able to validate", denied("not able to validate")),
            (403, "ExpiredToken", "expired", denied("expired")),
            (
                400,
                "InvalidInstanceID.NotFound",
                "The instance ID 'i-1' does not exist",
                CloudError::NotFound { what: "The instance ID 'i-1'".to_owned() },
            ),
            (
                400,
                "InvalidLaunchTemplateName.NotFoundException",
                "The launch template, with name t, does not exist.",
                CloudError::NotFound { what: "The launch template, with name t".to_owned() },
            ),
            (
                404,
                "ResourceNotFoundException",
                "No cluster found",
                CloudError::NotFound { what: "No cluster found".to_owned() },
            ),
            (
                400,
                "ValidationError",
                "AutoScalingGroup g has min-size=1",
                refused("ValidationError", "AutoScalingGroup g has min-size=1"),
            ),
            (
                400,
                "VcpuLimitExceeded",
                "You have requested more",
                refused("VcpuLimitExceeded", "You have requested more"),
            ),
            (500, "InternalError", "An internal error", unknown("InternalError")),
            (503, "Unavailable", "", unknown("Unavailable")),
            (400, "InternalFailure", "", unknown("InternalFailure")),
            (500, "SomethingNew", "", unknown("SomethingNew")),
            (502, "", "", unknown("an answer that nobody understands (502)")),
        ] {
            assert_eq!(of_answer(status, code, message), expected, "{code}");
        }
    }

    #[test]
    fn what_is_no_answer_is_not_known() {
        type Lost = SdkError<aws_sdk_ec2::operation::run_instances::RunInstancesError, HttpResponse>;
        let lost = Lost::timeout_error("late");
        assert_eq!(of_call(&lost), unknown("no answer came in time"));
        let lost = Lost::dispatch_failure(aws_sdk_ec2::error::ConnectorError::io("reset".into()));
        assert!(matches!(of_call(&lost), CloudError::Unknown { message } if message.contains("reset")));
        assert!(matches!(of_call(&Lost::construction_failure("bad")), CloudError::Refused { .. }));
    }

    #[test]
    fn a_session_that_is_not_given_is_told() {
        assert!(matches!(of_session(&AwsError::Denied), CloudError::Denied { .. }));
        assert_eq!(of_session(&AwsError::Throttled), CloudError::Throttled);
        for passing in [AwsError::Unreachable("reset".to_owned()), AwsError::Expired, AwsError::NoCredentials]
        {
            assert!(of_session(&passing).is_transient(), "{passing}");
        }
    }
}
