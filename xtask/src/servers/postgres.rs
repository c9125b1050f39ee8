//! PostgreSQL's protocol 3.0 up to the point where the server waits for a query
//! (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP>).

use std::io::{Read, Write};

use anyhow::{Context, bail, ensure};
use url::Url;

use super::connection::{connect, decoded, read_array, read_body};

const PROTOCOL_3_0: u32 = 3 << 16;
const TERMINATE: &[u8; 5] = b"X\0\0\0\x04";

/// Logs in at the server of a `postgres` URL and says goodbye.
///
/// Where the server asks for a password, and the URL has one, it is not tried: it would take an implementation of SCRAM to
/// do so, and the first test says it as well.
pub(super) fn probe(url: &Url) -> anyhow::Result<()> {
    let mut stream = connect(url, &["postgres", "postgresql"], 5432)?;
    let user = decoded(url.username())?;
    let user = if user.is_empty() { "postgres" } else { &user };
    let database = decoded(url.path().trim_start_matches('/'))?;
    let database = if database.is_empty() { user } else { &database };
    stream.write_all(&startup(user, database)?)?;

    let greeting =
        greeting(&mut stream).context("what listens there does not let us in as PostgreSQL does")?;
    match greeting {
        Greeting::Ready => {
            // The answer to everything is known; how the server takes the goodbye does not matter.
            let _ = stream.write_all(TERMINATE);
        }
        Greeting::WantsPassword => {
            ensure!(url.password().is_some(), "the server wants a password for user {user}");
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq)]
enum Greeting {
    Ready,
    WantsPassword,
}

fn startup(user: &str, database: &str) -> anyhow::Result<Vec<u8>> {
    let mut body = PROTOCOL_3_0.to_be_bytes().to_vec();
    for text in ["user", user, "database", database] {
        body.extend(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    let mut message = u32::try_from(body.len() + 4)?.to_be_bytes().to_vec();
    message.extend(body);
    Ok(message)
}

/// Reads up to what decides. The database is looked up after the user was let in, so that is not enough.
fn greeting(stream: &mut impl Read) -> anyhow::Result<Greeting> {
    loop {
        let [kind, s0, s1, s2, s3] =
            read_array(stream).context("what listens there does not speak PostgreSQL's protocol")?;
        let size = usize::try_from(u32::from_be_bytes([s0, s1, s2, s3]))?;
        let size = size.checked_sub(4).context("a message shorter than its size")?;
        let body = read_body(stream, size)?;
        match kind {
            b'R' if body == [0; 4] => {}
            b'R' => return Ok(Greeting::WantsPassword),
            b'Z' => return Ok(Greeting::Ready),
            b'E' => bail!("the server says: {}", error_text(&body)),
            // A setting, the key to cancel by, a notice, a newer protocol's minor version.
            b'S' | b'K' | b'N' | b'v' => {}
            other => bail!("message type {other} is not of PostgreSQL's protocol"),
        }
    }
}

/// The field `M` of an error: what a person is to read.
fn error_text(body: &[u8]) -> String {
    let mut fields = body.split(|&byte| byte == 0);
    let text = fields.find_map(|field| field.strip_prefix(b"M"));
    String::from_utf8_lossy(text.unwrap_or(b"nothing")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(body.len() + 4).unwrap();
        [&[kind], &size.to_be_bytes()[..], body].concat()
    }

    #[test]
    fn a_login_is_complete_when_the_server_waits_for_a_query() {
        let ok = message(b'R', &[0; 4]);
        let ready = [ok.clone(), message(b'S', b"k\0v\0"), message(b'Z', b"I")].concat();
        assert_eq!(greeting(&mut &*ready).unwrap(), Greeting::Ready);

        let no_database = [ok, message(b'E', b"SFATAL\0Mno such database\0\0")].concat();
        let error = greeting(&mut &*no_database).unwrap_err().to_string();
        assert_eq!(error, "the server says: no such database");
    }

    #[test]
    fn a_server_that_asks_for_a_password_is_recognised() {
        let sasl = message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0");
        assert_eq!(greeting(&mut &*sasl).unwrap(), Greeting::WantsPassword);
    }

    #[test]
    fn another_protocol_is_refused() {
        for bytes in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"R\0\0\0\x01", b"R\xff\xff\xff\xff", b""] {
            assert!(greeting(&mut &*bytes).is_err(), "{bytes:?}");
        }
    }
}
