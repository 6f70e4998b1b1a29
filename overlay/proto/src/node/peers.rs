//! All peers that traffic goes to: whose label is whose, and what is due when.
//!
//! What changes a peer marks it; [`Peers::settle`], at the end of every input, chooses its paths again and files its next deadline.
//! The data path marks nothing: it only ever needs an *earlier* deadline ([`Peers::ensure`]), and one that turns out needless
//! costs one look at the peer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use netflow_wire::NodeId;
use rand_core::CryptoRng;

use super::paths::Path;
pub(super) use super::paths::{Circuit, Via};
use super::peer::Peer;
use crate::endpoint::{Endpoint, PathKey, PortId};
use crate::path::Class;
use crate::session::PeerRef;
use crate::time::Now;

/// Peers with traffic or a path at a time. About 2 KB each without waiting packets.
pub(super) const MAX_PEERS: usize = 4_096;
/// Direct paths of a peer: two families, a few interfaces, an old address while it roams.
const MAX_DIRECT: usize = 8;
/// Removed paths kept until the budget counts them: as many as fill it.
const MAX_UNLINKED: usize = 300;

/// All peers, whose label is whose, and what is due when.
#[derive(Default)]
pub(super) struct Peers {
    map: BTreeMap<PeerRef, Box<Peer>>,
    labels: BTreeMap<(Endpoint, u32), (PeerRef, PathKey)>,
    /// Who is reached directly at an endpoint: one node of several networks, perhaps.
    directs: BTreeSet<(Endpoint, PeerRef)>,
    deadlines: BTreeSet<(u64, PeerRef)>,
    marked: BTreeSet<PeerRef>,
    /// Direct paths forgotten since [`Peers::take_forgotten`]: where they went, and when a frame passed last.
    forgotten: Vec<(PortId, SocketAddr, u64)>,
    /// Inner MTU of the networks: what paths are searched for.
    mtu: u16,
}

impl Peers {
    pub(super) fn new(mtu: u16) -> Self {
        Self { mtu, ..Self::default() }
    }

    pub(super) fn get(&self, peer: &PeerRef) -> Option<&Peer> {
        self.map.get(peer).map(Box::as_ref)
    }

    /// The peer, to be changed: its paths are chosen again and its deadline is filed at the end of this input.
    pub(super) fn get_mut(&mut self, peer: &PeerRef) -> Option<&mut Peer> {
        let found = self.map.get_mut(peer);
        if found.is_some() {
            self.marked.insert(*peer);
        }
        found.map(Box::as_mut)
    }

    /// The same for the data path: whoever sets a deadline files it by [`Peers::ensure`].
    pub(super) fn hot(&mut self, peer: &PeerRef) -> Option<&mut Peer> {
        self.map.get_mut(peer).map(Box::as_mut)
    }

    /// The same, made when there is room for one more.
    pub(super) fn hot_entry(&mut self, peer: PeerRef) -> Option<&mut Peer> {
        if !self.map.contains_key(&peer) {
            if self.map.len() >= MAX_PEERS {
                return None;
            }
            self.map.insert(peer, Box::default());
            self.marked.insert(peer);
        }
        self.map.get_mut(&peer).map(Box::as_mut)
    }

    /// Has its paths chosen again and its deadline filed at the end of this input.
    pub(super) fn mark(&mut self, peer: PeerRef) {
        self.marked.insert(peer);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerRef, &Peer)> {
        self.map.iter().map(|(name, peer)| (name, peer.as_ref()))
    }

    /// The peer, made when there is room for one more, to be changed.
    pub(super) fn entry(&mut self, peer: PeerRef) -> Option<&mut Peer> {
        self.marked.insert(peer);
        self.hot_entry(peer)
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
        let key = PathKey::Direct { port, addr };
        if let Some(state) = self.map.get(&peer)
            && !state.paths.contains_key(&key)
            && state.paths.keys().filter(|key| key.is_direct()).count() >= MAX_DIRECT
        {
            let worst = state.paths.iter().filter(|(key, _)| key.is_direct());
            let worst =
                worst.min_by_key(|(key, path)| (!path.is_dead(), path.life.heard_us(), **key)).map(|(key, _)| *key);
            if let Some(worst) = worst {
                self.remove_path(&peer, &worst);
            }
        }
        let is_open = self.opened(now, peer, key, Circuit::Direct { to });
        if is_open {
            self.directs.insert((to, peer));
        }
        is_open
    }

    fn opened(&mut self, now: Now, peer: PeerRef, key: PathKey, circuit: Circuit) -> bool {
        let mtu = self.mtu;
        let Some(entry) = self.entry(peer) else { return false };
        if entry.last_traffic_us == 0 {
            entry.last_traffic_us = now.mono_us;
        }
        let path = entry.paths.entry(key).or_insert_with(|| Box::new(Path::wanted(now, &key)));
        let old = path.label();
        path.opened(now, &key, circuit, mtu);
        let new = path.label();
        if let Some(old) = old {
            self.labels.remove(&old);
        }
        if let Some(new) = new {
            self.labels.insert(new, (peer, key));
        }
        self.marked.insert(peer);
        true
    }

    /// A circuit is closed, or was refused: asked for again after `pause_us` when somebody still wants it.
    pub(super) fn closed(&mut self, now: Now, peer: &PeerRef, key: &PathKey, pause_us: u64) {
        let Some(path) = self.get_mut(peer).and_then(|entry| entry.paths.get_mut(key)) else { return };
        let label = path.label();
        let tries = match path.circuit {
            Circuit::Wanted { tries, .. } => tries,
            Circuit::Open { .. } | Circuit::Direct { .. } => 0,
        };
        path.circuit = Circuit::Wanted { due_us: now.after(pause_us), tries };
        if let Some(label) = label {
            self.labels.remove(&label);
        }
    }

    /// The control link of a relay is down (or up again): its paths are the last choice (or as good as any).
    pub(super) fn set_suspect(&mut self, relay: &NodeId, suspect: bool) {
        for (name, peer) in &mut self.map {
            let through = peer.paths.iter_mut().filter(|(key, _)| key.first_relay() == Some(*relay));
            if through.map(|(_, path)| path.suspect = suspect).count() > 0 {
                self.marked.insert(*name);
            }
        }
    }

    /// Something underneath changed: every path has to prove itself, those in use first.
    pub(super) fn doubt_all(&mut self, now: Now) {
        for (name, peer) in &mut self.map {
            if peer.is_active(now) {
                peer.paths.values_mut().for_each(|path| path.doubt(now));
                self.marked.insert(*name);
            }
        }
    }

    /// The system has no way to send to an endpoint. Returns the peers that lost their last direct path.
    pub(super) fn unreachable(&mut self, now: Now, to: Endpoint) -> Vec<PeerRef> {
        let Endpoint::Udp { port, addr } = to else { return Vec::new() };
        let direct = PathKey::Direct { port, addr };
        let least = PeerRef { network: netflow_wire::NetworkId([0; 32]), node: NodeId([0; 32]) };
        let there = self.directs.range((to, least)..).take_while(|(at, _)| *at == to).map(|(_, peer)| (*peer, direct));
        let circuits = self.labels.range((to, 0)..=(to, u32::MAX)).map(|(_, path)| *path);
        let paths: Vec<(PeerRef, PathKey)> = there.chain(circuits).collect();
        let mut lost = Vec::new();
        for (peer, key) in paths {
            let Some(state) = self.map.get_mut(&peer) else { continue };
            if state.paths.get_mut(&key).is_some_and(|path| path.life.unreachable(now)) {
                self.marked.insert(peer);
                if key.is_direct() && !state.has_direct() {
                    lost.push(peer);
                }
            }
        }
        lost
    }

    /// Is anybody reached directly at this endpoint?
    pub(super) fn is_direct(&self, at: Endpoint) -> bool {
        let least = PeerRef { network: netflow_wire::NetworkId([0; 32]), node: NodeId([0; 32]) };
        self.directs.range((at, least)..).next().is_some_and(|(there, _)| *there == at)
    }

    fn unlink(&mut self, peer: &PeerRef, key: &PathKey, last_us: u64) {
        let PathKey::Direct { port, addr } = *key else { return };
        if self.directs.remove(&(Endpoint::Udp { port, addr }, *peer)) && self.forgotten.len() < MAX_UNLINKED {
            self.forgotten.push((port, addr, last_us));
        }
    }

    /// Direct paths there are.
    pub(super) fn count_direct(&self) -> usize {
        self.directs.len()
    }

    /// Forgets one path.
    pub(super) fn remove_path(&mut self, peer: &PeerRef, key: &PathKey) {
        let Some(path) = self.get_mut(peer).and_then(|entry| entry.paths.remove(key)) else { return };
        if let Some(label) = path.label() {
            self.labels.remove(&label);
        }
        self.unlink(peer, key, path.last_us());
    }

    /// Direct paths that were forgotten: NATs on the way remember them for a while.
    pub(super) fn take_forgotten(&mut self) -> Vec<(PortId, SocketAddr, u64)> {
        std::mem::take(&mut self.forgotten)
    }

    /// Removes a peer and its labels. Returns the paths through relays that were open.
    pub(super) fn remove(&mut self, peer: &PeerRef) -> Vec<PathKey> {
        let Some(entry) = self.map.remove(peer) else { return Vec::new() };
        if let Some(at) = entry.scheduled_us {
            self.deadlines.remove(&(at, *peer));
        }
        self.marked.remove(peer);
        let mut open = Vec::new();
        for (key, path) in entry.paths {
            if let Some(label) = path.label() {
                self.labels.remove(&label);
                open.push(key);
            }
            self.unlink(peer, &key, path.last_us());
        }
        open
    }

    /// Forgets every path through a relay this node does not use any more.
    pub(super) fn forget_relay(&mut self, relay: &NodeId) {
        self.labels.retain(|_, (_, key)| key.first_relay() != Some(*relay));
        for (name, peer) in &mut self.map {
            let before = peer.paths.len();
            peer.paths.retain(|key, _| key.first_relay() != Some(*relay));
            if peer.paths.len() < before {
                self.marked.insert(*name);
            }
        }
    }

    pub(super) fn of_network(&self, network: &netflow_wire::NetworkId) -> Vec<PeerRef> {
        self.map.keys().filter(|peer| peer.network == *network).copied().collect()
    }

    // ---- what is due

    /// Makes sure that a peer is looked at by then: for the data path, where deadlines only come nearer.
    pub(super) fn ensure(&mut self, peer: &PeerRef, at_us: u64) {
        let Some(state) = self.map.get_mut(peer) else { return };
        if state.scheduled_us.is_some_and(|scheduled| scheduled <= at_us) {
            return;
        }
        if let Some(old) = state.scheduled_us.replace(at_us) {
            self.deadlines.remove(&(old, *peer));
        }
        self.deadlines.insert((at_us, *peer));
    }

    /// The next peer something is due for; it is marked, so that its next deadline is filed afterwards. `None`: nothing is. Of the
    /// deadlines the data path files most turn out to be needless, because the answer came: those peers are filed again and no more.
    pub(super) fn take_due(&mut self, now: Now) -> Option<PeerRef> {
        while let Some((at, peer)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now.mono_us) {
            self.deadlines.remove(&(at, peer));
            let Some(state) = self.map.get_mut(&peer) else { continue };
            state.paths.values_mut().for_each(|path| path.absorb(now));
            let due = state.next_due(now).filter(|due| *due > now.mono_us);
            state.scheduled_us = due;
            match due {
                Some(due) => drop(self.deadlines.insert((due, peer))),
                None => {
                    self.marked.insert(peer);
                    return Some(peer);
                }
            }
        }
        None
    }

    /// When the next peer is due.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Brings one marked peer up to date. Returns it with the classes whose path changed; `None`: no peer is marked.
    pub(super) fn settle(&mut self, now: Now, rng: &mut dyn CryptoRng) -> Option<(PeerRef, Vec<Class>)> {
        let peer = self.marked.pop_first()?;
        let Some(state) = self.map.get_mut(&peer) else { return Some((peer, Vec::new())) };
        let changed = state.choose(now, rng);
        let due = state.next_due(now);
        let old = std::mem::replace(&mut state.scheduled_us, due);
        if old != due {
            if let Some(old) = old {
                self.deadlines.remove(&(old, peer));
            }
            if let Some(due) = due {
                self.deadlines.insert((due, peer));
            }
        }
        Some((peer, changed))
    }
}
