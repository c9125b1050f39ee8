//! Keeping a lease while its saga is carried on.

use store::StoreError;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::saga::{Lease, Log, LogError, Timing};

/// Renews the lease, if that is answered by then, and hears whether the saga is to be cancelled. Since the time that is answered, the lease is
/// whole.
pub(super) async fn renew(
    log: &dyn Log,
    lease: Lease,
    timing: Timing,
    cancel: &CancellationToken,
    by: Instant,
) -> Result<Instant, LogError> {
    let asked = Instant::now();
    match timeout_at(by, log.renew(lease, timing.lease)).await {
        Ok(renewed) => {
            if renewed? {
                cancel.cancel();
            }
            Ok(asked)
        }
        Err(_) => Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut).into()),
    }
}

/// Keeps the lease, which was renewed at that time; ends when it is lost, or could not be renewed for so long that a call that begins now might
/// outlive it.
pub(super) async fn keep(
    log: &dyn Log,
    lease: Lease,
    timing: Timing,
    cancel: &CancellationToken,
    mut renewed: Instant,
) -> LogError {
    loop {
        let last_call = renewed + timing.lease.saturating_sub(timing.call);
        sleep_until(last_call.min(Instant::now() + timing.lease / 6)).await;
        match renew(log, lease, timing, cancel, last_call).await {
            Ok(at) => renewed = at,
            Err(LogError::Store(error)) if Instant::now() < last_call => {
                tracing::warn!(saga = %lease.saga, %error, "the lease cannot be renewed");
            }
            Err(error) => return error,
        }
    }
}
