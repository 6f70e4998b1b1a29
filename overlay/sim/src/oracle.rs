//! What must never happen, whatever fails.

use std::collections::{BTreeMap, BTreeSet};

use netflow_overlay::{NetworkId, NodeId};

use crate::net::HostId;
use crate::packet::{Tag, shows_clear};

/// Shortest time between two voluntary changes (design/overlay.md).
const SWITCH_US: u64 = 10_000_000;

/// Judges a run as it goes.
#[derive(Debug, Default)]
pub struct Oracle {
    /// Which network is which.
    pub networks: BTreeMap<NetworkId, usize>,
    seen: BTreeSet<(u32, bool, u32)>,
    switches: BTreeMap<(HostId, u32, NetworkId, NodeId, usize), u64>,
    verdict: Option<String>,
}

impl Oracle {
    /// Something was violated. The first one counts.
    pub fn violated(&mut self, what: String) {
        self.verdict.get_or_insert(what);
    }

    /// The first violation, if there is one.
    #[must_use]
    pub fn verdict(&self) -> Option<String> {
        self.verdict.clone()
    }

    /// Nothing of a payload shows on the wire.
    pub fn watch_clear(&mut self, bytes: &[u8], place: &str) {
        if shows_clear(bytes) {
            self.violated(format!("a payload is in clear in {place}"));
        }
    }

    /// At most one voluntary change of path in ten seconds, for a peer and class (pitfall 17).
    pub fn switched(&mut self, now_us: u64, whose: (HostId, u32, NetworkId, NodeId, usize), reason: &str) {
        if let Some(last_us) = self.switches.insert(whose, now_us)
            && now_us.saturating_sub(last_us) < SWITCH_US
        {
            let (host, ..) = whose;
            self.violated(format!("m{host} changes its path twice in {} ms: {reason}", (now_us - last_us) / 1_000));
        }
    }

    /// Nothing is delivered twice.
    pub fn delivered(&mut self, tag: Tag) {
        if !self.seen.insert((tag.flow, tag.answer, tag.seq)) {
            self.violated(format!("delivered twice: {tag:?}"));
        }
    }
}
