//! The WebSocket's limits, and the task that writes to it.

use std::{fmt::Display, sync::Arc};

use contracts::agent::{MAX_FRAME_BYTES, PART_BYTES};
use futures_util::{Sink, SinkExt};
use serde::Serialize;
use tokio::{
    net::TcpStream,
    sync::{Notify, mpsc},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Bytes, Message, protocol::WebSocketConfig},
};
use tokio_util::task::AbortOnDropHandle;

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The default of 128 KiB each is allocated at once.
const BUFFER_BYTES: usize = 8 * 1024;
/// Frames that wait to be written. Few, because a small answer waits behind all of them; whoever has more to send
/// waits for a place, in turn.
const QUEUE: usize = 8;

pub(super) fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(4 * PART_BYTES)
        .max_frame_size(Some(MAX_FRAME_BYTES))
        .max_message_size(Some(MAX_FRAME_BYTES))
}

/// The frames to be written, in their order; pings go before them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Outbox {
    frames: mpsc::Sender<Message>,
    ping: Arc<Notify>,
}

impl Outbox {
    /// Starts the task that writes to the socket. It ends with the first failure, after a close frame, or when all
    /// outboxes are gone.
    pub(super) fn open<S>(sink: S) -> (Self, AbortOnDropHandle<()>)
    where
        S: Sink<Message, Error: Display> + Send + Unpin + 'static,
    {
        let (frames, queue) = mpsc::channel(QUEUE);
        let ping = Arc::new(Notify::new());
        let writer = tokio::spawn(write(sink, queue, Arc::clone(&ping)));
        (Self { frames, ping }, AbortOnDropHandle::new(writer))
    }

    /// Waits for a place in the queue. A lost connection is noticed by the session.
    pub(super) async fn send(&self, message: Message) {
        let _ = self.frames.send(message).await;
    }

    /// Has a ping written next, before all that waits; does not wait. Behind a large answer it would come too late to
    /// show that the session lives.
    pub(super) fn ping(&self) {
        self.ping.notify_one();
    }

    /// Waits until nothing can be written any more.
    pub(super) async fn closed(&self) {
        self.frames.closed().await;
    }
}

async fn write<S>(mut sink: S, mut queue: mpsc::Receiver<Message>, ping: Arc<Notify>)
where
    S: Sink<Message, Error: Display> + Unpin,
{
    loop {
        let message = tokio::select! {
            biased;
            () = ping.notified() => Message::Ping(Bytes::new()),
            next = queue.recv() => match next {
                Some(message) => message,
                None => return,
            },
        };
        match write_batch(&mut sink, message, &mut queue).await {
            Ok(is_open) if is_open => {}
            Ok(_) => return,
            Err(error) => {
                tracing::debug!(%error, "a frame could not be written");
                return;
            }
        }
    }
}

/// Writes a frame, and with it what small ones wait already; false after a close frame.
async fn write_batch<S>(
    sink: &mut S,
    first: Message,
    queue: &mut mpsc::Receiver<Message>,
) -> Result<bool, S::Error>
where
    S: Sink<Message, Error: Display> + Unpin,
{
    let mut next = Some(first);
    let mut bytes = 0;
    while let Some(message) = next {
        bytes += message.len();
        let is_last = message.is_close();
        sink.feed(message).await?;
        if is_last {
            sink.flush().await?;
            return Ok(false);
        }
        // A ping waits behind one batch at most.
        next = if bytes < BUFFER_BYTES { queue.try_recv().ok() } else { None };
    }
    sink.flush().await?;
    Ok(true)
}

/// A frame as text.
pub(super) fn text(frame: &impl Serialize) -> Result<Message, serde_json::Error> {
    Ok(Message::text(serde_json::to_string(frame)?))
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::PollSender;
    use uuid::Uuid;

    use super::{
        super::{
            in_flight::Window,
            pack::{Packed, send_result},
        },
        *,
    };

    /// Frames between the queue and the other side: one in the writer's hand, one in the connection.
    const WRITTEN: usize = 2;
    const PARTS: usize = 100;

    /// An outbox whose queue is full of the parts of a large answer; the connection, from which the other side has read
    /// nothing; and the tasks behind them.
    async fn busy() -> (Outbox, mpsc::Receiver<Message>, [AbortOnDropHandle<()>; 2]) {
        let (sink, connection) = mpsc::channel(1);
        let (outbox, writer) = Outbox::open(PollSender::new(sink));
        let large = outbox.clone();
        let sending = tokio::spawn(async move {
            let packed = Packed::Compressed(vec![0; PARTS * PART_BYTES]);
            send_result(&large, Uuid::nil(), packed, &Window::new(None)).await.unwrap();
        });
        while outbox.frames.capacity() > 0 || connection.is_empty() {
            tokio::task::yield_now().await;
        }
        (outbox, connection, [writer, AbortOnDropHandle::new(sending)])
    }

    /// Reads up to what is wanted; returns how many frames came first.
    async fn before(connection: &mut mpsc::Receiver<Message>, is_wanted: fn(&Message) -> bool) -> usize {
        let mut others = 0;
        while !is_wanted(&connection.recv().await.expect("what is wanted comes before the end")) {
            others += 1;
            tokio::task::yield_now().await;
        }
        others
    }

    #[tokio::test]
    async fn a_small_answer_passes_between_the_parts_of_a_large_one() {
        let (outbox, mut connection, _tasks) = busy().await;
        let small = tokio::spawn(async move { outbox.send(Message::text("small")).await });
        let parts = before(&mut connection, Message::is_text).await;
        assert!(parts <= WRITTEN + 2 * QUEUE + 2, "{parts} parts came first");
        small.await.unwrap();
    }

    #[tokio::test]
    async fn a_ping_passes_all_that_waits() {
        let (outbox, mut connection, _tasks) = busy().await;
        for _ in 0..3 {
            outbox.ping();
            let parts = before(&mut connection, Message::is_ping).await;
            assert!(parts <= WRITTEN, "{parts} parts came first");
        }
    }
}
