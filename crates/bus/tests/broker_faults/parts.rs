//! Channels and connections are closed in the midst of an answer in parts: it is what it was to be, or ends soon.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bus::{
    Answer, Body, Context, Encoding, Outgoing, Part, Parts, PublishError, Reply, RequestError,
    RequestOptions, ServeOptions,
};
use bytes::Bytes;
use contracts::queues::Route;
use futures_util::{StreamExt, stream};
use testkit::{Channels, eventually_within};
use tokio::time::{Instant, timeout};

use crate::{
    tests,
    world::{SOON, World},
};

tests!(an_answer_in_parts_is_whole_or_ends_soon);

const LONG: Route = Route { requests: "long_requests", results: "long_results" };
const PARTS: u32 = 100;
/// So many are read before it happens: within the window, at its end and far beyond it.
const READ: [u32; 3] = [1, 4, 40];
/// Nobody is to wait so long.
const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
enum Harm {
    Close(Channels),
    Cut,
}

async fn an_answer_in_parts_is_whole_or_ends_soon(mut world: World) -> Result<()> {
    for bus in world.answering.clone() {
        let stop = world.stop.clone();
        tokio::spawn(async move {
            let answer = |times: u32, _: Context| async move { numbers(times) };
            bus.serve_in_parts(LONG, ServeOptions::default(), stop, answer).await;
        });
    }
    for harm in [Harm::Close(Channels::Consuming), Harm::Close(Channels::Publishing), Harm::Cut] {
        let mut begun = Vec::new();
        for (times, read) in READ.into_iter().enumerate() {
            let times = u32::try_from(times)?;
            let mut body =
                eventually_within(SOON, "an answer", async || ask(&world, times).await.ok()).await?;
            for number in 0..read {
                ensure!(next(&mut body).await? == Some(part(times, number)));
            }
            begun.push((times, read, body));
        }
        match harm {
            Harm::Close(which) => ensure!(world.broker.close_channels(which).await? > 0),
            Harm::Cut => ensure!(world.broker.close_all_connections().await? > 0),
        }
        let since = Instant::now();
        for (times, read, mut body) in begun {
            let rest = timeout(SOON, rest(&mut body, times, read)).await;
            rest.with_context(|| format!("{harm:?} after {read} parts: it hangs"))??;
        }
        ensure!(since.elapsed() < SOON, "{harm:?}");
        let idle = async || (world.answering.iter().all(|bus| bus.serving() == 0)).then_some(());
        eventually_within(SOON, "nobody to work on what nobody waits for", idle)
            .await
            .with_context(|| format!("{harm:?}"))?;
    }
    world.end().await
}

/// Reads what is left: each part is the one that was to come, or there is an error.
async fn rest(body: &mut Body, times: u32, from: u32) -> Result<()> {
    for number in from..PARTS {
        match next(body).await {
            Ok(Some(data)) => ensure!(data == part(times, number), "part {number} is {data:?}"),
            Ok(None) => anyhow::bail!("it ended before part {number}, as if it were whole"),
            Err(RequestError::Publish(PublishError::Unavailable | PublishError::Unroutable { .. })) => {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
    ensure!(next(body).await?.is_none());
    Ok(())
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, RequestError> {
    body.next().await.transpose()
}

async fn ask(world: &World, times: u32) -> Result<Body> {
    let answer: Answer<u32> = world.asking.ask(LONG, &times, RequestOptions::within(DEADLINE)).await?;
    answer.body.context("a result")
}

/// Every part can be told from each other one.
fn part(times: u32, number: u32) -> Bytes {
    format!("{times}:{number}").into()
}

fn numbers(times: u32) -> Reply<u32> {
    let parts = stream::iter(0..PARTS)
        .map(move |number| Ok(Part { data: part(times, number), last: number + 1 == PARTS }));
    Reply::InParts {
        head: times,
        result: Outgoing { encoding: Encoding::Identity, parts: Parts::Stream(parts.boxed()) },
    }
}
