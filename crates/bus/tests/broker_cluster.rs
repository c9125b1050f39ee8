//! A cluster of three nodes with quorum queues, of which nodes are killed.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bus::{Bus, BusOptions, PublishError, QueueType, RequestError, RequestOptions, ServeOptions};
use contracts::queues::Route;
use testkit::{Balancer, OwnBroker, eventually_within};
use tokio_util::sync::CancellationToken;

const ECHO: Route = Route { requests: "echo_requests", results: "echo_results" };
const SOON: Duration = Duration::from_secs(10);
/// A node that is killed takes its connections with it; those who had them are back by then, and the queue has another leader.
const RECOVERY: Duration = Duration::from_secs(20);

async fn connect(balancer: &Balancer) -> Result<Bus> {
    let url = format!("amqp://guest:guest@{}/%2f", balancer.address());
    let bus = Bus::connect(&url.into(), BusOptions { queues: QueueType::Quorum, ..BusOptions::default() })?;
    tokio::time::timeout(SOON, bus.ready()).await?;
    Ok(bus)
}

#[tokio::test]
#[ignore = "slow: three RabbitMQ nodes take half a minute to become a cluster"]
async fn a_cluster_outlives_each_of_its_nodes() -> Result<()> {
    let mut nodes = OwnBroker::cluster(3).await?;
    let balancer = Balancer::start(nodes.iter().map(OwnBroker::address).collect()).await?;
    let mut answering = Vec::new();
    for _ in 0..3 {
        let bus = connect(&balancer).await?;
        let serving = bus.clone();
        answering.push(bus);
        tokio::spawn(async move {
            let echo = |text: String, _| async move { text };
            serving.serve(ECHO, ServeOptions::default(), CancellationToken::new(), echo).await;
        });
    }
    let asking = connect(&balancer).await?;
    let echoes = AtomicU64::new(0);
    let echo = async || {
        let text = echoes.fetch_add(1, Ordering::Relaxed).to_string();
        let answer: String = asking.request(ECHO, &text, RequestOptions::within(SOON)).await?;
        assert_eq!(answer, text);
        Ok::<(), RequestError>(())
    };
    eventually_within(RECOVERY, "the echo", async || echo().await.ok()).await?;
    let types = "[io_lib:format(\"~ts ~p;\", [element(4, N), T]) || Q <- rabbit_amqqueue:list(), \
                 [{name, N}, {type, T}] <- [rabbit_amqqueue:info(Q, [name, type])]]";
    let types = nodes[0].eval(types).await?;
    ensure!(types.contains("echo_requests quorum;"), "{types}");

    for (number, node) in nodes.iter_mut().enumerate() {
        node.kill();
        eventually_within(RECOVERY, "the echo without a node", async || match echo().await {
            Ok(()) => Some(Ok(())),
            Err(RequestError::Timeout | RequestError::Publish(PublishError::Unavailable)) => None,
            Err(error) => Some(Err(error)),
        })
        .await?
        .with_context(|| format!("without node {number}"))?;
        for _ in 0..50 {
            echo().await.with_context(|| format!("once recovered without node {number}"))?;
        }
        node.start().await?;
        eventually_within(RECOVERY, "the echo with the node again", async || echo().await.ok()).await?;
    }
    Ok(())
}
