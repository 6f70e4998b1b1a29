//! Keeping copies of a log equal: over links to relays in whole messages, over sessions in fragments.
//!
//! Both ways work alike and cost O(change). Each side shows its heads; who lacks something pulls exactly that. What is new
//! is pushed at once: to every attached relay, and, when it is a revocation or did not come from a relay, to every peer
//! with a session, so that a revocation spreads with every relay's control link down.

use netflow_wire::control::ControlMessage;
use netflow_wire::inner::{Inner, MAX_ITEMS, ShortHead, ShortRange, fragments};
use netflow_wire::{Head, NetworkId, NodeId, Range};

use super::Node;
use super::api::{Event, LinkId, Persist};
use crate::netlog::{self, EntryBody, Inserted, LogError, SignedEntry};
use crate::relay::{batches, gap_ranges};
use crate::session::PeerRef;
use crate::time::{MILLI_US, Now, SECOND_US};

/// Shortest time between two of our heads to one peer.
const HEADS_GAP_US: u64 = 2 * SECOND_US;
/// How long after the last piece of an answer the next pull is due.
const PULL_CHECK_US: u64 = 300 * MILLI_US;
/// How long an answer may take to begin.
const PULL_WAIT_US: u64 = SECOND_US;
/// Pulls in a row without anything new after which a peer is not asked until its next keepalive.
const MAX_FRUITLESS: u32 = 5;
/// Entry bytes sent to one peer in a second: a log of a hundred members in three seconds, without filling an uplink.
const MAX_BYTES_PER_SECOND: usize = 65_536;
/// Peers without a session that are told of a revocation: with as many more by each of them, everybody within a few rounds.
const MAX_RUMOR: usize = 8;

/// Where entries came from: they are not sent back there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Signed here.
    Own,
    /// A relay's link.
    Link(NodeId, LinkId),
    /// A peer's session.
    Session(PeerRef),
}

impl Node {
    /// Verifies entries, stores the new ones, acts on them and passes them on. Returns how many were new.
    pub(super) fn take_entries(&mut self, now: Now, id: NetworkId, entries: &[Vec<u8>], origin: Origin) -> usize {
        let Some(network) = self.networks.get_mut(&id) else { return 0 };
        let (results, order) = network.log.insert_all(entries);
        let mut gaps = Vec::new();
        let mut behind = false;
        for (raw, result) in entries.iter().zip(results) {
            match result {
                Ok(Inserted::Gap { author, have, got }) => gaps.push((author, have, got)),
                Ok(Inserted::Fork) => {
                    if let Ok(entry) = SignedEntry::trusted(raw) {
                        self.outbox.event(Event::ForkDetected { network: id, author: entry.entry().author });
                    }
                }
                Ok(Inserted::New | Inserted::Known | Inserted::Beyond) => {}
                Err(error) => {
                    behind |= error == LogError::NotAuthorized;
                    self.counters.rx_refused = self.counters.rx_refused.saturating_add(1);
                }
            }
        }
        let fresh: Vec<Vec<u8>> = order.iter().filter_map(|index| entries.get(*index).cloned()).collect();
        for raw in &fresh {
            self.outbox.persist(Persist::LogAppend { network: id, raw: raw.clone() });
        }
        self.pull_after(now, id, &gaps, behind, !fresh.is_empty(), origin);
        if !fresh.is_empty() {
            // First to everybody, the revoked included: a node learns from the entry itself that it is out.
            self.spread(now, id, &fresh, origin);
            self.log_changed(now, id);
        }
        fresh.len()
    }

    /// After entries came: what else to ask there. `behind`: one had an author nobody here has heard of.
    fn pull_after(
        &mut self,
        now: Now,
        network: NetworkId,
        gaps: &[([u8; 32], u32, u32)],
        behind: bool,
        fresh: bool,
        origin: Origin,
    ) {
        let Some(state) = self.networks.get(&network) else { return };
        match origin {
            Origin::Own => {}
            Origin::Link(relay, link) => {
                let Some(served) = self.links.get_mut(&relay) else { return };
                let pull = served.pulls.entry(network).or_default();
                if fresh {
                    pull.progressed();
                }
                if behind {
                    pull.fell_behind();
                }
                let next = pull.next(&state.log);
                let ranges = if gaps.is_empty() { next } else { gap_ranges(gaps) };
                let heads = pull.ask(&state.log);
                if !ranges.is_empty() {
                    self.outbox.send(link, ControlMessage::LogPull { network, ranges });
                }
                if let Some(heads) = heads {
                    self.outbox.send(link, ControlMessage::LogHeads { network, heads });
                }
            }
            Origin::Session(peer) => {
                let short = |range: &Range| ShortRange { author: short(&range.author), from: range.from, to: range.to };
                let ranges: Vec<ShortRange> = gap_ranges(gaps).iter().map(short).take(8).collect();
                if !ranges.is_empty() {
                    self.send_inner(now, peer, &Inner::Pull(ranges));
                }
                if behind {
                    self.send_heads(now, peer);
                }
            }
        }
    }

    /// New entries to whoever may not have them yet.
    pub(super) fn spread(&mut self, now: Now, network: NetworkId, fresh: &[Vec<u8>], origin: Origin) {
        let links = self.links.attached(&network);
        for entries in batches(fresh.to_vec()) {
            for (_, link) in &links {
                if !matches!(origin, Origin::Link(_, from) if from == *link) {
                    self.outbox.send(*link, ControlMessage::LogEntries { network, entries: entries.clone() });
                }
            }
        }
        let urgent = fresh.iter().any(|raw| is_revocation(raw));
        if matches!(origin, Origin::Link(..)) && !urgent {
            return;
        }
        let mut targets: Vec<PeerRef> =
            self.peers.of_network(&network).into_iter().filter(|peer| self.sessions.info(peer).is_some()).collect();
        if urgent {
            targets.extend(self.rumor_targets(&network, &targets));
        }
        for peer in targets {
            if !matches!(origin, Origin::Session(from) if from == peer) {
                for raw in fresh {
                    self.send_entry(now, peer, raw);
                }
            }
        }
    }

    /// A few members without a session, those with an open circuit first.
    fn rumor_targets(&mut self, network: &NetworkId, live: &[PeerRef]) -> Vec<PeerRef> {
        let Some(state) = self.networks.get(network) else { return Vec::new() };
        let mut others: Vec<(bool, u32, PeerRef)> = Vec::new();
        for node in state.log.state().members().keys() {
            let peer = PeerRef { network: *network, node: *node };
            if *node != self.id && !live.contains(&peer) {
                let has_path = self.peers.get(&peer).is_some_and(|state| state.primary().is_some());
                others.push((!has_path, self.rng.next_u32(), peer));
            }
        }
        others.sort_unstable_by_key(|(no_path, random, _)| (*no_path, *random));
        others.into_iter().take(MAX_RUMOR).map(|(_, _, peer)| peer).collect()
    }

    /// One entry in fragments, within the peer's rate.
    fn send_entry(&mut self, now: Now, peer: PeerRef, raw: &[u8]) {
        let Ok(entry) = SignedEntry::trusted(raw) else { return };
        let Some(state) = self.peers.entry(peer) else { return };
        if now.since(state.sync.sent_window_us) >= SECOND_US {
            state.sync.sent_window_us = now.mono_us;
            state.sync.sent_bytes = 0;
        }
        if state.sync.sent_bytes >= MAX_BYTES_PER_SECOND {
            return;
        }
        state.sync.sent_bytes = state.sync.sent_bytes.saturating_add(raw.len());
        state.last_traffic_us = now.mono_us;
        for fragment in fragments(short(&entry.entry().author), entry.entry().seq, raw) {
            self.send_inner(now, peer, &Inner::EntryFragment(fragment));
        }
    }

    // ---- over links

    pub(super) fn heads_from_link(&mut self, relay: NodeId, link: LinkId, network: NetworkId, heads: Vec<Head>) {
        let Some(state) = self.networks.get(&network).filter(|state| state.uses_relay(&relay)) else { return };
        let Some(served) = self.links.get_mut(&relay) else { return };
        let pull = served.pulls.entry(network).or_default();
        let ranges = pull.heads(&state.log, heads);
        let answer = pull.answer(&state.log);
        if !ranges.is_empty() {
            self.outbox.send(link, ControlMessage::LogPull { network, ranges });
        }
        if let Some(heads) = answer {
            self.outbox.send(link, ControlMessage::LogHeads { network, heads });
        }
    }

    /// A relay lacks entries. It gets them only when it serves the network: a log is nobody else's business.
    pub(super) fn pull_from_link(&mut self, relay: NodeId, link: LinkId, network: NetworkId, ranges: &[Range]) {
        let Some(state) = self.networks.get(&network).filter(|state| state.uses_relay(&relay)) else { return };
        let mut entries: Vec<Vec<u8>> = Vec::new();
        for range in ranges {
            entries.extend(state.log.range(range).into_iter().map(<[u8]>::to_vec));
        }
        for entries in batches(entries) {
            self.outbox.send(link, ControlMessage::LogEntries { network, entries });
        }
    }

    pub(super) fn entries_from_link(
        &mut self,
        now: Now,
        relay: NodeId,
        link: LinkId,
        network: NetworkId,
        entries: &[Vec<u8>],
    ) {
        if !self.networks.get(&network).is_some_and(|state| state.uses_relay(&relay)) {
            return;
        }
        self.take_entries(now, network, entries, Origin::Link(relay, link));
    }

    // ---- over sessions

    /// A keepalive: when the logs differ, show ours.
    pub(super) fn digest_from_peer(&mut self, now: Now, peer: PeerRef, digest: &[u8; 16]) {
        let Some(network) = self.networks.get(&peer.network) else { return };
        if network.log.digest() != *digest {
            self.send_heads(now, peer);
        }
    }

    fn send_heads(&mut self, now: Now, peer: PeerRef) {
        let Some(network) = self.networks.get(&peer.network) else { return };
        let Some(state) = self.peers.get_mut(&peer) else { return };
        if state.sync.last_heads_us.is_some_and(|last| now.since(last) < HEADS_GAP_US) {
            return;
        }
        state.sync.last_heads_us = Some(now.mono_us);
        let heads = network.log.short_heads().into_iter().take(MAX_ITEMS).map(to_wire).collect();
        self.send_inner(now, peer, &Inner::Heads(heads));
    }

    pub(super) fn heads_from_peer(&mut self, now: Now, peer: PeerRef, heads: &[ShortHead]) {
        let Some(network) = self.networks.get(&peer.network) else { return };
        let theirs_lack = network.log.short_heads().iter().any(|own| !heads.contains(&to_wire(*own)));
        let Some(state) = self.peers.get_mut(&peer) else { return };
        state.sync.their_heads = heads.iter().map(from_wire).collect();
        state.sync.fruitless = 0;
        if theirs_lack {
            self.send_heads(now, peer);
        }
        self.pull_from_peer(now, peer);
    }

    /// Asks a peer for what its heads show and we lack.
    pub(super) fn pull_from_peer(&mut self, now: Now, peer: PeerRef) {
        let Some(network) = self.networks.get(&peer.network) else { return };
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let mut wanted = network.log.wanted_short(&state.sync.their_heads);
        wanted.truncate(MAX_ITEMS);
        if wanted.is_empty() || state.sync.fruitless >= MAX_FRUITLESS {
            state.sync.check_us = None;
            return;
        }
        state.sync.fruitless += 1;
        state.sync.check_us = Some(now.after(PULL_WAIT_US));
        self.send_inner(now, peer, &Inner::Pull(wanted.into_iter().map(range_to_wire).collect()));
    }

    pub(super) fn pull_by_peer(&mut self, now: Now, peer: PeerRef, ranges: &[ShortRange]) {
        let Some(network) = self.networks.get(&peer.network) else { return };
        let mut entries: Vec<Vec<u8>> = Vec::new();
        let mut bytes = 0;
        'all: for range in ranges {
            for raw in network.log.range_short(&range_from_wire(range)) {
                bytes += raw.len();
                if bytes > MAX_BYTES_PER_SECOND {
                    break 'all;
                }
                entries.push(raw.to_vec());
            }
        }
        for raw in entries {
            self.send_entry(now, peer, &raw);
        }
    }

    pub(super) fn fragment_from_peer(&mut self, now: Now, peer: PeerRef, fragment: &netflow_wire::inner::Fragment<'_>) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        state.last_traffic_us = now.mono_us;
        if state.sync.check_us.is_some() {
            state.sync.check_us = Some(now.after(PULL_CHECK_US));
        }
        let Some(raw) = state.sync.reassembly.add(fragment) else { return };
        let fresh = self.take_entries(now, peer.network, &[raw], Origin::Session(peer));
        if fresh > 0
            && let Some(state) = self.peers.get_mut(&peer)
        {
            state.sync.fruitless = 0;
        }
    }
}

fn short(author: &[u8; 32]) -> [u8; 8] {
    NodeId(*author).short()
}

const fn to_wire(head: netlog::ShortHead) -> ShortHead {
    ShortHead { author: head.author, seq: head.seq, hash: head.hash }
}

const fn from_wire(head: &ShortHead) -> netlog::ShortHead {
    netlog::ShortHead { author: head.author, seq: head.seq, hash: head.hash }
}

const fn range_to_wire(range: netlog::ShortRange) -> ShortRange {
    ShortRange { author: range.author, from: range.from, to: range.to }
}

const fn range_from_wire(range: &ShortRange) -> netlog::ShortRange {
    netlog::ShortRange { author: range.author, from: range.from, to: range.to }
}

/// Is it one, of an entry that was verified when it was stored?
fn is_revocation(raw: &[u8]) -> bool {
    SignedEntry::trusted(raw)
        .is_ok_and(|entry| matches!(entry.entry().body, EntryBody::MemberRevoke { .. } | EntryBody::AdminRemove { .. }))
}
