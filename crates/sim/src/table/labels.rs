//! Labels and selectors as one line of text (`apimachinery/pkg/labels` and `pkg/apis/meta/v1/helpers.go`).

use serde_json::Value;

use super::read;

const NONE: &str = "<none>";

/// A map of labels, as `FormatLabels` writes it.
pub(super) fn format(labels: Option<&Value>) -> String {
    let pairs = labels.and_then(Value::as_object).into_iter().flatten();
    let mut pairs: Vec<String> =
        pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    pairs.sort();
    if pairs.is_empty() { NONE.to_owned() } else { pairs.join(",") }
}

/// A `LabelSelector`, as `FormatLabelSelector` writes it.
pub(super) fn format_selector(selector: Option<&Value>) -> String {
    match selector_text(selector) {
        Some(text) if text.is_empty() => NONE.to_owned(),
        Some(text) => text,
        None => "<error>".to_owned(),
    }
}

/// A `LabelSelector` as the text that a query would hold, or `None` for one that cannot be.
pub(super) fn selector_text(selector: Option<&Value>) -> Option<String> {
    let Some(selector) = selector else {
        return Some(String::new());
    };
    let pairs = read::map(selector, "/matchLabels").into_iter().flatten();
    let mut requirements: Vec<(&str, String)> = pairs
        .map(|(key, value)| (key.as_str(), format!("{key}={}", value.as_str().unwrap_or_default())))
        .collect();
    for expression in read::list(selector, "/matchExpressions") {
        let key = read::text(expression, "/key");
        requirements.push((key, requirement(key, expression)?));
    }
    requirements.sort_by_key(|(key, _)| *key);
    let requirements: Vec<String> = requirements.into_iter().map(|(_, text)| text).collect();
    Some(requirements.join(","))
}

fn requirement(key: &str, expression: &Value) -> Option<String> {
    let mut values: Vec<&str> = read::list(expression, "/values").iter().filter_map(Value::as_str).collect();
    values.sort_unstable();
    let values = values.join(",");
    match read::text(expression, "/operator") {
        "In" => Some(format!("{key} in ({values})")),
        "NotIn" => Some(format!("{key} notin ({values})")),
        "Exists" => Some(key.to_owned()),
        "DoesNotExist" => Some(format!("!{key}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors() {
        let selector = json!({
            "matchLabels": { "b": "1", "a": "2" },
            "matchExpressions": [
                { "key": "c", "operator": "In", "values": ["z", "y"] },
                { "key": "aa", "operator": "NotIn", "values": ["x"] },
                { "key": "e", "operator": "Exists" },
                { "key": "d", "operator": "DoesNotExist" },
            ],
        });
        assert_eq!(format_selector(Some(&selector)), "a=2,aa notin (x),b=1,c in (y,z),!d,e");
        assert_eq!(format_selector(Some(&json!({}))), "<none>");
        assert_eq!(format_selector(None), "<none>");
        let wrong = json!({ "matchExpressions": [{ "key": "a", "operator": "Near" }] });
        assert_eq!(format_selector(Some(&wrong)), "<error>");
    }

    #[test]
    fn labels() {
        assert_eq!(format(Some(&json!({ "b": "1", "a": "2" }))), "a=2,b=1");
        assert_eq!(format(Some(&json!({}))), "<none>");
        assert_eq!(format(None), "<none>");
    }
}
