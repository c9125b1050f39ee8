//! A plain HTTP/1.1 client: one request at a time on a connection that is kept.
//!
//! It stands on the machine that it puts under load, so it must cost little: a request is text that is ready, and of an
//! answer no more is read than its status and where it ends.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const MAX_HEADERS: usize = 32;
const READ_BYTES: usize = 16 * 1024;

/// The connection ended in the midst of an answer that had begun well.
#[derive(Debug)]
pub(crate) struct CutShort;

impl std::fmt::Display for CutShort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection ended in the midst of an answer")
    }
}

impl std::error::Error for CutShort {}

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: BytesMut,
}

/// What came before the body, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// From the request to the first byte of the answer.
    pub(crate) first_byte: Duration,
}

struct Head {
    status: u16,
    /// `None`: it comes in chunks.
    length: Option<usize>,
    bytes: usize,
}

/// The text of a GET request.
pub(crate) fn get(address: SocketAddr, path: &str, api_key: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nx-api-key: {api_key}\r\n\r\n").into_bytes()
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let connecting = timeout(Duration::from_secs(10), TcpStream::connect(address));
        let stream = connecting.await.context("no connection in time")??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::with_capacity(READ_BYTES) })
    }

    /// Sends a request and reads its answer; `body` holds nothing else afterwards.
    pub(crate) async fn ask(&mut self, request: &[u8], body: &mut Vec<u8>) -> Result<Answer> {
        body.clear();
        let start = Instant::now();
        self.stream.write_all(request).await?;
        let mut first_byte = None;
        let head = loop {
            if let Some(head) = head(&self.buffer)? {
                break head;
            }
            self.fill().await?;
            first_byte.get_or_insert_with(|| start.elapsed());
        };
        self.buffer.advance(head.bytes);
        let taken = match head.length {
            Some(length) => self.take(length, body).await,
            None => self.take_chunks(body).await,
        };
        taken.map_err(|error| if head.status == 200 { CutShort.into() } else { error })?;
        Ok(Answer { status: head.status, first_byte: first_byte.unwrap_or_default() })
    }

    async fn take(&mut self, length: usize, body: &mut Vec<u8>) -> Result<()> {
        let end = body.len() + length;
        loop {
            let ready = self.buffer.len().min(end - body.len());
            body.extend_from_slice(&self.buffer[..ready]);
            self.buffer.advance(ready);
            if body.len() == end {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    async fn take_chunks(&mut self, body: &mut Vec<u8>) -> Result<()> {
        loop {
            let length = match httparse::parse_chunk_size(&self.buffer) {
                Ok(httparse::Status::Complete((bytes, length))) => {
                    self.buffer.advance(bytes);
                    usize::try_from(length)?
                }
                Ok(httparse::Status::Partial) => {
                    self.fill().await?;
                    continue;
                }
                Err(_) => bail!("not a chunk"),
            };
            self.take(length, body).await?;
            while self.buffer.len() < 2 {
                self.fill().await?;
            }
            self.buffer.advance(2);
            if length == 0 {
                return Ok(());
            }
        }
    }

    async fn fill(&mut self) -> Result<()> {
        self.buffer.reserve(READ_BYTES);
        let read = self.stream.read_buf(&mut self.buffer).await?;
        ensure!(read > 0, "the connection was closed");
        Ok(())
    }
}

fn head(bytes: &[u8]) -> Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(bytes) = response.parse(bytes)? else {
        return Ok(None);
    };
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .map(|header| -> Result<usize> { Ok(std::str::from_utf8(header.value)?.parse()?) });
    Ok(Some(Head { status: response.code.context("no status")?, length: length.transpose()?, bytes }))
}
