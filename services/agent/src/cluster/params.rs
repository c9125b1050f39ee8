//! What a caller may ask for, and what may be put into the path of an API call.

use contracts::query::{Command, Params};

use super::QueryError;

/// Refuses a parameter that the command does not heed: ignored, it would make the answer another than the one asked for.
pub(crate) fn check_applicable(command: &Command, params: &Params) -> Result<(), QueryError> {
    let field = match command {
        Command::GetNamespaces | Command::GetNodes if params.namespace.is_some() => "namespace",
        Command::GetAllocation if *params != Params { fresh: params.fresh, ..Params::default() } => {
            "a parameter"
        }
        Command::GetClusterResources if params.limit.is_some() => "limit",
        Command::GetClusterResources if params.continue_token.is_some() => "continue",
        _ => return Ok(()),
    };
    Err(QueryError::invalid(format!("{field} does not apply to {}", command.as_str())))
}

/// A namespace, where one is asked for.
pub(crate) fn namespace(params: &Params) -> Result<Option<&str>, QueryError> {
    params.namespace.as_deref().map(|name| checked("namespace", name, is_label)).transpose()
}

/// A value that the command cannot do without.
pub(crate) fn required<'a>(field: &str, value: Option<&'a str>) -> Result<&'a str, QueryError> {
    value.ok_or_else(|| QueryError::invalid(format!("{field} is required")))
}

/// A pod's name.
pub(crate) fn pod_name(params: &Params) -> Result<&str, QueryError> {
    checked("name", required("name", params.name.as_deref())?, is_subdomain)
}

/// A container's name, where one is asked for.
pub(crate) fn container(params: &Params) -> Result<Option<&str>, QueryError> {
    params.container.as_deref().map(|name| checked("container", name, is_label)).transpose()
}

/// Names become parts of a path, so nothing but a name may pass.
fn checked<'a>(field: &str, name: &'a str, is_valid: fn(&str) -> bool) -> Result<&'a str, QueryError> {
    if is_valid(name) {
        Ok(name)
    } else {
        Err(QueryError::invalid(format!(
            "{field} must be a Kubernetes name: lower-case letters, digits and '-'"
        )))
    }
}

/// RFC 1123 label: <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names>.
fn is_label(name: &str) -> bool {
    name.len() <= 63 && is_label_of_any_length(name)
}

/// RFC 1123 subdomain, of which only the whole is limited in length:
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names>.
fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label_of_any_length)
}

fn is_label_of_any_length(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use contracts::ErrorCode;
    use proptest::prelude::*;

    use super::*;

    fn in_namespace(name: &str) -> Params {
        Params { namespace: Some(name.to_owned()), ..Params::default() }
    }

    fn pod(name: &str) -> Params {
        Params { name: Some(name.to_owned()), ..Params::default() }
    }

    #[test]
    fn names_pass_as_they_are() {
        assert_eq!(namespace(&Params::default()), Ok(None));
        assert_eq!(namespace(&in_namespace("kube-system")), Ok(Some("kube-system")));
        assert_eq!(pod_name(&pod("web-0.example")), Ok("web-0.example"));
    }

    #[test]
    fn what_would_lead_elsewhere_is_refused() {
        for name in ["", "..", "a/b", "a?b", "a%2fb", "A", "-a", "a-", "a b", "ä", &"a".repeat(64)] {
            assert!(namespace(&in_namespace(name)).is_err(), "{name:?}");
        }
        for name in ["", ".", "a..b", "../secrets", &"a".repeat(254)] {
            assert!(pod_name(&pod(name)).is_err(), "{name:?}");
        }
        assert!(matches!(pod_name(&Params::default()), Err(error) if error.code == ErrorCode::Invalid));
    }

    proptest! {
        #[test]
        fn only_harmless_characters_pass(text in "\\PC{0,70}") {
            if pod_name(&pod(&text)).is_ok() {
                prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.'));
                prop_assert!(!text.contains(".."));
            }
        }
    }
}
