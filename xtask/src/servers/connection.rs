//! What both protocols need: a connection that cannot hang, and the parts of a URL.

use std::{
    io::{self, Read},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use anyhow::{Context, ensure};
use percent_encoding::percent_decode_str;
use url::Url;

/// For connecting, and for each read and write. RabbitMQ takes seconds to refuse a password.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects to a URL's host; the scheme must be one of `schemes`.
pub(super) fn connect(url: &Url, schemes: &[&str], default_port: u16) -> anyhow::Result<TcpStream> {
    ensure!(schemes.contains(&url.scheme()), "the URL must begin with {}://", schemes.join(":// or "));
    let host = url.host_str().context("the URL has no host")?;
    let host = host.trim_matches(['[', ']']);
    let port = url.port().unwrap_or(default_port);
    let connected = (host, port)
        .to_socket_addrs()
        .and_then(connect_to_any)
        .with_context(|| format!("cannot connect to {host}:{port}"))?;
    connected.set_read_timeout(Some(PATIENCE))?;
    connected.set_write_timeout(Some(PATIENCE))?;
    Ok(connected)
}

/// A name may have several addresses, such as `::1` and `127.0.0.1`.
fn connect_to_any(addresses: impl Iterator<Item = std::net::SocketAddr>) -> io::Result<TcpStream> {
    let mut refusal = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// A part of a URL without its percent encoding.
pub(super) fn decoded(part: &str) -> anyhow::Result<String> {
    let text = percent_decode_str(part).decode_utf8();
    Ok(text.context("the URL is not UTF-8")?.into_owned())
}

/// Reads exactly so many bytes of the front.
pub(super) fn read_array<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Reads a body whose size the other side named, if it is no more than a greeting can have.
pub(super) fn read_body(stream: &mut impl Read, size: usize) -> anyhow::Result<Vec<u8>> {
    const MAX: usize = 64 * 1024;
    ensure!(size <= MAX, "an answer of {size} bytes is not of this protocol");
    let mut body = vec![0; size];
    stream.read_exact(&mut body)?;
    Ok(body)
}
