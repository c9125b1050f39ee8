//! The order of a list after a strategic merge patch.
//!
//! The rules are those of `normalizeElementOrder` and `mergeSortedSlice` in
//! `apimachinery/pkg/util/strategicpatch/patch.go`.

use std::collections::HashMap;

use serde_json::Value;

use crate::status::ApiError;

/// What tells the elements of a list apart: themselves, or the value of a key.
#[derive(Clone, Copy)]
pub(super) enum Identity {
    Scalar,
    Key(&'static str),
}

impl Identity {
    /// What is the same for two elements that are the same one.
    pub(super) fn of(self, element: &Value) -> String {
        match self {
            Identity::Scalar => element.to_string(),
            Identity::Key(key) => element[key].to_string(),
        }
    }

    /// Where each element stands first.
    pub(super) fn places(self, list: &[Value]) -> HashMap<String, usize> {
        let mut places = HashMap::with_capacity(list.len());
        for (place, element) in list.iter().enumerate() {
            places.entry(self.of(element)).or_insert(place);
        }
        places
    }

    /// Refuses maps without the key.
    pub(super) fn check(self, elements: &[Value]) -> Result<(), ApiError> {
        let Identity::Key(key) = self else { return Ok(()) };
        match elements.iter().find(|element| element.get(key).is_none()) {
            Some(element) => Err(ApiError::unexplained(format!(
                "map: {} does not contain declared merge key: {key}",
                super::go_format(element)
            ))),
            None => Ok(()),
        }
    }
}

/// Puts a merged list into order: what the patch names stands as in `wanted`, the rest as in `before`; where both can be
/// compared, they interleave as in `before`, and else what the patch names comes first.
pub(super) fn order(
    merged: Vec<Value>,
    wanted: &[Value],
    before: &[Value],
    identity: Identity,
) -> Vec<Value> {
    let (wanted, before) = (identity.places(wanted), identity.places(before));
    let place = |places: &HashMap<String, usize>, element: &Value| places.get(&identity.of(element)).copied();
    let (mut named, mut rest): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|element| place(&wanted, element).is_some());
    named.sort_by_cached_key(|element| place(&wanted, element));
    rest.sort_by_cached_key(|element| place(&before, element).unwrap_or(usize::MAX));
    let mut ordered = Vec::with_capacity(named.len() + rest.len());
    let mut rest = rest.into_iter().peekable();
    for element in named {
        let limit = place(&before, &element);
        while rest.peek().is_some_and(|other| comes_before(place(&before, other), limit)) {
            ordered.extend(rest.next());
        }
        ordered.push(element);
    }
    ordered.extend(rest);
    ordered
}

fn comes_before(one: Option<usize>, other: Option<usize>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one < other)
}
