//! Questions a relay answers about itself: is it reachable from there, does it reach here, and how far is it.

use std::net::SocketAddr;

use netflow_wire::probe::{EchoFrame, ReachRepr};
use netflow_wire::relay::INITIAL_HOP_LIMIT;

use super::config::LinkId;
use super::server::{RelayOutput, RelayServer};
use crate::endpoint::{Endpoint, PortId};
use crate::time::Now;

impl RelayServer {
    /// A client asks for one datagram to an address of its own. To the IP address it is known to be at, and no other:
    /// otherwise anybody could make relays send to anybody.
    pub(super) fn probe_me(&mut self, now: Now, link: LinkId, addr: SocketAddr, token: u64, alt: bool) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let (node, remote) = (state.node, state.remote.ip());
        let bound = self.binds.address(&node).and_then(|bound| bound.addr()).map(|bound| bound.ip());
        if addr.port() == 0 || !(addr.ip() == remote || Some(addr.ip()) == bound) {
            self.strike(link, "a probe to an address that is not that of this node");
            return;
        }
        if self.links.get_mut(&link).is_some_and(|state| state.probes.take(now)) {
            let port = if alt { PortId::STUN_ALT } else { PortId::MAIN };
            let bytes = ReachRepr { token }.to_bytes().to_vec();
            self.emit(RelayOutput::Datagram { to: Endpoint::Udp { port, addr }, bytes });
        }
    }

    /// Frame 0x1E: the round trip of one mesh link, or to one relay of a circuit.
    pub(super) fn echo(&mut self, now: Now, from: Endpoint, datagram: &mut [u8]) -> bool {
        let Ok(mut frame) = EchoFrame::new_checked(datagram) else { return false };
        if frame.label() == 0 {
            if frame.is_answer() {
                let heard = self.mesh.answered(now, from, frame.id(), frame.relay());
                if heard {
                    self.tell_news(now);
                }
                return heard;
            }
            if self.mesh.by_endpoint(from).is_none() {
                return false;
            }
            frame.answer(1, self.me.short());
            self.emit(RelayOutput::Datagram { to: from, bytes: frame.into_inner().to_vec() });
            return true;
        }
        let Some(hop) = self.circuits.hop(frame.label()).filter(|_| frame.epoch() == self.epoch) else { return false };
        if self.place(&hop.from) != Some(from) {
            return false;
        }
        let ends_here = frame.hop_limit() == 1;
        let (labels, to) = if ends_here && !frame.is_answer() {
            frame.answer(INITIAL_HOP_LIMIT, self.me.short());
            (hop.back, Some(from))
        } else if frame.take_hop() {
            (hop.onward, self.place(&hop.to))
        } else {
            return false;
        };
        let Some(((label, epoch), to)) = labels.zip(to) else { return false };
        frame.set_label(label, epoch);
        let bytes = frame.into_inner().to_vec();
        // Not kept behind data: it would measure the queue of others.
        if self.charge(now, &hop, bytes.len()) {
            self.emit(RelayOutput::Datagram { to, bytes });
        }
        true
    }
}
