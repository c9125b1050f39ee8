//! Acknowledgements, gathered: one for all messages up to one costs the broker and us what one for each would.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use lapin::{Channel, options::BasicAckOptions};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// How long an acknowledgement may wait for others. Until then the message counts towards the consumer's prefetch.
const GATHER: Duration = Duration::from_millis(5);
/// So many are not made to wait.
const MANY: usize = 64;

/// Acknowledges the messages of one channel, which has one consumer.
#[derive(Clone)]
pub(super) struct Acks(Arc<Said>);

struct Said {
    channel: Channel,
    tags: mpsc::UnboundedSender<u64>,
}

/// One message's acknowledgement.
pub(crate) struct Ack {
    delivery_tag: u64,
    acks: Acks,
}

/// What has been handled, and is not known to the broker.
#[derive(Default)]
struct Handled {
    /// Everything up to this has been handled, and was acknowledged.
    up_to: u64,
    /// Beyond it, what was acknowledged by itself.
    beyond: BTreeSet<u64>,
    /// What is to be acknowledged.
    unsaid: BTreeSet<u64>,
}

impl Acks {
    /// They are sent as long as anybody holds this or an [`Ack`], and the last ones then; so long the channel is kept.
    pub(super) fn on(channel: Channel) -> Self {
        let (tags, handled) = mpsc::unbounded_channel();
        tokio::spawn(send(channel.clone(), handled));
        Self(Arc::new(Said { channel, tags }))
    }

    pub(super) fn of(&self, delivery_tag: u64) -> Ack {
        Ack { delivery_tag, acks: self.clone() }
    }
}

impl Ack {
    /// The message has been handled.
    pub(crate) fn ack(self) {
        // It fails only when the channel is gone, and then the message is delivered again.
        let _ = self.acks.0.tags.send(self.delivery_tag);
    }

    /// Whether the channel is gone, so that the message is delivered again whatever is said.
    pub(crate) fn is_lost(&self) -> bool {
        !self.acks.0.channel.status().connected()
    }
}

async fn send(channel: Channel, mut tags: mpsc::UnboundedReceiver<u64>) {
    let mut handled = Handled::default();
    while let Some(tag) = tags.recv().await {
        let mut gathered = 1;
        handled.note(tag);
        let by = Instant::now() + GATHER;
        let mut is_last = false;
        while gathered < MANY && !is_last {
            tokio::select! {
                tag = tags.recv() => match tag {
                    Some(tag) => {
                        handled.note(tag);
                        gathered += 1;
                    }
                    None => is_last = true,
                },
                () = sleep_until(by) => break,
            }
        }
        for (tag, multiple) in handled.acknowledge() {
            if channel.basic_ack(tag, BasicAckOptions { multiple }).await.is_err() {
                return;
            }
        }
    }
}

impl Handled {
    fn note(&mut self, tag: u64) {
        self.unsaid.insert(tag);
    }

    /// What is to be said: one acknowledgement for all up to the first message that is still worked on, and one each for
    /// those after it.
    fn acknowledge(&mut self) -> Vec<(u64, bool)> {
        let mut last_of_many = None;
        loop {
            let next = self.up_to + 1;
            // The broker knows no more of one that was acknowledged, and so it cannot stand for others.
            if self.unsaid.remove(&next) {
                last_of_many = Some(next);
            } else if !self.beyond.remove(&next) {
                break;
            }
            self.up_to = next;
        }
        let alone = std::mem::take(&mut self.unsaid);
        self.beyond.extend(&alone);
        let many = last_of_many.map(|tag| (tag, true));
        many.into_iter().chain(alone.into_iter().map(|tag| (tag, false))).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a broker that keeps what is not acknowledged, and refuses what it does not know.
        #[test]
        fn every_message_is_acknowledged_once_and_none_before_it_was_handled(
            order in Just((1..=40_u64).collect::<Vec<_>>()).prop_shuffle(),
            batches in proptest::collection::vec(1_usize..9, 1..40),
        ) {
            let mut unacknowledged: BTreeSet<u64> = (1..=40).collect();
            let (mut handled, mut done) = (Handled::default(), BTreeSet::new());
            let mut order = order.into_iter();
            for batch in batches.into_iter().chain([40]) {
                for tag in order.by_ref().take(batch) {
                    handled.note(tag);
                    done.insert(tag);
                }
                for (tag, multiple) in handled.acknowledge() {
                    prop_assert!(unacknowledged.contains(&tag), "the broker does not know {}", tag);
                    unacknowledged.retain(|one| if multiple { *one > tag } else { *one != tag });
                }
                prop_assert_eq!(&unacknowledged, &(1..=40).filter(|tag| !done.contains(tag)).collect());
            }
            prop_assert!(unacknowledged.is_empty());
        }
    }
}
