//! One consumer: declares its queue, consumes, and does so again whenever connection, channel or queue is lost.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ExchangeKind,
    options::{
        BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions,
        QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    broker::{Acker, Delivery, Incoming, QueueSpec},
    message::{Headers, Message},
};

/// Between two attempts on a connection that is there: the queue was deleted, or the channel closed.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

pub(super) async fn run(
    mut connections: watch::Receiver<Option<Arc<Connection>>>,
    spec: QueueSpec,
    prefetch: u16,
    outgoing: mpsc::Sender<Incoming>,
    stop: CancellationToken,
) {
    loop {
        let connection = tokio::select! {
            () = stop.cancelled() => return,
            found = connections.wait_for(Option::is_some) => match found.map(|found| found.clone()) {
                Ok(Some(connection)) => connection,
                _ => return,
            },
        };
        match subscribe(&connection, &spec, prefetch).await {
            Ok(subscription) => {
                let ended = subscription.forward(&outgoing, &stop).await;
                if ended == Ended::ByConsumer || outgoing.send(Incoming::Lost).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::warn!(?spec, %error, "cannot consume; trying again"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(RETRY_PAUSE) => {}
        }
    }
}

struct Subscription {
    channel: Channel,
    deliveries: lapin::Consumer,
    queue: String,
    acknowledged: bool,
}

#[derive(PartialEq, Eq)]
enum Ended {
    ByConsumer,
    ByBroker,
}

async fn subscribe(connection: &Connection, spec: &QueueSpec, prefetch: u16) -> lapin::Result<Subscription> {
    let channel = connection.create_channel().await?;
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let (queue, acknowledged) = match spec {
        QueueSpec::Shared(name) => {
            // Without arguments, as earlier clients declare it: another declaration would be refused.
            let durable = QueueDeclareOptions { durable: true, ..Default::default() };
            channel.queue_declare(name.as_str().into(), durable, FieldTable::default()).await?;
            (name.clone(), true)
        }
        QueueSpec::Private { bind, acknowledged } => {
            // A new name each time: the broker may still hold the queue of a connection that it does not know to be dead.
            let name = format!("kubesage.private.{}", Uuid::new_v4());
            let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
            channel.queue_declare(name.as_str().into(), own, FieldTable::default()).await?;
            if let Some(binding) = bind {
                let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
                let exchange = binding.exchange.as_str();
                channel
                    .exchange_declare(exchange.into(), ExchangeKind::Topic, durable, FieldTable::default())
                    .await?;
                for key in &binding.keys {
                    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
                    channel
                        .queue_bind(
                            name.as_str().into(),
                            exchange.into(),
                            key.as_str().into(),
                            options,
                            arguments,
                        )
                        .await?;
                }
            }
            (name, *acknowledged)
        }
    };
    let options = BasicConsumeOptions { no_ack: !acknowledged, ..Default::default() };
    let deliveries =
        channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default()).await?;
    Ok(Subscription { channel, deliveries, queue, acknowledged })
}

impl Subscription {
    /// Passes on what arrives until either side ends it.
    async fn forward(mut self, outgoing: &mpsc::Sender<Incoming>, stop: &CancellationToken) -> Ended {
        let mut next = Incoming::Established { queue: self.queue.clone() };
        loop {
            let sent = tokio::select! {
                sent = outgoing.send(next) => sent,
                () = stop.cancelled() => return self.wind_down(outgoing).await,
            };
            if sent.is_err() {
                return self.wind_down(outgoing).await;
            }
            let delivery = tokio::select! {
                delivery = self.deliveries.next() => delivery,
                () = stop.cancelled() => return self.wind_down(outgoing).await,
                () = outgoing.closed() => return self.wind_down(outgoing).await,
            };
            // The stream ends when the channel dies, and also when the broker cancels because the queue was deleted.
            let Some(Ok(delivery)) = delivery else {
                return Ended::ByBroker;
            };
            next = Incoming::Delivery(Box::new(Delivery {
                message: message(delivery.data, &delivery.properties),
                redelivered: delivery.redelivered,
                acker: if self.acknowledged { Acker::Amqp(delivery.acker) } else { Acker::None },
            }));
        }
    }

    /// Takes no more, but keeps the channel until the consumer is dropped, so that what was taken can be acknowledged.
    async fn wind_down(self, outgoing: &mpsc::Sender<Incoming>) -> Ended {
        // Each fails only when the connection is gone, which ends the subscription just as well.
        let _ = self.channel.basic_cancel(self.deliveries.tag(), BasicCancelOptions::default()).await;
        outgoing.closed().await;
        let _ = self.channel.close(200, "bye".into()).await;
        Ended::ByConsumer
    }
}

pub(super) fn message(body: Vec<u8>, properties: &BasicProperties) -> Message {
    let headers = properties.headers().as_ref().map(text_headers).unwrap_or_default();
    let expiration = properties.expiration().as_ref().and_then(|text| text.as_str().parse().ok());
    Message {
        body: body.into(),
        correlation_id: properties.correlation_id().as_ref().map(ToString::to_string),
        reply_to: properties.reply_to().as_ref().map(ToString::to_string),
        expiration: expiration.map(Duration::from_millis),
        headers,
        persistent: properties.delivery_mode() == &Some(2),
    }
}

fn text_headers(table: &FieldTable) -> Headers {
    let mut headers = Headers::default();
    for (name, value) in table.inner() {
        match value {
            AMQPValue::LongString(text) => headers.push(name.to_string(), text.to_string()),
            AMQPValue::ShortString(text) => headers.push(name.to_string(), text.to_string()),
            _ => {}
        }
    }
    headers
}
