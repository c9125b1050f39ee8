//! Label selectors: `a=b,c!=d,e in (f,g),h notin (i),j,!k`.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::parser;
use crate::status::ApiError;

/// Requirements that must all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Requirement {
    pub(super) key: String,
    pub(super) test: Test,
}

/// What the value of one label must pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    Exists,
    Absent,
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Greater(i64),
    Less(i64),
}

impl LabelSelector {
    /// Reads a selector.
    ///
    /// # Errors
    /// 400 with the parser's words.
    pub fn parse(text: &str) -> Result<LabelSelector, ApiError> {
        parser::parse(text).map(LabelSelector).map_err(ApiError::bad_request)
    }

    /// The selector of a workload; a replication controller's is a plain map of labels.
    #[must_use]
    pub fn of_workload(workload: &Value) -> Option<LabelSelector> {
        let selector = &workload["spec"]["selector"];
        if workload["kind"] == "ReplicationController" {
            return LabelSelector::of(&serde_json::json!({ "matchLabels": selector }));
        }
        LabelSelector::of(selector)
    }

    /// The selector that an object holds as `matchLabels` and `matchExpressions`; `None` where there is none or it is
    /// none that can be read, so that it selects nothing (`LabelSelectorAsSelector` of `apimachinery/pkg/apis/meta/v1`).
    #[must_use]
    pub fn of(selector: &Value) -> Option<LabelSelector> {
        let selector = selector.as_object()?;
        let labels = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
        let mut requirements: Vec<Requirement> = labels
            .map(|(key, value)| {
                let values = BTreeSet::from([value.as_str().unwrap_or_default().to_owned()]);
                Requirement { key: key.clone(), test: Test::In(values) }
            })
            .collect();
        let expressions = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
        for expression in expressions {
            let values = || {
                let values = expression["values"].as_array().into_iter().flatten();
                values.filter_map(Value::as_str).map(str::to_owned).collect()
            };
            let bound = || expression["values"][0].as_str()?.parse().ok();
            let test = match expression["operator"].as_str()? {
                "In" => Test::In(values()),
                "NotIn" => Test::NotIn(values()),
                "Exists" => Test::Exists,
                "DoesNotExist" => Test::Absent,
                // Only node selectors know these two.
                "Gt" => Test::Greater(bound()?),
                "Lt" => Test::Less(bound()?),
                _ => return None,
            };
            requirements.push(Requirement { key: expression["key"].as_str()?.to_owned(), test });
        }
        Some(LabelSelector(requirements))
    }

    /// Whether the object is one of those selected.
    #[must_use]
    pub fn matches(&self, object: &Value) -> bool {
        if self.is_empty() {
            return true;
        }
        let labels = &object["metadata"]["labels"];
        self.0.iter().all(|requirement| requirement.test.passes(labels[requirement.key.as_str()].as_str()))
    }

    /// Whether everything is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The selector as it is written in a query; keys in order, as `labels.Selector.String` does.
impl fmt::Display for LabelSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut requirements: Vec<&Requirement> = self.0.iter().collect();
        requirements.sort_by_key(|requirement| &requirement.key);
        for (index, Requirement { key, test }) in requirements.into_iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let list = |values: &BTreeSet<String>| values.iter().cloned().collect::<Vec<_>>().join(",");
            match test {
                Test::Exists => write!(formatter, "{comma}{key}"),
                Test::Absent => write!(formatter, "{comma}!{key}"),
                Test::In(values) if values.len() == 1 => write!(formatter, "{comma}{key}={}", list(values)),
                Test::In(values) => write!(formatter, "{comma}{key} in ({})", list(values)),
                Test::NotIn(values) => write!(formatter, "{comma}{key} notin ({})", list(values)),
                Test::Greater(bound) => write!(formatter, "{comma}{key}>{bound}"),
                Test::Less(bound) => write!(formatter, "{comma}{key}<{bound}"),
            }?;
        }
        Ok(())
    }
}

impl Test {
    fn passes(&self, label: Option<&str>) -> bool {
        let number = || label.and_then(|value| value.parse::<i64>().ok());
        match self {
            Test::Exists => label.is_some(),
            Test::Absent => label.is_none(),
            Test::In(values) => label.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => label.is_none_or(|value| !values.contains(value)),
            Test::Greater(bound) => number().is_some_and(|value| value > *bound),
            Test::Less(bound) => number().is_some_and(|value| value < *bound),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn selects(selector: &str) -> bool {
        let object =
            json!({ "metadata": { "labels": { "app": "cart", "tier": "web", "example.com/size": "7" } } });
        LabelSelector::parse(selector).unwrap().matches(&object)
    }

    #[test]
    fn operators() {
        for selector in [
            "",
            "app=cart",
            "app == cart",
            "app!=shop",
            "absent!=x",
            "app in (cart, shop)",
            "app notin (shop)",
            "absent notin (x)",
            "app",
            "!absent",
            "app=cart,tier in (web),!absent",
            "example.com/size>6",
            "example.com/size<8",
            "app in (,cart)",
        ] {
            assert!(selects(selector), "{selector}");
        }
        for selector in [
            "app=shop",
            "app==",
            "app!=cart",
            "app in ()",
            "app in (shop,)",
            "app notin (cart,shop)",
            "absent",
            "!app",
            "app=cart,tier=db",
            "absent in (x)",
            "example.com/size>7",
            "app<9",
        ] {
            assert!(!selects(selector), "{selector}");
        }
    }

    #[test]
    fn refusals_read_as_the_api_server_writes_them() {
        for (selector, message) in [
            ("==", "found '==', expected: !, identifier, or 'end of string'"),
            ("a=b,", "found '', expected: identifier after ','"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("a in b", "unable to parse requirement: found 'b' expected: '('"),
            ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            (
                "a>b",
                "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value \
                 must be an integer",
            ),
        ] {
            assert_eq!(LabelSelector::parse(selector).unwrap_err().message, message, "{selector}");
        }
        let message = LabelSelector::parse("a=-").unwrap_err().message;
        assert!(
            message.starts_with(
                "unable to parse requirement: values[0][a]: Invalid value: \"-\": a valid label must"
            ),
            "{message}"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-c/.é=!(),<> in]{0,40}") {
            let _ = LabelSelector::parse(&text);
        }

        #[test]
        fn a_set_and_its_complement_part_all_objects(
            values in proptest::collection::btree_set("[a-d]{0,2}", 1..4),
            label in proptest::option::of("[a-d]{0,2}"),
        ) {
            let object = json!({ "metadata": { "labels": label.as_ref().map(|value| json!({ "k": value })) } });
            let list = Vec::from_iter(values.clone()).join(",");
            let within = LabelSelector::parse(&format!("k in ({list})")).unwrap().matches(&object);
            let without = LabelSelector::parse(&format!("k notin ({list})")).unwrap().matches(&object);
            prop_assert_eq!(within, label.is_some_and(|value| values.contains(&value)));
            prop_assert_eq!(without, !within);
        }
    }
}
