//! Whatever becomes of requests, nothing of them is left.

use std::{future::pending, time::Duration};

use anyhow::{Context, Result, ensure};
use bus::{
    Answer, Body, Bus, BusOptions, Encoding, Outgoing, Part, Parts, Reply, RequestError, RequestOptions,
    ServeOptions,
};
use contracts::{ErrorCode, queues::Route};
use futures_util::{StreamExt, stream};
use testkit::{OwnBroker, eventually_within};
use tokio::{runtime::Handle, task::JoinSet, time::timeout};

use crate::{
    tests,
    world::{SOON, World},
};

tests!(
    ten_thousand_requests_that_fail_leave_nothing,
    a_bus_that_is_dropped_while_it_connects_leaves_no_connection,
);

const MOODY: Route = Route { requests: "moody_requests", results: "moody_results" };
/// Few, because the bus waits longer before each new connection when the last one did not live long.
const ROUNDS: usize = 5;
/// In so many steps of this length a handshake is over.
const MOMENTS: u32 = 100;
const MOMENT: Duration = Duration::from_micros(200);
const OF_EACH_KIND: usize = 400;
/// Of requests that are lost in a cut.
const PATIENCE: Duration = Duration::from_secs(3);

/// What there is of the bus and on the broker; the messages of dead letters aside, which are kept on purpose.
#[derive(Debug, PartialEq, Eq)]
struct Inventory {
    tasks: usize,
    in_flight: usize,
    serving: usize,
    connections: usize,
    channels: usize,
    /// Private queues by their number, for they change their names.
    private_queues: usize,
    shared_queues: Vec<String>,
    messages: usize,
}

async fn ten_thousand_requests_that_fail_leave_nothing(mut world: World) -> Result<()> {
    for bus in world.answering.clone() {
        let stop = world.stop.clone();
        tokio::spawn(async move {
            bus.serve_in_parts(MOODY, ServeOptions::default(), stop, |wish: Wish, _| answer(wish)).await;
        });
    }
    eventually_within(SOON, "the service", async || ask(&world, "answer").await.ok()).await?;
    // The queue of the dead letters is there from the first on.
    let malformed: Result<String, _> = world.asking.request(MOODY, &1, RequestOptions::within(SOON)).await;
    ensure!(matches!(malformed, Err(RequestError::Rejected(ErrorCode::BadRequest))), "{malformed:?}");
    let before = settled(&mut world, None).await?;

    for _ in 0..ROUNDS {
        let mut asked = JoinSet::new();
        for n in 0..OF_EACH_KIND * 5 {
            asked.spawn(fail(world.asking.clone(), n % 5));
        }
        // In the middle of what is under way.
        while asked.len() > OF_EACH_KIND * 3 {
            asked.join_next().await.context("they are not done")??;
        }
        ensure!(world.broker.close_all_connections().await? > 0);
        while let Some(done) = asked.join_next().await {
            done?;
        }
        timeout(SOON, world.asking.ready()).await?;
    }

    settled(&mut world, Some(&before)).await?;
    ask(&world, "answer").await?;
    world.end().await
}

/// At every moment of the handshake, and with a broker that answers only later.
async fn a_bus_that_is_dropped_while_it_connects_leaves_no_connection(world: World) -> Result<()> {
    for after in 0..MOMENTS {
        let bus = Bus::connect(&world.broker.url().into(), BusOptions::default())?;
        let _ = timeout(MOMENT * after, bus.ready()).await;
        drop(bus);
    }
    world.broker.freeze()?;
    for _ in 0..10 {
        let bus = Bus::connect(&world.broker.url().into(), BusOptions::default())?;
        let _ = timeout(Duration::from_millis(50), bus.ready()).await;
    }
    world.broker.thaw()?;
    world.end().await
}

type Wish = String;

async fn answer(wish: Wish) -> Reply<String> {
    match wish.as_str() {
        "nothing" => pending().await,
        "parts" => Reply::InParts {
            head: wish,
            result: Outgoing {
                encoding: Encoding::Identity,
                parts: Parts::Stream(
                    stream::repeat_with(|| Ok(Part { data: "part".into(), last: false })).boxed(),
                ),
            },
        },
        _ => Reply::Whole(wish),
    }
}

async fn ask(world: &World, wish: &str) -> Result<String, RequestError> {
    world.asking.request(MOODY, &wish, RequestOptions::within(SOON)).await
}

/// One request that cannot end well.
async fn fail(bus: Bus, kind: usize) {
    let options = RequestOptions::within(PATIENCE);
    match kind {
        // Nobody answers in time.
        0 => {
            let options = RequestOptions::within(Duration::from_millis(200));
            drop(bus.request::<_, String>(MOODY, &"nothing", options).await);
        }
        // The caller goes away, at once or later.
        1 => drop(timeout(Duration::ZERO, bus.request::<_, String>(MOODY, &"nothing", options)).await),
        2 => {
            drop(timeout(Duration::from_millis(100), bus.ask::<_, String>(MOODY, &"nothing", options)).await)
        }
        // What is asked is no request.
        3 => drop(bus.request::<_, String>(MOODY, &1, options).await),
        // The answer is without end, and not taken to it.
        _ => {
            let answer = bus.ask::<_, String>(MOODY, &"parts", options).await;
            if let Ok(Answer { body: Some(body), .. }) = answer {
                take_some(body).await;
            }
        }
    }
}

async fn take_some(mut body: Body) {
    for _ in 0..10 {
        let Some(Ok(_)) = body.next().await else { return };
    }
}

/// Waits until there is what was there before; the first time until it stays the same.
async fn settled(world: &mut World, before: Option<&Inventory>) -> Result<Inventory> {
    let mut last = None;
    let outcome = eventually_within(SOON * 3, "all to be as before", async || {
        let serving = world.answering.iter().map(Bus::serving).sum();
        let now = inventory(&mut world.broker, world.asking.in_flight(), serving).await;
        let same = match (&now, before, &last) {
            (Ok(now), Some(before), _) => now == before,
            (Ok(now), None, Some(Ok(last))) => now == last && now.in_flight + now.serving + now.messages == 0,
            _ => false,
        };
        last = Some(now);
        same.then_some(())
    })
    .await;
    let last = last.context("asked at least once")?;
    outcome.with_context(|| format!("before: {before:?}\nnow: {last:?}"))?;
    last
}

async fn inventory(broker: &mut OwnBroker, in_flight: usize, serving: usize) -> Result<Inventory> {
    let queues = broker.queues().await?;
    let (private, shared): (Vec<_>, Vec<_>) =
        queues.into_iter().partition(|queue| queue.name.starts_with("kubesage.private."));
    let kept = |name: &str| name == contracts::queues::DEAD_LETTERS;
    Ok(Inventory {
        tasks: Handle::current().metrics().num_alive_tasks(),
        in_flight,
        serving,
        connections: broker.connections().await?,
        channels: broker.channels().await?,
        private_queues: private.len(),
        messages: shared.iter().filter(|queue| !kept(&queue.name)).map(|queue| queue.messages).sum(),
        shared_queues: shared.into_iter().map(|queue| queue.name).collect(),
    })
}
