//! The birthday search: one side's NAT gives every flow a random port (the *opener*), the other side's mapping is stable but its
//! filter lets in only whom it has written to (the *seeker*).
//!
//! The opener opens up to 64 local ports and sends from each to the seeker's stable address: 64 mappings, at ports unknown to
//! everybody. The seeker sends from its stable port to one port after the other of the opener's address. When it meets one of
//! the 64, both NATs have seen both directions, and the link stands.
//!
//! The odds, with 64 mappings among 64,512 ports (1024..=65535) and at most 270 live entries at the seeker's NAT, each 32 s long:
//! a window of 270 probes meets with probability 1 - (1 - 270/64,512)^64 = 24 %, and there is one window every 32 s.
//! Over 4,000 simulated searches: median 67 s, mean 95 s, 75 % within 133 s, 90 % within the four minutes after which it stops
//! by itself, 99 % within eight minutes, which is the second attempt. More speed would cost more entries, and it is the entries
//! that hurt home routers (pitfall 15). Two random NATs would need the square of it: 64,512 / 64 / 64 windows; they stay relayed.

use std::net::SocketAddr;

use netflow_wire::inner::{Candidate, CandidateKind, Mapping};
use rand_core::CryptoRng;

use super::candidates::is_private;
use crate::endpoint::PortId;
use crate::time::{MILLI_US, Now, SECOND_US};

/// Local ports of one node for punching, all peers together.
pub(crate) const MAX_PORTS: usize = 64;
/// Fewer are not worth a search: a window would meet with less than 7 %.
pub(crate) const MIN_PORTS: usize = 16;
/// A search ends by itself after this time.
pub(crate) const SEARCH_US: u64 = 240 * SECOND_US;
/// The opener renews its mappings this often: a NAT forgets an unanswered flow after 30 s.
const RENEW_US: u64 = 20 * SECOND_US;
/// Distance of the seeker's probes while the budget has room, 50 a second: a home router does not notice.
const PROBE_GAP_US: u64 = 20 * MILLI_US;
/// How often a seeker looks whether links have left room in the budget.
const FULL_GAP_US: u64 = SECOND_US;
/// Distance of the opener's packets.
const OPEN_GAP_US: u64 = 10 * MILLI_US;
/// Lowest port a NAT gives out.
const FIRST_PORT: u32 = 1024;
/// How many there are above it.
const PORT_COUNT: u32 = 65_536 - FIRST_PORT;

/// Which side of a search this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Random mapping: opens many ports.
    Opener,
    /// Stable mapping: tries many remote ports.
    Seeker,
}

/// The role of this node in a search with a peer; `None` when there is nothing to search: both stable (the burst was enough),
/// both random (hopeless), or not known.
pub(crate) const fn role(own: Mapping, theirs: Mapping) -> Option<Role> {
    match (is_random(own), is_random(theirs)) {
        (true, false) if matches!(theirs, Mapping::EndpointIndependent) => Some(Role::Opener),
        (false, true) if matches!(own, Mapping::EndpointIndependent) => Some(Role::Seeker),
        _ => None,
    }
}

/// Does every new destination get an external port nobody can foretell?
pub(crate) const fn is_random(mapping: Mapping) -> bool {
    matches!(mapping, Mapping::AddressDependent | Mapping::AddressAndPortDependent)
}

/// The public IPv4 endpoint of a peer a search is about; IPv6 has no port translation.
pub(crate) fn target(theirs: &[Candidate]) -> Option<SocketAddr> {
    let public = |candidate: &&Candidate| {
        let ip = candidate.addr.ip();
        ip.is_ipv4() && !is_private(ip)
    };
    let reflexive = |candidate: &&Candidate| candidate.kind == CandidateKind::ServerReflexive;
    let found = theirs.iter().filter(public).find(reflexive).or_else(|| theirs.iter().find(public));
    found.map(|candidate| candidate.addr)
}

/// Every port of a NAT once, in an order nobody can foretell, without remembering any.
#[derive(Clone, Copy, Debug)]
struct PortOrder {
    at: u32,
    stride: u32,
    left: u32,
}

impl PortOrder {
    fn new(rng: &mut dyn CryptoRng) -> Self {
        // A stride without a common divisor with the number of ports visits all of them.
        let mut stride = (rng.next_u32() % PORT_COUNT) | 1;
        while gcd(stride, PORT_COUNT) != 1 {
            stride = (stride + 2) % PORT_COUNT;
        }
        Self { at: rng.next_u32() % PORT_COUNT, stride, left: PORT_COUNT }
    }

    fn next(&mut self) -> Option<u16> {
        self.left = self.left.checked_sub(1)?;
        self.at = (self.at + self.stride) % PORT_COUNT;
        u16::try_from(FIRST_PORT + self.at).ok()
    }
}

const fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// One search under way.
#[derive(Debug)]
pub(crate) struct Search {
    role: Role,
    /// Opener: the seeker's stable endpoint. Seeker: the opener's address; its port is not used.
    target: SocketAddr,
    until_us: u64,
    next_us: u64,
    order: PortOrder,
    /// Openers: our ports and when each is due.
    ports: Vec<(PortId, u64)>,
    /// Openers start with packets that die on the way: see [`super::punch::OPENER_TTL`].
    ttl: Option<u8>,
}

/// One packet of a search: from, to, IP TTL.
pub(crate) type Shot = (PortId, SocketAddr, Option<u8>);

impl Search {
    /// Starts. `ttl`: for the opener's packets.
    pub(crate) fn new(now: Now, rng: &mut dyn CryptoRng, role: Role, target: SocketAddr, ttl: Option<u8>) -> Self {
        let until_us = now.after(SEARCH_US);
        Self { role, target, until_us, next_us: now.mono_us, order: PortOrder::new(rng), ports: Vec::new(), ttl }
    }

    pub(crate) const fn role(&self) -> Role {
        self.role
    }

    pub(crate) const fn is_over(&self, now: Now) -> bool {
        now.mono_us >= self.until_us
    }

    /// A local port is open: it sends from now on.
    pub(crate) fn port_opened(&mut self, now: Now, port: PortId) {
        self.ports.push((port, now.mono_us));
        self.next_us = self.next_us.min(now.mono_us);
    }

    /// What to send next, if anything is due; sets the next time. `next_free_us`: when the budget, full now, has room again.
    pub(crate) fn poll(&mut self, now: Now, free: usize, next_free_us: Option<u64>) -> Option<Shot> {
        if now.mono_us < self.next_us || self.is_over(now) {
            return None;
        }
        match self.role {
            Role::Opener => {
                let due =
                    self.ports.iter_mut().min_by_key(|(_, due_us)| *due_us).filter(|(_, due)| *due <= now.mono_us);
                let shot = due.map(|(port, due_us)| {
                    *due_us = now.after(RENEW_US);
                    (*port, self.target, self.ttl)
                });
                let next = self.ports.iter().map(|(_, due_us)| *due_us).min().unwrap_or(self.until_us);
                self.next_us = next.max(now.after(OPEN_GAP_US));
                shot
            }
            Role::Seeker if free == 0 => {
                // Nothing that runs out: links fill it.
                self.next_us = next_free_us.unwrap_or(now.after(FULL_GAP_US)).max(now.after(PROBE_GAP_US));
                None
            }
            Role::Seeker => {
                self.next_us = now.after(PROBE_GAP_US);
                let port = self.order.next()?;
                Some((PortId::MAIN, SocketAddr::new(self.target.ip(), port), None))
            }
        }
    }

    /// When [`Search::poll`] is due, or the search over.
    pub(crate) fn due_us(&self) -> u64 {
        self.next_us.min(self.until_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use crate::nat::budget::Budget;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng, SeedableRng};

    #[test]
    fn the_order_visits_every_port_once() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for _ in 0..5 {
            let mut order = PortOrder::new(&mut rng);
            let seen: BTreeSet<u16> = std::iter::from_fn(|| order.next()).collect();
            assert_eq!((seen.len(), seen.first(), seen.last()), (64_512, Some(&1024), Some(&65_535)));
        }
    }

    /// Runs seekers against 64 random mappings; the time each took, if it met.
    fn searches(count: u64) -> Vec<Option<u64>> {
        let one = |seed| {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let mut mappings = BTreeSet::new();
            while mappings.len() < MAX_PORTS {
                mappings.insert(u16::try_from(1024 + rng.next_u32() % 64_512).unwrap());
            }
            let mut now = Now { mono_us: 1, unix_s: 0 };
            let target = SocketAddr::from(([203, 0, 113, 9], 1));
            let mut search = Search::new(now, &mut rng, Role::Seeker, target, None);
            let mut budget = Budget::default();
            while !search.is_over(now) {
                let (free, next) = (budget.free(now), budget.next_free_us());
                if let Some((port, to, _)) = search.poll(now, free, next) {
                    assert!(budget.take(now, port, to));
                    if mappings.contains(&to.port()) {
                        return Some(now.mono_us);
                    }
                }
                now.mono_us = search.due_us().max(now.mono_us + 1);
            }
            None
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn nine_of_ten_searches_meet_within_their_four_minutes() {
        let mut times: Vec<u64> = searches(400).into_iter().flatten().collect();
        times.sort_unstable();
        assert!((340..=380).contains(&times.len()), "{} of 400 met", times.len());
        let median = times.get(200).copied().unwrap() / SECOND_US;
        assert!((45..=95).contains(&median), "median {median} s");
    }

    #[test]
    fn an_opener_keeps_each_mapping_alive_and_stops_by_itself() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let mut now = Now { mono_us: 0, unix_s: 0 };
        let target = SocketAddr::from(([203, 0, 113, 9], 4790));
        let mut search = Search::new(now, &mut rng, Role::Opener, target, Some(5));
        for port in 0..64 {
            search.port_opened(now, PortId(PortId::FIRST_PUNCH.0 + port));
        }
        let mut last = std::collections::BTreeMap::new();
        let mut sent = 0;
        while !search.is_over(now) {
            if let Some((port, to, ttl)) = search.poll(now, 0, None) {
                assert_eq!((to, ttl), (target, Some(5)));
                let before = last.insert(port, now.mono_us);
                assert!(before.is_none_or(|before| now.mono_us - before < 25 * SECOND_US));
                sent += 1;
            }
            now.mono_us = search.due_us().max(now.mono_us + 1);
        }
        assert_eq!(last.len(), 64);
        assert!((64 * 11..=64 * 12).contains(&sent), "{sent} packets in four minutes");
        assert_eq!(now.mono_us, SEARCH_US);
    }

    #[test]
    fn only_one_random_side_is_worth_a_search() {
        use Mapping::{AddressAndPortDependent as Random, EndpointIndependent as Stable, Unknown};
        assert_eq!(role(Random, Stable), Some(Role::Opener));
        assert_eq!(role(Stable, Random), Some(Role::Seeker));
        for (own, theirs) in [(Stable, Stable), (Random, Random), (Unknown, Random), (Random, Unknown)] {
            assert_eq!(role(own, theirs), None);
        }
    }
}
