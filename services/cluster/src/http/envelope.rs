//! The envelope around an agent's answer.
//!
//! The answer may be many megabytes of JSON that this service has no need to understand, so it is not parsed and printed
//! again: its fields are put before those of the envelope as the text that they are, while they come.

use std::io;

use async_compression::tokio::bufread::GzipDecoder;
use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use bus::{Encoding, RequestError};
use bytes::Bytes;
use contracts::{ErrorCode, Timestamp};
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tokio_util::io::{ReaderStream, StreamReader};
use utoipa::ToSchema;
use web::Problem;

use super::joined::{JoinError, Joined};
use crate::{
    agents::{self, AgentAnswer},
    cluster_id::ClusterId,
};

/// The pieces in which an unpacked answer is sent. Each is unpacked at once, so that other work waits for no more.
const PIECE_BYTES: usize = 64 * 1024;
/// So many pieces are unpacked ahead of a caller.
const AHEAD: usize = 2;

/// What every answer says beside its result.
#[derive(Serialize, ToSchema)]
pub(super) struct Envelope {
    /// Always true: a failure is a problem.
    success: bool,
    /// The agent that answered.
    agent_id: String,
    /// The cluster's id as the caller gave it.
    cluster_id: Option<ClusterId>,
    /// A sentence for a person.
    message: String,
    /// When it was answered.
    timestamp: Timestamp,
}

impl Envelope {
    pub(super) fn new(agent_id: String, cluster_id: Option<ClusterId>, message: String) -> Self {
        Self { success: true, agent_id, cluster_id, message, timestamp: Timestamp::now() }
    }
}

/// One JSON object of the result's fields and the envelope's.
///
/// The envelope comes last: where an agent's answer has a field of the same name, readers that take the last one, which
/// are nearly all, see ours. A large answer begins before its end is there; when the rest does not come by the deadline,
/// the connection is cut, so that what is incomplete never looks complete.
pub(super) async fn envelope(
    envelope: &Envelope,
    answer: AgentAnswer,
    deadline: Instant,
) -> Result<Response, Problem> {
    let envelope = serde_json::to_string(envelope).map_err(|error| Problem::internal(&error))?;
    let body = if answer.result.is_whole() && answer.result.encoding == Encoding::Identity {
        whole(answer, envelope).await?
    } else {
        in_pieces(answer, envelope, deadline).await?
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// An answer that is there already.
async fn whole(answer: AgentAnswer, envelope: String) -> Result<Body, Problem> {
    let AgentAnswer { mut result, place: _place } = answer;
    let result = result.next().await.transpose().map_err(agents::problem)?.unwrap_or_default();
    let mut joined = Joined::new(stream::iter([Ok(result)]), envelope);
    let mut body = Vec::new();
    while let Some(piece) = joined.next().await.map_err(|error| improper(&error))? {
        body.extend_from_slice(&piece);
    }
    Ok(body.into())
}

/// An answer that is still coming, by a task of its own: it lets go of the agent at the deadline also when the caller does not
/// read.
async fn in_pieces(answer: AgentAnswer, envelope: String, deadline: Instant) -> Result<Body, Problem> {
    let AgentAnswer { result, place } = answer;
    let mut joined = Joined::new(unpacked(result), envelope);
    // Until it has begun, it can still be refused.
    let first = timeout_at(deadline, joined.next()).await;
    let first =
        first.map_err(|_| agents::problem(RequestError::Timeout))?.map_err(|error| improper(&error))?;
    let (pieces, sent) = mpsc::channel::<Option<Bytes>>(AHEAD);
    tokio::spawn(async move {
        let _place = place;
        let sending = async {
            let mut next = first;
            loop {
                let is_last = next.is_none();
                if pieces.send(next).await.is_err() || is_last {
                    // The caller has gone, or has it all.
                    return Ok(());
                }
                next = tokio::select! {
                    next = joined.next() => next?,
                    () = pieces.closed() => return Ok(()),
                };
            }
        };
        let ended: Result<(), JoinError> = timeout_at(deadline, sending)
            .await
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
        if let Err(error) = ended {
            tracing::warn!(%error, "an answer was cut");
        }
    });
    Ok(Body::from_stream(stream::unfold(Some(sent), async |sent| {
        let mut sent = sent?;
        match sent.recv().await {
            Some(Some(piece)) => Some((Ok(piece), Some(sent))),
            Some(None) => None,
            None => Some((Err(io::Error::other("the rest of the answer did not come")), None)),
        }
    })))
}

/// The bytes of the result as the agent wrote them, before it packed them.
fn unpacked(result: bus::Body) -> impl Stream<Item = io::Result<Bytes>> + Unpin + Send {
    let encoding = result.encoding;
    let packed = stream::unfold(result, async |mut result| {
        let part = result.next().await?;
        Some((part.map_err(io::Error::other), result))
    });
    let packed = Box::pin(packed);
    match encoding {
        Encoding::Identity => packed.boxed(),
        Encoding::Gzip => {
            ReaderStream::with_capacity(GzipDecoder::new(StreamReader::new(packed)), PIECE_BYTES).boxed()
        }
    }
}

/// Why a result cannot be passed on: because it did not come, or because it is none.
fn improper(error: &JoinError) -> Problem {
    let cause = match error {
        JoinError::Read(error) => error.get_ref().and_then(|cause| cause.downcast_ref::<RequestError>()),
        JoinError::NoObject | JoinError::TooLarge => None,
    };
    match cause {
        Some(RequestError::Timeout) => agents::problem(RequestError::Timeout),
        Some(RequestError::Rejected(code)) => agents::refusal(Some(code.clone()), None),
        Some(RequestError::Publish(error)) => agents::problem(RequestError::Publish(error.clone())),
        _ => Problem::new(ErrorCode::AgentError, error.to_string()),
    }
}
