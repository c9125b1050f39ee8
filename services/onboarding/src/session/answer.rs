//! An answer that comes in parts.

use std::io::Read;

use contracts::{
    ErrorCode,
    agent::{MAX_RESULT_BYTES, ResponseError},
};
use flate2::read::GzDecoder;
use serde_json::value::RawValue;

use super::{Answer, improper};

/// The compressed bytes that have arrived so far.
#[derive(Default)]
pub(super) struct Assembly {
    compressed: Vec<u8>,
}

impl Assembly {
    /// Adds a part.
    pub(super) fn push(&mut self, data: &[u8]) -> Result<(), ResponseError> {
        if self.compressed.len() + data.len() > MAX_RESULT_BYTES {
            return Err(too_large());
        }
        self.compressed.extend_from_slice(data);
        Ok(())
    }

    /// The result that all parts make up. It takes as long as the result is large: not for an async task.
    pub(super) fn finish(self) -> Answer {
        let limit = MAX_RESULT_BYTES as u64 + 1;
        let mut json = String::new();
        GzDecoder::new(self.compressed.as_slice())
            .take(limit)
            .read_to_string(&mut json)
            .map_err(|_| improper("the agent's answer is not gzipped text"))?;
        if json.len() > MAX_RESULT_BYTES {
            return Err(too_large());
        }
        RawValue::from_string(json).map_err(|_| improper("the agent's answer is not JSON"))
    }
}

fn too_large() -> ResponseError {
    let detail = format!("the answer is larger than {} MiB; ask with a limit", MAX_RESULT_BYTES >> 20);
    ResponseError { code: ErrorCode::TooLarge, detail }
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

    fn assemble(bytes: &[u8], part: usize) -> Answer {
        let mut assembly = Assembly::default();
        for data in bytes.chunks(part) {
            assembly.push(data)?;
        }
        assembly.finish()
    }

    proptest! {
        #[test]
        fn parts_of_any_size_make_up_the_result(text in "\\PC{0,200}", part in 1_usize..50) {
            let json = serde_json::to_string(&text).unwrap();
            let result = assemble(&gzip(json.as_bytes()), part).unwrap();
            prop_assert_eq!(result.get(), json);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = assemble(&bytes, 7);
        }
    }
}
