//! An answer in parts, as the asker takes it.

use std::{future::pending, sync::Arc, time::Duration};

use bytes::Bytes;
use contracts::queues::parts;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout_at},
};

use crate::{
    broker::{Broker, Guarantee},
    cancel::Question,
    error::{PublishError, RequestError},
    message::Message,
    pending::{First, WINDOW},
    reply::ERROR_HEADER,
    requester::error_code,
};

/// A process that lost its connection has it again within this, as a rule, and publishes what it still has.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// How the bytes of all parts in order are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    Identity,
    /// They are gzipped.
    Gzip,
}

impl Encoding {
    /// As the header says it; the identity is not said.
    pub(crate) fn header(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
        }
    }
}

/// What was answered: all but the result at once, and the result in parts.
pub struct Answer<H> {
    /// All but the result.
    pub head: H,
    /// The result; absent where the head is all that was answered.
    pub body: Option<Body>,
}

/// A result that is still coming. Whoever answers sends a few parts ahead of those that are taken, and no more; dropped, it is
/// told that nobody takes the rest.
pub struct Body {
    /// How it is to be read.
    pub encoding: Encoding,
    first: Option<Bytes>,
    rest: Option<Rest>,
}

impl From<Bytes> for Body {
    /// A result that is there already.
    fn from(result: Bytes) -> Self {
        Self { encoding: Encoding::Identity, first: Some(result), rest: None }
    }
}

struct Rest {
    /// Dropped before the parts: a part that finds nobody to take it ends the waiting, and then there would be no more to cancel.
    question: Question,
    parts: mpsc::Receiver<Message>,
    deadline: Instant,
    broker: Arc<Broker>,
    /// What was said to whoever answers, until it has been heard.
    said: FuturesUnordered<BoxFuture<'static, Result<(), PublishError>>>,
    /// So many parts whoever answers may send, as far as is known: one that it was asked for may come before that is confirmed.
    coming: isize,
    /// Since then, whoever answers hears no more.
    unheard_since: Option<Instant>,
}

impl Body {
    pub(crate) fn new(first: First, mut question: Question, deadline: Instant, broker: Arc<Broker>) -> Self {
        let First { message, rest } = first;
        let encoding = match message.headers.get(parts::ENCODING) {
            Some("gzip") => Encoding::Gzip,
            _ => Encoding::Identity,
        };
        question.answered_by(message.reply_to);
        let rest = rest.map(|parts| Rest {
            question,
            parts,
            deadline,
            broker,
            said: FuturesUnordered::new(),
            coming: WINDOW.cast_signed() - 1,
            unheard_since: None,
        });
        Self { encoding, first: Some(message.body), rest }
    }

    /// Whether the first part is the last one too.
    pub fn is_whole(&self) -> bool {
        self.rest.is_none()
    }

    /// The next part; `None` after the last one.
    ///
    /// # Errors
    /// [`RequestError`] when the rest will not come, or not before the deadline. There is no more after it.
    pub async fn next(&mut self) -> Option<Result<Bytes, RequestError>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        let rest = self.rest.as_mut()?;
        let part = rest.next().await;
        if !matches!(part, Ok(Part { last: false, .. })) {
            self.rest = None;
        }
        Some(part.map(|part| part.data))
    }
}

struct Part {
    data: Bytes,
    last: bool,
}

impl Rest {
    async fn next(&mut self) -> Result<Part, RequestError> {
        // Said before the part is waited for: the one before has been taken.
        if self.unheard_since.is_none()
            && let Some((target, message)) = self.question.more()
        {
            let broker = Arc::clone(&self.broker);
            self.said.push(async move { broker.publish(target, message, Guarantee::Routed).await }.boxed());
        }
        let deadline = self.deadline;
        let message = timeout_at(deadline, self.take()).await.map_err(|_| self.broker.overdue())?;
        let message = message.ok_or(RequestError::Publish(PublishError::Unavailable))?;
        match message.headers.get(ERROR_HEADER) {
            Some(code) => Err(RequestError::Rejected(error_code(code))),
            None => Ok(Part { last: message.headers.get(parts::LAST).is_some(), data: message.body }),
        }
    }

    /// The next message; `None` when no more will come.
    async fn take(&mut self) -> Option<Message> {
        loop {
            let may_send_more = self.coming > 0 || !self.said.is_empty();
            tokio::select! {
                biased;
                Some(said) = self.said.next() => match said {
                    Ok(()) => self.coming += 1,
                    Err(_) => self.unheard_since = self.unheard_since.or_else(|| Some(Instant::now())),
                },
                message = self.parts.recv() => {
                    self.coming -= 1;
                    return message;
                }
                () = silence(self.unheard_since, may_send_more) => return None,
            }
        }
    }
}

/// Ends when no more is to be expected of one who has not heard since then.
async fn silence(unheard_since: Option<Instant>, may_send_more: bool) {
    match unheard_since {
        None => pending().await,
        Some(_) if !may_send_more => {}
        Some(since) => sleep_until(since + BACK_WITHIN).await,
    }
}
