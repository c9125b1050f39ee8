//! Publishing on one connection: one task hands every message to one channel, and the broker confirms each.
//!
//! By one task, because lapin numbers a message and sends it in two steps: two tasks at once could have theirs confirmed
//! for each other. Messages that come while others are being handed over go out together with one write.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ExchangeKind,
    options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    broker::{Guarantee, Target},
    error::PublishError,
    message::Message,
};

/// AMQP's delivery modes.
const TRANSIENT: u8 = 1;
const PERSISTENT: u8 = 2;

/// So many messages may wait to be handed over; whoever publishes more waits.
const INBOX: usize = 1024;
/// How long messages wait for the confirmation of those before them.
const GATHER: Duration = Duration::from_millis(1);
/// How long after its confirmation a message may come back.
const RETURNS_WITHIN: Duration = Duration::from_millis(10);
/// So many may be handed over and not confirmed.
const UNCONFIRMED: usize = 4096;

pub(super) struct Publisher {
    inbox: mpsc::Sender<Posted>,
}

/// A message on its way, and who waits to hear what became of it.
struct Posted {
    target: Target,
    message: Message,
    guarantee: Guarantee,
    outcome: oneshot::Sender<Result<(), PublishError>>,
}

impl Posted {
    fn tell(self, outcome: Result<(), PublishError>) {
        // Whoever published it may have lost interest.
        let _ = self.outcome.send(outcome);
    }
}

impl Publisher {
    /// `broken` is cancelled when the channel was closed, so that the connection has to be made anew.
    pub(super) async fn open(
        connection: Arc<Connection>,
        topics: [String; 2],
        broken: CancellationToken,
    ) -> lapin::Result<Arc<Self>> {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        for exchange in topics {
            channel
                .exchange_declare(
                    exchange.as_str().into(),
                    ExchangeKind::Topic,
                    durable,
                    FieldTable::default(),
                )
                .await?;
        }
        let (inbox, posted) = mpsc::channel(INBOX);
        tokio::spawn(post(channel, posted, broken));
        Ok(Arc::new(Self { inbox }))
    }

    pub(super) async fn publish(
        &self,
        target: Target,
        message: Message,
        guarantee: Guarantee,
    ) -> Result<(), PublishError> {
        let (outcome, known) = oneshot::channel();
        let posted = Posted { target, message, guarantee, outcome };
        self.inbox.send(posted).await.map_err(|_| PublishError::Unavailable)?;
        known.await.map_err(|_| PublishError::Unavailable)?
    }
}

/// Hands over what is posted, and tells each publisher what became of its message. Ends with the [`Publisher`].
///
/// While messages are not confirmed, what comes gathers (as with Nagle's algorithm, or a database's group commit): a lone
/// message goes at once, and under load many go with one write, arrive with one read, and are confirmed together.
async fn post(channel: Channel, mut inbox: mpsc::Receiver<Posted>, broken: CancellationToken) {
    let mut under_way = FuturesUnordered::new();
    let mut desk = Desk { returned: HashSet::new(), confirmed: VecDeque::new(), broken };
    let mut last_number = 0;
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            Some(carried) = under_way.next() => {
                desk.settle(carried);
                continue;
            }
            () = desk.confirm() => continue,
            count = inbox.recv_many(&mut batch, INBOX), if under_way.len() < UNCONFIRMED => if count == 0 {
                break;
            },
        }
        // Whoever published it may have lost interest.
        for posted in batch.drain(..).filter(|posted| !posted.outcome.is_closed()) {
            last_number += 1;
            under_way.push(carry(&channel, last_number, posted));
        }
        let _ = timeout(GATHER, async {
            while let Some(carried) = under_way.next().await {
                desk.settle(carried);
            }
        })
        .await;
    }
    // Each ends at the latest with the channel.
    while let Some(carried) = under_way.next().await {
        desk.settle(carried);
    }
    while !desk.confirmed.is_empty() {
        desk.confirm().await;
    }
}

/// A message whose fate is known.
struct Carried {
    number: u64,
    posted: Posted,
    confirmation: lapin::Result<Confirmation>,
}

async fn carry(channel: &Channel, number: u64, posted: Posted) -> Carried {
    let (exchange, key) = posted.target.parts();
    let mandatory = posted.guarantee == Guarantee::Routed;
    let options = BasicPublishOptions { mandatory, ..BasicPublishOptions::default() };
    let mut properties = properties(&posted.message);
    if mandatory {
        properties = properties.with_message_id(number.to_string().as_str().into());
    }
    let published =
        channel.basic_publish(exchange.into(), key.into(), options, &posted.message.body, properties).await;
    let confirmation = match published {
        Ok(confirm) => confirm.await,
        Err(error) => Err(error),
    };
    Carried { number, posted, confirmation }
}

/// Tells publishers what became of their messages.
///
/// A message that no queue took comes back, and is confirmed all the same. Where one confirmation is for several messages,
/// lapin hands those that came back to any of these, one after the other on a thread of its own. So of a message that has to
/// be in a queue it is known only a little later that it did not come back.
struct Desk {
    /// Messages that came back, and are not confirmed yet.
    returned: HashSet<u64>,
    /// Messages that are confirmed and may come back yet, and until when.
    confirmed: VecDeque<(Instant, u64, Posted)>,
    broken: CancellationToken,
}

impl Desk {
    fn settle(&mut self, carried: Carried) {
        let Carried { number, posted, confirmation } = carried;
        if let Ok(Confirmation::Ack(Some(returned))) = &confirmation {
            let id = returned.delivery.properties.message_id().as_ref();
            self.returned.extend(id.and_then(|id| id.as_str().parse::<u64>().ok()));
        }
        match confirmation {
            Ok(Confirmation::Ack(_)) if posted.guarantee == Guarantee::Routed => {
                self.confirmed.push_back((Instant::now() + RETURNS_WITHIN, number, posted));
            }
            Ok(Confirmation::Ack(_)) => posted.tell(Ok(())),
            Ok(Confirmation::Nack(_) | Confirmation::NotRequested) => self.give_up(posted),
            Err(error) => {
                tracing::debug!(%error, "publishing failed");
                self.give_up(posted);
            }
        }
        if !self.returned.is_empty() {
            self.give_back();
        }
    }

    /// Tells of messages that have come back.
    fn give_back(&mut self) {
        let confirmed = std::mem::take(&mut self.confirmed).into_iter();
        let (returned, confirmed): (VecDeque<_>, _) =
            confirmed.partition(|(_, number, _)| self.returned.contains(number));
        self.confirmed = confirmed;
        for (_, number, posted) in returned {
            self.returned.remove(&number);
            metrics::counter!("bus_returned_total").increment(1);
            let queue = posted.target.parts().1.to_owned();
            posted.tell(Err(PublishError::Unroutable { queue }));
        }
    }

    /// Waits until one of the confirmed messages cannot come back any more, and tells.
    async fn confirm(&mut self) {
        match self.confirmed.front() {
            Some((until, ..)) => sleep_until(*until).await,
            None => std::future::pending().await,
        }
        if let Some((_, _, posted)) = self.confirmed.pop_front() {
            posted.tell(Ok(()));
        }
    }

    fn give_up(&self, posted: Posted) {
        self.broken.cancel();
        posted.tell(Err(PublishError::Unavailable));
    }
}

fn properties(message: &Message) -> BasicProperties {
    let mode = if message.persistent { PERSISTENT } else { TRANSIENT };
    let mut properties =
        BasicProperties::default().with_content_type("application/json".into()).with_delivery_mode(mode);
    if let Some(id) = &message.correlation_id {
        properties = properties.with_correlation_id(id.as_str().into());
    }
    if let Some(queue) = &message.reply_to {
        properties = properties.with_reply_to(queue.as_str().into());
    }
    if let Some(expiration) = message.expiration {
        properties = properties.with_expiration(expiration.as_millis().to_string().as_str().into());
    }
    if !message.headers.is_empty() {
        let mut headers = FieldTable::default();
        for (name, value) in message.headers.iter() {
            headers.insert(ShortString::from(name), AMQPValue::LongString(value.into()));
        }
        properties = properties.with_headers(headers);
    }
    properties
}
