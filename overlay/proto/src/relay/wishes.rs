//! Circuits somebody asked for while the other end was away: opened when it binds. Bounded per node and in all.

use std::collections::BTreeSet;

use netflow_wire::{NetworkId, NodeId};

/// Wishes of one node: as many peers as one node keeps traffic waiting for.
const MAX_PER_NODE: usize = 64;
/// Wishes of all nodes: about 100 bytes each, twice.
const MAX_TOTAL: usize = 16_384;

const FIRST_NETWORK: NetworkId = NetworkId([0; 32]);
const FIRST_NODE: NodeId = NodeId([0; 32]);

/// Two indexes over one set of wishes.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// (who wishes, network, whom).
    by_asker: BTreeSet<(NodeId, NetworkId, NodeId)>,
    /// (whom, network, who wishes).
    by_wanted: BTreeSet<(NodeId, NetworkId, NodeId)>,
}

impl Wishes {
    pub(super) fn len(&self) -> usize {
        self.by_asker.len()
    }

    /// `false`: no room.
    pub(super) fn add(&mut self, network: NetworkId, asker: NodeId, wanted: NodeId) -> bool {
        if self.by_asker.contains(&(asker, network, wanted)) {
            return true;
        }
        if self.by_asker.len() >= MAX_TOTAL || self.of(&self.by_asker, asker).count() >= MAX_PER_NODE {
            return false;
        }
        self.by_asker.insert((asker, network, wanted));
        self.by_wanted.insert((wanted, network, asker));
        true
    }

    pub(super) fn remove(&mut self, network: NetworkId, asker: NodeId, wanted: NodeId) {
        self.by_asker.remove(&(asker, network, wanted));
        self.by_wanted.remove(&(wanted, network, asker));
    }

    /// Wishes that `node` comes: (network, who wishes).
    pub(super) fn waiting_for(&self, node: NodeId) -> Vec<(NetworkId, NodeId)> {
        self.of(&self.by_wanted, node).map(|(_, network, asker)| (*network, *asker)).collect()
    }

    /// What `node` wishes for: (network, whom).
    pub(super) fn asked_by(&self, node: NodeId) -> Vec<(NetworkId, NodeId)> {
        self.of(&self.by_asker, node).map(|(_, network, wanted)| (*network, *wanted)).collect()
    }

    /// Forgets what `node` wished for, in one network or in all.
    pub(super) fn forget_asker(&mut self, node: NodeId, network: Option<NetworkId>) {
        let gone: Vec<_> = self
            .of(&self.by_asker, node)
            .filter(|(_, of, _)| network.is_none_or(|network| network == *of))
            .copied()
            .collect();
        for (asker, network, wanted) in gone {
            self.remove(network, asker, wanted);
        }
    }

    /// Forgets every wish within a network.
    pub(super) fn forget_network(&mut self, network: NetworkId) {
        self.by_asker.retain(|(_, of, _)| *of != network);
        self.by_wanted.retain(|(_, of, _)| *of != network);
    }

    fn of<'a>(
        &self,
        index: &'a BTreeSet<(NodeId, NetworkId, NodeId)>,
        node: NodeId,
    ) -> impl Iterator<Item = &'a (NodeId, NetworkId, NodeId)> + use<'a> {
        index.range((node, FIRST_NETWORK, FIRST_NODE)..).take_while(move |(first, _, _)| *first == node)
    }
}
