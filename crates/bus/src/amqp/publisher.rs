//! Publishing on one connection: one task hands every message to one channel, and the broker confirms each.
//!
//! By one task, because lapin numbers a message and sends it in two steps: two tasks at once could have theirs confirmed
//! for each other. Messages that come while others are being handed over go out together with one write.

use std::{
    collections::{BTreeMap, VecDeque},
    future::{poll_fn, ready},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ExchangeKind,
    options::{
        BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
        QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::shared_arguments;
use crate::{
    QueueType,
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

/// What is there before anything is published.
#[derive(Clone)]
pub(super) struct Declared {
    /// The exchange of events.
    pub(super) events: String,
    /// The exchange of what askers say.
    pub(super) control: String,
    /// The queues on which events are kept, with the topics that are bound to them.
    pub(super) kept: [(String, &'static str); 2],
    /// The kind of these queues.
    pub(super) queues: QueueType,
}

impl Publisher {
    /// `broken` is cancelled when the channel was closed, so that the connection has to be made anew.
    pub(super) async fn open(
        connection: Arc<Connection>,
        declared: Declared,
        broken: CancellationToken,
    ) -> lapin::Result<Arc<Self>> {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        for exchange in [&declared.events, &declared.control] {
            channel
                .exchange_declare(
                    exchange.as_str().into(),
                    ExchangeKind::Topic,
                    durable,
                    FieldTable::default(),
                )
                .await?;
        }
        // By who publishes, so that no event is lost that happened before its consumer was first there.
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        for (queue, topics) in &declared.kept {
            channel.queue_declare(queue.as_str().into(), durable, shared_arguments(declared.queues)).await?;
            channel
                .queue_bind(
                    queue.as_str().into(),
                    declared.events.as_str().into(),
                    (*topics).into(),
                    QueueBindOptions::default(),
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
    let mut desk = Desk { mandatory: BTreeMap::new(), certain: VecDeque::new(), broken };
    let mut last_number = 0;
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            Some(carried) = poll_fn(|context| poll_outcome(&mut under_way, context)) => {
                desk.settle(carried);
                continue;
            }
            // No outcome is left unread, as has to be before any message is told to be in a queue.
            () = ready(()), if desk.knows_more() => {
                desk.tell_next();
                continue;
            }
            count = inbox.recv_many(&mut batch, INBOX), if under_way.len() < UNCONFIRMED => if count == 0 {
                break;
            },
        }
        // Whoever published it may have lost interest.
        for posted in batch.drain(..).filter(|posted| !posted.outcome.is_closed()) {
            last_number += 1;
            desk.expect(last_number, &posted);
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
    while desk.knows_more() {
        desk.tell_next();
    }
}

/// The next outcome. Pending only when none is left unread: [`FuturesUnordered`] pauses, too, when some became ready while they
/// were polled.
fn poll_outcome<F: Future<Output = Carried>>(
    under_way: &mut FuturesUnordered<F>,
    context: &mut Context<'_>,
) -> Poll<Option<Carried>> {
    for _ in 0..under_way.len() {
        if let Poll::Ready(outcome) = under_way.poll_next_unpin(context) {
            return Poll::Ready(outcome);
        }
    }
    if under_way.is_empty() { Poll::Ready(None) } else { Poll::Pending }
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
/// A mandatory message that no queue took comes back, and is confirmed all the same. The broker [sends back][1] each before it
/// confirms it, in the order of their publication, and lapin hands one to each confirmation that it reads, the oldest first,
/// whosever confirmation it is. So a message that came back is brought by its own confirmation or one read before, unless its own
/// brings an older one; then it has been brought once all mandatory ones up to it are confirmed.
///
/// [1]: https://www.rabbitmq.com/docs/confirms#when-publishes-are-confirmed
struct Desk {
    /// Those whose publishers have not been told, by number.
    mandatory: BTreeMap<u64, Mandatory>,
    /// Those that are confirmed and do not come back, once all outcomes so far are read.
    certain: VecDeque<u64>,
    broken: CancellationToken,
}

/// What is known of a mandatory message.
enum Mandatory {
    UnderWay,
    /// It came back, and will be confirmed.
    Returned,
    /// It is confirmed, and may have come back.
    Confirmed(Posted),
}

impl Desk {
    fn expect(&mut self, number: u64, posted: &Posted) {
        if posted.guarantee == Guarantee::Routed {
            self.mandatory.insert(number, Mandatory::UnderWay);
        }
    }

    fn settle(&mut self, carried: Carried) {
        let Carried { number, posted, confirmation } = carried;
        let returned = confirmation.as_ref().ok().and_then(returned_number);
        if let Some(returned) = returned {
            self.came_back(returned);
        }
        match confirmation {
            Ok(Confirmation::Ack(_)) => {
                self.confirm(number, posted, returned.is_none_or(|returned| returned > number));
            }
            Ok(Confirmation::Nack(_) | Confirmation::NotRequested) => {
                tracing::debug!("the broker refused a message");
                self.mandatory.remove(&number);
                posted.tell(Err(PublishError::Unavailable));
            }
            Err(error) => {
                tracing::debug!(%error, "publishing failed");
                self.mandatory.remove(&number);
                self.broken.cancel();
                posted.tell(Err(PublishError::Unavailable));
            }
        }
    }

    fn came_back(&mut self, number: u64) {
        match self.mandatory.remove(&number) {
            Some(Mandatory::Confirmed(posted)) => tell_returned(posted),
            Some(Mandatory::UnderWay) => drop(self.mandatory.insert(number, Mandatory::Returned)),
            Some(Mandatory::Returned) | None => {}
        }
    }

    fn confirm(&mut self, number: u64, posted: Posted, is_certain: bool) {
        match self.mandatory.remove(&number) {
            Some(Mandatory::Returned) => tell_returned(posted),
            Some(_) => {
                self.mandatory.insert(number, Mandatory::Confirmed(posted));
                if is_certain {
                    self.certain.push_back(number);
                }
            }
            None => posted.tell(Ok(())),
        }
    }

    /// Whether of some mandatory message it is known that it is in a queue.
    fn knows_more(&self) -> bool {
        let oldest = self.mandatory.first_key_value();
        !self.certain.is_empty() || matches!(oldest, Some((_, Mandatory::Confirmed(_))))
    }

    /// Tells of one of them.
    fn tell_next(&mut self) {
        let known = match self.certain.pop_front() {
            Some(number) => self.mandatory.remove(&number),
            None => self.mandatory.pop_first().map(|(_, known)| known),
        };
        // It is one, where `knows_more` was asked.
        if let Some(Mandatory::Confirmed(posted)) = known {
            posted.tell(Ok(()));
        }
    }
}

/// The number of the message that a confirmation brings back.
fn returned_number(confirmation: &Confirmation) -> Option<u64> {
    let (Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned))) = confirmation else {
        return None;
    };
    returned.delivery.properties.message_id().as_ref()?.as_str().parse().ok()
}

fn tell_returned(posted: Posted) {
    metrics::counter!("bus_returned_total").increment(1);
    let queue = posted.target.parts().1.to_owned();
    posted.tell(Err(PublishError::Unroutable { queue }));
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
