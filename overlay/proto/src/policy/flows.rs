//! Bounded memory of the engine: flows that rules allowed, and packets whose first fragment passed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netflow_wire::NodeId;

use super::packet::{FirstFragment, Tuple};
use crate::time::{Now, SECOND_US};

/// Flows of a network on one node. At about 150 bytes each: 10 MiB.
pub(super) const MAX_FLOWS: usize = 65_536;
/// Flows with one peer: an eighth, so one hostile member cannot make the node forget the flows of the others.
pub(super) const MAX_FLOWS_PER_PEER: usize = MAX_FLOWS / 8;
/// Idle time after which replies of TCP and UDP no longer pass: above every usual keepalive (RFC 4787 asks for two minutes at least).
const IDLE_PORTS_US: u64 = 300 * SECOND_US;
/// The same for everything without ports: an echo is answered at once or never.
const IDLE_OTHER_US: u64 = 30 * SECOND_US;
/// Packets in the middle of reassembly, of one peer and of all.
const MAX_FRAGMENTED_PER_PEER: usize = 64;
const MAX_FRAGMENTED: usize = 4_096;
/// Linux gives up reassembly after 30 s (`ipfrag_time`).
const FRAGMENT_US: u64 = 30 * SECOND_US;
/// Least time between two searches for expired entries: a search visits all of them.
const SWEEP_US: u64 = SECOND_US;

struct Flow {
    peer: NodeId,
    last_us: u64,
    /// Revision of the log under which a rule allowed it.
    revision: u64,
}

/// Flows by the tuple of the packet that opened them.
#[derive(Default)]
pub(super) struct Flows {
    flows: BTreeMap<Tuple, Flow>,
    per_peer: BTreeMap<NodeId, usize>,
    swept_us: u64,
}

impl Flows {
    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    /// Is this flow open? `still_allowed` is asked when the log has changed since a rule allowed it.
    pub(super) fn touch(
        &mut self,
        opener: &Tuple,
        now: Now,
        revision: u64,
        still_allowed: impl FnOnce() -> bool,
    ) -> bool {
        let Some(flow) = self.flows.get_mut(opener) else { return false };
        let idle_us = if has_ports(opener.proto) { IDLE_PORTS_US } else { IDLE_OTHER_US };
        let alive = now.since(flow.last_us) <= idle_us && (flow.revision == revision || still_allowed());
        if alive {
            flow.last_us = now.mono_us;
            flow.revision = revision;
        } else {
            self.remove(opener);
        }
        alive
    }

    /// Remembers a flow a rule allowed. Without room it is not remembered: its packets pass by the rule, its replies do not.
    pub(super) fn open(&mut self, opener: Tuple, peer: NodeId, now: Now, revision: u64) {
        if self.is_full(&peer) {
            self.sweep(now);
        }
        if self.is_full(&peer) {
            return;
        }
        if self.flows.insert(opener, Flow { peer, last_us: now.mono_us, revision }).is_none() {
            *self.per_peer.entry(peer).or_default() += 1;
        }
    }

    fn is_full(&self, peer: &NodeId) -> bool {
        self.flows.len() >= MAX_FLOWS || self.per_peer.get(peer).is_some_and(|&count| count >= MAX_FLOWS_PER_PEER)
    }

    /// Drops expired flows, at most once a second.
    pub(super) fn sweep(&mut self, now: Now) {
        if now.since(self.swept_us) < SWEEP_US {
            return;
        }
        self.swept_us = now.mono_us;
        let expired = |opener: &Tuple, flow: &Flow| {
            now.since(flow.last_us) > if has_ports(opener.proto) { IDLE_PORTS_US } else { IDLE_OTHER_US }
        };
        let per_peer = &mut self.per_peer;
        self.flows.retain(|opener, flow| {
            let keep = !expired(opener, flow);
            if !keep {
                forget(per_peer, &flow.peer);
            }
            keep
        });
    }

    fn remove(&mut self, opener: &Tuple) {
        if let Some(flow) = self.flows.remove(opener) {
            forget(&mut self.per_peer, &flow.peer);
        }
    }
}

fn forget(per_peer: &mut BTreeMap<NodeId, usize>, peer: &NodeId) {
    if let Some(count) = per_peer.get_mut(peer) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            per_peer.remove(peer);
        }
    }
}

fn has_ports(proto: u8) -> bool {
    proto == etherparse::IpNumber::TCP.0 || proto == etherparse::IpNumber::UDP.0
}

/// Names a packet in fragments.
type FragmentKey = (IpAddr, IpAddr, u32);

struct Passed {
    covered: usize,
    since_us: u64,
}

/// Packets whose first fragment passed. Their later fragments pass while this remembers them; later fragments that come first do not.
#[derive(Default)]
pub(super) struct Fragments {
    peers: BTreeMap<NodeId, BTreeMap<FragmentKey, Passed>>,
    count: usize,
    swept_us: u64,
}

impl Fragments {
    pub(super) fn pass(&mut self, peer: NodeId, source: IpAddr, dest: IpAddr, first: FirstFragment, now: Now) {
        if self.is_full(&peer) {
            self.sweep(now);
        }
        if self.is_full(&peer) {
            return;
        }
        let passed = Passed { covered: first.covered, since_us: now.mono_us };
        if self.peers.entry(peer).or_default().insert((source, dest, first.id), passed).is_none() {
            self.count += 1;
        }
    }

    /// The first fragment of this packet was denied: so are the others, even if an earlier packet of the same name passed.
    pub(super) fn deny(&mut self, peer: &NodeId, source: IpAddr, dest: IpAddr, id: u32) {
        if let Some(packets) = self.peers.get_mut(peer)
            && packets.remove(&(source, dest, id)).is_some()
        {
            self.count -= 1;
            if packets.is_empty() {
                self.peers.remove(peer);
            }
        }
    }

    /// May this later fragment pass? One that reaches into the transport header of the first never does (RFC 3128).
    pub(super) fn tail(&self, peer: &NodeId, source: IpAddr, dest: IpAddr, id: u32, offset: usize, now: Now) -> bool {
        let passed = self.peers.get(peer).and_then(|packets| packets.get(&(source, dest, id)));
        passed.is_some_and(|passed| now.since(passed.since_us) <= FRAGMENT_US && offset >= passed.covered)
    }

    fn is_full(&self, peer: &NodeId) -> bool {
        self.count >= MAX_FRAGMENTED
            || self.peers.get(peer).is_some_and(|packets| packets.len() >= MAX_FRAGMENTED_PER_PEER)
    }

    fn sweep(&mut self, now: Now) {
        if now.since(self.swept_us) < SWEEP_US {
            return;
        }
        self.swept_us = now.mono_us;
        self.peers.retain(|_, packets| {
            packets.retain(|_, passed| now.since(passed.since_us) <= FRAGMENT_US);
            !packets.is_empty()
        });
        self.count = self.peers.values().map(BTreeMap::len).sum();
    }
}
