//! What is sent to one replica alone.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use bus::{Bus, Heard, Presence, PublishError, Reply, RequestError, RequestOptions, ServeOptions};
use contracts::{
    Timestamp,
    events::{Event, EventType},
};
use serde_json::json;
use testkit::{TestBus, eventually, on_both_brokers};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::world::{Numbers, SOON, SUMS, Sum, connect, serve_sums};

on_both_brokers!(
    a_request_is_answered_by_the_replica_that_it_is_sent_to,
    a_request_to_a_replica_that_is_gone_comes_back,
    what_a_replica_alone_had_is_known_to_be_lost_with_it,
    a_request_that_is_passed_on_is_answered_by_the_other,
    a_request_that_cannot_be_passed_on_is_answered_otherwise,
    what_was_passed_on_to_a_replica_is_known_to_be_lost_with_it,
    what_is_told_has_been_heeded,
    events_are_heard_among_what_is_told,
    nothing_is_told_to_a_replica_that_is_gone,
    a_replica_that_hears_itself_is_certain,
    a_replica_that_stops_is_reached_until_it_leaves,
);

/// A replica that serves sums under a name, and hangs over numbers that begin with 0.
struct Replica {
    presence: Presence,
    address: Arc<str>,
    stop: CancellationToken,
    taken: mpsc::UnboundedReceiver<()>,
    heeded: mpsc::UnboundedReceiver<String>,
    serving: AbortOnDropHandle<()>,
}

impl Replica {
    async fn start(test: &TestBus, name: &str) -> Result<Self> {
        let (note, heeded) = mpsc::unbounded_channel();
        let presence = Presence::heeding(&["user.*"], move |heard| {
            let text = match heard {
                Heard::Note(text) => text,
                Heard::Event(event) => event.routing_key(),
            };
            drop(note.send(text));
        });
        let (stop, name, bus) = (CancellationToken::new(), name.to_owned(), connect(test).await?);
        let (take, taken) = mpsc::unbounded_channel();
        let serving = tokio::spawn({
            let (stop, presence) = (stop.clone(), presence.clone());
            async move {
                let answer = move |request: Numbers, _| {
                    let (take, name) = (take.clone(), name.clone());
                    async move {
                        let _ = take.send(());
                        if request.numbers.first() == Some(&0) {
                            std::future::pending::<()>().await;
                        }
                        Reply::Whole(request.sum(&name))
                    }
                };
                bus.serve_present(SUMS, ServeOptions::default(), presence, stop, answer).await;
            }
        });
        let mut address = presence.address();
        let address = timeout(SOON, address.wait_for(Option::is_some)).await??.clone();
        let address = address.context("it is there")?;
        Ok(Self { presence, address, stop, taken, heeded, serving: AbortOnDropHandle::new(serving) })
    }

    /// Ends without a word; answers its address.
    async fn die(self) -> Arc<str> {
        self.serving.abort();
        let _ = self.serving.await;
        self.address
    }
}

fn ask_at(bus: &Bus, address: &str, numbers: &[u64]) -> JoinHandle<Result<Sum, RequestError>> {
    let (bus, address, numbers) = (bus.clone(), address.to_owned(), numbers.to_vec());
    tokio::spawn(async move {
        let options = RequestOptions { at: Some(&address), ..RequestOptions::within(SOON * 3) };
        bus.request(SUMS, &Numbers { numbers }, options).await
    })
}

fn is_unroutable<T>(outcome: &Result<T, RequestError>) -> bool {
    matches!(outcome, Err(RequestError::Publish(PublishError::Unroutable { .. })))
}

/// Serves by passing everything on to that address.
fn pass_on(bus: Bus, to: &str) -> AbortOnDropHandle<()> {
    let to = to.to_owned();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let answer = move |request: Numbers, context: bus::Context| {
            let to = to.clone();
            async move {
                assert!(!context.is_direct);
                Reply::PassOn { to, otherwise: request.sum("otherwise") }
            }
        };
        bus.serve_in_parts(SUMS, ServeOptions::default(), CancellationToken::new(), answer).await;
    }))
}

/// Asks until the service is there, since serving starts in the background.
async fn ask_until_routed(bus: &Bus, numbers: &[u64]) -> Result<Sum, RequestError> {
    loop {
        let options = RequestOptions::within(SOON * 3);
        let outcome = bus.request(SUMS, &Numbers { numbers: numbers.to_vec() }, options).await;
        if !is_unroutable(&outcome) {
            return outcome;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

async fn a_request_is_answered_by_the_replica_that_it_is_sent_to(test: TestBus) -> Result<()> {
    let asking = connect(&test).await?;
    let (first, second) = (Replica::start(&test, "first").await?, Replica::start(&test, "second").await?);
    for _ in 0..10 {
        assert_eq!(ask_at(&asking, &first.address, &[1]).await??.by, "first");
        assert_eq!(ask_at(&asking, &second.address, &[1]).await??.by, "second");
    }
    Ok(())
}

async fn a_request_to_a_replica_that_is_gone_comes_back(test: TestBus) -> Result<()> {
    let asking = connect(&test).await?;
    let gone = Replica::start(&test, "gone").await?.die().await;
    eventually("its queue to be gone", async || {
        let outcome = ask_at(&asking, &gone, &[1]).await.ok()?;
        is_unroutable(&outcome).then_some(())
    })
    .await
}

async fn what_a_replica_alone_had_is_known_to_be_lost_with_it(test: TestBus) -> Result<()> {
    let asking = connect(&test).await?;
    let mut doomed = Replica::start(&test, "doomed").await?;
    let asked = ask_at(&asking, &doomed.address, &[0]);
    timeout(SOON, doomed.taken.recv()).await?;
    doomed.die().await;
    let outcome = timeout(SOON, asked).await??;
    ensure!(matches!(outcome, Err(RequestError::Lost)), "{outcome:?}");
    Ok(())
}

async fn a_request_that_is_passed_on_is_answered_by_the_other(test: TestBus) -> Result<()> {
    let asking = connect(&test).await?;
    let other = Replica::start(&test, "other").await?;
    other.stop.cancel();
    let _passing = pass_on(connect(&test).await?, &other.address);
    for _ in 0..10 {
        assert_eq!(ask_until_routed(&asking, &[2, 3]).await?, Sum { sum: 5, by: "other".into() });
    }
    Ok(())
}

async fn a_request_that_cannot_be_passed_on_is_answered_otherwise(test: TestBus) -> Result<()> {
    let asking = connect(&test).await?;
    let _passing = pass_on(connect(&test).await?, "nobody");
    assert_eq!(ask_until_routed(&asking, &[4]).await?, Sum { sum: 4, by: "otherwise".into() });
    Ok(())
}

async fn what_was_passed_on_to_a_replica_is_known_to_be_lost_with_it(test: TestBus) -> Result<()> {
    let asking = connect(&test).await?;
    let mut doomed = Replica::start(&test, "doomed").await?;
    doomed.stop.cancel();
    let _passing = pass_on(connect(&test).await?, &doomed.address);
    let asked = tokio::spawn(async move { ask_until_routed(&asking, &[0]).await });
    timeout(SOON, doomed.taken.recv()).await?;
    doomed.die().await;
    let outcome = timeout(SOON, asked).await??;
    ensure!(matches!(outcome, Err(RequestError::Lost)), "{outcome:?}");
    Ok(())
}

async fn what_is_told_has_been_heeded(test: TestBus) -> Result<()> {
    let telling = connect(&test).await?;
    let mut replica = Replica::start(&test, "told").await?;
    for number in 0..10 {
        telling.tell(&replica.address, &number.to_string(), Instant::now() + SOON).await?;
        assert_eq!(replica.heeded.try_recv()?, number.to_string(), "before the teller knows");
    }
    // What is not understood is not confirmed.
    let outcome = telling.tell(&replica.address, &1, Instant::now() + Duration::from_millis(300)).await;
    ensure!(matches!(outcome, Err(RequestError::Timeout)), "{outcome:?}");
    Ok(())
}

async fn events_are_heard_among_what_is_told(test: TestBus) -> Result<()> {
    let telling = connect(&test).await?;
    let mut replica = Replica::start(&test, "told").await?;
    let event = |event_type| Event::new(event_type, "u-1", "ada", Timestamp::now(), json!({}));
    telling.publish_event(event(EventType::UserUpdated)).await?;
    telling.publish_event(event(EventType::ApiKeyRevoked)).await?;
    telling.tell(&replica.address, &"a note", Instant::now() + SOON).await?;
    assert_eq!(replica.heeded.try_recv()?, "user.updated");
    assert_eq!(replica.heeded.try_recv()?, "a note");
    Ok(())
}

async fn nothing_is_told_to_a_replica_that_is_gone(test: TestBus) -> Result<()> {
    let telling = connect(&test).await?;
    let replica = Replica::start(&test, "gone").await?;
    assert!(!telling.is_gone(&replica.address).await);
    let gone = replica.die().await;
    eventually("its queue to be gone", async || {
        let outcome = telling.tell(&gone, &"x", Instant::now() + SOON).await;
        is_unroutable(&outcome).then_some(())
    })
    .await?;
    assert!(telling.is_gone(&gone).await);
    Ok(())
}

async fn a_replica_that_hears_itself_is_certain(test: TestBus) -> Result<()> {
    let replica = Replica::start(&test, "certain").await?;
    timeout(SOON, replica.presence.certain()).await?;
    assert!(replica.presence.is_certain());
    assert!(!Presence::default().is_certain());
    Ok(())
}

async fn a_replica_that_stops_is_reached_until_it_leaves(test: TestBus) -> Result<()> {
    let asking = connect(&test).await?;
    let leaving = Replica::start(&test, "leaving").await?;
    leaving.stop.cancel();
    let (_serving, _stop) = serve_sums(&connect(&test).await?, "staying");
    for _ in 0..10 {
        assert_eq!(ask_until_routed(&asking, &[1]).await?.by, "staying");
        assert_eq!(ask_at(&asking, &leaving.address, &[1]).await??.by, "leaving");
    }
    assert!(!leaving.serving.is_finished());
    leaving.presence.leave();
    timeout(SOON, leaving.serving).await??;
    Ok(())
}
