//! Messages as JSON, by the types of their fields.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::numbers::{self, Entry, Message};
use super::wire::{Content, Fields, Malformed};
use crate::object;
use crate::schema::{Shape, Type, Zero};

/// A message of a type as an object. Nesting is bounded by the type.
pub(super) fn object(ty: &Type, message: &[u8]) -> Result<Map<String, Value>, Malformed> {
    let mut object = Map::new();
    if let Some(numbers) = numbers::of(ty.name) {
        fill(&mut object, ty, numbers, message)?;
    }
    Ok(object)
}

/// Adds what a message holds; numbers that the type does not know are left out.
fn fill(
    object: &mut Map<String, Value>,
    ty: &Type,
    numbers: &Message,
    message: &[u8],
) -> Result<(), Malformed> {
    for field in Fields::of(message) {
        let (number, content) = field?;
        match numbers.get(&number) {
            None => {}
            Some(Entry::Embedded(numbers)) => fill(object, ty, numbers, content.bytes()?)?,
            Some(Entry::Field(name)) => {
                let Some(field) = ty.fields.get(name) else { continue };
                match &field.shape {
                    Shape::List(element) => append(object, name, element, content)?,
                    Shape::Map(element) => insert(object, name, element, content)?,
                    shape => {
                        let value = value(shape, content)?;
                        // Go writes every field that is no pointer, also one that JSON leaves out.
                        if !(value.is_null() || field.zero == Zero::Dropped && is_zero(&value)) {
                            object.insert((*name).to_owned(), value);
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// One more element of a list.
fn append(
    object: &mut Map<String, Value>,
    name: &str,
    element: &Shape,
    content: Content<'_>,
) -> Result<(), Malformed> {
    let list = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(list) = list {
        list.push(value(element, content)?);
    }
    Ok(())
}

/// One more entry of a map: a message of key and value.
fn insert(
    object: &mut Map<String, Value>,
    name: &str,
    element: &Shape,
    content: Content<'_>,
) -> Result<(), Malformed> {
    let (mut key, mut entry) = ("", None);
    for field in Fields::of(content.bytes()?) {
        match field? {
            (1, content) => key = content.text()?,
            (2, content) => entry = Some(value(element, content)?),
            _ => {}
        }
    }
    let map = object.entry(name).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(map) = map {
        map.insert(key.to_owned(), entry.unwrap_or_else(|| "".into()));
    }
    Ok(())
}

fn value(shape: &Shape, content: Content<'_>) -> Result<Value, Malformed> {
    Ok(match shape {
        Shape::String => content.text()?.into(),
        Shape::Integer { .. } => content.integer()?.into(),
        Shape::Number => content.number()?.into(),
        Shape::Boolean => (content.integer()? != 0).into(),
        Shape::Bytes => STANDARD.encode(content.bytes()?).into(),
        Shape::Time => time(content.bytes()?)?.map(object::time).into(),
        Shape::MicroTime => {
            let time = time(content.bytes()?)?;
            time.map(|time| time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()).into()
        }
        Shape::Quantity => member(content, 1)?.map(Content::text).transpose()?.unwrap_or("0").into(),
        Shape::IntOrString => int_or_string(content.bytes()?)?,
        Shape::Object(ty) => object(ty, content.bytes()?)?.into(),
        // Within another list or a map, a list is a message of its own.
        Shape::List(element) => {
            let mut list = Vec::new();
            for field in Fields::of(content.bytes()?) {
                list.push(value(element, field?.1)?);
            }
            list.into()
        }
        Shape::Map(element) => {
            let mut holder = Map::new();
            for field in Fields::of(content.bytes()?) {
                insert(&mut holder, "", element, field?.1)?;
            }
            holder.remove("").unwrap_or_default()
        }
        // `RawExtension` and `FieldsV1` hold JSON.
        Shape::Any => match member(content, 1)? {
            Some(raw) => serde_json::from_slice(raw.bytes()?).unwrap_or_default(),
            None => Value::Null,
        },
    })
}

/// The last of the fields with a number in a message.
fn member(content: Content<'_>, number: u32) -> Result<Option<Content<'_>>, Malformed> {
    let mut last = None;
    for field in Fields::of(content.bytes()?) {
        let (found, content) = field?;
        if found == number {
            last = Some(content);
        }
    }
    Ok(last)
}

/// Seconds and nanoseconds since 1970; an empty message is Go's zero time, which is `null` in JSON.
fn time(message: &[u8]) -> Result<Option<Timestamp>, Malformed> {
    if message.is_empty() {
        return Ok(None);
    }
    let (mut seconds, mut nanos) = (0, 0);
    for field in Fields::of(message) {
        match field? {
            (1, content) => seconds = content.integer()?,
            (2, content) => nanos = i32::try_from(content.integer()?).map_err(|_| Malformed::Overflow)?,
            _ => {}
        }
    }
    Timestamp::new(seconds, nanos).map(Some).map_err(|_| Malformed::Overflow)
}

/// Which of both it is, the integer, and the string.
fn int_or_string(message: &[u8]) -> Result<Value, Malformed> {
    let (mut is_string, mut integer, mut text) = (false, 0, "");
    for field in Fields::of(message) {
        match field? {
            (1, content) => is_string = content.integer()? != 0,
            (2, content) => integer = content.integer()?,
            (3, content) => text = content.text()?,
            _ => {}
        }
    }
    Ok(if is_string { text.into() } else { integer.into() })
}
