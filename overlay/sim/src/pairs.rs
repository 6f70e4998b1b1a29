//! Entries a host causes in the connection tracking of its router, as Linux counts them: one for each pair of local port and
//! remote endpoint, for 30 s after the last datagram when nothing answers.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// `nf_conntrack_udp_timeout`.
const ENTRY_US: u64 = 30_000_000;
/// A pair is not noted again within this time: the count is right to a second.
const GRAIN_US: u64 = 1_000_000;

/// Live pairs of one host.
#[derive(Debug, Default)]
pub struct Pairs {
    last: BTreeMap<(u16, SocketAddr), u64>,
    order: VecDeque<(u64, (u16, SocketAddr))>,
}

impl Pairs {
    /// Notes a datagram. Returns how many pairs are alive now.
    pub fn sent(&mut self, now_us: u64, local: u16, to: SocketAddr) -> usize {
        let pair = (local, to);
        let last = self.last.entry(pair).or_insert(0);
        if *last == 0 || now_us.saturating_sub(*last) >= GRAIN_US {
            *last = now_us;
            self.order.push_back((now_us, pair));
        }
        while let Some((at, pair)) = self.order.front().copied().filter(|(at, _)| now_us - at >= ENTRY_US) {
            self.order.pop_front();
            if self.last.get(&pair) == Some(&at) {
                self.last.remove(&pair);
            }
        }
        self.last.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_counts_once_and_for_thirty_seconds() {
        let mut pairs = Pairs::default();
        let to = |port| SocketAddr::from(([192, 0, 2, 1], port));
        assert_eq!(pairs.sent(1, 1, to(1)), 1);
        assert_eq!(pairs.sent(2, 1, to(1)), 1);
        assert_eq!(pairs.sent(3, 2, to(1)), 2);
        assert_eq!(pairs.sent(15_000_000, 1, to(1)), 2);
        assert_eq!(pairs.sent(31_000_000, 1, to(2)), 2, "the second pair is gone, the first was used since");
    }
}
