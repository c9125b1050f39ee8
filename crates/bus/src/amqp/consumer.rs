//! One consumer: declares its queue, consumes, and does so again whenever connection, channel or queue is lost.

use std::{mem, time::Duration};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use lapin::{
    BasicProperties, Channel, Connection, ExchangeKind,
    options::{
        BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions,
        QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{acks::Acks, link::Connections, shared_arguments};
use crate::{
    QueueType,
    broker::{Acker, Delivery, Incoming, QueueSpec},
    message::{Headers, Message},
};

/// Between two attempts on a connection that is there: the queue was deleted, or the channel closed.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How long the broker may take to stop sending messages.
const CANCEL_WITHIN: Duration = Duration::from_secs(2);

/// What a consumer sees, told to whoever polls it: no task stands between it and the connection.
pub(super) fn incoming(
    connections: Connections,
    spec: QueueSpec,
    prefetch: u16,
    queues: QueueType,
    stop: CancellationToken,
) -> BoxStream<'static, Incoming> {
    let consuming = Consuming { connections, spec, prefetch, queues, stop, state: State::Waiting };
    stream::unfold(consuming, |mut consuming| async move {
        let incoming = consuming.next().await?;
        Some((incoming, consuming))
    })
    .boxed()
}

struct Consuming {
    connections: Connections,
    spec: QueueSpec,
    prefetch: u16,
    queues: QueueType,
    stop: CancellationToken,
    state: State,
}

enum State {
    /// For a connection.
    Waiting,
    Subscribed(Subscription),
    /// It takes no more; what was on its way still comes.
    Stopping(Subscription),
    /// What was taken can still be acknowledged, as long as this is kept.
    Stopped {
        _subscription: Option<Subscription>,
    },
}

impl Consuming {
    async fn next(&mut self) -> Option<Incoming> {
        loop {
            match &mut self.state {
                State::Waiting => return self.subscribed().await,
                State::Subscribed(subscription) => {
                    let delivery = tokio::select! {
                        delivery = subscription.deliveries.next() => delivery,
                        () = self.stop.cancelled() => {
                            self.cancel().await;
                            continue;
                        }
                    };
                    // The stream ends when the channel dies, and also when the broker cancels because the queue was deleted.
                    let Some(Ok(delivery)) = delivery else {
                        self.state = State::Waiting;
                        return Some(Incoming::Lost);
                    };
                    return Some(Incoming::Delivery(Box::new(subscription.delivery(delivery))));
                }
                State::Stopping(subscription) => {
                    // It ends after what the broker had sent before it was told.
                    let delivery = timeout(CANCEL_WITHIN, subscription.deliveries.next()).await;
                    if let Ok(Some(Ok(delivery))) = delivery {
                        return Some(Incoming::Delivery(Box::new(subscription.delivery(delivery))));
                    }
                    return Some(self.stopped());
                }
                State::Stopped { .. } => return std::future::pending().await,
            }
        }
    }

    /// Subscribes, again and again until it succeeds.
    async fn subscribed(&mut self) -> Option<Incoming> {
        loop {
            let stop = self.stop.clone();
            let Some(subscribed) = stop.run_until_cancelled(self.subscribe()).await else {
                return Some(self.stopped());
            };
            match subscribed? {
                Ok(subscription) => {
                    let queue = subscription.queue.clone();
                    self.state = State::Subscribed(subscription);
                    return Some(Incoming::Established { queue });
                }
                Err(error) => tracing::warn!(spec = ?self.spec, %error, "cannot consume; trying again"),
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = sleep(RETRY_PAUSE) => {}
            }
        }
    }

    /// Waits for a connection and subscribes there; `None` when there will be none any more.
    async fn subscribe(&mut self) -> Option<lapin::Result<Subscription>> {
        let Self { connections, spec, prefetch, queues, .. } = self;
        if !connections.wait().await {
            return None;
        }
        let subscribed = connections
            .with_current(async |connection| subscribe(connection, spec, *prefetch, *queues).await);
        Some(subscribed.await)
    }

    /// Tells the broker to send no more.
    async fn cancel(&mut self) {
        let state = mem::replace(&mut self.state, State::Stopped { _subscription: None });
        if let State::Subscribed(subscription) = state {
            let cancelling = subscription
                .channel
                .basic_cancel(subscription.deliveries.tag(), BasicCancelOptions::default());
            // It fails only when the connection is gone, which ends the subscription just as well.
            let _ = timeout(CANCEL_WITHIN, cancelling).await;
            self.state = State::Stopping(subscription);
        }
    }

    /// Takes no more, but keeps the channel.
    fn stopped(&mut self) -> Incoming {
        let state = mem::replace(&mut self.state, State::Stopped { _subscription: None });
        if let State::Stopping(subscription) = state {
            self.state = State::Stopped { _subscription: Some(subscription) };
        }
        Incoming::Stopped
    }
}

struct Subscription {
    channel: Channel,
    deliveries: lapin::Consumer,
    queue: String,
    /// Absent where messages need no acknowledgement.
    acks: Option<Acks>,
}

/// A channel on which it is being subscribed. Dropped before that is done, the channel is closed: lapin may keep the subscription, and
/// the broker would send to it what nobody takes.
struct HalfDone(Option<Channel>);

impl HalfDone {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for HalfDone {
    fn drop(&mut self) {
        if let (Some(channel), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move {
                // It fails only when the channel is closed already.
                let _ = timeout(CANCEL_WITHIN, channel.close(200, "bye".into())).await;
            });
        }
    }
}

async fn subscribe(
    connection: &Connection,
    spec: &QueueSpec,
    prefetch: u16,
    queues: QueueType,
) -> lapin::Result<Subscription> {
    let channel = connection.create_channel().await?;
    let subscribing = HalfDone(Some(channel.clone()));
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let (queue, acknowledged) = match spec {
        QueueSpec::Shared(name) => {
            let durable = QueueDeclareOptions { durable: true, ..Default::default() };
            channel.queue_declare(name.as_str().into(), durable, shared_arguments(queues)).await?;
            (name.clone(), true)
        }
        QueueSpec::Private { bind, acknowledged } => {
            // A new name each time: the broker may still hold the queue of a connection that it does not know to be dead.
            let name = format!("kubesage.private.{}", Uuid::new_v4());
            let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
            channel.queue_declare(name.as_str().into(), own, FieldTable::default()).await?;
            for binding in bind {
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
    subscribing.done();
    let acks = acknowledged.then(|| Acks::on(channel.clone()));
    Ok(Subscription { channel, deliveries, queue, acks })
}

impl Subscription {
    fn delivery(&self, delivery: lapin::message::Delivery) -> Delivery {
        Delivery {
            message: message(delivery.data, &delivery.properties),
            redelivered: delivery.redelivered,
            acker: self.acks.as_ref().map_or(Acker::None, |acks| Acker::Amqp(acks.of(delivery.delivery_tag))),
        }
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
