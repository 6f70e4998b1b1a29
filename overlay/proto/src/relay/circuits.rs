//! Circuits and their labels at the relay: which label of whom leads to which label of whom.
//!
//! A circuit joins two members of one network. Each end has one label of its own, used in both directions: the relay takes
//! a frame with the label of one end, puts the label of the other end in its place, and sends it there. Labels are random,
//! so that nobody guesses one; a guessed one would still need the bound address of its owner.
//! One UDP port serves all (pitfall 14): when labels run out, the answer is a clean "full".

use std::collections::BTreeMap;

use netflow_wire::{NetworkId, NodeId};
use rand_core::CryptoRng;

/// Tries to draw a free label. With 2 * 65,536 of 2^32 labels taken one draw fails with probability 2^-15.
const LABEL_TRIES: usize = 8;

/// The two ends of a circuit, smaller node id first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CircuitKey {
    pub(super) network: NetworkId,
    pub(super) low: NodeId,
    pub(super) high: NodeId,
}

impl CircuitKey {
    /// `None` for a node and itself.
    pub(super) fn new(network: NetworkId, a: NodeId, b: NodeId) -> Option<Self> {
        match a.cmp(&b) {
            std::cmp::Ordering::Less => Some(Self { network, low: a, high: b }),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(Self { network, low: b, high: a }),
        }
    }

    pub(super) fn other(&self, node: &NodeId) -> NodeId {
        if *node == self.low { self.high } else { self.low }
    }

    fn has(&self, node: &NodeId) -> bool {
        self.low == *node || self.high == *node
    }
}

/// Labels and counters of one circuit; index 0 belongs to the low end.
#[derive(Debug)]
pub(super) struct Circuit {
    labels: [u32; 2],
    /// Frames and bytes sent by the low and by the high end.
    pub(super) frames: [u64; 2],
    pub(super) bytes: [u64; 2],
}

impl Circuit {
    /// The label of an end.
    pub(super) fn label_of(&self, key: &CircuitKey, node: &NodeId) -> u32 {
        let [low, high] = self.labels;
        if key.low == *node { low } else { high }
    }
}

/// Where a label leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    pub(super) key: CircuitKey,
    /// Owner of the label: the one who may send with it.
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) to_label: u32,
}

/// All circuits of a relay.
#[derive(Debug)]
pub(super) struct Circuits {
    max: usize,
    circuits: BTreeMap<CircuitKey, Circuit>,
    labels: BTreeMap<u32, Hop>,
}

impl Circuits {
    pub(super) const fn new(max: usize) -> Self {
        Self { max, circuits: BTreeMap::new(), labels: BTreeMap::new() }
    }

    pub(super) const fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    pub(super) fn len(&self) -> usize {
        self.circuits.len()
    }

    pub(super) fn get(&self, key: &CircuitKey) -> Option<&Circuit> {
        self.circuits.get(key)
    }

    pub(super) fn hop(&self, label: u32) -> Option<&Hop> {
        self.labels.get(&label)
    }

    /// Opens a circuit, or finds the open one. `None`: no room.
    pub(super) fn open(&mut self, key: CircuitKey, rng: &mut dyn CryptoRng) -> Option<&Circuit> {
        if !self.circuits.contains_key(&key) {
            if self.circuits.len() >= self.max {
                return None;
            }
            let low = self.free_label(0, rng)?;
            let high = self.free_label(low, rng)?;
            self.labels.insert(low, Hop { key, from: key.low, to: key.high, to_label: high });
            self.labels.insert(high, Hop { key, from: key.high, to: key.low, to_label: low });
            self.circuits.insert(key, Circuit { labels: [low, high], frames: [0; 2], bytes: [0; 2] });
        }
        self.circuits.get(&key)
    }

    /// Counts one forwarded frame.
    pub(super) fn count(&mut self, hop: &Hop, bytes: u64) {
        if let Some(circuit) = self.circuits.get_mut(&hop.key) {
            let side = usize::from(hop.from != hop.key.low);
            if let (Some(frames), Some(total)) = (circuit.frames.get_mut(side), circuit.bytes.get_mut(side)) {
                *frames = frames.saturating_add(1);
                *total = total.saturating_add(bytes);
            }
        }
    }

    pub(super) fn close(&mut self, key: &CircuitKey) -> Option<Circuit> {
        let circuit = self.circuits.remove(key)?;
        for label in circuit.labels {
            self.labels.remove(&label);
        }
        Some(circuit)
    }

    /// Circuits of a network.
    pub(super) fn of_network(&self, network: NetworkId) -> impl Iterator<Item = CircuitKey> {
        let first = CircuitKey { network, low: NodeId([0; 32]), high: NodeId([0; 32]) };
        self.circuits.range(first..).map(|(key, _)| *key).take_while(move |key| key.network == network)
    }

    /// Circuits one end of which is `node`.
    pub(super) fn of_node(&self, node: NodeId) -> Vec<CircuitKey> {
        self.circuits.keys().filter(|key| key.has(&node)).copied().collect()
    }

    /// Circuits of a node within one network.
    pub(super) fn of_member(&self, network: NetworkId, node: NodeId) -> Vec<CircuitKey> {
        self.of_network(network).filter(|key| key.has(&node)).collect()
    }

    fn free_label(&self, taken: u32, rng: &mut dyn CryptoRng) -> Option<u32> {
        (0..LABEL_TRIES)
            .map(|_| rng.next_u32())
            .find(|label| *label != 0 && *label != taken && !self.labels.contains_key(label))
    }
}
