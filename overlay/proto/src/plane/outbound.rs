//! From the inside to a peer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use netflow_wire::NetworkId;
use netflow_wire::relay::RELAY_HEADER_LEN;

use super::flow::FlowKey;
use super::traffic::{PathTraffic, Traffic};
use super::{Generation, MAX_ENTRIES};
use crate::endpoint::PortId;
use crate::session::SealState;
use crate::time::Now;

/// Where the packets of a flow go, and with which keys.
pub(crate) struct Forward {
    pub(crate) generation: u64,
    pub(crate) until_us: u64,
    /// Largest packet of the flow that passes whole.
    pub(crate) max_len: usize,
    pub(crate) from: PortId,
    pub(crate) to: SocketAddr,
    /// What goes in front of a frame when a relay is in the way.
    pub(crate) relay: Option<[u8; RELAY_HEADER_LEN]>,
    pub(crate) seal: Arc<SealState>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) path: Arc<PathTraffic>,
}

/// Entries of packets from inside.
#[derive(Default)]
pub(crate) struct Outbound {
    places: HashMap<(NetworkId, FlowKey), usize>,
    entries: Vec<(NetworkId, FlowKey, Forward)>,
    /// Packets of one flow come in a row.
    last: usize,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

impl Outbound {
    /// Seals a packet of a known flow: `place` is given where it goes, and takes the frame into the buffer it answers with. `false`: the
    /// node has to decide.
    pub(crate) fn seal<'b>(
        &mut self,
        now: Now,
        generation: &Generation,
        network: &NetworkId,
        packet: &[u8],
        place: impl FnOnce(PortId, SocketAddr, usize) -> Option<&'b mut Vec<u8>>,
    ) -> bool {
        let Some(key) = FlowKey::of(packet) else { return false };
        let Some(entry) = self.find(network, &key) else { return false };
        let is_current = entry.generation == generation.now() && now.mono_us < entry.until_us;
        if !is_current || packet.len() > entry.max_len {
            return false;
        }
        let header_len = if entry.relay.is_some() { RELAY_HEADER_LEN } else { 0 };
        let len = header_len + netflow_wire::data::DATA_OVERHEAD + packet.len();
        // No room: lost, as on any link that is full.
        let Some(out) = place(entry.from, entry.to, len) else { return true };
        let start = out.len();
        if let Some(relay) = &entry.relay {
            out.extend_from_slice(relay);
        }
        if entry.seal.seal_into(0, packet, out).is_err() {
            out.truncate(start);
            return false;
        }
        entry.traffic.sent_past_node(now, len - header_len);
        entry.path.sent(now);
        true
    }

    /// Keeps what the node decided for packets like this one.
    pub(crate) fn learn(&mut self, network: NetworkId, packet: &[u8], forward: Forward) {
        let Some(key) = FlowKey::of(packet) else { return };
        if let Some(place) = self.places.get(&(network, key)).copied() {
            if let Some(entry) = self.entries.get_mut(place) {
                entry.2 = forward;
            }
            return;
        }
        if self.entries.len() >= MAX_ENTRIES {
            self.entries.clear();
            self.places.clear();
        }
        self.last = self.entries.len();
        self.places.insert((network, key), self.last);
        self.entries.push((network, key, forward));
    }

    fn find(&mut self, network: &NetworkId, key: &FlowKey) -> Option<&Forward> {
        let is_it = |entry: &(NetworkId, FlowKey, Forward)| entry.1 == *key && entry.0 == *network;
        if !self.entries.get(self.last).is_some_and(is_it) {
            self.last = self.places.get(&(*network, *key)).copied()?;
        }
        self.entries.get(self.last).map(|(_, _, forward)| forward)
    }
}
