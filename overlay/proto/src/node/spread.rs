//! Bulk traffic over several paths that are as good as each other: each flow stays on one, and many flows fill all of them.
//!
//! Which path a flow takes is its highest ticket (rendezvous hashing): when a path leaves, only its own flows move, and when one comes
//! back, only the flows it wins. A path gets as many tickets as it is worth when it comes, and keeps that number: measurements move all
//! the time, packets of one flow must not. One is taken in at most every [`MIN_SWITCH_US`], like every change for the better.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::endpoint::PathKey;
use crate::path::select::{Equal, MIN_SWITCH_US};
use crate::time::Now;

/// Paths at a time: more only cost probes.
const MAX_PATHS: usize = 4;
/// Tickets of the best path.
const MAX_TICKETS: u64 = 8;
/// IP protocols with ports where TCP has them: TCP, UDP, DCCP, SCTP, UDP-Lite.
const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    key: PathKey,
    seed: u64,
    tickets: u64,
}

/// The paths the bulk flows of one peer are spread over: none, or two and more.
#[derive(Debug, Default)]
pub(super) struct Spread {
    members: Vec<Member>,
    changed_us: Option<u64>,
}

impl Spread {
    /// Brings it in line with what is as good as the path that was chosen. `equals`: all that work, the cheapest first.
    pub(super) fn update(&mut self, now: Now, chosen: Option<PathKey>, equals: &[Equal<PathKey>]) {
        let find = |key: &PathKey| equals.iter().find(|equal| equal.key == *key);
        // Gone, or not to be relied on: its flows cannot wait.
        self.members.retain(|member| find(&member.key).is_some());
        let Some(chosen) = chosen.filter(|key| find(key).is_some()) else {
            self.members.clear();
            return;
        };
        let best = equals.iter().map(|equal| equal.weight).max().unwrap_or(1).max(1);
        if !self.has(&chosen) {
            if self.members.len() >= MAX_PATHS {
                self.members.pop();
            }
            self.members.extend(find(&chosen).map(|equal| Member::new(equal, best)));
        }
        if self.changed_us.is_some_and(|at_us| now.since(at_us) < MIN_SWITCH_US) {
            return;
        }
        let before = self.members.len();
        self.members.retain(|member| member.key == chosen || find(&member.key).is_some_and(|equal| !equal.is_far));
        let mut changed = self.members.len() != before;
        for equal in equals.iter().filter(|equal| equal.is_near) {
            if self.members.len() < MAX_PATHS && !self.has(&equal.key) {
                self.members.push(Member::new(equal, best));
                changed = true;
            }
        }
        if changed {
            self.changed_us = Some(now.mono_us);
        }
    }

    /// Is there a choice at all?
    pub(super) const fn is_wide(&self) -> bool {
        self.members.len() > 1
    }

    /// Does it use this path?
    pub(super) fn has(&self, key: &PathKey) -> bool {
        self.members.iter().any(|member| member.key == *key)
    }

    /// The path of the flow this packet belongs to. `None`: there is no choice.
    pub(super) fn pick(&self, packet: &[u8]) -> Option<PathKey> {
        if !self.is_wide() {
            return None;
        }
        let flow = flow_hash(packet);
        let highest = |member: &Member| (0..member.tickets).map(|ticket| mix(flow ^ mix(member.seed ^ ticket))).max();
        self.members.iter().max_by_key(|member| highest(member)).map(|member| member.key)
    }
}

impl Member {
    fn new(equal: &Equal<PathKey>, best: u64) -> Self {
        // Fixed keys: the same path has the same tickets in every run.
        let mut hasher = DefaultHasher::new();
        equal.key.hash(&mut hasher);
        let tickets = (equal.weight.saturating_mul(MAX_TICKETS) / best).clamp(1, MAX_TICKETS);
        Self { key: equal.key, seed: hasher.finish(), tickets }
    }
}

/// Addresses, protocol and ports of an IP packet. Fragments have no ports: all of a packet go one way, the first one too.
fn flow_hash(packet: &[u8]) -> u64 {
    let byte = |at: usize| packet.get(at).copied().unwrap_or(0);
    let (addresses, protocol, transport) = match byte(0) >> 4 {
        4 => {
            let is_fragment = byte(6) & 0x3f != 0 || byte(7) != 0;
            let transport = (!is_fragment).then_some(usize::from(byte(0) & 0x0f) * 4);
            (12..20, byte(9), transport)
        }
        // Behind an extension header no ports are looked for: the flow label is a part of the addresses' flow (RFC 6437, 3).
        _ => (8..40, byte(6), Some(40)),
    };
    let mut hash = mix(u64::from(protocol));
    let mut add = |bytes: &[u8]| {
        for chunk in bytes.chunks(8) {
            let word = chunk.iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
            hash = mix(hash ^ word);
        }
    };
    add(packet.get(addresses).unwrap_or_default());
    if let Some(ports) = transport.filter(|_| WITH_PORTS.contains(&protocol)) {
        add(packet.get(ports..ports + 4).unwrap_or_default());
    }
    hash
}

/// Splitmix64: every bit of the input moves half of those of the output.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use etherparse::PacketBuilder;
    use netflow_wire::NodeId;

    use super::*;
    use crate::time::SECOND_US;

    fn at(mono_us: u64) -> Now {
        Now { mono_us, unix_s: 0 }
    }

    fn key(number: u8) -> PathKey {
        PathKey::relay(NodeId([number; 32]))
    }

    fn near(number: u8, weight: u64) -> Equal<PathKey> {
        Equal { key: key(number), weight, is_near: true, is_far: false }
    }

    fn flow(port: u16, length: usize) -> Vec<u8> {
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv4([100, 64, 0, 1], [100, 64, 0, 2], 64).tcp(port, 5_201, 1, 2);
        builder.write(&mut packet, &vec![0; length]).unwrap();
        packet
    }

    /// The path of each of many flows.
    fn paths(spread: &Spread) -> BTreeMap<u16, PathKey> {
        (1_000..9_000).map(|port| (port, spread.pick(&flow(port, 10)).unwrap())).collect()
    }

    fn share(paths: &BTreeMap<u16, PathKey>, number: u8) -> usize {
        paths.values().filter(|path| **path == key(number)).count() * 100 / paths.len()
    }

    #[test]
    fn flows_fill_every_path_by_its_worth_and_one_path_is_no_choice() {
        let mut spread = Spread::default();
        spread.update(at(0), Some(key(1)), &[near(1, 100)]);
        assert_eq!(spread.pick(&flow(1, 1)), None);
        let mut spread = Spread::default();
        spread.update(at(0), Some(key(1)), &[near(1, 100), near(2, 100), near(3, 50)]);
        let paths = paths(&spread);
        for (number, expected) in [(1, 40), (2, 40), (3, 20)] {
            assert!(share(&paths, number).abs_diff(expected) <= 3, "{number}: {} %", share(&paths, number));
        }
    }

    #[test]
    fn packets_of_a_flow_stay_together_whatever_is_measured() {
        let mut spread = Spread::default();
        spread.update(at(0), Some(key(1)), &[near(1, 100), near(2, 100)]);
        let before = paths(&spread);
        for second in 1..60 {
            let weights = [near(1, 100 + second * 7 % 40), near(2, 100 + second * 13 % 50)];
            spread.update(at(second * SECOND_US), Some(key(1)), &weights);
        }
        assert_eq!(paths(&spread), before);
        assert_eq!(spread.pick(&flow(7_777, 10)), spread.pick(&flow(7_777, 1_300)), "and the size is no part of it");
        let mut first = flow(7_777, 1_000);
        first[6] = 0x20;
        let mut second = first.clone();
        second[7] = 100;
        second[20..24].copy_from_slice(&[9; 4]);
        assert_eq!(spread.pick(&first), spread.pick(&second), "fragments of one packet go one way");
    }

    #[test]
    fn when_a_path_goes_only_its_flows_move_and_it_comes_back_after_ten_seconds() {
        let mut spread = Spread::default();
        spread.update(at(0), Some(key(1)), &[near(1, 100), near(2, 100), near(3, 100)]);
        let before = paths(&spread);
        // Dead: it is not among those that work, and its flows leave at once.
        spread.update(at(SECOND_US), Some(key(1)), &[near(1, 100), near(3, 100)]);
        let after = paths(&spread);
        assert!(after.iter().all(|(port, path)| *path != key(2) && (before[port] == key(2) || before[port] == *path)));
        spread.update(at(2 * SECOND_US), Some(key(1)), &[near(1, 100), near(2, 100), near(3, 100)]);
        assert!(!spread.has(&key(2)), "one change for the better in ten seconds");
        spread.update(at(11 * SECOND_US), Some(key(1)), &[near(1, 100), near(2, 100), near(3, 100)]);
        assert_eq!(paths(&spread), before);
    }

    #[test]
    fn a_path_that_got_worse_is_left_and_the_chosen_one_is_always_there() {
        let far = |number, weight| Equal { is_near: false, is_far: true, ..near(number, weight) };
        let between = |number, weight| Equal { is_near: false, ..near(number, weight) };
        let mut spread = Spread::default();
        spread.update(at(0), Some(key(1)), &[near(1, 100), near(2, 100)]);
        spread.update(at(10 * SECOND_US), Some(key(1)), &[near(1, 100), between(2, 80)]);
        assert!(spread.has(&key(2)), "a little worse is no reason to move flows");
        spread.update(at(20 * SECOND_US), Some(key(1)), &[near(1, 100), far(2, 30)]);
        assert!(!spread.has(&key(2)) && !spread.is_wide());
        spread.update(at(21 * SECOND_US), Some(key(9)), &[near(9, 100), near(1, 100)]);
        assert!(spread.has(&key(9)) && spread.has(&key(1)));
        spread.update(at(22 * SECOND_US), None, &[]);
        assert!(!spread.is_wide() && !spread.has(&key(1)));
        let all: Vec<Equal<PathKey>> = (0..9).map(|number| near(number, 100)).collect();
        spread.update(at(60 * SECOND_US), Some(key(8)), &all);
        assert_eq!(spread.members.len(), MAX_PATHS);
    }

    #[test]
    fn any_bytes_have_a_path() {
        let mut spread = Spread::default();
        spread.update(at(0), Some(key(1)), &[near(1, 100), near(2, 100)]);
        for first in [0x00, 0x45, 0x4f, 0x60, 0xff] {
            for length in 0..80 {
                assert!(spread.pick(&vec![first; length]).is_some());
            }
        }
    }
}
