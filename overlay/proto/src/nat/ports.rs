//! Local UDP ports beside the main one: opened for a test or a search, kept where a path uses them.

use std::collections::BTreeMap;

use super::search::MAX_PORTS;
use crate::endpoint::PortId;
use crate::session::PeerRef;

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// The filter test.
    Test,
    /// The birthday search with a peer.
    Search(PeerRef),
    /// Carries a direct path to a peer.
    Path(PeerRef),
}

/// The ports open or being opened; never more than [`MAX_PORTS`].
#[derive(Default)]
pub(crate) struct Ports {
    open: BTreeMap<PortId, Use>,
    last: u16,
}

impl Ports {
    /// A number for one more port; `None` when there are as many as may be.
    pub(crate) fn open(&mut self, purpose: Use) -> Option<PortId> {
        if self.open.len() >= MAX_PORTS {
            return None;
        }
        // Numbers go round, so that a late datagram of a closed port is not taken for one of a new port.
        let mut next = self.last;
        loop {
            next = next.checked_add(1).unwrap_or_default().max(PortId::FIRST_PUNCH.0);
            if !self.open.contains_key(&PortId(next)) {
                break;
            }
        }
        self.last = next;
        self.open.insert(PortId(next), purpose);
        Some(PortId(next))
    }

    /// None is open or being opened.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// How many more may be opened.
    pub(crate) fn room(&self) -> usize {
        MAX_PORTS.saturating_sub(self.open.len())
    }

    pub(crate) fn purpose(&self, port: PortId) -> Option<Use> {
        self.open.get(&port).copied()
    }

    /// A search found its port: it stays.
    pub(crate) fn keep(&mut self, port: PortId, peer: PeerRef) {
        if let Some(purpose) = self.open.get_mut(&port) {
            *purpose = Use::Path(peer);
        }
    }

    pub(crate) fn close(&mut self, port: PortId) -> bool {
        self.open.remove(&port).is_some()
    }

    /// Takes out the ports that are not needed any more.
    pub(crate) fn take_if(&mut self, unneeded: impl Fn(PortId, Use) -> bool) -> Vec<PortId> {
        self.open.extract_if(.., |port, purpose| unneeded(*port, *purpose)).map(|(port, _)| port).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pitfall_15_there_are_never_more_than_64_ports_and_numbers_are_not_used_again_at_once() {
        let mut ports = Ports::default();
        let first: Vec<PortId> = std::iter::from_fn(|| ports.open(Use::Test)).collect();
        assert_eq!((first.len(), first.first()), (64, Some(&PortId::FIRST_PUNCH)));
        assert_eq!(ports.take_if(|_, _| true).len(), 64);
        assert!(!first.contains(&ports.open(Use::Test).unwrap()));
        for _ in 0..200_000u32 {
            let port = ports.open(Use::Test).unwrap();
            assert!(port.is_punch());
            assert!(ports.close(port));
        }
    }
}
