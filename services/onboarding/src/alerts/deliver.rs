//! The task that calls.

use std::time::Duration;

use store::StoreError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::webhook::{NotTaken, Webhook};
use crate::store::{Alert, Database};

/// How often it is looked for what is due.
const EVERY: Duration = Duration::from_secs(1);
/// The pauses after each try that has failed, those of Svix, whose Standard Webhooks are; after the last one there is no other.
const PAUSES: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(10),
];

/// Delivers what is due.
pub(crate) struct Deliverer {
    pub(crate) database: Database,
    pub(crate) webhook: Webhook,
}

impl Deliverer {
    /// Works until `shutdown`. A call that is under way then is made again by whoever comes next.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let work = async {
            loop {
                if let Err(error) = self.database.forget_alerts(self.database.now()).await {
                    tracing::warn!(%error, "old alerts not forgotten; trying again");
                }
                if let Err(error) = self.deliver_due().await {
                    tracing::warn!(%error, "alerts not delivered; trying again");
                }
                sleep(EVERY).await;
            }
        };
        shutdown.run_until_cancelled(work).await;
    }

    /// One after the other: whoever is called is not flooded.
    async fn deliver_due(&self) -> Result<(), StoreError> {
        while let Some(alert) = self.database.claim_alert(self.database.now()).await? {
            self.deliver(&alert).await?;
        }
        Ok(())
    }

    async fn deliver(&self, alert: &Alert) -> Result<(), StoreError> {
        let taken = self.webhook.call(&alert.id, &alert.body, self.database.now()).await;
        let now = self.database.now();
        let outcome = match taken {
            Ok(()) => {
                self.database.alert_delivered(&alert.id, now).await?;
                "delivered"
            }
            Err(reason) => {
                tracing::warn!(alert = alert.id, attempt = alert.attempts, %reason, "an alert was not taken");
                let attempt = usize::try_from(alert.attempts).unwrap_or(usize::MAX);
                let pause = match reason {
                    NotTaken::Gone => None,
                    NotTaken::Status(_) | NotTaken::Unreachable(_) => PAUSES.get(attempt.saturating_sub(1)),
                };
                self.database.alert_failed(&alert.id, &reason.to_string(), pause.copied(), now).await?;
                if pause.is_some() { "failed" } else { "dead" }
            }
        };
        metrics::counter!("alert_calls_total", "outcome" => outcome).increment(1);
        Ok(())
    }
}
