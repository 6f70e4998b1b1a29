//! A send queue to one peer, bounded in messages and in bytes. When it is full the message is dropped: consensus repeats what
//! matters, and a peer that cannot keep up must not fill this node's memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

/// Messages waiting for one peer: a round of 21 witnesses is 42 votes.
const MAX_MESSAGES: usize = 512;
/// Bytes waiting for one peer: four largest blocks.
const MAX_BYTES: usize = 8 << 20;

/// One message for many peers, encoded once.
pub(crate) type Shared = Arc<Vec<u8>>;

/// The sender's end.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    queue: mpsc::Sender<Shared>,
    bytes: Arc<AtomicUsize>,
}

/// The stream's end.
#[derive(Debug)]
pub(crate) struct Drain {
    queue: mpsc::Receiver<Shared>,
    bytes: Arc<AtomicUsize>,
}

pub(crate) fn outbox() -> (Outbox, Drain) {
    let (sender, receiver) = mpsc::channel(MAX_MESSAGES);
    let bytes = Arc::new(AtomicUsize::new(0));
    (Outbox { queue: sender, bytes: bytes.clone() }, Drain { queue: receiver, bytes })
}

impl Outbox {
    /// Queues a message; false when it was dropped.
    pub(crate) fn send(&self, message: &Shared) -> bool {
        let length = message.len();
        if self.bytes.load(Ordering::Relaxed).saturating_add(length) > MAX_BYTES {
            return false;
        }
        self.bytes.fetch_add(length, Ordering::Relaxed);
        let sent = self.queue.try_send(message.clone()).is_ok();
        if !sent {
            self.bytes.fetch_sub(length, Ordering::Relaxed);
        }
        sent
    }

    /// Whether the stream is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }
}

impl Drain {
    /// The next message; none when the sender is gone.
    pub(crate) async fn next(&mut self) -> Option<Shared> {
        let message = self.queue.recv().await?;
        self.bytes.fetch_sub(message.len(), Ordering::Relaxed);
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_peer_costs_a_bounded_number_of_bytes() {
        let (outbox, mut drain) = outbox();
        let block = Arc::new(vec![0; 2 << 20]);
        assert_eq!((0..9).filter(|_| outbox.send(&block)).count(), 4);
        assert!(drain.next().await.is_some() && outbox.send(&block) && !outbox.send(&block));
        drop(drain);
        assert!(outbox.is_closed());
    }
}
