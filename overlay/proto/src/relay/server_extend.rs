//! Circuits over several relays: each grows from a member, relay by relay along its route, and shrinks as one.
//!
//! Spec: `docs/spec/routing.md`, "Circuits over several relays". Every relay on the way authorises by itself, and every loss of
//! one side is told the other side at once, so that no label leads nowhere for longer than a message takes.

use netflow_wire::control::{CircuitPath, ControlMessage, circuit_reason};
use netflow_wire::{NetworkId, NodeId};
use rand_core::CryptoRng;

use super::circuits::{CircuitKey, Owner, Payer};
use super::config::LinkId;
use super::server::RelayServer;
use crate::endpoint::Hops;
use crate::time::Now;

impl RelayServer {
    /// A member asks for a circuit over further relays.
    pub(super) fn open_via(
        &mut self,
        now: Now,
        link: LinkId,
        (network, peer): (NetworkId, NodeId),
        via: Vec<NodeId>,
        rng: &mut dyn CryptoRng,
    ) {
        let Some(state) = self.links.get(&link) else { return };
        let (node, attached) = (state.node, state.attached.contains(&network));
        if let Err(reason) = self.try_via(now, (network, node, peer), attached, &via, rng) {
            self.send(link, ControlMessage::CircuitClosed { network, peer, via, label: 0, reason });
        }
    }

    fn try_via(
        &mut self,
        now: Now,
        (network, node, peer): (NetworkId, NodeId, NodeId),
        attached: bool,
        via: &[NodeId],
        rng: &mut dyn CryptoRng,
    ) -> Result<(), u8> {
        let relays: Vec<NodeId> = std::iter::once(self.me).chain(via.iter().copied()).collect();
        let hops = Hops::new(&relays).ok_or(circuit_reason::BAD_PATH)?;
        self.may_open(now, network, node, peer, attached)?;
        if self.binds.address(&node).is_none() {
            return Err(circuit_reason::PEER_OFFLINE);
        }
        let key = CircuitKey::new(network, node, peer, hops).ok_or(circuit_reason::NOT_MEMBER)?;
        let reachable = via.first().is_some_and(|next| self.mesh.link(next).is_some());
        if !reachable {
            return Err(circuit_reason::UNREACHABLE);
        }
        let me = (&self.me, self.epoch);
        let circuit = self.circuits.open(now, key, Payer::Network, me, rng).ok_or(circuit_reason::FULL)?;
        // Asked again: the labels may be forgotten there.
        if let Some((mine, _)) = circuit.split(Owner::Member(node)) {
            mine.asked = false;
        }
        self.advance(&key);
        Ok(())
    }

    /// A neighbour asks to go on with a circuit from here.
    pub(super) fn extend(
        &mut self,
        now: Now,
        from: NodeId,
        circuit: CircuitPath,
        remote: (u32, u16),
        rng: &mut dyn CryptoRng,
    ) {
        let grown = self.try_extend(now, from, &circuit, remote, rng);
        match (grown, self.mesh.link(&from)) {
            (Ok(key), _) => self.advance(&key),
            (Err(reason), Some(link)) => self.send(link, ControlMessage::CircuitRelease { circuit, reason }),
            (Err(_), None) => {}
        }
    }

    fn try_extend(
        &mut self,
        now: Now,
        from: NodeId,
        circuit: &CircuitPath,
        remote: (u32, u16),
        rng: &mut dyn CryptoRng,
    ) -> Result<CircuitKey, u8> {
        let key = CircuitKey::parse(circuit).filter(|_| remote.0 != 0).ok_or(circuit_reason::BAD_PATH)?;
        let onward = match key.sides_at(&self.me).ok_or(circuit_reason::BAD_PATH)? {
            [Owner::Relay(relay), onward] | [onward, Owner::Relay(relay)] if relay == from => onward,
            _ => return Err(circuit_reason::BAD_PATH),
        };
        let payer = self.authorise(now, &key, from, onward)?;
        let me = (&self.me, self.epoch);
        let circuit = self.circuits.open(now, key, payer, me, rng).ok_or(circuit_reason::FULL)?;
        let (mine, _) = circuit.split(Owner::Relay(from)).ok_or(circuit_reason::BAD_PATH)?;
        mine.remote = Some(remote);
        // A circuit grows from a bound member: behind who asks, it is complete.
        (mine.ready, mine.waiting) = (true, true);
        Ok(key)
    }

    /// May this relay carry the circuit, and who pays? Nobody else's word counts.
    fn authorise(&mut self, now: Now, key: &CircuitKey, from: NodeId, onward: Owner) -> Result<Payer, u8> {
        let hosts = self.may_open(now, key.network, key.low, key.high, true);
        if let Owner::Member(member) = onward {
            hosts?;
            let attached = self.hosted.get(&key.network).is_some_and(|hosted| hosted.attached.contains_key(&member));
            let bound = attached && self.binds.address(&member).is_some();
            return if bound { Ok(Payer::Network) } else { Err(circuit_reason::PEER_OFFLINE) };
        }
        let agreement = self.transit.get_mut(&from).map(|agreement| agreement.has_volume(now));
        match (hosts, agreement) {
            (Ok(()), _) => Ok(Payer::Network),
            (Err(circuit_reason::REVOKED), _) => Err(circuit_reason::REVOKED),
            (Err(_), Some(true)) => Ok(Payer::Transit(from)),
            (Err(circuit_reason::QUOTA), _) | (Err(_), Some(false)) => Err(circuit_reason::QUOTA),
            (Err(_), None) => Err(circuit_reason::NO_TRANSIT),
        }
    }

    /// It reaches the end behind a neighbour we asked.
    pub(super) fn extended(&mut self, from: NodeId, circuit: &CircuitPath, remote: (u32, u16)) {
        let Some(key) = CircuitKey::parse(circuit).filter(|_| remote.0 != 0) else { return };
        let Some((side, _)) = self.circuits.get_mut(&key).and_then(|open| open.split(Owner::Relay(from))) else {
            return;
        };
        if side.asked {
            side.remote = Some(remote);
            side.ready = true;
            self.complete(&key);
        }
    }

    /// A neighbour gave a circuit up.
    pub(super) fn released(&mut self, from: NodeId, circuit: &CircuitPath, reason: u8) {
        let Some(key) = CircuitKey::parse(circuit) else { return };
        let ours = self.circuits.get(&key).is_some_and(|open| open.owners().contains(&Owner::Relay(from)));
        if ours {
            self.close_circuit(&key, reason, Some(Owner::Relay(from)));
        }
    }

    /// Takes a circuit as far as it goes from here.
    fn advance(&mut self, key: &CircuitKey) {
        let Some(circuit) = self.circuits.get_mut(key) else { return };
        if circuit.is_ready() {
            self.complete(key);
            return;
        }
        let mut ask = None;
        for side in &mut circuit.sides {
            if let Owner::Relay(next) = side.owner
                && !side.ready
                && !side.asked
            {
                side.asked = true;
                ask = Some((next, side.label));
            }
        }
        let Some((next, label)) = ask else { return };
        match self.mesh.link(&next) {
            Some(link) => {
                let (circuit, epoch) = (key.to_wire(), self.epoch);
                self.send(link, ControlMessage::CircuitExtend { circuit, label, epoch });
            }
            None => self.close_circuit(key, circuit_reason::UNREACHABLE, None),
        }
    }

    /// Complete on both sides: says so to whoever waits for it.
    fn complete(&mut self, key: &CircuitKey) {
        let Some(circuit) = self.circuits.get_mut(key).filter(|circuit| circuit.is_ready()) else { return };
        let mut tell = Vec::new();
        let mut members = Vec::new();
        for side in &mut circuit.sides {
            match side.owner {
                Owner::Relay(relay) if side.waiting => {
                    side.waiting = false;
                    tell.push((relay, side.label));
                }
                Owner::Member(member) if !side.asked => {
                    side.asked = true;
                    members.push(member);
                }
                Owner::Relay(_) | Owner::Member(_) => {}
            }
        }
        for (relay, label) in tell {
            if let Some(link) = self.mesh.link(&relay) {
                let (circuit, epoch) = (key.to_wire(), self.epoch);
                self.send(link, ControlMessage::CircuitExtended { circuit, label, epoch });
            }
        }
        for member in members {
            if let Some(link) = self.link_of(&member) {
                self.tell_opened(link, key, member);
            }
        }
    }
}
