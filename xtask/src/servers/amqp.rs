//! AMQP 0-9-1 up to the point where the broker has let the user in
//! (<https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf>, 2.2.4 and 4.2).

use std::io::{Read, Write};

use anyhow::{Context, bail, ensure};
use url::Url;

use super::connection::{connect, decoded, read_array, read_body};

const HEADER: &[u8; 8] = b"AMQP\x00\x00\x09\x01";
const METHOD_FRAME: u8 = 1;
const FRAME_END: u8 = 0xCE;

/// Class and method, as each method's arguments begin with them.
const START: [u8; 4] = [0, 10, 0, 10];
const START_OK: [u8; 4] = [0, 10, 0, 11];
const TUNE: [u8; 4] = [0, 10, 0, 30];

/// Logs in at the broker of an `amqp` URL, and hangs up.
pub(super) fn probe(url: &Url) -> anyhow::Result<()> {
    let mut stream = connect(url, &["amqp"], 5672)?;
    stream.write_all(HEADER)?;
    let greeting = read_method(&mut stream).context("what listens there does not speak AMQP 0-9-1")?;
    ensure!(greeting.starts_with(&START), "the broker does not begin with connection.start");

    stream.write_all(&start_ok(&user(url)?, &password(url)?)?)?;
    // RabbitMQ refuses by closing the connection, unless the client's properties say that it understands more.
    let answer = read_method(&mut stream).context("the broker refused user and password")?;
    ensure!(answer.starts_with(&TUNE), "the broker refused user and password");
    Ok(())
}

fn user(url: &Url) -> anyhow::Result<String> {
    match url.username() {
        "" => Ok("guest".to_owned()),
        user => decoded(user),
    }
}

fn password(url: &Url) -> anyhow::Result<String> {
    decoded(url.password().unwrap_or("guest"))
}

/// The body of a method frame.
fn read_method(stream: &mut impl Read) -> anyhow::Result<Vec<u8>> {
    let [kind, _, _, s0, s1, s2, s3] = read_array(stream)?;
    if kind != METHOD_FRAME {
        bail!("frame type {kind} where a method was due");
    }
    let size = u32::from_be_bytes([s0, s1, s2, s3]);
    let body = read_body(stream, size.try_into()?)?;
    let [end] = read_array(stream)?;
    ensure!(end == FRAME_END, "the frame does not end where it says");
    Ok(body)
}

/// `connection.start-ok` with the mechanism PLAIN (RFC 4616).
fn start_ok(user: &str, password: &str) -> anyhow::Result<Vec<u8>> {
    let plain = format!("\0{user}\0{password}");
    let mut body = START_OK.to_vec();
    body.extend(0_u32.to_be_bytes()); // client properties: none
    body.extend(b"\x05PLAIN");
    body.extend(u32::try_from(plain.len())?.to_be_bytes());
    body.extend(plain.as_bytes());
    body.extend(b"\x05en_US");

    let mut frame = vec![METHOD_FRAME, 0, 0];
    frame.extend(u32::try_from(body.len())?.to_be_bytes());
    frame.extend(body);
    frame.push(FRAME_END);
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_method_frame_is_refused() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            b"AMQP\x00\x01\x00\x00",
            b"\x01\x00\x00\xff\xff\xff\xff",
            b"\x01\x00\x00\x00\x00\x00\x01x\x00",
            b"\x01\x00",
        ] {
            assert!(read_method(&mut &*bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn start_ok_is_a_frame_with_the_password_inside() {
        let frame = start_ok("u", "pw").unwrap();
        let body = read_method(&mut &*frame).unwrap();
        assert!(body.starts_with(&START_OK));
        assert!(body.ends_with(b"\0\0\0\x05\0u\0pw\x05en_US"));
    }
}
