//! Field selectors: `spec.nodeName=a,status.phase!=Running` (`k8s.io/apimachinery/pkg/fields`).

use serde_json::Value;

use crate::conversion;
use crate::kinds::Kind;
use crate::object;
use crate::status::ApiError;

/// Terms that must all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<Term>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    path: String,
    equal: bool,
    value: String,
}

impl FieldSelector {
    /// Reads a selector for objects of `kind`.
    ///
    /// # Errors
    /// 400 for a term without an operator and for a field that the kind cannot be selected by.
    pub fn parse(kind: &Kind, text: &str) -> Result<FieldSelector, ApiError> {
        let terms = split_terms(text);
        let terms = terms.iter().filter(|term| !term.is_empty()).map(|term| {
            let (path, equal, value) = split_term(term).ok_or_else(|| {
                ApiError::bad_request(format!("invalid selector: '{text}'; can't understand '{term}'"))
            })?;
            selectable(kind, path)?;
            Ok(Term { path: conversion::stored_field(kind, path), equal, value: unescape(value, text)? })
        });
        Ok(FieldSelector(terms.collect::<Result<_, ApiError>>()?))
    }

    /// Whether the object is one of those selected.
    #[must_use]
    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|term| (object::field(object, &term.path) == term.value) == term.equal)
    }

    /// Whether everything is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Splits at the commas that no backslash stands before.
fn split_terms(text: &str) -> Vec<&str> {
    let mut escaped = false;
    text.split(|character| {
        let separates = character == ',' && !escaped;
        escaped = character == '\\' && !escaped;
        separates
    })
    .collect()
}

/// Splits at the first operator.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let at = term.find("!=").into_iter().chain(term.find('=')).min()?;
    let (path, rest) = term.split_at(at);
    match rest.strip_prefix("!=") {
        Some(value) => Some((path, false, value)),
        None => Some((path, true, rest.strip_prefix("==").unwrap_or(&rest[1..]))),
    }
}

fn unescape(value: &str, selector: &str) -> Result<String, ApiError> {
    let invalid = || ApiError::bad_request(format!("invalid field selector value in '{selector}'"));
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.push(characters.next().filter(|next| "\\,=".contains(*next)).ok_or_else(invalid)?),
            ',' | '=' => return Err(invalid()),
            other => plain.push(other),
        }
    }
    Ok(plain)
}

fn selectable(kind: &Kind, path: &str) -> Result<(), ApiError> {
    if ["metadata.name", "metadata.namespace"].contains(&path) || kind.fields.contains(&path) {
        return Ok(());
    }
    Err(ApiError::bad_request(if kind.fields.is_empty() {
        format!("\"{path}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
    } else {
        format!("field label not supported: {path}")
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::kinds::by_plural;

    fn selects(text: &str) -> bool {
        let pod = json!({ "metadata": { "name": "a" }, "spec": { "nodeName": "n,1" }, "status": { "phase": "Running" } });
        FieldSelector::parse(by_plural("pods").unwrap(), text).unwrap().matches(&pod)
    }

    fn refusal(plural: &str, text: &str) -> String {
        FieldSelector::parse(by_plural(plural).unwrap(), text).unwrap_err().message
    }

    #[test]
    fn operators() {
        assert!(selects("metadata.name=a,status.phase==Running"));
        assert!(selects("spec.nodeName=n\\,1,"));
        assert!(selects("metadata.namespace="));
        assert!(!selects("status.phase!=Running"));
        assert!(selects("status.phase!=Pending"));
    }

    #[test]
    fn refusals_read_as_the_api_server_writes_them() {
        assert_eq!(refusal("pods", "spec.nope=1"), "field label not supported: spec.nope");
        assert_eq!(refusal("pods", "name"), "invalid selector: 'name'; can't understand 'name'");
        assert_eq!(
            refusal("configmaps", "data.k=1"),
            "\"data.k\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z.,=!\\\\é]{0,40}") {
            let _ = FieldSelector::parse(by_plural("pods").unwrap(), &text);
        }

        #[test]
        fn an_escaped_value_selects_itself(value in "[a-z,=\\\\]{0,20}") {
            let escaped = value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            let selector = format!("spec.nodeName={escaped}");
            let selector = FieldSelector::parse(by_plural("pods").unwrap(), &selector).unwrap();
            let pod = json!({ "spec": { "nodeName": value } });
            prop_assert!(selector.matches(&pod));
        }
    }
}
