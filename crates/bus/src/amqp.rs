//! RabbitMQ by lapin: one connection to publish, one to consume, so that a broker that holds back publishers does not
//! hold back acknowledgements. What needs none is consumed on the first.
//!
//! Each connection is kept by a task of its own ([`link`]), for ever and with growing pauses. Lapin's own recovery gives up
//! after a number of tries and does not rebuild a channel that was closed for a single error, so it is off here.

mod acks;
mod consumer;
mod link;
mod publisher;

use std::{str::FromStr, sync::Arc};

use lapin::{
    options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
    uri::AMQPUri,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    QueueType,
    broker::{Consumer, Guarantee, QueueSpec, Target},
    error::{ConnectError, PublishError},
    message::Message,
    names::Names,
};

pub(crate) use acks::Ack;
use link::Link;
use publisher::{Declared, Publisher};

/// The broker and we tell each other this often that we live; a dead connection is noticed after about twice as long.
const HEARTBEAT_SECONDS: u16 = 10;

pub(crate) struct Broker {
    publisher: Link<Publisher>,
    consuming: Link<()>,
    queues: QueueType,
}

impl Broker {
    pub(crate) fn connect(
        url: &str,
        client_name: &str,
        names: &Names,
        queues: QueueType,
    ) -> Result<Self, ConnectError> {
        let uri = parse(url)?;
        let declared =
            Declared { events: names.events(), control: names.control(), kept: names.kept_events(), queues };
        let publisher =
            Link::start(uri.clone(), format!("{client_name} (publishing)"), move |connection, broken| {
                Publisher::open(connection, declared.clone(), broken)
            });
        let consuming = Link::start(uri, format!("{client_name} (consuming)"), async |_, _| Ok(Arc::new(())));
        Ok(Self { publisher, consuming, queues })
    }

    pub(crate) fn publishing(&self) -> watch::Receiver<bool> {
        self.publisher.up()
    }

    pub(crate) async fn publish(
        &self,
        target: Target,
        message: Message,
        guarantee: Guarantee,
    ) -> Result<(), PublishError> {
        // A broker that refuses messages for now would only let them pile up on the connection.
        let publisher = self.publisher.current().filter(|_| self.publisher.is_up());
        let publisher = publisher.ok_or(PublishError::Unavailable)?;
        let mut up = self.publisher.up();
        tokio::select! {
            biased;
            outcome = publisher.publish(target, message, guarantee) => outcome,
            // It refuses messages from now on, so what it has not confirmed it will confirm nobody knows when.
            _ = up.wait_for(|up| !*up) => Err(PublishError::Unavailable),
        }
    }

    pub(crate) fn consume(&self, spec: QueueSpec, prefetch: u16) -> Consumer {
        // What needs no acknowledgement, as replies, comes together with the confirmations of what was published: one thread of
        // lapin's less to be woken for a request.
        let connections = match &spec {
            QueueSpec::Private { acknowledged: false, .. } => self.publisher.connections(),
            _ => self.consuming.connections(),
        };
        let stop = CancellationToken::new();
        let incoming = consumer::incoming(connections.clone(), spec, prefetch, self.queues, stop.clone());
        Consumer::new(incoming, stop)
    }

    pub(crate) async fn declare(&self, queue: &str, max_length: Option<u32>) -> Result<(), PublishError> {
        let mut arguments = shared_arguments(self.queues);
        if let Some(max) = max_length {
            arguments.insert("x-max-length".into(), max.into());
        }
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        let declared = self.consuming.connections().with_current(async |connection| {
            connection.create_channel().await?.queue_declare(queue.into(), options, arguments).await
        });
        declared.await.map(drop).map_err(|error| unavailable(&error))
    }

    /// Takes the oldest messages beyond `max` off a queue, where nobody consumes from it; how many those were.
    pub(crate) async fn trim(&self, queue: &str, max: u32) -> Result<u32, PublishError> {
        let trimmed = self.consuming.connections().with_current(async |connection| {
            let channel = connection.create_channel().await?;
            let passive = QueueDeclareOptions { passive: true, ..Default::default() };
            let there = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
            let surplus = match there.consumer_count() {
                0 => there.message_count().saturating_sub(max),
                _ => 0,
            };
            for _ in 0..surplus {
                channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await?;
            }
            Ok(surplus)
        });
        trimmed.await.map_err(|error| unavailable(&error))
    }

    pub(crate) async fn take(&self, queue: &str) -> Result<Option<Message>, PublishError> {
        let taken = self.consuming.connections().with_current(async |connection| {
            let channel = connection.create_channel().await?;
            let Some(taken) = channel.basic_get(queue.into(), BasicGetOptions::default()).await? else {
                return Ok(None);
            };
            taken.delivery.acker.ack(BasicAckOptions::default()).await?;
            Ok(Some(consumer::message(taken.delivery.data, &taken.delivery.properties)))
        });
        taken.await.map_err(|error| unavailable(&error))
    }
}

/// With what a shared queue is declared. Classic ones without anything, as earlier clients declare them: another declaration
/// would be refused.
fn shared_arguments(queues: QueueType) -> FieldTable {
    let mut arguments = FieldTable::default();
    if queues == QueueType::Quorum {
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    }
    arguments
}

fn unavailable(error: &lapin::Error) -> PublishError {
    tracing::debug!(%error, "broker operation failed");
    PublishError::Unavailable
}

/// Reads the URL. The parser's own message is not passed on, because it may quote the password.
fn parse(url: &str) -> Result<AMQPUri, ConnectError> {
    let explain = |what: &str| ConnectError::Url(what.to_owned());
    url::Url::parse(url).map_err(|error| explain(&error.to_string()))?;
    let mut uri = AMQPUri::from_str(url)
        .map_err(|_| explain("it must look like amqp://user:password@host:5672/vhost"))?;
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    uri.query.connection_timeout.get_or_insert(5_000);
    Ok(uri)
}
