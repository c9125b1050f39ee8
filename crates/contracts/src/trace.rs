//! W3C trace context: one trace a request, carried across queue and WebSocket.

use std::{fmt, str::FromStr};

use rand::{Rng, RngExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A `traceparent` of version 00: `00-{trace id, 32 hex}-{parent id, 16 hex}-{flags, 2 hex}`
/// (<https://www.w3.org/TR/trace-context/#traceparent-header>).
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct TraceParent {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
}

/// The text is not a `traceparent` of version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a traceparent: 00-<32 hex>-<16 hex>-<2 hex>")]
pub struct InvalidTraceParent;

impl TraceParent {
    /// Starts a new trace.
    pub fn generate(rng: &mut impl Rng) -> Self {
        Self {
            trace_id: rng.random_range(1..=u128::MAX),
            parent_id: rng.random_range(1..=u64::MAX),
            flags: 1,
        }
    }

    /// The same trace, one hop further.
    #[must_use]
    pub fn child(self, rng: &mut impl Rng) -> Self {
        Self { parent_id: rng.random_range(1..=u64::MAX), ..self }
    }

    /// The id that all hops of one request share, 32 hex digits.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let parts: Vec<&str> = text.splitn(5, '-').collect();
        let ["00", trace, parent, flags] = parts[..] else {
            return Err(InvalidTraceParent);
        };
        if [trace.len(), parent.len(), flags.len()] != [32, 16, 2]
            || ![trace, parent, flags].into_iter().all(lower_hex)
        {
            return Err(InvalidTraceParent);
        }
        let read = Self {
            trace_id: u128::from_str_radix(trace, 16).map_err(|_| InvalidTraceParent)?,
            parent_id: u64::from_str_radix(parent, 16).map_err(|_| InvalidTraceParent)?,
            flags: u8::from_str_radix(flags, 16).map_err(|_| InvalidTraceParent)?,
        };
        if read.trace_id == 0 || read.parent_id == 0 { Err(InvalidTraceParent) } else { Ok(read) }
    }
}

impl TryFrom<String> for TraceParent {
    type Error = InvalidTraceParent;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TraceParent> for String {
    fn from(trace: TraceParent) -> Self {
        trace.to_string()
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(text.parse::<TraceParent>().unwrap().to_string(), text);
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_the_same(text in "(00|01)-[0-9a-f]{31,32}-[0-9a-fA-F]{16}-[0-9a-f]{2}(-x)?") {
            if let Ok(trace) = text.parse::<TraceParent>() {
                prop_assert_eq!(trace.to_string(), text);
            }
        }
    }
}
