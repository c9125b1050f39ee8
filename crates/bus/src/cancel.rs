//! Telling those who answer that nobody waits any more.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use contracts::queues::{Route, parts};
use futures_util::{StreamExt, stream};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    broker::{Broker, Guarantee, Target},
    message::Message,
    names::Names,
    pending::{Left, Waiter},
};

/// So many callers may leave at once and have it told; of more, those who answer find out at the deadline.
const QUEUE: usize = 4096;
/// So many cancellations may wait for the broker to confirm them.
const AT_ONCE: usize = 64;
/// A cancellation that is not read by then is not worth reading.
const EXPIRY: Duration = Duration::from_secs(5);
/// When connections and channels that were lost are there again, mostly.
const LATER: Duration = Duration::from_secs(2);
/// Where nobody hears it yet, it is said again after so long.
const AGAIN: Duration = Duration::from_millis(500);
/// By then those who answer have found out by themselves, at the deadline.
const WORTH_SAYING: Duration = Duration::from_secs(30);

/// Publishes cancellations, for those who cannot wait for it because they are being dropped. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Canceller {
    at_once: mpsc::Sender<Cancellation>,
    later: mpsc::Sender<Later>,
    control_exchange: Arc<str>,
}

/// What is to be said, and to whom.
struct Cancellation {
    target: Target,
    message: Message,
    /// The requests that it is one of, where all that might work on it can be told instead.
    route: Option<Route>,
}

/// What is said after connections were lost.
struct Later {
    since: Instant,
    cancellation: Cancellation,
    /// Somebody has heard it; it is said once more for others who are connecting again.
    was_heard: bool,
}

impl Later {
    fn new(cancellation: Cancellation) -> Self {
        Self { since: Instant::now(), cancellation, was_heard: false }
    }
}

impl Canceller {
    pub(crate) fn start(broker: &Arc<Broker>, names: &Names) -> Self {
        let (at_once, mut cancelled) = mpsc::channel(QUEUE);
        let (later, mut given_up) = mpsc::channel::<Later>(QUEUE);
        let canceller = Self { at_once, later: later.clone(), control_exchange: names.control().into() };
        let exchange = Arc::clone(&canceller.control_exchange);
        // They do not keep the connection: whoever cancels has a handle on the bus, or it does not matter any more.
        let broker = Arc::downgrade(broker);

        let of_now = broker.clone();
        let cancelled = stream::poll_fn(move |context| cancelled.poll_recv(context));
        tokio::spawn(cancelled.for_each_concurrent(AT_ONCE, move |cancellation: Cancellation| {
            let (broker, later, exchange) = (of_now.upgrade(), later.clone(), Arc::clone(&exchange));
            async move {
                let Some(broker) = broker else { return };
                let Cancellation { target, message, route } = cancellation;
                if broker.publish(target, message.clone(), Guarantee::Routed).await.is_err()
                    && let Some(route) = route
                {
                    let _ = later.try_send(Later::new(to_all(&exchange, route, message)));
                }
            }
        }));
        let given_up = stream::poll_fn(move |context| given_up.poll_recv(context)).then(async |given_up| {
            sleep_until(given_up.since + LATER).await;
            given_up
        });
        let again = canceller.later.downgrade();
        tokio::spawn(given_up.for_each_concurrent(AT_ONCE, move |later| {
            let (broker, again) = (broker.clone(), again.clone());
            async move {
                let Later { cancellation, was_heard, .. } = later;
                if say_until_heard(broker, &cancellation, later.since + WORTH_SAYING).await
                    && !was_heard
                    && let Some(again) = again.upgrade()
                {
                    let _ = again.try_send(Later { was_heard: true, ..Later::new(cancellation) });
                }
            }
        }));
        canceller
    }

    /// Tells whoever answers, where that is known, else all that might.
    fn cancel(&self, answering: Option<String>, route: Route, message: Message) {
        let cancellation = match answering {
            Some(queue) => Cancellation { target: Target::Queue(queue), message, route: Some(route) },
            None => to_all(&self.control_exchange, route, message),
        };
        let _ = self.at_once.try_send(cancellation);
    }

    /// Tells all that might answer a request that was given up, because connections or channels were lost: a little later, for
    /// those who answer may be about to hear again, and about to be given the request again.
    fn cancel_later(&self, route: Route, message: Message) {
        let _ = self.later.try_send(Later::new(to_all(&self.control_exchange, route, message)));
    }

    /// Tells whoever sends parts of an answer that nobody waits for it: its request was delivered again, and has been
    /// answered.
    pub(crate) fn decline(&self, unwanted: Message, reply_queue: &str) {
        let Message { reply_to: Some(queue), correlation_id: Some(id), .. } = unwanted else { return };
        let message = control(parts::CANCEL, id, reply_queue);
        let _ = self.at_once.try_send(Cancellation { target: Target::Queue(queue), message, route: None });
    }
}

/// Says it again and again until somebody hears it; false when it is not worth saying any more.
async fn say_until_heard(broker: Weak<Broker>, cancellation: &Cancellation, deadline: Instant) -> bool {
    let Cancellation { target, message, .. } = cancellation;
    while Instant::now() < deadline
        && let Some(broker) = broker.upgrade()
    {
        let heard = broker.publish(target.clone(), message.clone(), Guarantee::Routed).await.is_ok();
        drop(broker);
        if heard {
            return true;
        }
        sleep(AGAIN).await;
    }
    false
}

fn to_all(control_exchange: &str, route: Route, message: Message) -> Cancellation {
    let (exchange, key) = (control_exchange.to_owned(), route.requests.to_owned());
    Cancellation { target: Target::Topic { exchange, key }, message, route: Some(route) }
}

fn control(what: &str, correlation_id: String, reply_queue: &str) -> Message {
    Message {
        correlation_id: Some(correlation_id),
        reply_to: Some(reply_queue.to_owned()),
        expiration: Some(EXPIRY),
        headers: [(parts::CONTROL, what.to_owned())].into(),
        ..Message::default()
    }
}

/// A request that was published. Dropped before its whole answer has come, it is cancelled.
pub(crate) struct Question {
    waiter: Waiter,
    reply_queue: Arc<str>,
    /// Who tells those who answer requests of this route; absent where nobody would listen: the answer comes in one piece, at once.
    canceller: Option<(Canceller, Route)>,
    /// The queue of whoever answers, once that is known.
    answering: Option<String>,
}

impl Question {
    /// `answering` is the queue of the only one who is asked, if it is one.
    pub(crate) fn new(
        waiter: Waiter,
        reply_queue: Arc<str>,
        canceller: Option<(Canceller, Route)>,
        answering: Option<String>,
    ) -> Self {
        Self { waiter, reply_queue, canceller, answering }
    }

    /// It came back: nobody works on it, so nobody is to be told.
    pub(crate) fn came_back(&mut self) {
        self.canceller = None;
    }

    /// Learns to whom `more` and `cancel` are to be said.
    pub(crate) fn answered_by(&mut self, queue: Option<String>) {
        self.answering = queue;
    }

    /// One more part may be sent, said to whoever answers.
    pub(crate) fn more(&self) -> Option<(Target, Message)> {
        let message = control(parts::MORE, self.waiter.id(), &self.reply_queue);
        Some((Target::Queue(self.answering.clone()?), message))
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let left = self.waiter.leave();
        let Some((canceller, route)) = &self.canceller else { return };
        let message = control(parts::CANCEL, self.waiter.id(), &self.reply_queue);
        match left {
            Left::Answered => {}
            Left::Waiting => canceller.cancel(self.answering.take(), *route, message),
            Left::GivenUp => canceller.cancel_later(*route, message),
        }
    }
}
