//! What travels over the broker.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;

/// No body is larger: RabbitMQ closes the channel for a message over its `max_message_size`, which is 16 MiB since 4.0.
pub(crate) const MAX_BODY_BYTES: usize = 16 * 1024 * 1024 - 1024;

/// A message with the properties that matter here. It has no `Debug`: a body may hold a key.
#[derive(Clone, Default)]
pub(crate) struct Message {
    pub(crate) body: Bytes,
    pub(crate) correlation_id: Option<String>,
    pub(crate) reply_to: Option<String>,
    /// How long the message is worth anything, from when it is published.
    pub(crate) expiration: Option<Duration>,
    pub(crate) headers: Headers,
    /// Survives a restart of the broker, where the queue does.
    pub(crate) persistent: bool,
}

/// Headers with text as their values. They are few, so they are searched and not hashed.
#[derive(Clone, Default)]
pub(crate) struct Headers(Vec<(Cow<'static, str>, String)>);

impl Headers {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_str()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a header of ours.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// Adds a header that came from elsewhere.
    pub(crate) fn push(&mut self, name: String, value: String) {
        self.0.push((name.into(), value));
    }
}

impl<const N: usize> From<[(&'static str, String); N]> for Headers {
    fn from(headers: [(&'static str, String); N]) -> Self {
        Self(headers.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}
