//! Kinds in older versions than the one in which they are stored.
//!
//! Clients that speak an older version are served objects of it; everything behind them knows the stored one alone.

mod autoscaling;

use serde_json::Value;

use crate::kinds::{Kind, OLDER};
use crate::object::Object;

fn is_older(spoken: &Kind) -> bool {
    OLDER.iter().any(|older| std::ptr::eq(older, spoken))
}

/// An object, or the part of one that a client applies, as it is stored.
pub(crate) fn to_stored(spoken: &Kind, object: Value) -> Value {
    match spoken.plural {
        "horizontalpodautoscalers" if is_older(spoken) => autoscaling::to_v2(object),
        _ => object,
    }
}

/// A stored object in the version that the client speaks.
fn from_stored(spoken: &Kind, object: Value) -> Value {
    match spoken.plural {
        "horizontalpodautoscalers" if is_older(spoken) => autoscaling::to_v1(object),
        _ => object,
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

/// A stored object in the older version that the client speaks; `None` where that is the stored one.
pub(crate) fn older(spoken: &Kind, object: &Object) -> Option<Object> {
    is_older(spoken).then(|| Object::new(from_stored(spoken, Value::clone(object))))
}
