//! From an HTTP request to a WebSocket with small buffers.
//!
//! The upgrade is done here and not by axum's extractor, because that one's buffers cannot be made this small and it brings
//! a WebSocket library of another version.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use contracts::agent::MAX_FRAME_BYTES;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};
use web::Problem;

pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Each session holds both buffers, so their size is what an idle agent costs.
const BUFFER_BYTES: usize = 3 * 1024;
/// What may wait to be written; requests are small.
const MAX_UNWRITTEN_BYTES: usize = 1024 * 1024;

/// An accepted upgrade: the answer to the client, and the WebSocket once the answer was sent.
pub(crate) struct Upgrade {
    on_upgrade: OnUpgrade,
    accept: HeaderValue,
}

/// Reads the handshake of RFC 6455, section 4.2.1.
///
/// # Errors
/// `bad_request` when the request is no WebSocket handshake of version 13.
pub(crate) fn upgrade(parts: &mut Parts) -> Result<Upgrade, Problem> {
    let no_handshake = || Problem::bad_request("this path is for WebSocket connections of version 13");
    let headers = &parts.headers;
    let is_handshake = has_token(headers, &header::CONNECTION, "upgrade")
        && has_token(headers, &header::UPGRADE, "websocket")
        && headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| is_handshake).ok_or_else(no_handshake)?;
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| no_handshake())?;
    let on_upgrade = parts.extensions.remove::<OnUpgrade>().ok_or_else(no_handshake)?;
    Ok(Upgrade { on_upgrade, accept })
}

impl Upgrade {
    /// The answer that switches protocols, and what becomes the WebSocket.
    pub(crate) fn accept(self) -> (Response, impl Future<Output = Result<Socket, hyper::Error>>) {
        let headers = [
            (header::CONNECTION, HeaderValue::from_static("upgrade")),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::SEC_WEBSOCKET_ACCEPT, self.accept),
        ];
        let socket = async {
            let io = TokioIo::new(self.on_upgrade.await?);
            Ok(WebSocketStream::from_raw_socket(io, Role::Server, Some(limits())).await)
        };
        ((StatusCode::SWITCHING_PROTOCOLS, headers).into_response(), socket)
    }
}

fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(MAX_UNWRITTEN_BYTES)
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES))
}

/// Whether a header that is a list of words has this one.
fn has_token(headers: &HeaderMap, name: &header::HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
}
