//! Circuits and their labels at one relay: which label of whom leads to which label of whom.
//!
//! A circuit joins two members of one network over one to three relays; at each relay it has two sides, a member or the next
//! relay each. Every side has a label of ours: whoever owns that side sends with it. To a member we send with the same label;
//! to a relay with the label it told. Labels are random, so that nobody guesses one; a guessed one would still need the bound
//! address of its owner. One UDP port serves all (pitfall 14): when labels run out, the answer is a clean "full".
//!
//! The route is part of the name of a circuit: it is fixed when the circuit opens, names no relay twice, and is the same at
//! every relay. So no frame can go in a circle.

use std::collections::{BTreeMap, BTreeSet};

use netflow_wire::control::CircuitPath;
use netflow_wire::{NetworkId, NodeId};
use rand_core::CryptoRng;

use crate::endpoint::Hops;
use crate::time::{Now, SECOND_US};

/// Tries to draw a free label. With 2 * 65,536 of 2^32 labels taken one draw fails with probability 2^-15.
const LABEL_TRIES: usize = 8;
/// How long a circuit may grow before it is given up: three control round trips round the world, and their queues.
const GROW_US: u64 = 5 * SECOND_US;

/// Names a circuit: its ends, smaller node id first, and the relays from the first end to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CircuitKey {
    pub(super) network: NetworkId,
    pub(super) low: NodeId,
    pub(super) high: NodeId,
    pub(super) route: Hops,
}

impl CircuitKey {
    /// `hops` as `a` sees them, its own relay first. `None` for a node and itself.
    pub(super) fn new(network: NetworkId, a: NodeId, b: NodeId, hops: Hops) -> Option<Self> {
        match a.cmp(&b) {
            std::cmp::Ordering::Less => Some(Self { network, low: a, high: b, route: hops }),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(Self { network, low: b, high: a, route: hops.reversed() }),
        }
    }

    /// From the wire. `None`: not a path of two or three relays, one is named twice, or the ends are not in order.
    pub(super) fn parse(circuit: &CircuitPath) -> Option<Self> {
        let route = Hops::new(&circuit.route).filter(|route| route.as_slice().len() > 1)?;
        let (low, high) = (circuit.first, circuit.last);
        (low < high).then_some(Self { network: circuit.network, low, high, route })
    }

    pub(super) fn to_wire(self) -> CircuitPath {
        CircuitPath { network: self.network, first: self.low, last: self.high, route: self.route.as_slice().to_vec() }
    }

    pub(super) fn other(&self, node: &NodeId) -> NodeId {
        if *node == self.low { self.high } else { self.low }
    }

    /// The relays as one of the ends sees them.
    pub(super) fn hops_from(&self, node: &NodeId) -> Hops {
        if *node == self.low { self.route } else { self.route.reversed() }
    }

    /// Who is on either side of a relay of the route. `None`: it is not in it.
    pub(super) fn sides_at(&self, relay: &NodeId) -> Option<[Owner; 2]> {
        let relays = self.route.as_slice();
        let at = relays.iter().position(|other| other == relay)?;
        let before = at.checked_sub(1).and_then(|at| relays.get(at));
        let after = relays.get(at + 1);
        let side = |relay: Option<&NodeId>, end: NodeId| relay.map_or(Owner::Member(end), |relay| Owner::Relay(*relay));
        Some([side(before, self.low), side(after, self.high)])
    }
}

/// Who is at one side of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// One of the two ends, bound here.
    Member(NodeId),
    /// The next relay of the route.
    Relay(NodeId),
}

/// Who pays for what a circuit carries here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Payer {
    /// The network itself: this relay hosts it.
    Network,
    /// The relay that asked, by agreement.
    Transit(NodeId),
}

/// One side of a circuit.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) owner: Owner,
    /// Its owner sends with this, to us.
    pub(super) label: u32,
    /// We send with this, to the owner.
    pub(super) remote: Option<(u32, u16)>,
    /// It was asked to go on from there.
    pub(super) asked: bool,
    /// It asked us to go on from here and waits for the answer.
    pub(super) waiting: bool,
    /// The circuit is complete from there to the end on that side.
    pub(super) ready: bool,
    /// Frames and bytes that came from there.
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

/// One circuit; side 0 leads to the low end.
#[derive(Debug)]
pub(super) struct Circuit {
    pub(super) key: CircuitKey,
    pub(super) payer: Payer,
    pub(super) sides: [Side; 2],
}

impl Circuit {
    pub(super) const fn is_ready(&self) -> bool {
        let [low, high] = &self.sides;
        low.ready && high.ready
    }

    /// The label of a member that is bound here.
    pub(super) fn label_of(&self, node: &NodeId) -> Option<u32> {
        self.sides.iter().find(|side| side.owner == Owner::Member(*node)).map(|side| side.label)
    }

    pub(super) fn owners(&self) -> [Owner; 2] {
        let [low, high] = &self.sides;
        [low.owner, high.owner]
    }

    /// The side of an owner and the one opposite, to change.
    pub(super) fn split(&mut self, from: Owner) -> Option<(&mut Side, &mut Side)> {
        let [low, high] = &mut self.sides;
        if low.owner == from {
            Some((low, high))
        } else if high.owner == from {
            Some((high, low))
        } else {
            None
        }
    }
}

/// Where a label leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    pub(super) id: CircuitId,
    /// Which side the frame came from.
    pub(super) side: usize,
    pub(super) network: NetworkId,
    pub(super) payer: Payer,
    /// Owner of the label: the one who may send with it.
    pub(super) from: Owner,
    /// The label and epoch by which `from` knows the circuit.
    pub(super) back: Option<(u32, u16)>,
    pub(super) to: Owner,
    /// With which label and epoch to send on; `None` while the circuit grows.
    pub(super) onward: Option<(u32, u16)>,
}

/// Names a circuit inside this relay.
pub(super) type CircuitId = u32;

/// All circuits of a relay.
#[derive(Debug)]
pub(super) struct Circuits {
    max: usize,
    next_id: CircuitId,
    circuits: BTreeMap<CircuitId, Circuit>,
    keys: BTreeMap<CircuitKey, CircuitId>,
    labels: BTreeMap<u32, (CircuitId, usize)>,
    owners: BTreeSet<(Owner, CircuitId)>,
    /// Circuits that grow, by when they are given up.
    growing: BTreeSet<(u64, CircuitId)>,
}

impl Circuits {
    pub(super) const fn new(max: usize) -> Self {
        Self {
            max,
            next_id: 0,
            circuits: BTreeMap::new(),
            keys: BTreeMap::new(),
            labels: BTreeMap::new(),
            owners: BTreeSet::new(),
            growing: BTreeSet::new(),
        }
    }

    pub(super) const fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    pub(super) fn len(&self) -> usize {
        self.circuits.len()
    }

    pub(super) fn get(&self, key: &CircuitKey) -> Option<&Circuit> {
        self.circuits.get(self.keys.get(key)?)
    }

    pub(super) fn get_mut(&mut self, key: &CircuitKey) -> Option<&mut Circuit> {
        self.circuits.get_mut(self.keys.get(key)?)
    }

    pub(super) fn hop(&self, label: u32) -> Option<Hop> {
        let (id, side) = *self.labels.get(&label)?;
        let circuit = self.circuits.get(&id)?;
        let [low, high] = &circuit.sides;
        let (from, to) = if side == 0 { (low, high) } else { (high, low) };
        Some(Hop {
            id,
            side,
            network: circuit.key.network,
            payer: circuit.payer,
            from: from.owner,
            back: from.remote,
            to: to.owner,
            onward: to.remote,
        })
    }

    /// Opens a circuit, or finds the open one. `me`: this relay; `epoch`: that of its labels. `None`: no room, or `me` is not in the route.
    pub(super) fn open(
        &mut self,
        now: Now,
        key: CircuitKey,
        payer: Payer,
        (me, epoch): (&NodeId, u16),
        rng: &mut dyn CryptoRng,
    ) -> Option<&mut Circuit> {
        if !self.keys.contains_key(&key) {
            if self.circuits.len() >= self.max {
                return None;
            }
            let [low, high] = key.sides_at(me)?;
            let low_label = self.free_label(0, rng)?;
            let high_label = self.free_label(low_label, rng)?;
            while self.circuits.contains_key(&self.next_id) {
                self.next_id = self.next_id.wrapping_add(1);
            }
            let id = self.next_id;
            let sides = [Side::new(low, low_label, epoch), Side::new(high, high_label, epoch)];
            for (at, side) in sides.iter().enumerate() {
                self.labels.insert(side.label, (id, at));
                self.owners.insert((side.owner, id));
            }
            let circuit = Circuit { key, payer, sides };
            if !circuit.is_ready() {
                self.growing.insert((now.after(GROW_US), id));
            }
            self.keys.insert(key, id);
            self.circuits.insert(id, circuit);
        }
        self.get_mut(&key)
    }

    /// Counts one forwarded frame.
    pub(super) fn count(&mut self, hop: &Hop, frames: u64, bytes: u64) {
        let circuit = self.circuits.get_mut(&hop.id);
        if let Some(side) = circuit.and_then(|circuit| circuit.sides.get_mut(hop.side)) {
            side.frames = side.frames.saturating_add(frames);
            side.bytes = side.bytes.saturating_add(bytes);
        }
    }

    pub(super) fn close(&mut self, key: &CircuitKey) -> Option<Circuit> {
        let id = self.keys.remove(key)?;
        let circuit = self.circuits.remove(&id)?;
        for side in &circuit.sides {
            self.labels.remove(&side.label);
            self.owners.remove(&(side.owner, id));
        }
        Some(circuit)
    }

    /// Circuits of a network.
    pub(super) fn of_network(&self, network: NetworkId) -> impl Iterator<Item = CircuitKey> {
        let zero = NodeId([0; 32]);
        let first = CircuitKey { network, low: zero, high: zero, route: Hops::one(zero) };
        self.keys.range(first..).map(|(key, _)| *key).take_while(move |key| key.network == network)
    }

    /// Circuits one side of which is this.
    pub(super) fn of_owner(&self, owner: Owner) -> Vec<CircuitKey> {
        let ids = self.owners.range((owner, CircuitId::MIN)..=(owner, CircuitId::MAX)).map(|(_, id)| id);
        ids.filter_map(|id| self.circuits.get(id)).map(|circuit| circuit.key).collect()
    }

    /// Is there one?
    pub(super) fn has_owner(&self, owner: Owner) -> bool {
        self.owners.range((owner, CircuitId::MIN)..=(owner, CircuitId::MAX)).next().is_some()
    }

    /// Circuits of a member within one network, wherever it is bound.
    pub(super) fn of_member(&self, network: NetworkId, node: NodeId) -> Vec<CircuitKey> {
        self.of_network(network).filter(|key| key.low == node || key.high == node).collect()
    }

    /// Circuits an agreement with a relay pays for.
    pub(super) fn paid_by(&self, relay: NodeId) -> Vec<CircuitKey> {
        let paid = |circuit: &&Circuit| circuit.payer == Payer::Transit(relay);
        self.circuits.values().filter(paid).map(|circuit| circuit.key).collect()
    }

    /// Circuits that have not become complete in time.
    pub(super) fn overdue(&mut self, now: Now) -> Vec<CircuitKey> {
        let mut late = Vec::new();
        while let Some((due, id)) = self.growing.first().copied().filter(|(due, _)| *due <= now.mono_us) {
            self.growing.remove(&(due, id));
            late.extend(self.circuits.get(&id).filter(|circuit| !circuit.is_ready()).map(|circuit| circuit.key));
        }
        late
    }

    /// When [`Circuits::overdue`] has something to look at.
    pub(super) fn next_overdue(&self) -> Option<u64> {
        self.growing.first().map(|(due, _)| *due)
    }

    fn free_label(&self, taken: u32, rng: &mut dyn CryptoRng) -> Option<u32> {
        (0..LABEL_TRIES)
            .map(|_| rng.next_u32())
            .find(|label| *label != 0 && *label != taken && !self.labels.contains_key(label))
    }
}

impl Side {
    /// A member uses one label both ways, and is complete as soon as it is bound.
    const fn new(owner: Owner, label: u32, epoch: u16) -> Self {
        let member = matches!(owner, Owner::Member(_));
        let remote = if member { Some((label, epoch)) } else { None };
        Self { owner, label, remote, asked: false, waiting: false, ready: member, frames: 0, bytes: 0 }
    }
}
