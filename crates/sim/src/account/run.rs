//! The task that lets time pass in the account.

use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::Account;
use super::MACHINES;
use super::machines::Machines;

impl Account {
    /// Lets happen what is due, by the cluster's clock, and brings the cluster's nodes to it, until the simulator stops.
    pub(crate) async fn run(self: Arc<Self>, mut machines: Machines, shutdown: CancellationToken) {
        loop {
            let next = self.pass(&mut machines);
            self.keep(MACHINES, &machines);
            let due = async {
                match next {
                    Some(at) => self.api.clock().sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = self.changed.notified() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// One look at everything; when the next is due.
    fn pass(&self, machines: &mut Machines) -> Option<Timestamp> {
        let (instances, next, now) = self.quietly(|world, now| {
            world.advance(now);
            (world.instances().cloned().collect::<Vec<_>>(), world.next_event_at(), now)
        });
        let of_nodes = machines.follow(&instances, &self.api, &self.options, now);
        [next, of_nodes].into_iter().flatten().min()
    }
}
