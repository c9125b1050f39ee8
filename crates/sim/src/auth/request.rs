//! Who sends a request: by certificate, by token, or nobody; and in whose place.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;

use super::tokens::{API_AUDIENCE, Tokens};
use super::{AUTHENTICATED, User};
use crate::api::Api;
use crate::rbac::{self, Attempt};
use crate::status::ApiError;

/// The user who sends a request, or the one in whose place it is sent.
///
/// # Errors
/// 401 for a token that is not good; 403 for who may not act in the other's place.
pub(crate) fn authenticate(
    api: &Api,
    tokens: &Tokens,
    certificate: Option<&[u8]>,
    headers: &HeaderMap,
) -> Result<User, ApiError> {
    let user = match (certificate.and_then(User::of_certificate), bearer_token(headers)) {
        (Some(user), _) => user,
        (None, Some(token)) => {
            let bearer = tokens.authenticate(api, token, &[API_AUDIENCE]);
            bearer.map_err(|_| ApiError::unauthorized())?.user
        }
        (None, None) => User::anonymous(),
    };
    impersonated(api, user, headers)
}

/// The token of a request; other schemes count as none (`apiserver/pkg/authentication/request/bearertoken`).
pub(crate) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    let token = rest.split(' ').next()?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The user in whose place the request is sent (`apiserver/pkg/endpoints/filters/impersonation`).
fn impersonated(api: &Api, user: User, headers: &HeaderMap) -> Result<User, ApiError> {
    let values = |name: &str| -> Vec<&str> {
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
    };
    let header = |name: &str| values(name).first().copied().unwrap_or_default();
    let (name, uid, groups) =
        (header("impersonate-user"), header("impersonate-uid"), values("impersonate-group"));
    let extra = extra(headers);
    if name.is_empty() {
        let nothing = uid.is_empty() && groups.is_empty() && extra.is_empty();
        let why = "requested impersonation without impersonating a user name";
        return if nothing { Ok(user) } else { Err(ApiError::internal(why)) };
    }
    let may = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
        let verb = "impersonate";
        let attempt = Attempt { verb, group, resource, subresource, namespace, name, path: "" };
        rbac::authorize(api, &user, &attempt)
    };
    let account = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, account)) => may("", "serviceaccounts", "", namespace, account)?,
        None => may("", "users", "", "", name)?,
    }
    for group in &groups {
        may("", "groups", "", "", group)?;
    }
    let authentication = "authentication.k8s.io";
    if !uid.is_empty() {
        may(authentication, "uids", "", "", uid)?;
    }
    for (key, value) in &extra {
        may(authentication, "userextras", key, "", value)?;
    }

    let mut other = match account {
        Some((namespace, account)) if groups.is_empty() => User::service_account(namespace, account),
        _ if name == User::anonymous().name => User::anonymous(),
        _ => User::new(name, groups.into_iter().filter(|group| *group != AUTHENTICATED)),
    };
    other.uid = uid.to_owned();
    for (key, value) in extra {
        other.extra.entry(key).or_default().push(value);
    }
    Ok(other)
}

/// The headers `Impersonate-Extra-…`, by key.
fn extra(headers: &HeaderMap) -> Vec<(String, String)> {
    let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let key = name.as_str().strip_prefix("impersonate-extra-")?;
        let key = percent_decode_str(key).decode_utf8_lossy().to_lowercase();
        Some((key, value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter_map(pair).collect()
}
