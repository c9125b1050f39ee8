//! Answers as frames: small ones inside the response, large ones compressed and in parts.

use std::io::{self, Write};

use contracts::{
    ErrorCode,
    agent::{INLINE_RESULT_BYTES, MAX_RESULT_BYTES, PART_BYTES, Part, Response},
};
use flate2::{Compression, write::GzEncoder};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;
use web::metrics::Held;

use super::{
    in_flight::Window,
    socket::{self, Outbox},
};
use crate::{
    bulk,
    cluster::{Answer, QueryError, too_large},
};

/// A result, ready to be sent.
#[derive(Debug)]
pub(super) enum Packed {
    /// JSON.
    Inline(Box<RawValue>),
    /// Gzipped JSON.
    Compressed(Vec<u8>),
}

/// Compressed answers that wait for their askers, all together: MiB.
const MAX_WAITING_MIB: usize = 64;
/// Bytes of them.
const WAITING_BYTES: &str = "agent_answer_bytes_waiting";
static WAITING: Semaphore = Semaphore::const_new(MAX_WAITING_MIB);

/// Serialises an answer; a large one away from the threads that must not wait.
pub(super) async fn pack(answer: Answer) -> Result<Packed, QueryError> {
    if answer.is_small() {
        return pack_now(&answer, MAX_RESULT_BYTES);
    }
    bulk::PACKING.run(move || pack_now(&answer, MAX_RESULT_BYTES)).await?
}

/// Sends a result. Each part waits until the asker wants it, and then for its own turn, so that other answers pass between
/// them. An error when too much waits already, and nothing was sent.
pub(super) async fn send_result(
    outbox: &Outbox,
    request_id: Uuid,
    packed: Packed,
    window: &Window,
) -> Result<(), QueryError> {
    match packed {
        Packed::Inline(result) => {
            send_response(outbox, Response { request_id, result: Some(result), error: None }).await;
        }
        Packed::Compressed(gzip) => {
            let mebibytes = u32::try_from(gzip.len().div_ceil(1 << 20)).unwrap_or(u32::MAX);
            let Ok(_place) = WAITING.try_acquire_many(mebibytes) else {
                let detail = "the agent has too many large answers to send; try again";
                return Err(QueryError::new(ErrorCode::RateLimited, detail));
            };
            let _waiting = Held::new(WAITING_BYTES, gzip.len() as f64);
            let mut parts = gzip.chunks(PART_BYTES).peekable();
            while let Some(data) = parts.next() {
                window.pass().await;
                let part = Part { request_id, last: parts.peek().is_none(), data };
                outbox.send(Message::binary(part.to_bytes())).await;
            }
        }
    }
    Ok(())
}

/// Sends an error.
pub(super) async fn send_error(outbox: &Outbox, request_id: Uuid, error: QueryError) {
    send_response(outbox, Response { request_id, result: None, error: Some(error.into()) }).await;
}

async fn send_response(outbox: &Outbox, response: Response) {
    match socket::text(&response) {
        Ok(message) => outbox.send(message).await,
        Err(error) => tracing::error!(%error, "a response could not be serialised"),
    }
}

fn pack_now(answer: &impl Serialize, max_bytes: usize) -> Result<Packed, QueryError> {
    let mut writer = ResultWriter { plain: Vec::new(), gzip: None, left: max_bytes };
    match serde_json::to_writer(&mut writer, answer) {
        Ok(()) => {}
        Err(error) if error.is_io() => return Err(too_large()),
        Err(error) => return Err(QueryError::internal(error)),
    }
    match writer.gzip {
        Some(gzip) => gzip.finish().map(Packed::Compressed).map_err(QueryError::internal),
        None => {
            let text = String::from_utf8(writer.plain).map_err(QueryError::internal)?;
            RawValue::from_string(text).map(Packed::Inline).map_err(QueryError::internal)
        }
    }
}

/// Keeps what fits into a response, and compresses as soon as it does not: the whole text is never in memory.
struct ResultWriter {
    plain: Vec<u8>,
    gzip: Option<GzEncoder<Vec<u8>>>,
    left: usize,
}

impl Write for ResultWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        if self.gzip.is_none() && self.plain.len() + bytes.len() > INLINE_RESULT_BYTES {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(&self.plain)?;
            self.plain = Vec::new();
            self.gzip = Some(gzip);
        }
        match &mut self.gzip {
            Some(gzip) => gzip.write_all(bytes)?,
            None => self.plain.extend_from_slice(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    fn unpacked(packed: Packed) -> String {
        match packed {
            Packed::Inline(result) => result.get().to_owned(),
            Packed::Compressed(gzip) => {
                let mut text = String::new();
                GzDecoder::new(gzip.as_slice()).read_to_string(&mut text).unwrap();
                text
            }
        }
    }

    #[test]
    fn what_fits_is_sent_as_it_is_and_what_does_not_is_compressed() {
        // Two bytes for the quotes.
        let fits = "x".repeat(INLINE_RESULT_BYTES - 2);
        assert!(matches!(pack_now(&fits, MAX_RESULT_BYTES), Ok(Packed::Inline(_))));
        let larger = "x".repeat(INLINE_RESULT_BYTES - 1);
        assert!(matches!(pack_now(&larger, MAX_RESULT_BYTES), Ok(Packed::Compressed(_))));
    }

    #[test]
    fn what_is_larger_than_allowed_is_an_error() {
        let error = pack_now(&"x".repeat(99), 100).err();
        assert_eq!(error.map(|error| error.code), Some(ErrorCode::TooLarge));
        assert!(pack_now(&"x".repeat(98), 100).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn nothing_is_lost(items in prop::collection::vec(any::<u64>(), 0..10_000)) {
            let packed = pack_now(&items, MAX_RESULT_BYTES).unwrap();
            prop_assert_eq!(unpacked(packed), serde_json::to_string(&items).unwrap());
        }
    }
}
