//! The sending end of a link, whatever carries it.

use std::sync::Arc;
use std::time::Duration;

use netflow_overlay::node::Carrier;
use quinn::{Connection, VarInt};
use tokio::sync::mpsc;

use super::MAX_MESSAGE;
use super::stream::Shared;

/// Messages waiting to be sent. A peer that lets 64 pile up does not read; at 64 KiB each the worst is 4 MiB for one link.
pub(super) const SEND_QUEUE: usize = 64;

/// What a link is asked to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Send a control message.
    Message(Vec<u8>),
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
    pub(super) queue: mpsc::Sender<Order>,
    pub(super) channel: Channel,
}

impl Handle {
    /// Queues a message. `false`: the queue is full or the link is gone; the caller closes it.
    pub(crate) fn send(&self, message: Vec<u8>) -> bool {
        message.len() <= MAX_MESSAGE && self.queue.try_send(Order::Message(message)).is_ok()
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
