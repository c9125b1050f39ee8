//! What names, labels and numbers must look like: `k8s.io/apimachinery/pkg/util/validation`.
//!
//! Each function answers with the rules that the text breaks, in the words of the original.

use std::net::IpAddr;

const LABEL_FMT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED_NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

/// `RegexError`.
fn regex_error(rule: &str, pattern: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{rule} (e.g. {}regex used for validation is '{pattern}')", examples.join(" or "))
}

fn at_most(text: &str, most: usize) -> Option<String> {
    (text.len() > most).then(|| format!("must be no more than {most} bytes"))
}

fn is_label(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
        && bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// `IsDNS1123Label`.
pub(super) fn dns_label(text: &str) -> Vec<String> {
    let mut broken: Vec<String> = at_most(text, 63).into_iter().collect();
    if !is_label(text) {
        broken.push(if is_subdomain(text) {
            "must not contain dots".to_owned()
        } else {
            let rule = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and \
                        must start and end with an alphanumeric character";
            regex_error(rule, LABEL_FMT, &["my-name", "123-abc"])
        });
    }
    broken
}

/// `IsDNS1123Subdomain`.
pub(super) fn dns_subdomain(text: &str) -> Vec<String> {
    let mut broken: Vec<String> = at_most(text, 253).into_iter().collect();
    if !is_subdomain(text) {
        let rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
                    '.', and must start and end with an alphanumeric character";
        broken.push(regex_error(rule, &format!("{LABEL_FMT}(\\.{LABEL_FMT})*"), &["example.com"]));
    }
    broken
}

/// `IsWildcardDNS1123Subdomain`.
pub(super) fn wildcard_subdomain(text: &str) -> Vec<String> {
    let mut broken: Vec<String> = at_most(text, 253).into_iter().collect();
    if !text.strip_prefix("*.").is_some_and(is_subdomain) {
        let rule = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which \
                    must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric \
                    character";
        broken.push(regex_error(rule, &format!("\\*\\.{LABEL_FMT}(\\.{LABEL_FMT})*"), &["*.example.com"]));
    }
    broken
}

/// `IsDNS1035Label`.
pub(super) fn dns_1035_label(text: &str) -> Vec<String> {
    let mut broken: Vec<String> = at_most(text, 63).into_iter().collect();
    if !is_label(text) || text.starts_with(|c: char| c.is_ascii_digit()) {
        let rule = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                    alphabetic character, and end with an alphanumeric character";
        broken.push(regex_error(rule, "[a-z]([-a-z0-9]*[a-z0-9])?", &["my-name", "abc-123"]));
    }
    broken
}

/// `IsValidPathSegmentName`.
pub(super) fn path_segment(text: &str) -> Vec<String> {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    let contained = ["/", "%"].into_iter().filter(|part| text.contains(part));
    contained.map(|part| format!("may not contain '{part}'")).collect()
}

fn is_qualified_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

/// `IsLabelKey`.
pub(crate) fn qualified_name(text: &str) -> Vec<String> {
    let rule = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                alphanumeric character";
    let pattern = regex_error(rule, QUALIFIED_NAME, &["MyName", "my.name", "123-abc"]);
    let parts: Vec<&str> = text.split('/').collect();
    let (mut broken, name) = match parts.as_slice() {
        [name] => (Vec::new(), *name),
        ["", name] => (vec!["prefix part must be non-empty".to_owned()], *name),
        [prefix, name] => {
            (dns_subdomain(prefix).iter().map(|rule| format!("prefix part {rule}")).collect(), *name)
        }
        _ => {
            let prefix = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a valid label key {pattern} {prefix}")];
        }
    };
    if name.is_empty() {
        broken.push("name part must be non-empty".to_owned());
    } else if let Some(rule) = at_most(name, 63) {
        broken.push(format!("name part {rule}"));
    }
    if !is_qualified_part(name) {
        broken.push(format!("name part {pattern}"));
    }
    broken
}

/// `IsValidLabelValue`.
pub(crate) fn label_value(text: &str) -> Vec<String> {
    let mut broken: Vec<String> = at_most(text, 63).into_iter().collect();
    if !text.is_empty() && !is_qualified_part(text) {
        let rule = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
                    '.', and must start and end with an alphanumeric character";
        broken.push(regex_error(rule, &format!("({QUALIFIED_NAME})?"), &["MyValue", "my_value", "12345"]));
    }
    broken
}

/// `IsConfigMapKey`.
pub(super) fn config_map_key(text: &str) -> Vec<String> {
    let mut broken: Vec<String> = at_most(text, 253).into_iter().collect();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if text.is_empty() || !text.bytes().all(allowed) {
        let rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        broken.push(regex_error(rule, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    match text {
        "." | ".." => broken.push(format!("must not be '{text}'")),
        text if text.starts_with("..") => broken.push("must not start with '..'".to_owned()),
        _ => {}
    }
    broken
}

/// `IsRelaxedEnvVarName`.
pub(super) fn env_var_name(text: &str) -> Vec<String> {
    if text.bytes().any(|byte| !(b' '..=b'~').contains(&byte) || byte == b'=') {
        let rule = "a valid environment variable name must consist only of printable ASCII characters other \
                    than '='";
        return vec![rule.to_owned()];
    }
    Vec::new()
}

/// `IsValidPortNum`.
pub(super) fn port_number(port: i64) -> Vec<String> {
    range(port, 1, 65_535)
}

/// `InclusiveRangeError`, where the number is outside.
pub(super) fn range(number: i64, least: i64, most: i64) -> Vec<String> {
    if (least..=most).contains(&number) {
        return Vec::new();
    }
    vec![format!("must be between {least} and {most}, inclusive")]
}

/// `IsValidPortName`.
pub(super) fn port_name(text: &str) -> Vec<String> {
    let mut broken: Vec<String> = at_most(text, 15).into_iter().collect();
    let mut rule = |holds: bool, rule: &str| {
        if !holds {
            broken.push(rule.to_owned());
        }
    };
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    rule(text.bytes().all(allowed), "must contain only alphanumeric characters (a-z, 0-9), and hyphens (-)");
    rule(text.bytes().any(|byte| byte.is_ascii_lowercase()), "must contain at least one letter (a-z)");
    rule(!text.contains("--"), "must not contain consecutive hyphens");
    rule(!text.starts_with('-') && !text.ends_with('-'), "must not begin or end with a hyphen");
    broken
}

/// `IsValidPercent`.
pub(super) fn percent(text: &str) -> Vec<String> {
    let digits = text.strip_suffix('%').unwrap_or_default();
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Vec::new();
    }
    let rule = "a valid percent string must be a numeric string followed by an ending '%'";
    vec![regex_error(rule, "[0-9]+%", &["1%", "93%"])]
}

/// `IsValidIP`.
pub(super) fn ip(text: &str) -> Vec<String> {
    if text.parse::<IpAddr>().is_ok() {
        return Vec::new();
    }
    vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()]
}

/// `IsValidCIDR`.
pub(super) fn cidr(text: &str) -> Vec<String> {
    let valid = text.split_once('/').is_some_and(|(address, bits)| {
        let most = match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        bits.parse::<u8>().is_ok_and(|bits| bits <= most)
    });
    if valid {
        return Vec::new();
    }
    vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_in_the_words_of_kubernetes() {
        assert_eq!(dns_label("my-name"), Vec::<String>::new());
        assert_eq!(dns_label("a.b"), ["must not contain dots"]);
        assert!(dns_label("Not_Valid")[0].contains("(e.g. 'my-name',  or '123-abc', regex used for"));
        assert_eq!(dns_label(&"a".repeat(64)), ["must be no more than 63 bytes"]);
        assert_eq!(dns_1035_label("1a").len(), 1);
        assert_eq!(path_segment("a/b%"), ["may not contain '/'", "may not contain '%'"]);
    }

    #[test]
    fn labels_have_qualified_keys_and_short_values() {
        for key in ["app", "example.com/App_1", "a.b-c"] {
            assert_eq!(qualified_name(key), Vec::<String>::new(), "{key}");
        }
        assert_eq!(qualified_name("/a"), ["prefix part must be non-empty"]);
        assert_eq!(qualified_name("").len(), 2);
        assert!(qualified_name("a/b/c")[0].ends_with("prefix and '/' (e.g. 'example.com/MyName')"));
        assert!(label_value("").is_empty());
        assert_eq!(label_value("-a").len(), 1);
    }

    #[test]
    fn numbers_and_addresses_are_bounded() {
        assert_eq!(port_number(0), ["must be between 1 and 65535, inclusive"]);
        assert!(port_name("http").is_empty());
        assert_eq!(port_name("8080"), ["must contain at least one letter (a-z)"]);
        assert!(percent("25%").is_empty());
        assert_eq!(percent("25").len(), 1);
        assert!(cidr("10.0.0.0/8").is_empty());
        assert_eq!(cidr("10.0.0.0/33").len(), 1);
    }
}
