//! Frames as they come from the socket and go to it.

use bytes::Bytes;
use contracts::agent::{AgentFrame, Part, RefusalCode, ServerFrame};
use futures_util::SinkExt;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message, error::ProtocolError};
use uuid::Uuid;

use super::{SessionSettings, end::End, socket::Socket};

/// A frame that means something to a session.
pub(super) enum Frame {
    Text(AgentFrame),
    Part {
        request_id: Uuid,
        last: bool,
        data: Bytes,
    },
    /// Ping, pong: the agent lives. Tungstenite answers pings by itself.
    Alive,
}

/// Reads what came from the socket. What it holds shares the socket's buffer and is copied where it is kept.
pub(super) fn read(received: Option<Result<Message, SocketError>>) -> Result<Frame, End> {
    match received {
        Some(Ok(Message::Text(text))) => match AgentFrame::parse(&text) {
            Ok(frame) => Ok(Frame::Text(frame)),
            Err(error) => Err(End::protocol_error(&error.to_string())),
        },
        Some(Ok(Message::Binary(bytes))) => match Part::parse(&bytes) {
            Ok(part) => {
                let data = Bytes::copy_from_slice(part.data);
                Ok(Frame::Part { request_id: part.request_id, last: part.last, data })
            }
            Err(error) => Err(End::protocol_error(&error.to_string())),
        },
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(Frame::Alive),
        Some(Ok(Message::Close(_))) => Err(End::Left),
        None => Err(End::Lost("the connection ended".to_owned())),
        Some(Err(error)) => Err(unreadable(&error)),
    }
}

fn unreadable(error: &SocketError) -> End {
    match error {
        SocketError::Capacity(error) => End::refuse(RefusalCode::TooLarge, &error.to_string(), true),
        SocketError::Utf8(_) => End::protocol_error("a text frame is not UTF-8"),
        SocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Lost(error.to_string()),
        SocketError::Protocol(error) => End::protocol_error(&error.to_string()),
        other => End::Lost(other.to_string()),
    }
}

/// Sends a frame.
pub(super) async fn send(
    socket: &mut Socket,
    frame: &ServerFrame,
    settings: &SessionSettings,
) -> Result<(), End> {
    let text = serde_json::to_string(frame).map_err(|error| End::Lost(error.to_string()))?;
    send_all(socket, vec![text], settings).await
}

/// Sends frames that are written already, together. An agent that does not read is given up.
pub(super) async fn send_all(
    socket: &mut Socket,
    frames: Vec<String>,
    settings: &SessionSettings,
) -> Result<(), End> {
    let sending = async {
        for text in frames {
            socket.feed(Message::text(text)).await?;
        }
        socket.flush().await
    };
    match timeout(settings.timing.write_within, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(End::Lost(error.to_string())),
        Err(_) => Err(End::Lost("the agent does not read".to_owned())),
    }
}
