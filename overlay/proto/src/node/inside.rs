//! Packets between the TUN and the peers. A packet belongs to one network from the TUN it was read from to the TUN it is
//! written to; source ownership and policy are checked on both ends.

use netflow_wire::NetworkId;

use super::Node;
use super::packet::too_big;
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
        if packet.len() > usize::from(self.mtu) {
            self.counters.tx_too_big = self.counters.tx_too_big.saturating_add(1);
            if let Some(answer) = too_big(packet, self.mtu) {
                self.outbox.inside(*id, answer);
            }
            return;
        }
        let peer = PeerRef { network: *id, node };
        if let Some(state) = self.peers.entry(peer) {
            state.last_traffic_us = now.mono_us;
            state.keepalive_us.get_or_insert(now.after(super::circuits::KEEPALIVE_US));
        }
        if self.send_plain(now, peer, packet, None) {
            self.counters.tx_packets = self.counters.tx_packets.saturating_add(1);
        }
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
        if let Some(state) = self.peers.get_mut(&peer) {
            state.last_traffic_us = now.mono_us;
            state.keepalive_us.get_or_insert(now.after(super::circuits::KEEPALIVE_US));
        }
        self.counters.rx_packets = self.counters.rx_packets.saturating_add(1);
        self.outbox.inside(peer.network, packet.to_vec());
    }
}
