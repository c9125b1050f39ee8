//! Channels and connections are closed in the midst of an answer in parts: it is what it was to be, or ends soon.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bus::{
    Answer, Body, Context, Encoding, Outgoing, Part, Parts, PublishError, Reply, RequestError,
    RequestOptions, ServeOptions,
};
use bytes::Bytes;
use contracts::{ErrorCode, queues::Route};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use testkit::{Channels, eventually_within};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    tests,
    world::{SOON, World},
};

tests!(
    an_answer_in_parts_is_whole_or_ends_soon,
    an_answer_within_the_window_outlives_who_sends_it_losing_its_connection
);

const LONG: Route = Route { requests: "long_requests", results: "long_results" };
const PARTS: u32 = 100;
/// So many parts are sent without being asked for.
const WINDOW: u32 = 4;
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
        idle(&world).await.with_context(|| format!("{harm:?}"))?;
    }
    world.end().await
}

/// What was to be sent unasked comes, though whoever sends it can hear nothing more of it.
async fn an_answer_within_the_window_outlives_who_sends_it_losing_its_connection(
    mut world: World,
) -> Result<()> {
    let go = watch::Sender::new(false);
    for bus in world.answering.clone() {
        let (stop, go) = (world.stop.clone(), go.subscribe());
        tokio::spawn(async move {
            let answer = move |count: u32, _: Context| {
                let go = go.clone();
                async move { in_two_steps(count, go) }
            };
            bus.serve_in_parts(LONG, ServeOptions::default(), stop, answer).await;
        });
    }
    let mut whole = eventually_within(SOON, "an answer", async || ask(&world, WINDOW).await.ok()).await?;
    let mut longer = ask(&world, WINDOW + 1).await?;
    for body in [&mut whole, &mut longer] {
        ensure!(next(body).await?.is_some());
    }
    ensure!(world.broker.close_connections_named("answering (publishing)").await? == 2);
    go.send_replace(true);
    for number in 1..WINDOW {
        let read = timeout(SOON, next(&mut whole)).await?.with_context(|| format!("part {number}"))?;
        ensure!(read == Some(part(WINDOW, number)), "{read:?}");
    }
    ensure!(next(&mut whole).await?.is_none());
    let rest = async {
        while next(&mut longer).await?.is_some() {}
        Ok::<_, RequestError>(())
    };
    let cut = timeout(SOON, rest).await?;
    ensure!(matches!(cut, Err(RequestError::Publish(PublishError::Unavailable))), "{cut:?}");
    drop(longer);
    idle(&world).await?;
    world.end().await
}

/// So many parts, all but the first of which wait for a sign.
fn in_two_steps(count: u32, go: watch::Receiver<bool>) -> Reply<u32> {
    let parts = stream::iter(0..count).then(move |number| {
        let mut go = go.clone();
        async move {
            let awaited = number > 0;
            go.wait_for(|go| *go || !awaited).await.map_err(|_| ErrorCode::Internal)?;
            Ok(Part { data: part(count, number), last: number + 1 == count })
        }
    });
    in_parts(count, parts.boxed())
}

/// Waits until nobody works on what nobody waits for.
async fn idle(world: &World) -> Result<()> {
    let idle = async || (world.answering.iter().all(|bus| bus.serving() == 0)).then_some(());
    eventually_within(SOON, "nothing to be worked on", idle).await
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
    in_parts(times, parts.boxed())
}

fn in_parts(head: u32, parts: BoxStream<'static, Result<Part, ErrorCode>>) -> Reply<u32> {
    Reply::InParts { head, result: Outgoing { encoding: Encoding::Identity, parts: Parts::Stream(parts) } }
}
