//! A caller that goes away in the midst of an answer.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bus::{Bus, BusOptions, Context, Encoding, Outgoing, Part, Parts, Reply, ServeOptions};
use contracts::{ErrorCode, queues};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use testkit::{TestBus, eventually, on_both_brokers};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::world::Setup;

on_both_brokers!(who_leaves_in_the_midst_of_an_answer_frees_what_works_for_it);

/// Says when it is dropped.
struct Work(mpsc::UnboundedSender<()>);

impl Drop for Work {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// The beginning of an answer, and never more.
fn begun(work: Work) -> Reply<Value> {
    let first = Part { data: r#"{"nodes":[1,"#.into(), last: false };
    let never = stream::once(async move {
        let _work = work;
        std::future::pending::<Result<Part, ErrorCode>>().await
    });
    let parts = Parts::Stream(stream::iter([Ok(first)]).chain(never).boxed());
    let head = json!({"request_id": "r", "agent_id": "agent-1", "result": null, "error": null,
                      "timestamp": "2024-01-01T12:00:00.000Z"});
    Reply::InParts { head, result: Outgoing { encoding: Encoding::Identity, parts } }
}

async fn who_leaves_in_the_midst_of_an_answer_frees_what_works_for_it(test: TestBus) -> Result<()> {
    let bus = Bus::connect(&test.url, BusOptions { prefix: test.prefix.clone(), ..BusOptions::default() })?;
    bus.ready().await;
    let (left, mut dropped) = mpsc::unbounded_channel();
    let answering = bus.clone();
    tokio::spawn(async move {
        let answer = move |_: Value, _: Context| {
            let work = Work(left.clone());
            async move { begun(work) }
        };
        let never = CancellationToken::new();
        answering.serve_in_parts(queues::QUERIES, ServeOptions::default(), never, answer).await;
    });
    let service = Setup::on(&test).service().await?;
    let mut response = eventually("onboarding to serve", async || {
        service.get("/nodes?agent_id=agent-1").await.ok().filter(|response| response.status() == 200)
    })
    .await?;
    response.chunk().await?.context("the answer has begun")?;
    drop(response);
    timeout(Duration::from_secs(1), dropped.recv()).await?.context("the work ends")?;
    Ok(())
}
