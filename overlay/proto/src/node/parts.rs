//! Packets in two parts: an inner packet within the smallest MTU that a path cannot carry whole.
//!
//! IPv6 asks every link for 1,280 bytes (RFC 8200, 5: below that, "link-specific fragmentation and reassembly must be provided at a
//! layer below IPv6"). On an underlay of 1,280 our own headers leave less, so such a packet travels as two data frames.

use std::collections::VecDeque;

use netflow_wire::inner::{MAX_PART_LEN, PART_HEADER_LEN, Part};

/// Packets of a peer whose other part is still missing; the oldest is dropped. Parts follow each other, so more are lost ones.
const MAX_PENDING: usize = 16;

/// Unfinished packets of one peer.
#[derive(Debug, Default)]
pub(super) struct Parts {
    next_id: u32,
    pending: VecDeque<(u32, u8, Vec<u8>)>,
}

impl Parts {
    /// Cuts a packet for a path that carries inner messages of `capacity` bytes; `None`: two parts are not enough.
    pub(super) fn cut<'a>(&mut self, packet: &'a [u8], capacity: usize) -> Option<[Part<'a>; 2]> {
        let room = capacity.checked_sub(PART_HEADER_LEN)?.min(MAX_PART_LEN);
        let half = packet.len().div_ceil(2);
        if half > room || packet.len() < 2 {
            return None;
        }
        let (first, second) = packet.split_at(half);
        self.next_id = self.next_id.wrapping_add(1);
        let id = self.next_id;
        Some([Part { id, index: 0, bytes: first }, Part { id, index: 1, bytes: second }])
    }

    /// Takes a part; returns the whole packet with its second one.
    pub(super) fn add(&mut self, part: &Part<'_>) -> Option<Vec<u8>> {
        let Some(at) = self.pending.iter().position(|(id, ..)| *id == part.id) else {
            if self.pending.len() >= MAX_PENDING {
                self.pending.pop_front();
            }
            self.pending.push_back((part.id, part.index, part.bytes.to_vec()));
            return None;
        };
        let (_, index, other) = self.pending.remove(at)?;
        match (index, part.index) {
            (0, 1) => Some([&other, part.bytes].concat()),
            (1, 0) => Some([part.bytes, &other].concat()),
            // The same part twice is a sender that counts anew: the later one counts.
            _ => {
                self.pending.push_back((part.id, part.index, part.bytes.to_vec()));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_comes_back_whole_from_its_parts_in_any_order() {
        let packet: Vec<u8> = (0..=255u8).cycle().take(1_280).collect();
        let (mut sender, mut receiver) = (Parts::default(), Parts::default());
        for swap in [false, true] {
            let mut parts = sender.cut(&packet, 1_212).unwrap();
            assert!(parts.iter().all(|part| part.bytes.len() + PART_HEADER_LEN <= 1_212));
            if swap {
                parts.swap(0, 1);
            }
            assert_eq!(receiver.add(&parts[0]), None);
            assert_eq!(receiver.add(&parts[1]).as_deref(), Some(packet.as_slice()));
        }
        assert!(sender.cut(&packet, 640).is_none(), "three parts would be needed");
    }

    #[test]
    fn lost_parts_cost_a_bounded_amount_and_do_no_harm() {
        let mut receiver = Parts::default();
        for id in 0..10_000 {
            assert_eq!(receiver.add(&Part { id, index: 1, bytes: &[1; 640] }), None);
        }
        assert_eq!(receiver.pending.len(), MAX_PENDING);
        assert_eq!(receiver.add(&Part { id: 9_999, index: 0, bytes: &[2] }).map(|packet| packet.len()), Some(641));
    }
}
