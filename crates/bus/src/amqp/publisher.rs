//! Publishing on one connection: a channel whose messages the broker confirms, and one whose messages it does not.

use std::sync::Arc;

use futures_util::{StreamExt, stream::FuturesUnordered};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ExchangeKind, PublisherConfirm,
    options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    broker::{Guarantee, Target},
    error::PublishError,
    message::Message,
};

/// AMQP's delivery modes.
const TRANSIENT: u8 = 1;
const PERSISTENT: u8 = 2;

pub(super) struct Publisher {
    _connection: Arc<Connection>,
    plain: Channel,
    confirmed: Channel,
    confirms: mpsc::UnboundedSender<Unconfirmed>,
    /// Cancelled when a channel was closed, so that the connection has to be made anew. It belongs to this connection
    /// alone: what fails late on an old one must not end the new one.
    broken: CancellationToken,
}

/// A message that the broker has not confirmed yet, and who waits for that.
struct Unconfirmed {
    confirm: PublisherConfirm,
    outcome: oneshot::Sender<Result<(), PublishError>>,
    queue: String,
}

impl Publisher {
    pub(super) async fn open(
        connection: Arc<Connection>,
        topics: [String; 2],
        broken: CancellationToken,
    ) -> lapin::Result<Arc<Self>> {
        let plain = connection.create_channel().await?;
        let confirmed = connection.create_channel().await?;
        confirmed.confirm_select(ConfirmSelectOptions::default()).await?;
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        for exchange in topics {
            plain
                .exchange_declare(
                    exchange.as_str().into(),
                    ExchangeKind::Topic,
                    durable,
                    FieldTable::default(),
                )
                .await?;
        }
        let (confirms, unconfirmed) = mpsc::unbounded_channel();
        tokio::spawn(await_confirms(unconfirmed));
        Ok(Arc::new(Self { _connection: connection, plain, confirmed, confirms, broken }))
    }

    pub(super) async fn publish(
        &self,
        target: Target,
        message: Message,
        guarantee: Guarantee,
    ) -> Result<(), PublishError> {
        let channel = if guarantee == Guarantee::None { &self.plain } else { &self.confirmed };
        let (exchange, key) = target.parts();
        let options = BasicPublishOptions {
            mandatory: guarantee == Guarantee::Routed,
            ..BasicPublishOptions::default()
        };
        let published = channel
            .basic_publish(exchange.into(), key.into(), options, &message.body, properties(&message))
            .await;
        let confirm = published.map_err(|error| self.failed(&error))?;
        if guarantee == Guarantee::None {
            return Ok(());
        }
        // The confirmation is awaited by a task, never here: dropped by a caller that lost interest, it would stay in
        // the channel's memory for ever.
        let (outcome, confirmed) = oneshot::channel();
        let waiting = Unconfirmed { confirm, outcome, queue: key.to_owned() };
        self.confirms.send(waiting).map_err(|_| PublishError::Unavailable)?;
        let outcome = confirmed.await.map_err(|_| PublishError::Unavailable)?;
        if outcome == Err(PublishError::Unavailable) {
            self.broken.cancel();
        }
        outcome
    }

    fn failed(&self, error: &lapin::Error) -> PublishError {
        tracing::debug!(%error, "publishing failed");
        self.broken.cancel();
        PublishError::Unavailable
    }
}

/// Tells each publisher what became of its message. Ends with the [`Publisher`]; each confirmation resolves at the latest
/// when its channel is closed.
async fn await_confirms(mut unconfirmed: mpsc::UnboundedReceiver<Unconfirmed>) {
    let mut waiting = FuturesUnordered::new();
    loop {
        tokio::select! {
            next = unconfirmed.recv() => match next {
                Some(next) => waiting.push(settle(next)),
                None => break,
            },
            Some(()) = waiting.next() => {}
        }
    }
    while waiting.next().await.is_some() {}
}

async fn settle(Unconfirmed { confirm, outcome, queue }: Unconfirmed) {
    let result = match confirm.await {
        // A message that no queue took is acknowledged all the same, with the returned message inside.
        Ok(Confirmation::Ack(None)) => Ok(()),
        Ok(Confirmation::Ack(Some(_))) => {
            metrics::counter!("bus_returned_total").increment(1);
            Err(PublishError::Unroutable { queue })
        }
        Ok(Confirmation::Nack(_) | Confirmation::NotRequested) | Err(_) => Err(PublishError::Unavailable),
    };
    // Whoever published may have lost interest.
    let _ = outcome.send(result);
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
