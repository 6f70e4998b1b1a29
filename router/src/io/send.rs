//! Datagrams on their way out, gathered into one send call.

use std::net::SocketAddr;

use netflow_overlay::PortId;
use netflow_sys::udp::{MAX_SEND_BATCH, Outgoing};

/// Datagrams of equal size from one port to one peer; the last may be shorter.
#[derive(Default)]
pub(super) struct SendBatch {
    to: Option<(PortId, SocketAddr)>,
    bytes: Vec<u8>,
    segment: usize,
    count: u64,
    closed: bool,
}

impl SendBatch {
    /// Whether it holds datagrams from this port to this peer.
    pub(super) fn is_for(&self, from: PortId, to: SocketAddr) -> bool {
        self.to == Some((from, to))
    }

    /// Counts one more datagram of `len` bytes, which are to be appended to [`SendBatch::buffer`]. `false`: it does not fit here.
    pub(super) fn admit(&mut self, from: PortId, to: SocketAddr, len: usize, max_segments: usize) -> bool {
        match self.to {
            None => {
                self.to = Some((from, to));
                self.segment = len;
            }
            Some(current) => {
                let fits = !self.closed
                    && current == (from, to)
                    && len <= self.segment
                    && self.bytes.len() + len <= MAX_SEND_BATCH
                    && usize::try_from(self.count).is_ok_and(|count| count < max_segments);
                if !fits {
                    return false;
                }
                self.closed = len < self.segment;
            }
        }
        self.count += 1;
        true
    }

    /// Where the bytes of an admitted datagram go.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The port to send from, and what.
    pub(super) fn outgoing(&self) -> Option<(PortId, Outgoing<'_>)> {
        let (from, to) = self.to?;
        let segment_size = (self.count > 1).then_some(self.segment);
        Some((from, Outgoing { to, bytes: &self.bytes, segment_size, from: None, ecn: None }))
    }

    /// How many datagrams it holds.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.to = None;
        self.count = 0;
        self.closed = false;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    impl SendBatch {
        fn push(&mut self, from: PortId, to: SocketAddr, bytes: &[u8], max_segments: usize) -> bool {
            let fits = self.admit(from, to, bytes.len(), max_segments);
            if fits {
                self.buffer().extend_from_slice(bytes);
            }
            fits
        }
    }

    #[test]
    fn a_batch_is_one_peer_and_one_size_with_a_shorter_end() {
        let (a, b) = ("192.0.2.1:1".parse().unwrap(), "192.0.2.2:1".parse().unwrap());
        let mut batch = SendBatch::default();
        assert!(batch.push(PortId::MAIN, a, &[1; 100], 64));
        assert!(!batch.push(PortId::MAIN, b, &[1; 100], 64), "another peer");
        assert!(!batch.push(PortId::ALT_443, a, &[1; 100], 64), "from another port");
        assert!(!batch.push(PortId::MAIN, a, &[1; 101], 64), "a longer one");
        assert!(batch.push(PortId::MAIN, a, &[2; 100], 64));
        assert!(batch.push(PortId::MAIN, a, &[3; 10], 64));
        assert!(!batch.push(PortId::MAIN, a, &[4; 10], 64), "a shorter one ends the batch");
        assert_eq!(batch.outgoing().unwrap().1.segment_size, Some(100));
        batch.clear();
        assert!(batch.push(PortId::MAIN, b, &[1], 1));
        assert!(!batch.push(PortId::MAIN, b, &[1], 1), "no more than the kernel segments");
        assert_eq!(batch.outgoing().unwrap().1.segment_size, None);
    }
}
