//! The baseline: request and reply over the same broker with nothing around them.
//!
//! One process echoes what it takes from a transient queue; another keeps so many requests in flight. Nothing is
//! acknowledged or confirmed, and nothing is parsed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer,
    message::Delivery,
    options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions},
    types::{FieldTable, ShortString},
};
use tokio::time::timeout;

use crate::{
    measure::{Timeline, report},
    stats::Figures,
};

/// About as much as a query is.
const BODY: [u8; 300] = [b'x'; 300];
/// RabbitMQ's name for replies without a queue.
const DIRECT: &str = "amq.rabbitmq.reply-to";
/// An answer that has not come by then is lost.
const LOST: Duration = Duration::from_secs(5);

/// How replies come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Replies {
    /// On an exclusive queue, consumed on a connection of its own.
    Queue,
    /// By RabbitMQ's direct reply-to, on the channel that publishes.
    Direct,
}

/// What the process that echoes is told.
#[derive(Args, Debug)]
pub(crate) struct EchoArgs {
    #[arg(long)]
    queue: String,
}

/// What the process that asks is told.
#[derive(Args, Debug)]
pub(crate) struct AskArgs {
    #[arg(long)]
    queue: String,
    #[arg(long)]
    replies: Replies,
    #[arg(long)]
    in_flight: usize,
    #[command(flatten)]
    timeline: Timeline,
}

/// Echoes until it is killed.
#[tokio::main]
pub(crate) async fn echo(args: &EchoArgs) -> Result<()> {
    let (publisher, consumer) = (connect().await?, connect().await?);
    let answers = publisher.create_channel().await?;
    let mut requests = consume(&consumer.create_channel().await?, &args.queue, true).await?;
    println!("ready");
    while let Some(delivery) = requests.next().await {
        let Delivery { properties, data, .. } = delivery?;
        let reply_to = properties.reply_to().clone().context("a request without reply_to")?;
        let id = properties.correlation_id().clone().context("a request without an id")?;
        let properties = BasicProperties::default().with_correlation_id(id).with_delivery_mode(1);
        publish(&answers, reply_to, &data, properties).await?;
    }
    Ok(())
}

/// Asks and prints the figures.
#[tokio::main]
pub(crate) async fn ask(args: &AskArgs) -> Result<()> {
    let (publisher, consumer) = (connect().await?, connect().await?);
    let requests = publisher.create_channel().await?;
    let (mut replies, reply_to) = match args.replies {
        Replies::Direct => (consume(&requests, DIRECT, false).await?, DIRECT.to_owned()),
        Replies::Queue => {
            let queue = format!("{}.replies", args.queue);
            (consume(&consumer.create_channel().await?, &queue, true).await?, queue)
        }
    };
    let queue = ShortString::from(args.queue.as_str());
    let ask = async |slot: usize| {
        let properties = BasicProperties::default()
            .with_correlation_id(slot.to_string().as_str().into())
            .with_reply_to(reply_to.as_str().into())
            .with_delivery_mode(1);
        publish(&requests, queue.clone(), &BODY, properties).await
    };
    let (from, until) = args.timeline.begin();
    let mut asked = vec![Instant::now(); args.in_flight];
    for (slot, at) in asked.iter_mut().enumerate() {
        *at = Instant::now();
        ask(slot).await?;
    }
    let measured = async {
        let mut times = Vec::new();
        loop {
            let reply = timeout(LOST, replies.next()).await.context("a reply is lost")?;
            let Delivery { properties, data, .. } = reply.context("the consumer has ended")??;
            let id = properties.correlation_id().as_ref().context("a reply without an id")?;
            let slot: usize = id.as_str().parse()?;
            ensure!(data.len() == BODY.len(), "a reply is not what was asked");
            let (start, end) = (asked[slot], Instant::now());
            if end >= until {
                return anyhow::Ok(times);
            }
            if start >= from {
                times.push(end - start);
            }
            asked[slot] = end;
            ask(slot).await?;
        }
    };
    let (times, told) = tokio::join!(measured, args.timeline.measuring(from));
    told?;
    report(Figures::of(times?, 0, until - from))
}

async fn connect() -> Result<Connection> {
    Ok(Connection::connect(&testkit::amqp_url(), ConnectionProperties::default()).await?)
}

/// Consumes without acknowledgement, from a transient queue that is declared first, or one that is there.
async fn consume(channel: &Channel, queue: &str, declare: bool) -> Result<Consumer> {
    if declare {
        let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
        channel.queue_declare(queue.into(), own, FieldTable::default()).await?;
    }
    let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
    Ok(channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?)
}

async fn publish(
    channel: &Channel,
    key: ShortString,
    body: &[u8],
    properties: BasicProperties,
) -> Result<()> {
    channel.basic_publish("".into(), key, BasicPublishOptions::default(), body, properties).await?;
    Ok(())
}
