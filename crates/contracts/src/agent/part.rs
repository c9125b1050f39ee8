//! A part of a large answer.

use thiserror::Error;
use uuid::Uuid;

const HEADER_BYTES: usize = 17;
const LAST: u8 = 1;

/// A binary frame: the request's id (16 bytes), flags (1 byte; bit 0: last part), then bytes of the result.
///
/// The bytes of all parts in order are the gzipped JSON of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Which request is answered.
    pub request_id: Uuid,
    /// Whether the result is complete with this part.
    pub last: bool,
    /// Bytes of the gzipped result.
    pub data: &'a [u8],
}

/// The binary frame is not a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a binary frame is a 17-byte header with known flags, and data")]
pub struct InvalidPart;

impl<'a> Part<'a> {
    /// Reads a binary frame.
    ///
    /// # Errors
    /// [`InvalidPart`] when it is shorter than its header or has flags that are not known.
    pub fn parse(frame: &'a [u8]) -> Result<Self, InvalidPart> {
        let (header, data) = frame.split_at_checked(HEADER_BYTES).ok_or(InvalidPart)?;
        let (id, flags) = header.split_at(HEADER_BYTES - 1);
        let request_id = Uuid::from_slice(id).map_err(|_| InvalidPart)?;
        match flags {
            [flags] if flags & !LAST == 0 => Ok(Self { request_id, last: flags & LAST != 0, data }),
            _ => Err(InvalidPart),
        }
    }

    /// Writes the binary frame.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(HEADER_BYTES + self.data.len());
        frame.extend_from_slice(self.request_id.as_bytes());
        frame.push(u8::from(self.last));
        frame.extend_from_slice(self.data);
        frame
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_read_as_it_was_written(id: u128, last: bool, data: Vec<u8>) {
            let part = Part { request_id: Uuid::from_u128(id), last, data: &data };
            let frame = part.to_bytes();
            prop_assert_eq!(Part::parse(&frame), Ok(part));
        }

        #[test]
        fn no_bytes_make_it_panic(frame: Vec<u8>) {
            let _ = Part::parse(&frame);
        }
    }
}
