//! What must never happen, whatever fails.

use std::collections::{BTreeMap, BTreeSet};

use netflow_overlay::NetworkId;

use crate::packet::{Tag, shows_clear};

/// Judges a run as it goes.
#[derive(Debug, Default)]
pub struct Oracle {
    /// Which network is which.
    pub networks: BTreeMap<NetworkId, usize>,
    seen: BTreeSet<(u32, bool, u32)>,
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

    /// Nothing is delivered twice.
    pub fn delivered(&mut self, tag: Tag) {
        if !self.seen.insert((tag.flow, tag.answer, tag.seq)) {
            self.violated(format!("delivered twice: {tag:?}"));
        }
    }
}
