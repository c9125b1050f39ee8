//! Instants on the wire.

use std::{borrow::Cow, fmt, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::{PartialSchema, ToSchema, openapi};

/// An instant, written as RFC 3339 in UTC with milliseconds and `Z`: `2026-11-20T09:30:00.000Z`.
///
/// Any RFC 3339 offset and precision is read; what is finer than a millisecond is cut off, so that an instant stays equal
/// to itself when it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(from = "jiff::Timestamp")]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The system's clock, now.
    pub fn now() -> Self {
        jiff::Timestamp::now().into()
    }

    /// From milliseconds since 1970, as the databases keep it; `None` outside the years that RFC 3339 can write.
    pub fn from_millis(millis: i64) -> Option<Self> {
        jiff::Timestamp::from_millisecond(millis).ok().map(Self)
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0.as_millisecond()
    }

    /// So much before this, but not before the years that RFC 3339 can write.
    #[must_use]
    pub fn minus(self, time: Duration) -> Self {
        self.0.saturating_sub(time).map_or(self, Into::into)
    }

    /// So much after this, but not after the years that RFC 3339 can write.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        self.0.saturating_add(time).map_or(self, Into::into)
    }

    /// The milliseconds from `earlier` to this; negative when `earlier` is later.
    pub fn millis_since(self, earlier: Self) -> i64 {
        self.as_millis() - earlier.as_millis()
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(time: jiff::Timestamp) -> Self {
        // A truncated instant lies between 1970 and the instant itself, so it is always one.
        Self(jiff::Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> openapi::RefOr<openapi::Schema> {
        openapi::ObjectBuilder::new()
            .schema_type(openapi::schema::Type::String)
            .format(Some(openapi::SchemaFormat::KnownFormat(openapi::KnownFormat::DateTime)))
            .into()
    }
}

impl ToSchema for Timestamp {
    fn name() -> Cow<'static, str> {
        "Timestamp".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_with_milliseconds_and_z() {
        let read: Timestamp = serde_json::from_str("\"2024-01-01T13:00:00.1239+01:00\"").unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), "\"2024-01-01T12:00:00.123Z\"");
        assert_eq!(
            Timestamp::from_millis(1_704_110_400_123),
            Some(Timestamp::from_millis(read.as_millis()).unwrap())
        );
        assert_eq!(Timestamp::from_millis(i64::MAX), None);
    }
}
