//! A broker of its own, two replicas that answer, and one process that asks.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use bus::{Bus, BusOptions, PublishError, RequestError, RequestOptions, ServeOptions};
use contracts::queues::Route;
use testkit::{OwnBroker, eventually, eventually_within};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::load::{Load, Outcome};

pub(crate) const ECHO: Route = Route { requests: "echo_requests", results: "echo_results" };
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// After a fault, service must be back within this.
pub(crate) const RECOVERY: Duration = Duration::from_secs(5);

/// The broker tells of its connections slowly when the machine is busy.
const ENDED: Duration = Duration::from_secs(30);

/// Every request that was answered, with its text.
type Seen = Arc<dyn Fn(&str) + Send + Sync>;

pub(crate) struct World {
    pub(crate) broker: OwnBroker,
    pub(crate) asking: Bus,
    pub(crate) answering: Vec<Bus>,
    /// Ends what is served.
    pub(crate) stop: CancellationToken,
}

impl World {
    pub(crate) async fn start() -> Result<Self> {
        let broker = OwnBroker::new().await?;
        let asking = connect(&broker, "asking").await?;
        let answering = vec![connect(&broker, "answering").await?, connect(&broker, "answering").await?];
        Ok(Self { broker, asking, answering, stop: CancellationToken::new() })
    }

    /// Answers with the text itself, and tells of it first.
    pub(crate) async fn serve_echo(&self, seen: impl Fn(&str) + Send + Sync + 'static) -> Result<()> {
        let seen: Seen = Arc::new(seen);
        for bus in &self.answering {
            let (bus, seen, stop) = (bus.clone(), Arc::clone(&seen), self.stop.clone());
            tokio::spawn(async move {
                let echo = move |text: String, _| {
                    seen(&text);
                    async move { text }
                };
                bus.serve(ECHO, ServeOptions::default(), stop, echo).await;
            });
        }
        eventually("the echo", async || self.echo("x").await.ok()).await.map(drop)
    }

    pub(crate) async fn echo(&self, text: &str) -> Result<String, RequestError> {
        self.asking.request(ECHO, &text, RequestOptions::within(SOON)).await
    }

    /// Waits until the load is answered again, and makes sure that this was soon after the fault's end, that nothing fails
    /// afterwards, and that each request that failed did so in time, for one of these reasons and because of this fault.
    pub(crate) async fn recovers(
        &self,
        load: Load,
        fault: Instant,
        end: Instant,
        excused: &[Outcome],
    ) -> Result<()> {
        let back = load.answered_after(end).await?;
        ensure!(back - end <= RECOVERY, "service was back after {:?}", back - end);
        load.answers_after(back, 300).await?;
        for sample in load.finish().await {
            ensure!(sample.late <= Duration::from_millis(100), "too late: {sample:?}");
            if sample.outcome != Outcome::Answered {
                ensure!(
                    excused.contains(&sample.outcome),
                    "{sample:?}, fault at {fault:?}, back at {back:?}"
                );
                ensure!(sample.ended >= fault && sample.begun <= back, "{sample:?}, back at {back:?}");
            }
        }
        Ok(())
    }

    /// Ends everything, and makes sure that neither a connection nor the broker is left.
    pub(crate) async fn end(self) -> Result<()> {
        let Self { mut broker, asking, answering, stop } = self;
        stop.cancel();
        drop((asking, answering));
        let gone = async || broker.connections().await.is_ok_and(|count| count == 0).then_some(());
        if let Err(error) = eventually_within(ENDED, "every connection to end", gone).await {
            let left = broker.clients().await?;
            return Err(error.context(format!("still there: {left}")));
        }
        let address = broker.address();
        drop(broker);
        ensure!(TcpStream::connect(address).await.is_err(), "the broker still listens");
        Ok(())
    }
}

/// The broker knows its connections by this name.
pub(crate) async fn connect(broker: &OwnBroker, name: &str) -> Result<Bus> {
    let options = BusOptions { client_name: name.to_owned(), ..BusOptions::default() };
    let bus = Bus::connect(&broker.url().into(), options)?;
    timeout(SOON, bus.ready()).await?;
    Ok(bus)
}

pub(crate) fn is_unavailable<T>(answer: &Result<T, RequestError>) -> bool {
    matches!(answer, Err(RequestError::Publish(PublishError::Unavailable)))
}
