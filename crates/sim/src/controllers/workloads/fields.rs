//! Small readers and writers of the fields that controllers share.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The number at a pointer such as `/spec/replicas`; zero where there is none.
pub(crate) fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The text at a pointer; empty where there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The list at a pointer; empty where there is none.
pub(crate) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The time at a pointer.
pub(crate) fn time(object: &Value, pointer: &str) -> Option<Timestamp> {
    object.pointer(pointer)?.as_str()?.parse().ok()
}

/// `metadata.uid`
pub(crate) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// The earlier of two times, of which either may never come.
pub(crate) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// A count of things as JSON has it.
pub(crate) fn count<T>(of: impl IntoIterator<Item = T>) -> i64 {
    i64::try_from(of.into_iter().count()).unwrap_or(i64::MAX)
}

/// The numbers as fields of a status, without those that are zero, as `omitempty` has it.
pub(crate) fn nonzero<const N: usize>(fields: [(&str, i64); N]) -> Map<String, Value> {
    let nonzero = fields.into_iter().filter(|(_, number)| *number != 0);
    nonzero.map(|(name, number)| (name.to_owned(), number.into())).collect()
}

/// Sets a value in a map at `path`, making the maps on the way; nothing happens where something else is in the way.
pub(crate) fn set(object: &mut Value, path: &[&str], value: Value) {
    let Some((last, parents)) = path.split_last() else { return };
    let place = parents.iter().try_fold(object, |place, parent| {
        let fields = map(place)?;
        Some(fields.entry(*parent).or_insert(Value::Null))
    });
    if let Some(fields) = place.and_then(map) {
        fields.insert((*last).to_owned(), value);
    }
}

/// The map that a value is, or becomes where it is nothing yet.
fn map(value: &mut Value) -> Option<&mut Map<String, Value>> {
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut()
}

/// A number, or the percentage of a number (`GetScaledValueFromIntOrPercent` of `apimachinery/pkg/util/intstr`).
pub(crate) fn scaled(value: &Value, total: i64, round_up: bool) -> i64 {
    let percentage = || value.as_str()?.strip_suffix('%')?.parse::<i64>().ok();
    match (value.as_i64(), percentage()) {
        (Some(number), _) => number,
        (None, Some(percent)) => {
            let hundredths = percent.saturating_mul(total).saturating_add(if round_up { 99 } else { 0 });
            hundredths.div_euclid(100)
        }
        (None, None) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_rounded_as_asked() {
        assert_eq!(scaled(&json!("25%"), 10, true), 3);
        assert_eq!(scaled(&json!("25%"), 10, false), 2);
        assert_eq!(scaled(&json!(4), 10, false), 4);
        assert_eq!(scaled(&json!("much"), 10, false), 0);
        assert_eq!(scaled(&json!("100%"), i64::from(i32::MAX), true), i64::from(i32::MAX));
    }

    #[test]
    fn a_value_is_set_where_it_can_be() {
        let mut object = json!({ "metadata": { "labels": null }, "spec": 3 });
        set(&mut object, &["metadata", "labels", "a"], "b".into());
        set(&mut object, &["spec", "replicas"], 1.into());
        assert_eq!(object, json!({ "metadata": { "labels": { "a": "b" } }, "spec": 3 }));
    }
}
