//! Several processes that serve the same requests.

use std::collections::HashSet;

use anyhow::Result;
use testkit::{TestBus, eventually, on_both_brokers};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::world::{
    SOON, Sum, ask, ask_in_background, ask_until_served, connect, serve, serve_nothing, serve_sums,
    serve_until,
};

on_both_brokers!(
    replicas_share_the_requests,
    what_a_lost_replica_had_is_delivered_again,
    a_stopping_replica_finishes_what_it_has,
);

async fn replicas_share_the_requests(test: TestBus) -> Result<()> {
    let (asking, first, second) = (connect(&test).await?, connect(&test).await?, connect(&test).await?);
    let (_a, _stop_a) = serve_sums(&first, "first");
    let (_b, _stop_b) = serve_sums(&second, "second");
    ask_until_served(&asking).await?;
    let seen = eventually("both replicas to answer", async || {
        let mut seen = HashSet::new();
        for _ in 0..20 {
            seen.insert(ask(&asking, &[1]).await.ok()?.by);
        }
        (seen.len() == 2).then_some(seen)
    })
    .await?;
    assert_eq!(seen, HashSet::from(["first".to_owned(), "second".to_owned()]));
    Ok(())
}

async fn what_a_lost_replica_had_is_delivered_again(test: TestBus) -> Result<()> {
    let (asking, doomed, heir) = (connect(&test).await?, connect(&test).await?, connect(&test).await?);
    let (hanging, mut takes) = serve_nothing(doomed);
    let asked = ask_in_background(&asking, vec![4]);
    timeout(SOON, takes.recv()).await?.expect("taken");
    hanging.abort();

    serve(
        heir,
        |request, context| async move { request.sum(&format!("redelivered: {}", context.redelivered)) },
    );
    let answer = timeout(SOON, asked).await???;
    assert_eq!(answer, Sum { sum: 4, by: "redelivered: true".into() });
    Ok(())
}

async fn a_stopping_replica_finishes_what_it_has(test: TestBus) -> Result<()> {
    let (asking, answering) = (connect(&test).await?, connect(&test).await?);
    let (stop, go) = (CancellationToken::new(), CancellationToken::new());
    let (taken, mut takes) = mpsc::unbounded_channel();
    let gate = go.clone();
    let serving = serve_until(stop.clone(), answering, move |request, _| {
        let (taken, gate) = (taken.clone(), gate.clone());
        async move {
            let _ = taken.send(());
            gate.cancelled().await;
            request.sum("last")
        }
    });
    let asked = ask_in_background(&asking, vec![5]);
    timeout(SOON, takes.recv()).await?.expect("taken");
    stop.cancel();
    assert!(!serving.is_finished());
    go.cancel();
    assert_eq!(timeout(SOON, asked).await???.sum, 5);
    timeout(SOON, serving).await??;
    Ok(())
}
