//! Agents that do harm: each ends up closed or throttled, and connects again.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Result, bail};
use clap::ValueEnum;
use contracts::{
    Timestamp,
    agent::{AgentFrame, Heartbeat, PART_BYTES, Part, ServerFrame},
};
use futures_util::SinkExt;
use tokio::{io::AsyncWriteExt, time::sleep};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use super::session::Session;
use crate::system::Credentials;

/// Between the end of a session and the next one.
const PAUSE: Duration = Duration::from_millis(100);
/// The head of a masked text frame of 60,000 bytes (RFC 6455, section 5.2).
const HEAD: [u8; 8] = [0x81, 0xfe, 0xea, 0x60, 0, 0, 0, 0];
static PART: [u8; PART_BYTES] = [b' '; PART_BYTES];

/// How an agent does harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Harm {
    /// It reads nothing and says nothing.
    Deaf,
    /// It answers at a byte a second.
    Trickling,
    /// Its answers do not end.
    Endless,
    /// It sends heartbeats as fast as it can.
    Beating,
    /// It answers what nobody asked, as fast as it can.
    Unasked,
}

/// Does harm, in one session after the other, until it is dropped.
pub(super) async fn harm(
    onboarding: SocketAddr,
    from: Ipv4Addr,
    credentials: &Credentials,
    mut session: Session,
    how: Harm,
) -> Result<()> {
    loop {
        // However it ends, that was to be expected.
        let _ = serve(session, how).await;
        sleep(PAUSE).await;
        session = Session::open(onboarding, from, credentials).await?;
    }
}

/// Does harm until the session ends.
pub(super) async fn serve(mut session: Session, how: Harm) -> Result<()> {
    match how {
        // The session stays open.
        Harm::Deaf => std::future::pending().await,
        Harm::Trickling => loop {
            let ServerFrame::Request(_) = session.next().await? else { continue };
            let stream = session.socket.get_mut();
            stream.write_all(&HEAD).await?;
            loop {
                stream.write_all(b" ").await?;
                sleep(Duration::from_secs(1)).await;
            }
        },
        Harm::Endless => loop {
            match session.next().await? {
                ServerFrame::Request(request) => {
                    for _ in 0..request.window.unwrap_or(1) {
                        part(&mut session, request.request_id).await?;
                    }
                }
                ServerFrame::More(more) => part(&mut session, more.request_id).await?,
                ServerFrame::Refused(refused) => bail!("refused: {}", refused.detail),
                _ => {}
            }
        },
        Harm::Beating => loop {
            let heartbeat = Heartbeat {
                nodes: Some(1),
                pods: Some(1),
                provider: None,
                region: None,
                cpu_millis: None,
                memory_bytes: None,
                at: Timestamp::now(),
            };
            session.send(&AgentFrame::Heartbeat(heartbeat)).await?;
        },
        Harm::Unasked => loop {
            part(&mut session, Uuid::new_v4()).await?;
        },
    }
}

async fn part(session: &mut Session, request_id: Uuid) -> Result<()> {
    let part = Part { request_id, last: false, data: &PART };
    Ok(session.socket.send(Message::binary(part.to_bytes())).await?)
}
