//! How a session ends.

use std::time::Duration;

use contracts::agent::{RefusalCode, Refused, ServerFrame};
use futures_util::SinkExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};
use tokio_tungstenite::tungstenite::{
    Error as SocketError, Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::{SessionSettings, socket::Socket};

/// So much may have been on its way when an agent that floods us was told of its end.
const ON_ITS_WAY_BYTES: usize = 1024 * 1024;
/// What is read at a time of what comes after it, and the pause then: 640 KiB in a second.
const LINGER_BYTES: usize = 32 * 1024;
const LINGER_PAUSE: Duration = Duration::from_millis(50);

/// Why a session ends.
pub(super) enum End {
    /// We say why and close.
    Refuse(Refused),
    /// This process stops, and has said so.
    Shutdown,
    /// The agent closes in peace.
    Left,
    /// The agent has gone over to a newer session.
    Moved,
    /// The connection broke.
    Lost(String),
}

impl End {
    pub(super) fn refuse(code: RefusalCode, detail: &str, retry: bool) -> Self {
        Self::Refuse(Refused { code, detail: detail.to_owned(), retry })
    }

    pub(super) fn protocol_error(detail: &str) -> Self {
        Self::refuse(RefusalCode::ProtocolError, detail, true)
    }

    /// For the log.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Refuse(refused) => format!("{:?}: {}", refused.code, refused.detail),
            Self::Shutdown => "this process stops".to_owned(),
            Self::Left => "the agent closed the session".to_owned(),
            Self::Moved => "the agent has gone over to a newer session".to_owned(),
            Self::Lost(reason) => reason.clone(),
        }
    }

    /// For the cluster's user.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Refuse(refused) => refused.detail.clone(),
            Self::Shutdown | Self::Left | Self::Moved | Self::Lost(_) => self.reason(),
        }
    }

    /// For the metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Refuse(refused) => match refused.code {
                RefusalCode::ProtocolError => "protocol_error",
                RefusalCode::TooLarge => "too_large",
                RefusalCode::Timeout => "timeout",
                RefusalCode::Replaced => "replaced",
                RefusalCode::Superseded => "superseded",
                RefusalCode::Revoked => "revoked",
                RefusalCode::RateLimited => "rate_limited",
                _ => "refused",
            },
            Self::Shutdown => "shutdown",
            Self::Left => "left",
            Self::Moved => "moved",
            Self::Lost(_) => "lost",
        }
    }

    /// Whether the agent is told that another one has taken its place.
    pub(super) fn is_replaced(&self) -> bool {
        matches!(self, Self::Refuse(refused) if refused.code == RefusalCode::Replaced)
    }

    /// Tells the agent, as far as it still listens, and closes; whether it has answered to that. It may be gone already, or read
    /// no more.
    pub(super) async fn carry_out(self, socket: &mut Socket, settings: &SessionSettings) -> bool {
        let said = timeout(settings.timing.close_within, self.say_goodbye(socket)).await;
        matches!(said, Ok(Ok(())))
    }

    async fn say_goodbye(self, socket: &mut Socket) -> Result<(), SocketError> {
        // Also with parts that nobody wanted yet.
        let floods = matches!(
            &self,
            Self::Refuse(Refused { code: RefusalCode::RateLimited | RefusalCode::ProtocolError, .. })
        );
        let code = match self {
            Self::Lost(_) => return Ok(()),
            Self::Left | Self::Moved => CloseCode::Normal,
            Self::Shutdown => CloseCode::Away,
            Self::Refuse(refused) => {
                let code = close_code(&refused.code);
                let text = serde_json::to_string(&ServerFrame::Refused(refused)).unwrap_or_default();
                socket.send(Message::text(text)).await?;
                code
            }
        };
        if socket.close(Some(CloseFrame { code, reason: "".into() })).await.is_err() {
            // The agent has sent a close frame of its own; the answer to it is ready.
            socket.flush().await?;
        }
        Ok(linger(socket, floods).await?)
    }
}

/// Reads on until the agent closes its side too: a socket that is closed with bytes unread resets the connection, and the
/// agent may then lose our last frames. What an agent that floods us goes on to send is read slowly.
async fn linger(socket: &mut Socket, floods: bool) -> std::io::Result<()> {
    let stream = socket.get_mut();
    stream.shutdown().await?;
    let (mut unread, mut total) = (vec![0; LINGER_BYTES], 0);
    loop {
        match stream.read(&mut unread).await? {
            0 => return Ok(()),
            bytes => total += bytes,
        }
        if floods && total > ON_ITS_WAY_BYTES {
            sleep(LINGER_PAUSE).await;
        }
    }
}

/// The codes of RFC 6455, section 7.4.1.
fn close_code(refusal: &RefusalCode) -> CloseCode {
    match refusal {
        RefusalCode::ProtocolError | RefusalCode::UnsupportedProtocol => CloseCode::Protocol,
        RefusalCode::TooLarge => CloseCode::Size,
        RefusalCode::Overloaded => CloseCode::Again,
        _ => CloseCode::Policy,
    }
}
