//! The baseline of large answers: a server that does nothing but send so many bytes.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// Serves `/{bytes}` until it is killed.
#[tokio::main]
pub(crate) async fn run() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let bytes: Arc<[u8]> = vec![b'x'; 64 * 1024 * 1024].into();
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream, Arc::clone(&bytes)));
    }
}

async fn serve(stream: TcpStream, bytes: Arc<[u8]>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let length: usize = line.split(' ').nth(1).context("no path")?.trim_start_matches('/').parse()?;
        let body = bytes.get(..length).context("too many bytes")?;
        while !line.trim().is_empty() {
            line.clear();
            stream.read_line(&mut line).await?;
        }
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes()).await?;
        stream.write_all(body).await?;
    }
}
