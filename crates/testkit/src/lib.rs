//! What tests share: where the real servers are, a RabbitMQ of one's own to do harm to, a TCP proxy that cuts
//! and stalls, waiting for what must come.

#[cfg(feature = "service")]
mod answer;
mod balancer;
mod cleanup;
#[cfg(feature = "cluster")]
mod cluster;
#[cfg(feature = "crowd")]
mod crowd;
mod metrics;
mod moto;
mod own_broker;
mod process;
mod proxy;
mod replayed_sts;
#[cfg(feature = "service")]
mod users;

use std::{sync::Arc, time::Duration};

use contracts::queues::Route;
use secrecy::SecretString;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

#[cfg(feature = "service")]
pub use answer::{Answer, send};
pub use balancer::Balancer;
pub use cleanup::Cleanup;
#[cfg(feature = "cluster")]
pub use cluster::{Caller, Cluster};
#[cfg(feature = "crowd")]
pub use crowd::{Crowd, Identity};
pub use metrics::{Metrics, series_value};
pub use moto::Moto;
pub use own_broker::{Channels, OwnBroker, Queue};
pub use process::{Process, program};
pub use proxy::Proxy;
pub use replayed_sts::ReplayedSts;
#[cfg(feature = "service")]
pub use users::{Keys, User};

/// The RabbitMQ that tests use: `TEST_AMQP_URL`, else the standard port on localhost.
pub fn amqp_url() -> String {
    std::env::var("TEST_AMQP_URL").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672/%2f".to_owned())
}

/// The same server through another address, such as a [`Proxy`]'s.
///
/// # Errors
/// When the URL of the tests' RabbitMQ cannot be understood.
pub fn amqp_url_at(address: std::net::SocketAddr) -> anyhow::Result<String> {
    let mut url = url::Url::parse(&amqp_url())?;
    url.set_host(Some(&address.ip().to_string()))?;
    url.set_port(Some(address.port())).map_err(|()| anyhow::anyhow!("the URL takes no port"))?;
    Ok(url.into())
}

/// Host and port of the tests' RabbitMQ.
///
/// # Errors
/// When its URL cannot be understood.
pub fn amqp_address() -> anyhow::Result<String> {
    let url = url::Url::parse(&amqp_url())?;
    Ok(format!("{}:{}", url.host_str().unwrap_or("127.0.0.1"), url.port().unwrap_or(5672)))
}

/// A bus of a test's own: the URL and a prefix for the names of its queues.
pub struct TestBus {
    /// `memory:…` or `amqp://…`.
    pub url: SecretString,
    /// Unique to the test.
    pub prefix: String,
    /// Takes the test's queues off the broker when the last clone is dropped: whatever uses them holds one.
    pub cleanup: Option<Arc<Cleanup>>,
}

impl TestBus {
    /// In the process; those who use the same `TestBus` share it.
    pub fn memory() -> Self {
        let id = Uuid::new_v4().simple().to_string();
        Self { url: format!("memory:{id}").into(), prefix: String::new(), cleanup: None }
    }

    /// On the tests' RabbitMQ.
    pub fn rabbitmq() -> Self {
        let prefix = format!("test-{}-", Uuid::new_v4().simple());
        Self { url: amqp_url().into(), cleanup: Some(Arc::new(Cleanup::new(&prefix))), prefix }
    }

    /// Says that the test uses this route of its own, besides those of the services.
    pub fn uses(&self, route: Route) {
        if let Some(cleanup) = &self.cleanup {
            cleanup.route(route);
        }
    }
}

/// Makes two tests of each function, one on each broker. The functions take a [`TestBus`] and answer an
/// [`anyhow::Result`].
#[macro_export]
macro_rules! on_both_brokers {
    ($($name:ident),* $(,)?) => {
        mod memory_broker {
            $(#[tokio::test]
            async fn $name() -> anyhow::Result<()> {
                super::$name($crate::TestBus::memory()).await
            })*
        }

        mod rabbitmq {
            $(#[tokio::test]
            async fn $name() -> anyhow::Result<()> {
                super::$name($crate::TestBus::rabbitmq()).await
            })*
        }
    };
}

/// Asks again and again until the answer is there; fails after ten seconds, saying what was waited for.
///
/// # Errors
/// When the answer did not come.
pub async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> anyhow::Result<T> {
    eventually_within(Duration::from_secs(10), what, ask).await
}

/// [`eventually`] with another patience, for what others do at their own pace.
///
/// # Errors
/// When the answer did not come.
pub async fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask().await {
            return Ok(answer);
        }
        anyhow::ensure!(Instant::now() < deadline, "waited {} s for {what}", patience.as_secs());
        sleep(Duration::from_millis(10)).await;
    }
}
