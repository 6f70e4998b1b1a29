//! What hole punching may cost the home router: connection tracking entries and local ports.
//!
//! A NAT keeps an entry for each pair of a local port and a remote endpoint. EasyTier opened five thousand of them and home
//! routers fell over (pitfall 15). One budget for the whole node, whatever the number of peers: what is over it is not sent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::endpoint::PortId;
use crate::time::{Now, SECOND_US};

/// Entries alive at a time because of punching. The design's limit is 300; the difference is what the node has without
/// punching: relays, STUN, links in use.
pub(crate) const MAX_ENTRIES: usize = 290;
/// Of them a search takes these; the last ten are left to the bursts of other peers, which would get none for four minutes.
pub(crate) const MAX_SEARCHED: usize = 280;
/// How long an entry is counted after its last packet. Linux forgets an unanswered UDP flow after 30 s
/// (`nf_conntrack_udp_timeout`); two more, because its clock starts when the packet gets there.
pub(crate) const ENTRY_LIFE_US: u64 = 32 * SECOND_US;

/// How long a NAT remembers a path after its last packet: Linux keeps a UDP flow that was answered for 120 s
/// (`nf_conntrack_udp_timeout_stream`), which is also what RFC 4787, REQ-5 asks for; two more as above.
pub(crate) const PATH_LIFE_US: u64 = 122 * SECOND_US;

/// Entries punching has made at NATs on the way, as far as this end can know.
#[derive(Default)]
pub(crate) struct Budget {
    expiry: BTreeMap<(PortId, SocketAddr), u64>,
    order: BTreeSet<(u64, PortId, SocketAddr)>,
    /// No search takes any until then.
    held_until_us: Option<u64>,
}

impl Budget {
    /// The node has been running before, perhaps a moment ago and in the middle of a search: nobody knows what that left in the NAT,
    /// so no search takes any until it is forgotten.
    pub(crate) fn hold(&mut self, now: Now) {
        self.held_until_us = Some(now.after(ENTRY_LIFE_US));
    }

    /// May a datagram go from this port to that address now? It is counted when it may.
    pub(crate) fn take(&mut self, now: Now, port: PortId, to: SocketAddr) -> bool {
        self.expire(now);
        let known = self.expiry.get(&(port, to)).copied();
        if known.is_none() && self.expiry.len() >= MAX_ENTRIES {
            return false;
        }
        if let Some(until) = known {
            self.order.remove(&(until, port, to));
        }
        // What was a path is remembered for longer, and one packet more does not shorten that.
        let until = now.after(ENTRY_LIFE_US).max(known.unwrap_or(0));
        self.expiry.insert((port, to), until);
        self.order.insert((until, port, to));
        true
    }

    /// How many more there may be now for a search.
    pub(crate) fn free(&mut self, now: Now) -> usize {
        self.expire(now);
        if self.held_until_us.is_some_and(|until| now.mono_us < until) {
            return 0;
        }
        MAX_SEARCHED.saturating_sub(self.expiry.len())
    }

    /// When there is more for a search: the oldest entry is forgotten, and nothing holds it.
    pub(crate) fn next_free_us(&self) -> Option<u64> {
        self.order.first().map(|(until, ..)| *until).max(self.held_until_us)
    }

    /// It carries a path now: an entry of a link in use, not of punching. Whoever forgets the path says so by [`Budget::linger`].
    pub(crate) fn release(&mut self, port: PortId, to: SocketAddr) {
        if let Some(until) = self.expiry.remove(&(port, to)) {
            self.order.remove(&(until, port, to));
        }
    }

    /// A path was forgotten whose last packet, in either direction, passed at `last_us`: the NAT does not know that. Its entry counts
    /// until the NAT forgets it by itself, also where that is more than the budget has: then there is none for anything else.
    pub(crate) fn linger(&mut self, now: Now, port: PortId, to: SocketAddr, last_us: u64) {
        let until = last_us.saturating_add(PATH_LIFE_US);
        let known = self.expiry.get(&(port, to)).copied();
        if until <= now.mono_us || known.is_some_and(|known| known >= until) {
            return;
        }
        if let Some(known) = known {
            self.order.remove(&(known, port, to));
        }
        self.expiry.insert((port, to), until);
        self.order.insert((until, port, to));
    }

    fn expire(&mut self, now: Now) {
        while let Some((until, port, to)) = self.order.first().copied() {
            if until > now.mono_us {
                break;
            }
            self.order.remove(&(until, port, to));
            self.expiry.remove(&(port, to));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng, SeedableRng};

    fn at(mono_us: u64) -> Now {
        Now { mono_us, unix_s: 0 }
    }

    /// A NAT written down independently: a list of packets, and a count of the pairs seen in the last 30 seconds.
    fn alive(packets: &[(u64, PortId, SocketAddr)], now_us: u64) -> usize {
        let recent = packets.iter().filter(|(at, ..)| now_us < at + 30 * SECOND_US);
        recent.map(|(_, port, to)| (*port, *to)).collect::<BTreeSet<_>>().len()
    }

    #[test]
    fn pitfall_15_no_nat_ever_holds_more_than_the_budget_however_much_is_asked_for() {
        let mut rng = ChaCha20Rng::seed_from_u64(15);
        let mut budget = Budget::default();
        let mut packets = Vec::new();
        let mut now_us = 0;
        let mut most = 0;
        for _ in 0..20_000 {
            now_us += u64::from(rng.next_u32() % 40_000);
            let port = PortId(u16::try_from(rng.next_u32() % 64).unwrap());
            let to = SocketAddr::from(([203, 0, 113, 9], u16::try_from(rng.next_u32() % 60_000).unwrap()));
            if budget.take(at(now_us), port, to) {
                packets.push((now_us, port, to));
            }
            if packets.len().is_multiple_of(64) {
                packets.retain(|(at, ..)| now_us < at + 30 * SECOND_US);
                most = most.max(alive(&packets, now_us));
            }
        }
        assert!(most <= MAX_ENTRIES, "{most} entries");
        assert!(most > MAX_ENTRIES / 2, "the test asked for more than there is: {most}");
    }

    #[test]
    fn an_entry_in_use_is_renewed_and_a_link_in_use_leaves_the_budget() {
        let mut budget = Budget::default();
        let to = |port: u16| SocketAddr::from(([203, 0, 113, 9], port));
        for port in 0..u16::try_from(MAX_ENTRIES).unwrap() {
            assert!(budget.take(at(0), PortId::MAIN, to(port)));
        }
        assert!(!budget.take(at(1), PortId::MAIN, to(60_000)));
        assert!(budget.take(at(1), PortId::MAIN, to(7)), "known pairs cost nothing");
        budget.release(PortId::MAIN, to(7));
        assert!(budget.take(at(2), PortId::MAIN, to(60_000)));
        assert_eq!(budget.free(at(3)), 0);
        assert_eq!(budget.next_free_us(), Some(ENTRY_LIFE_US));
        assert_eq!(budget.free(at(ENTRY_LIFE_US)), MAX_SEARCHED - 1);
    }

    /// Paths that come and go: each was paid for by a probe, carried packets for a second, and was pushed out by the next one. The NAT is
    /// written down independently: an answered flow lives for 120 s after its last packet.
    #[test]
    fn pitfall_15_a_forgotten_path_counts_until_the_nat_forgets_it_too() {
        let mut budget = Budget::default();
        let mut flows: Vec<u64> = Vec::new();
        let mut most = 0;
        for number in 0..60_000u32 {
            let now_us = u64::from(number) * 50_000;
            let to = SocketAddr::from(([203, 0, 113, 9], u16::try_from(number).unwrap()));
            if budget.take(at(now_us), PortId::MAIN, to) {
                budget.release(PortId::MAIN, to);
                budget.linger(at(now_us + SECOND_US), PortId::MAIN, to, now_us + SECOND_US);
                flows.push(now_us + SECOND_US);
            }
            flows.retain(|last_us| now_us < last_us + 120 * SECOND_US);
            most = most.max(flows.len());
        }
        assert!(most <= MAX_ENTRIES, "{most} entries");
        assert!(most > MAX_ENTRIES / 2, "the test asked for more than there is: {most}");
    }

    #[test]
    fn a_path_that_was_quiet_for_longer_than_a_nat_remembers_costs_nothing() {
        let mut budget = Budget::default();
        let to = |port: u16| SocketAddr::from(([203, 0, 113, 9], port));
        budget.linger(at(500 * SECOND_US), PortId::MAIN, to(1), 100 * SECOND_US);
        assert_eq!(budget.free(at(500 * SECOND_US)), MAX_SEARCHED);
        for port in 1..=400 {
            budget.linger(at(500 * SECOND_US), PortId::MAIN, to(port), 500 * SECOND_US);
        }
        assert_eq!(budget.free(at(600 * SECOND_US)), 0, "more than there is: nothing is left");
        assert!(!budget.take(at(600 * SECOND_US), PortId::MAIN, to(60_000)));
        assert_eq!(budget.free(at(500 * SECOND_US + PATH_LIFE_US)), MAX_SEARCHED);
    }
}
