//! Two JSON objects as one, while the first is still coming.
//!
//! The first is an agent's result, which may be many megabytes. It is not parsed: its last `}` is held back and the fields
//! of the second are put before it.

use std::io;

use bytes::{Bytes, BytesMut};
use contracts::agent::MAX_RESULT_BYTES;
use futures_util::{Stream, StreamExt};
use thiserror::Error;

/// Why the first object cannot be passed on.
#[derive(Debug, Error)]
pub(super) enum JoinError {
    #[error("the agent's answer cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("the agent's answer is not a JSON object")]
    NoObject,
    #[error("the agent's answer is larger than {} MiB", MAX_RESULT_BYTES >> 20)]
    TooLarge,
}

/// The fields of both, in pieces.
pub(super) struct Joined<S> {
    first: S,
    /// From the last byte on that is no white space: perhaps the end of the first object.
    held: BytesMut,
    /// The bytes of the first object so far.
    bytes: usize,
    /// Whether the first object has begun, and has a field.
    begun: bool,
    has_fields: bool,
    /// The second object, until it has been given.
    second: Option<String>,
}

impl<S> Joined<S>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin,
{
    /// `second` is a JSON object with at least one field.
    pub(super) fn new(first: S, second: String) -> Self {
        let held = BytesMut::new();
        Self { first, held, bytes: 0, begun: false, has_fields: false, second: Some(second) }
    }

    /// The next piece; `None` after the last one.
    ///
    /// # Errors
    /// See [`JoinError`]. There is no more after it.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, JoinError> {
        loop {
            match self.first.next().await {
                Some(chunk) => {
                    let piece = self.take(&chunk?)?;
                    if !piece.is_empty() {
                        return Ok(Some(piece));
                    }
                }
                None => return self.second.take().map(|second| self.end(&second)).transpose(),
            }
        }
    }

    fn take(&mut self, chunk: &[u8]) -> Result<Bytes, JoinError> {
        self.bytes += chunk.len();
        if self.bytes > MAX_RESULT_BYTES {
            return Err(JoinError::TooLarge);
        }
        let text = if self.begun { chunk } else { chunk.trim_ascii_start() };
        let inside = match text.split_first() {
            None => return Ok(Bytes::new()),
            Some((b'{', inside)) if !self.begun => inside,
            Some(_) if self.begun => text,
            Some(_) => return Err(JoinError::NoObject),
        };
        self.has_fields |= inside.iter().any(|byte| !byte.is_ascii_whitespace() && *byte != b'}');
        self.begun = true;
        let Some(end) = text.iter().rposition(|byte| !byte.is_ascii_whitespace()) else {
            self.held.extend_from_slice(text);
            return Ok(Bytes::new());
        };
        let mut piece = std::mem::take(&mut self.held);
        piece.extend_from_slice(&text[..end]);
        self.held.extend_from_slice(&text[end..]);
        Ok(piece.freeze())
    }

    fn end(&mut self, second: &str) -> Result<Bytes, JoinError> {
        let closed = self.begun && self.held.first() == Some(&b'}');
        let fields = second.strip_prefix('{').filter(|_| closed).ok_or(JoinError::NoObject)?;
        let separator = if self.has_fields { "," } else { "" };
        Ok(Bytes::from(format!("{separator}{fields}")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::stream;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn joined(first: &str, second: &str, sizes: &[usize]) -> Result<String, JoinError> {
        let mut chunks = Vec::new();
        let mut rest = first.as_bytes();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at((*size).clamp(1, rest.len()));
            chunks.push(Ok(Bytes::copy_from_slice(chunk)));
            rest = after;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut joined = Joined::new(stream::iter(chunks), second.to_owned());
            let mut whole = Vec::new();
            while let Some(piece) = joined.next().await? {
                whole.extend_from_slice(&piece);
            }
            Ok(String::from_utf8(whole).unwrap())
        })
    }

    proptest! {
        #[test]
        fn two_objects_become_one_with_the_fields_of_both(
            first in proptest::collection::btree_map("[a-m]{1,3}", "\\PC{0,9}", 0..4),
            second in proptest::collection::btree_map("[n-z]{1,3}", "\\PC{0,9}", 1..4),
            space in "[ \n]{0,3}",
            sizes in proptest::collection::vec(1_usize..9, 1..5),
        ) {
            let text = format!("{space}{}{space}", json!(first));
            let text = joined(&text, &json!(second).to_string(), &sizes).unwrap();
            let read: BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
            let both: BTreeMap<String, String> = first.into_iter().chain(second).collect();
            prop_assert_eq!(read, both);
        }

        #[test]
        fn no_bytes_make_it_panic(first in "[{} a\"]{0,12}", sizes in proptest::collection::vec(1_usize..5, 1..4)) {
            let _ = joined(&first, "{\"a\":1}", &sizes);
        }
    }

    #[test]
    fn what_is_no_object_or_not_whole_is_not_joined() {
        for text in ["", "[]", "1", "null", "\"{}\"", "{\"a\":1", "{\"a\":[", "  "] {
            assert!(joined(text, "{\"a\":1}", &[3]).is_err(), "{text}");
        }
        assert_eq!(joined(" { } ", "{\"a\":1}", &[1]).unwrap(), "{ \"a\":1}");
    }
}
