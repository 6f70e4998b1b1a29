//! Peers that traffic goes to: packets waiting for a path, paths through relays, and which of them is used.
//!
//! A path is direct, or a circuit through relays. Every common relay gives one; the used ("primary") path is the open one with the
//! smallest measured round trip, and the others stay open and are measured too. A path whose relay lost its control link or
//! that stops answering is left at once; a merely faster one has to be clearly faster, and ten seconds lie between two such
//! voluntary changes (pitfall 17).

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use netflow_wire::NodeId;
use netflow_wire::relay::{INITIAL_HOP_LIMIT, RELAY_HEADER_LEN, RelayRepr};

use super::fragments::Reassembly;
use crate::endpoint::{Endpoint, PathKey, PortId};
use crate::netlog::ShortHead;
use crate::session::{PeerRef, Source};
use crate::time::{MILLI_US, Now, SECOND_US};

/// Packets kept per peer while there is no path yet. The session keeps as many again during the handshake.
const MAX_WAITING: usize = 64;
/// Peers with traffic or a path at a time. About 1 KB each without waiting packets.
pub(super) const MAX_PEERS: usize = 4_096;
/// Shortest time between two voluntary changes of path.
const MIN_SWITCH_US: u64 = 10 * SECOND_US;
/// A path must be this much faster to be worth a change: both a part and an absolute amount, against jitter.
const BETTER_PART: u64 = 5;
const BETTER_US: u64 = 5 * MILLI_US;
/// Probes without answer after which a path is dead.
const DEAD_AFTER: u32 = 3;
/// A circuit asked for and not answered is asked for again after this time, doubling up to the longest.
const OPEN_RETRY_US: u64 = 2 * SECOND_US;
const MAX_OPEN_RETRY_US: u64 = 60 * SECOND_US;

/// How a path stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Circuit {
    /// Asked for; asked again when due.
    Wanted { due_us: u64, tries: u32 },
    /// Carries frames through relays.
    Open { to: Endpoint, label: u32, epoch: u16 },
    /// Carries frames without a relay.
    Direct { to: Endpoint },
}

/// An open path, ready to send on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Via {
    pub(super) key: PathKey,
    pub(super) to: Endpoint,
    /// Label and epoch, when a relay is in the way.
    pub(super) label: Option<(u32, u16)>,
}

impl Via {
    /// Bytes in front of an end-to-end frame.
    pub(super) const fn header_len(&self) -> usize {
        if self.label.is_some() { RELAY_HEADER_LEN } else { 0 }
    }

    /// Appends what goes in front of an end-to-end frame.
    pub(super) fn push_header(&self, datagram: &mut Vec<u8>) {
        if let Some((label, epoch)) = self.label {
            datagram.extend_from_slice(&RelayRepr { hop_limit: INITIAL_HOP_LIMIT, epoch, label }.to_bytes());
        }
    }

    /// A frame of ours as a datagram for this path.
    pub(super) fn wrap(&self, frame: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::with_capacity(self.header_len().saturating_add(frame.len()));
        self.push_header(&mut datagram);
        datagram.extend_from_slice(frame);
        datagram
    }

    /// Where frames of this path come from, for cookies.
    pub(super) fn source(&self) -> Source {
        match self.label {
            Some((label, _)) => Source::Relayed { relay: self.to.limit_addr(), label },
            None => Source::Direct(self.to.limit_addr()),
        }
    }
}

/// One path to a peer.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) circuit: Circuit,
    /// The control link of its relay is down: used only when nothing else is there.
    pub(super) suspect: bool,
    pub(super) rtt_us: Option<u64>,
    /// Probe under way: its id and when it left.
    pub(super) probe: Option<(u64, u64)>,
    pub(super) lost: u32,
    pub(super) next_probe_us: u64,
}

impl Path {
    const fn wanted(now: Now) -> Self {
        Self {
            circuit: Circuit::Wanted { due_us: now.mono_us, tries: 0 },
            suspect: false,
            rtt_us: None,
            probe: None,
            lost: 0,
            next_probe_us: 0,
        }
    }

    /// Where its frames go, with label and epoch when relays carry them.
    pub(super) const fn open(&self) -> Option<(Endpoint, Option<(u32, u16)>)> {
        match self.circuit {
            Circuit::Open { to, label, epoch } => Some((to, Some((label, epoch)))),
            Circuit::Direct { to } => Some((to, None)),
            Circuit::Wanted { .. } => None,
        }
    }

    fn label(&self) -> Option<(Endpoint, u32)> {
        self.open().and_then(|(to, label)| Some((to, label?.0)))
    }

    const fn is_dead(&self) -> bool {
        self.lost >= DEAD_AFTER
    }

    /// Smaller is better: usable first, measured first, faster first.
    fn rank(&self) -> (bool, bool, u64) {
        (self.is_dead(), self.suspect, self.rtt_us.unwrap_or(u64::MAX))
    }
}

/// What is known about the peer's copy of the log, and what is being fetched from it.
#[derive(Debug, Default)]
pub(super) struct PeerSync {
    pub(super) their_heads: Vec<ShortHead>,
    /// When to look whether the last pull was answered.
    pub(super) check_us: Option<u64>,
    /// Pulls in a row that brought nothing.
    pub(super) fruitless: u32,
    pub(super) last_heads_us: Option<u64>,
    pub(super) reassembly: Reassembly,
    /// Entry bytes sent to this peer in the second that began then.
    pub(super) sent_window_us: u64,
    pub(super) sent_bytes: usize,
}

/// One peer.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) paths: BTreeMap<PathKey, Path>,
    primary: Option<PathKey>,
    last_switch_us: Option<u64>,
    /// Why the primary path is the one it is.
    pub(super) reason: &'static str,
    waiting: VecDeque<Vec<u8>>,
    /// Last user packet or log entry in either direction.
    pub(super) last_traffic_us: u64,
    pub(super) keepalive_us: Option<u64>,
    pub(super) sync: PeerSync,
}

impl Peer {
    /// Keeps a packet until there is a path. `false`: the oldest one was dropped for it.
    pub(super) fn wait(&mut self, packet: &[u8]) -> bool {
        let room = self.waiting.len() < MAX_WAITING;
        if !room {
            self.waiting.pop_front();
        }
        self.waiting.push_back(packet.to_vec());
        room
    }

    pub(super) fn take_waiting(&mut self) -> VecDeque<Vec<u8>> {
        std::mem::take(&mut self.waiting)
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The path to send on.
    pub(super) fn primary(&self) -> Option<Via> {
        self.via(&self.primary?)
    }

    /// One path, while it is open.
    pub(super) fn via(&self, key: &PathKey) -> Option<Via> {
        let (to, label) = self.paths.get(key)?.open()?;
        Some(Via { key: *key, to, label })
    }

    /// Wants circuits through relays. `true`: ask for them now.
    pub(super) fn want(&mut self, now: Now, key: PathKey) -> bool {
        let path = self.paths.entry(key).or_insert_with(|| Path::wanted(now));
        match &mut path.circuit {
            Circuit::Wanted { due_us, tries } if *due_us <= now.mono_us => {
                let pause = OPEN_RETRY_US.saturating_mul(1 << (*tries).min(5)).min(MAX_OPEN_RETRY_US);
                *tries = tries.saturating_add(1);
                *due_us = now.after(pause);
                true
            }
            Circuit::Wanted { .. } | Circuit::Open { .. } | Circuit::Direct { .. } => false,
        }
    }

    /// When a circuit that is wanted is to be asked for again.
    pub(super) fn next_want(&self) -> Option<u64> {
        let due = |path: &Path| match path.circuit {
            Circuit::Wanted { due_us, .. } => Some(due_us),
            Circuit::Open { .. } | Circuit::Direct { .. } => None,
        };
        self.paths.values().filter_map(due).min()
    }

    /// Circuits that were due but whose relay is not there: later.
    pub(super) fn defer_wants(&mut self, now: Now) {
        for path in self.paths.values_mut() {
            if let Circuit::Wanted { due_us, .. } = &mut path.circuit
                && *due_us <= now.mono_us
            {
                *due_us = now.after(OPEN_RETRY_US);
            }
        }
    }

    /// Chooses the primary path again. `true`: it changed.
    pub(super) fn choose(&mut self, now: Now) -> bool {
        let open = self.paths.iter().filter(|(_, path)| path.open().is_some());
        let best = open.min_by_key(|(key, path)| (path.rank(), **key)).map(|(key, path)| (*key, path.rank()));
        let current = self.primary.filter(|key| self.paths.get(key).is_some_and(|path| path.open().is_some()));
        let current_rank = current.and_then(|key| self.paths.get(&key)).map(Path::rank);
        let (next, reason) = match (best, current.zip(current_rank)) {
            (None, _) => (None, "no path"),
            (Some((key, _)), None) => {
                (Some(key), if self.primary.is_none() { "first path" } else { "last path closed" })
            }
            (Some((key, rank)), Some((current, now_rank))) => {
                let (dead, suspect, rtt) = rank;
                let (now_dead, now_suspect, now_rtt) = now_rank;
                if key == current {
                    return false;
                } else if (now_dead, now_suspect) > (dead, suspect) {
                    (Some(key), if now_dead { "last path stopped answering" } else { "relay connection lost" })
                } else if self.may_switch(now) && is_clearly_faster(rtt, now_rtt) {
                    self.last_switch_us = Some(now.mono_us);
                    (Some(key), "lowest round trip")
                } else {
                    return false;
                }
            }
        };
        let changed = next != self.primary;
        self.primary = next;
        self.reason = reason;
        changed
    }

    fn may_switch(&self, now: Now) -> bool {
        self.last_switch_us.is_none_or(|last| now.since(last) >= MIN_SWITCH_US)
    }
}

fn is_clearly_faster(rtt: u64, than: u64) -> bool {
    rtt < than.saturating_sub(BETTER_US) && rtt < than.saturating_sub(than / BETTER_PART)
}

/// All peers, and whose label is whose.
#[derive(Default)]
pub(super) struct Peers {
    map: BTreeMap<PeerRef, Peer>,
    labels: BTreeMap<(Endpoint, u32), (PeerRef, PathKey)>,
}

impl Peers {
    pub(super) fn get(&self, peer: &PeerRef) -> Option<&Peer> {
        self.map.get(peer)
    }

    pub(super) fn get_mut(&mut self, peer: &PeerRef) -> Option<&mut Peer> {
        self.map.get_mut(peer)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerRef, &Peer)> {
        self.map.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&PeerRef, &mut Peer)> {
        self.map.iter_mut()
    }

    /// The peer, made when there is room for one more.
    pub(super) fn entry(&mut self, peer: PeerRef) -> Option<&mut Peer> {
        if self.map.len() >= MAX_PEERS && !self.map.contains_key(&peer) {
            return None;
        }
        Some(self.map.entry(peer).or_default())
    }

    /// Whose frames carry this label from this address.
    pub(super) fn by_label(&self, from: Endpoint, label: u32) -> Option<(PeerRef, PathKey)> {
        self.labels.get(&(from, label)).copied()
    }

    /// A circuit is open.
    pub(super) fn open(&mut self, now: Now, peer: PeerRef, key: PathKey, to: Endpoint, label: u32, epoch: u16) -> bool {
        self.opened(now, peer, key, Circuit::Open { to, label, epoch })
    }

    /// Our own probe to this address was answered: both directions work without a relay.
    pub(super) fn add_direct(&mut self, now: Now, peer: PeerRef, port: PortId, addr: SocketAddr) -> bool {
        let to = Endpoint::Udp { port, addr };
        self.opened(now, peer, PathKey::Direct { port, addr }, Circuit::Direct { to })
    }

    fn opened(&mut self, now: Now, peer: PeerRef, key: PathKey, circuit: Circuit) -> bool {
        let Some(entry) = self.entry(peer) else { return false };
        if entry.last_traffic_us == 0 {
            entry.last_traffic_us = now.mono_us;
        }
        let path = entry.paths.entry(key).or_insert_with(|| Path::wanted(now));
        let old = path.label();
        path.circuit = circuit;
        let new = path.label();
        path.suspect = false;
        path.lost = 0;
        path.probe = None;
        path.next_probe_us = now.mono_us;
        entry.choose(now);
        if let Some(old) = old {
            self.labels.remove(&old);
        }
        if let Some(new) = new {
            self.labels.insert(new, (peer, key));
        }
        true
    }

    /// A circuit is closed, or was refused: asked for again after `pause_us` when somebody still wants it.
    pub(super) fn closed(&mut self, now: Now, peer: &PeerRef, key: &PathKey, pause_us: u64) {
        let Some(entry) = self.map.get_mut(peer) else { return };
        let Some(path) = entry.paths.get_mut(key) else { return };
        if let Some(label) = path.label() {
            self.labels.remove(&label);
        }
        let tries = match path.circuit {
            Circuit::Wanted { tries, .. } => tries,
            Circuit::Open { .. } | Circuit::Direct { .. } => 0,
        };
        path.circuit = Circuit::Wanted { due_us: now.after(pause_us), tries };
        path.probe = None;
        path.lost = 0;
        entry.choose(now);
    }

    /// The control link of a relay is down (or up again): its paths are the last choice (or as good as any).
    pub(super) fn set_suspect(&mut self, now: Now, relay: &NodeId, suspect: bool) {
        for peer in self.map.values_mut() {
            let through = peer.paths.iter_mut().filter(|(key, _)| key.first_relay() == Some(*relay));
            if through.map(|(_, path)| path.suspect = suspect).count() > 0 {
                peer.choose(now);
            }
        }
    }

    /// Removes a peer and its labels. Returns the paths through relays that were open.
    pub(super) fn remove(&mut self, peer: &PeerRef) -> Vec<PathKey> {
        let Some(entry) = self.map.remove(peer) else { return Vec::new() };
        self.labels.retain(|_, (owner, _)| owner != peer);
        entry.paths.into_iter().filter(|(_, path)| path.label().is_some()).map(|(key, _)| key).collect()
    }

    /// Forgets every path through a relay this node does not use any more.
    pub(super) fn forget_relay(&mut self, now: Now, relay: &NodeId) {
        self.labels.retain(|_, (_, key)| key.first_relay() != Some(*relay));
        for peer in self.map.values_mut() {
            let before = peer.paths.len();
            peer.paths.retain(|key, _| key.first_relay() != Some(*relay));
            if peer.paths.len() < before {
                peer.choose(now);
            }
        }
    }

    pub(super) fn of_network(&self, network: &netflow_wire::NetworkId) -> Vec<PeerRef> {
        self.map.keys().filter(|peer| peer.network == *network).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_us: u64) -> Now {
        Now { mono_us, unix_s: 0 }
    }

    fn relay(byte: u8) -> PathKey {
        PathKey::relay(NodeId([byte; 32]))
    }

    fn with_two_paths() -> Peer {
        let mut peer = Peer::default();
        for byte in [1, 2] {
            let mut path = Path::wanted(at(0));
            let to = Endpoint::main(SocketAddr::from(([192, 0, 2, byte], 1)));
            path.circuit = Circuit::Open { to, label: u32::from(byte), epoch: 0 };
            path.rtt_us = Some(40_000);
            peer.paths.insert(relay(byte), path);
        }
        peer.choose(at(0));
        peer
    }

    #[test]
    fn a_path_that_stops_answering_is_left_at_once() {
        let mut peer = with_two_paths();
        let first = peer.primary().unwrap().key;
        peer.paths.get_mut(&first).unwrap().lost = DEAD_AFTER;
        assert!(peer.choose(at(1)));
        assert_ne!(peer.primary().unwrap().key, first);
    }

    #[test]
    fn voluntary_changes_are_ten_seconds_apart_however_the_measurements_jump() {
        let mut peer = with_two_paths();
        let mut changes = 0;
        for step in 0..1_000u64 {
            let fast = relay(1 + u8::from(step % 2 == 0));
            for (key, path) in &mut peer.paths {
                path.rtt_us = Some(if *key == fast { 10_000 } else { 90_000 });
            }
            changes += u32::from(peer.choose(at(step * 100_000)));
        }
        assert!(changes <= 11, "{changes} changes in 100 seconds");
    }
}
