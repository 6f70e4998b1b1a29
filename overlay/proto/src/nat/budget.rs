//! What hole punching may cost the home router: connection tracking entries and local ports.
//!
//! A NAT keeps an entry for each pair of a local port and a remote endpoint. EasyTier opened five thousand of them and home
//! routers fell over (pitfall 15). One budget for the whole node, whatever the number of peers: what is over it is not sent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::endpoint::PortId;
use crate::time::{Now, SECOND_US};

/// Entries alive at a time because of peers: what punching has made, and links to them. The design's limit is 300; the difference is for
/// relays and STUN, and for [`MAX_AFTER_START`].
pub(crate) const MAX_ENTRIES: usize = 280;
/// Of them a search takes these; the last ten are left to the bursts of other peers, which would get none for four minutes.
pub(crate) const MAX_SEARCHED: usize = 270;
/// After a start the NAT may hold as many as [`MAX_ENTRIES`] of the run before: so few more, until those are forgotten, are within 300. Enough
/// for the bursts to ten peers; what a burst lacks it makes up for in the next attempt.
const MAX_AFTER_START: usize = 20;
/// A hub whose links fill the budget may still punch this many at a time: links are traffic somebody wants, and no more of them
/// would ever come to be without.
const MIN_PUNCHED: usize = 32;
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
    /// Direct links there are: each is an entry, whether it carries anything just now or not.
    links: usize,
    /// No search takes any until then.
    held_until_us: Option<u64>,
}

impl Budget {
    /// The node has been running before, perhaps a moment ago and in the middle of a search: nobody knows what that left in the NAT,
    /// so no search takes any, and bursts few, until it is forgotten.
    pub(crate) fn hold(&mut self, now: Now) {
        self.held_until_us = Some(now.after(ENTRY_LIFE_US));
    }

    /// May a datagram go from this port to that address now? It is counted when it may.
    pub(crate) fn take(&mut self, now: Now, port: PortId, to: SocketAddr) -> bool {
        self.expire(now);
        let has_room = match self.is_held(now) {
            true => self.expiry.len() < MAX_AFTER_START,
            false => self.entries() < MAX_ENTRIES || self.expiry.len() < MIN_PUNCHED,
        };
        if !has_room && !self.expiry.contains_key(&(port, to)) {
            return false;
        }
        self.note(now.after(ENTRY_LIFE_US), port, to);
        true
    }

    /// How many direct links there are now. One of 32 s or less is counted among what punching made as well: rather too many than too few.
    pub(crate) const fn set_links(&mut self, links: usize) {
        self.links = links;
    }

    /// A path is no more whose last packet, in either direction, passed at `last_us`: the NAT does not know that. Its entry counts
    /// until the NAT forgets it by itself, also where that is more than the budget has: then there is none for anything else.
    pub(crate) fn linger(&mut self, now: Now, port: PortId, to: SocketAddr, last_us: u64) {
        self.expire(now);
        let until = last_us.saturating_add(PATH_LIFE_US);
        if until > now.mono_us {
            self.note(until, port, to);
        }
    }

    /// Counts an entry until then. What was a path is remembered for longer, and one packet more does not shorten that.
    fn note(&mut self, until_us: u64, port: PortId, to: SocketAddr) {
        let known = self.expiry.get(&(port, to)).copied();
        if known.is_some_and(|known| known >= until_us) {
            return;
        }
        if let Some(known) = known {
            self.order.remove(&(known, port, to));
        }
        self.expiry.insert((port, to), until_us);
        self.order.insert((until_us, port, to));
    }

    fn entries(&self) -> usize {
        self.expiry.len().saturating_add(self.links)
    }

    fn is_held(&self, now: Now) -> bool {
        self.held_until_us.is_some_and(|until| now.mono_us < until)
    }

    /// How many more there may be now for a search.
    pub(crate) fn free(&mut self, now: Now) -> usize {
        self.expire(now);
        if self.is_held(now) { 0 } else { MAX_SEARCHED.saturating_sub(self.entries()) }
    }

    /// When there is more for a search: the oldest entry is forgotten, and nothing holds it.
    pub(crate) fn next_free_us(&self) -> Option<u64> {
        self.order.first().map(|(until, ..)| *until).max(self.held_until_us)
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
    fn an_entry_in_use_is_renewed_and_links_count_as_long_as_they_live_and_two_minutes_longer() {
        let mut budget = Budget::default();
        let to = |port: u16| SocketAddr::from(([203, 0, 113, 9], port));
        for port in 0..u16::try_from(MAX_ENTRIES).unwrap() {
            assert!(budget.take(at(0), PortId::MAIN, to(port)));
        }
        assert!(!budget.take(at(1), PortId::MAIN, to(60_000)));
        assert!(budget.take(at(1), PortId::MAIN, to(7)), "known pairs cost nothing");
        assert_eq!(budget.free(at(2)), 0);
        assert_eq!(budget.next_free_us(), Some(ENTRY_LIFE_US));
        budget.set_links(100);
        assert_eq!(budget.free(at(ENTRY_LIFE_US)), MAX_SEARCHED - 100 - 1, "the renewed one lives on");
        let later = at(2 * ENTRY_LIFE_US);
        budget.linger(later, PortId::MAIN, to(50_000), later.mono_us);
        budget.set_links(99);
        assert_eq!(budget.free(later), MAX_SEARCHED - 99 - 1);
    }

    #[test]
    fn a_hub_full_of_links_still_punches_a_few_and_a_node_just_started_hardly_more() {
        let to = |port: u16| SocketAddr::from(([203, 0, 113, 9], port));
        let taken = |budget: &mut Budget| (0..500).filter(|port| budget.take(at(0), PortId::MAIN, to(*port))).count();
        let mut hub = Budget::default();
        hub.set_links(1_000);
        assert_eq!((taken(&mut hub), hub.free(at(0))), (MIN_PUNCHED, 0));
        let mut fresh = Budget::default();
        fresh.hold(at(0));
        assert_eq!((taken(&mut fresh), fresh.free(at(0))), (MAX_AFTER_START, 0));
        const { assert!(MAX_ENTRIES + MAX_AFTER_START <= 300) };
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
