//! Kinds in other versions, or another group, than the one in which they are stored.
//!
//! Clients that speak another version are served objects of it; everything behind them knows the stored one alone.

mod autoscaling;
mod events;

use serde_json::Value;

use crate::kinds::{CONVERTED, Kind};
use crate::object::Object;

fn is_converted(spoken: &Kind) -> bool {
    CONVERTED.iter().any(|converted| std::ptr::eq(converted, spoken))
}

/// An object, or the part of one that a client applies, as it is stored.
pub(crate) fn to_stored(spoken: &Kind, object: Value) -> Value {
    match spoken.plural {
        "events" if is_converted(spoken) => events::to_core(object),
        "horizontalpodautoscalers" if is_converted(spoken) => autoscaling::to_v2(object),
        _ => object,
    }
}

/// A stored object in the version that the client speaks.
fn from_stored(spoken: &Kind, object: Value) -> Value {
    match spoken.plural {
        "events" if is_converted(spoken) => events::from_core(object),
        "horizontalpodautoscalers" if is_converted(spoken) => autoscaling::to_v1(object),
        _ => object,
    }
}

/// The field of a stored object that the client means by one that it selects by.
pub(crate) fn stored_field(spoken: &Kind, path: &str) -> String {
    match spoken.plural {
        "events" if is_converted(spoken) => events::core_field(path),
        _ => path.to_owned(),
    }
}

/// Changes a stored object as a client sees it.
pub(crate) fn change<T, E>(
    spoken: &Kind,
    object: &mut Value,
    change: impl FnOnce(&mut Value) -> Result<T, E>,
) -> Result<T, E> {
    let mut shown = from_stored(spoken, object.take());
    let told = change(&mut shown)?;
    *object = to_stored(spoken, shown);
    Ok(told)
}

/// A stored object in the version that the client speaks; `None` where that is the stored one.
pub(crate) fn spoken(spoken: &Kind, object: &Object) -> Option<Object> {
    is_converted(spoken).then(|| Object::new(from_stored(spoken, Value::clone(object))))
}
