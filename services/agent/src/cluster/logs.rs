//! The last lines of a pod's log, within a bound of bytes.

use std::io;

use futures_util::{AsyncRead, AsyncReadExt};

/// So much of a log is carried at most; of a longer one the end.
const MAX_LOG_BYTES: usize = 4 * 1024 * 1024;
const CHUNK_BYTES: usize = 16 * 1024;

/// The end of a log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) lines: Vec<String>,
    /// Earlier lines were left out.
    pub(crate) truncated: bool,
}

/// Reads a log to its end and keeps its last bytes: the API server's own limit would keep the first.
pub(crate) async fn read_tail(log: impl AsyncRead) -> io::Result<Tail> {
    read_last(log, MAX_LOG_BYTES).await
}

async fn read_last(log: impl AsyncRead, max_bytes: usize) -> io::Result<Tail> {
    let mut log = std::pin::pin!(log);
    let mut kept: Vec<u8> = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut truncated = false;
    loop {
        let read = log.read(&mut chunk).await?;
        if read == 0 {
            break;
        }
        kept.extend_from_slice(&chunk[..read]);
        // Twice the bound before it is cut, so that bytes are not moved with each chunk.
        if kept.len() > 2 * max_bytes {
            kept.drain(..kept.len() - max_bytes);
            truncated = true;
        }
    }
    if kept.len() > max_bytes {
        kept.drain(..kept.len() - max_bytes);
        truncated = true;
    }
    if truncated && let Some(end) = kept.iter().position(|byte| *byte == b'\n') {
        // What is left of the first line is not a line.
        kept.drain(..=end);
    }
    Ok(Tail { lines: String::from_utf8_lossy(&kept).lines().map(str::to_owned).collect(), truncated })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn tail(log: &[u8], max_bytes: usize) -> Tail {
        read_last(log, max_bytes).await.unwrap()
    }

    #[tokio::test]
    async fn a_short_log_is_told_whole() {
        let expected =
            Tail { lines: vec!["one".to_owned(), String::new(), "two".to_owned()], truncated: false };
        assert_eq!(tail(b"one\n\ntwo\n", 9).await, expected);
        assert_eq!(tail(b"", 9).await, Tail { lines: Vec::new(), truncated: false });
    }

    #[tokio::test]
    async fn of_a_long_log_the_last_whole_lines_are_told() {
        let log: String = (0..100_000).map(|number| format!("line {number}\n")).collect();
        let tail = tail(log.as_bytes(), 1000).await;
        assert!(tail.truncated);
        assert_eq!(tail.lines.last().map(String::as_str), Some("line 99999"));
        assert!(tail.lines.iter().all(|line| line.starts_with("line 99")), "{:?}", tail.lines);
        assert!(tail.lines.iter().map(|line| line.len() + 1).sum::<usize>() > 1000 - 11);
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(tail(b"a\xffb\n", 100).await.lines, ["a\u{fffd}b"]);
    }
}
