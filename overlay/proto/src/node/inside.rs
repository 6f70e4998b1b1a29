//! Packets between the TUN and the peers. A packet belongs to one network from the TUN it was read from to the TUN it is
//! written to; source ownership and policy are checked on both ends.

use netflow_wire::NetworkId;
use netflow_wire::inner::Inner;

use super::packet::{clamp_mss, fragment_v4, is_syn, too_big};
use super::peer::Sizes;
use super::peers::Via;
use super::{MIN_MTU, Node};
use crate::endpoint::PathKey;
use crate::path::{Class, classify};
use crate::policy::Denied;
use crate::session::PeerRef;
use crate::time::Now;

impl Node {
    /// One IP packet from the TUN of a network.
    pub(super) fn packet_from_inside(&mut self, now: Now, id: &NetworkId, packet: &[u8]) {
        let Some(network) = self.networks.get_mut(id).filter(|network| network.is_up()) else { return };
        let node = match network.engine.outbound(now, &network.log, &self.id, packet) {
            Ok(node) => node,
            Err(denied) => {
                match denied {
                    Denied::Source => self.counters.tx_spoofed = self.counters.tx_spoofed.saturating_add(1),
                    Denied::Destination | Denied::Malformed => {
                        self.counters.tx_no_route = self.counters.tx_no_route.saturating_add(1);
                    }
                    Denied::Policy | Denied::Fragment => {
                        self.counters.policy_denied = self.counters.policy_denied.saturating_add(1);
                    }
                }
                return;
            }
        };
        let peer = PeerRef { network: *id, node };
        let sizes = self.traffic_of(now, peer, Some(classify(packet)));
        if packet.len() <= usize::from(sizes.mtu) {
            let path = self.packet_to_peer(now, peer, packet, &sizes);
            if let Some(path) = path {
                self.note_forward(now, peer, &path, &sizes);
            }
            return;
        }
        if let Some(fragments) = fragment_v4(packet, sizes.mtu) {
            for fragment in fragments {
                self.packet_to_peer(now, peer, &fragment, &sizes);
            }
            return;
        }
        self.counters.tx_too_big = self.counters.tx_too_big.saturating_add(1);
        if let Some(answer) = too_big(packet, sizes.mtu) {
            self.outbox.inside(*id, answer);
        }
    }

    /// A packet the peer's paths carry, whole or in two parts. Returns the path it left on whole.
    pub(super) fn packet_to_peer(&mut self, now: Now, peer: PeerRef, packet: &[u8], sizes: &Sizes) -> Option<PathKey> {
        let class = classify(packet);
        let mut clamped = Vec::new();
        let packet = if is_syn(packet) {
            clamped.extend_from_slice(packet);
            clamp_mss(&mut clamped, sizes.clamp);
            clamped.as_slice()
        } else {
            packet
        };
        let is_spread = sizes.spread && class == Class::Bulk;
        let via = if is_spread { self.peers.hot(&peer).and_then(|state| state.via_for_flow(packet)) } else { None };
        let sent = if packet.len() > usize::from(sizes.whole) {
            self.send_large(now, peer, packet, class, via).then_some(None)
        } else {
            self.send_sealed(now, peer, packet, via.as_ref(), class)
        };
        if sent.is_some() {
            self.counters.tx_packets = self.counters.tx_packets.saturating_add(1);
        }
        sent.flatten()
    }

    /// A packet that some path of the peer does not carry whole: in two parts, if this one does not. What is larger than every link
    /// must carry goes whole: it is within what is hoped for while the path's size is being found, and lost if that fails.
    fn send_large(&mut self, now: Now, peer: PeerRef, packet: &[u8], class: Class, flow: Option<Via>) -> bool {
        let parts = self.peers.hot(&peer).and_then(|state| {
            let via = flow.or_else(|| state.via_for(class))?;
            let capacity = usize::from(state.paths.get(&via.key)?.capacity(&via));
            let fits = packet.len() <= capacity || packet.len() > usize::from(MIN_MTU);
            if fits { None } else { Some((via, state.parts.cut(packet, capacity)?)) }
        });
        let Some((via, parts)) = parts else {
            return self.send_sealed(now, peer, packet, flow.as_ref(), class).is_some();
        };
        for part in parts {
            let Ok(plaintext) = Inner::Part(part).to_vec() else { return false };
            if self.send_sealed(now, peer, &plaintext, Some(&via), class).is_none() {
                return false;
            }
        }
        true
    }

    /// One IP packet that came out of the session with a peer.
    pub(super) fn packet_from_peer(&mut self, now: Now, peer: PeerRef, packet: &[u8]) {
        let Some(network) = self.networks.get_mut(&peer.network).filter(|network| network.is_up()) else { return };
        match network.engine.inbound(now, &network.log, &self.id, &peer.node, packet) {
            Ok(()) => {}
            Err(Denied::Source) => {
                self.counters.rx_spoofed = self.counters.rx_spoofed.saturating_add(1);
                return;
            }
            Err(Denied::Malformed | Denied::Destination) => {
                self.counters.rx_refused = self.counters.rx_refused.saturating_add(1);
                return;
            }
            Err(Denied::Policy | Denied::Fragment) => {
                self.counters.policy_denied = self.counters.policy_denied.saturating_add(1);
                return;
            }
        }
        let sizes = self.traffic(now, peer);
        self.note_admitted(peer, packet);
        self.counters.rx_packets = self.counters.rx_packets.saturating_add(1);
        let mut packet = packet.to_vec();
        clamp_mss(&mut packet, sizes.clamp);
        self.outbox.inside(peer.network, packet);
    }
}
