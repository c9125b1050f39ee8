//! The WebSocket's limits, and the task that writes to it.

use contracts::agent::{MAX_FRAME_BYTES, PART_BYTES};
use futures_util::{SinkExt, stream::SplitSink};
use serde::Serialize;
use tokio::{net::TcpStream, sync::mpsc};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, protocol::WebSocketConfig},
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

/// The frames to be written, in their order. Cheap to clone.
#[derive(Clone)]
pub(super) struct Outbox(mpsc::Sender<Message>);

impl Outbox {
    /// Starts the task that writes to the socket. It ends with the first failure, after a close frame, or when all
    /// outboxes are gone.
    pub(super) fn open(sink: SplitSink<Socket, Message>) -> (Self, AbortOnDropHandle<()>) {
        let (sender, queue) = mpsc::channel(QUEUE);
        (Self(sender), AbortOnDropHandle::new(tokio::spawn(write(sink, queue))))
    }

    /// Waits for a place in the queue. A lost connection is noticed by the session.
    pub(super) async fn send(&self, message: Message) {
        let _ = self.0.send(message).await;
    }

    /// As [`send`](Self::send), but leaves it when the queue is full.
    pub(super) fn send_now(&self, message: Message) {
        let _ = self.0.try_send(message);
    }

    /// Waits until nothing can be written any more.
    pub(super) async fn closed(&self) {
        self.0.closed().await;
    }
}

async fn write(mut sink: SplitSink<Socket, Message>, mut queue: mpsc::Receiver<Message>) {
    while let Some(message) = queue.recv().await {
        let is_last = message.is_close();
        if let Err(error) = sink.send(message).await {
            tracing::debug!(%error, "a frame could not be written");
            return;
        }
        if is_last {
            return;
        }
    }
}

/// A frame as text.
pub(super) fn text(frame: &impl Serialize) -> Result<Message, serde_json::Error> {
    Ok(Message::text(serde_json::to_string(frame)?))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{
        super::pack::{Packed, send_result},
        *,
    };

    #[tokio::test]
    async fn a_small_answer_passes_between_the_parts_of_a_large_one() {
        const PARTS: usize = 100;
        let (sender, mut queue) = mpsc::channel(QUEUE);
        let outbox = Outbox(sender);
        let large = outbox.clone();
        let sending = tokio::spawn(async move {
            send_result(&large, Uuid::nil(), Packed::Compressed(vec![0; PARTS * PART_BYTES])).await;
        });
        // The queue is full of parts when the small answer comes.
        while outbox.0.capacity() > 0 {
            tokio::task::yield_now().await;
        }
        let small = tokio::spawn(async move { outbox.send(Message::text("small")).await });
        let mut before_small = 0;
        while let Some(message) = queue.recv().await {
            if message.is_text() {
                break;
            }
            before_small += 1;
            tokio::task::yield_now().await;
        }
        assert!(before_small <= 2 * QUEUE + 2, "{before_small} parts came first");
        drop(queue);
        sending.await.unwrap();
        small.await.unwrap();
    }
}
