//! The sending end of a link, whatever carries it.

use std::sync::Arc;
use std::time::Duration;

use netflow_overlay::node::Carrier;
use quinn::{Connection, VarInt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::MAX_MESSAGE;
use super::stream::Shared;

/// Messages waiting to be sent. When a link comes up again, everything that was open on it is asked for at once: a message for each peer
/// and network, of which there are a few thousand at most. A link that is closed because they did not fit would never come up.
const SEND_QUEUE: usize = 4_096;
/// Bytes of them: 64 of the largest. A peer that lets so much pile up does not read.
const SEND_QUEUE_BYTES: usize = 64 * MAX_MESSAGE;

/// What a link is asked to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Send a control message; it holds its bytes of the queue until then.
    Message(Vec<u8>, OwnedSemaphorePermit),
    /// Prove within this time that the other end is there: send `question`, and end the link when nothing at all came back.
    Check { question: Vec<u8>, within: Duration },
}

#[derive(Debug, Clone)]
pub(super) enum Channel {
    Quic(Connection),
    Stream(Arc<Shared>),
}

/// Sends on a link and closes it.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    queue: mpsc::Sender<Order>,
    room: Arc<Semaphore>,
    channel: Channel,
}

impl Handle {
    /// A link with an empty queue, and the end its writer takes from.
    pub(super) fn new(channel: Channel) -> (Self, mpsc::Receiver<Order>) {
        let (queue, queued) = mpsc::channel(SEND_QUEUE);
        (Self { queue, room: Arc::new(Semaphore::new(SEND_QUEUE_BYTES)), channel }, queued)
    }

    /// Queues a message. `false`: the queue is full or the link is gone; the caller closes it.
    pub(crate) fn send(&self, message: Vec<u8>) -> bool {
        let bytes = u32::try_from(message.len()).ok().filter(|_| message.len() <= MAX_MESSAGE);
        let room = bytes.and_then(|bytes| Arc::clone(&self.room).try_acquire_many_owned(bytes).ok());
        room.is_some_and(|room| self.queue.try_send(Order::Message(message, room)).is_ok())
    }

    /// Queues a frame. It may be lost, like a datagram: when the stream is behind, or when it does not carry frames.
    pub(crate) fn send_frame(&self, frame: Vec<u8>) {
        if let Channel::Stream(shared) = &self.channel {
            shared.push_frame(frame);
        }
    }

    /// Has the peer prove within a time that it is there. A full queue means that the link is watched already.
    pub(crate) fn check(&self, question: Vec<u8>, within: Duration) {
        match &self.channel {
            Channel::Quic(_) => drop(self.queue.try_send(Order::Check { question, within })),
            Channel::Stream(shared) => shared.check(within),
        }
    }

    /// What carries the link.
    pub(crate) fn carrier(&self) -> Carrier {
        match self.channel {
            Channel::Quic(_) => Carrier::Quic,
            Channel::Stream(_) => Carrier::Stream,
        }
    }

    /// Smoothed round trip of the link; zero while it is not known.
    pub(crate) fn rtt(&self) -> Duration {
        match &self.channel {
            Channel::Quic(connection) => connection.rtt(),
            Channel::Stream(shared) => shared.rtt(),
        }
    }

    /// Frames the link could not carry.
    pub(crate) fn frames_dropped(&self) -> u64 {
        match &self.channel {
            Channel::Quic(_) => 0,
            Channel::Stream(shared) => shared.dropped(),
        }
    }

    /// Ends the link now; what was queued is lost.
    pub(crate) fn abort(&self, reason: &str) {
        match &self.channel {
            Channel::Quic(connection) => connection.close(VarInt::from_u32(1), reason.as_bytes()),
            Channel::Stream(shared) => shared.abort(),
        }
    }
}
