//! An answer in one message, for askers that do not take it in parts.

use std::io::Read;

use bus::Encoding;
use contracts::{ErrorCode, query::MAX_WHOLE_RESULT_BYTES};
use flate2::read::GzDecoder;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use super::{Failure, failure};
use crate::session::Reader;

/// So many large answers are put together at once; each may be in memory some times over.
static PLACES: Semaphore = Semaphore::const_new(4);

/// Reads the answer to its end.
pub(super) async fn collect(encoding: Encoding, mut reader: Reader) -> Result<Box<RawValue>, Failure> {
    if let (Encoding::Identity, Some(result)) = (encoding, reader.whole()) {
        return json(result.to_vec());
    }
    let improper = |_| failure(ErrorCode::AgentError, "the agent's answer cannot be put together");
    let _place = PLACES.acquire().await.map_err(improper)?;
    let mut bytes = Vec::new();
    loop {
        let part = reader.next().await?;
        if bytes.len() + part.data.len() > MAX_WHOLE_RESULT_BYTES {
            return Err(too_large());
        }
        bytes.extend_from_slice(&part.data);
        if part.last {
            break;
        }
    }
    match encoding {
        Encoding::Identity => json(bytes),
        // It takes as long as the result is large.
        Encoding::Gzip => tokio::task::spawn_blocking(move || unpacked(&bytes))
            .await
            .unwrap_or_else(|_| Err(failure(ErrorCode::AgentError, "the agent's answer cannot be unpacked"))),
    }
}

fn unpacked(gzip: &[u8]) -> Result<Box<RawValue>, Failure> {
    let mut bytes = Vec::new();
    GzDecoder::new(gzip)
        .take(MAX_WHOLE_RESULT_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|_| failure(ErrorCode::AgentError, "the agent's answer is not gzipped"))?;
    if bytes.len() > MAX_WHOLE_RESULT_BYTES { Err(too_large()) } else { json(bytes) }
}

fn json(bytes: Vec<u8>) -> Result<Box<RawValue>, Failure> {
    let not_json = || failure(ErrorCode::AgentError, "the agent's answer is not JSON");
    let text = String::from_utf8(bytes).map_err(|_| not_json())?;
    RawValue::from_string(text).map_err(|_| not_json())
}

fn too_large() -> Failure {
    let detail = format!("the answer is larger than {} MiB; ask with a limit", MAX_WHOLE_RESULT_BYTES >> 20);
    failure(ErrorCode::TooLarge, detail)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_bomb_is_too_large() {
        let bomb = gzip(&vec![b' '; MAX_WHOLE_RESULT_BYTES + 1]);
        assert!(matches!(unpacked(&bomb), Err(Failure { code: ErrorCode::TooLarge, .. })));
    }

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked(text in "\\PC{0,200}") {
            let json = serde_json::to_string(&text).unwrap();
            let result = unpacked(&gzip(json.as_bytes())).ok().unwrap();
            prop_assert_eq!(result.get(), json);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = unpacked(&bytes);
        }
    }
}
