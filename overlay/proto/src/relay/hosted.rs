//! One network as a relay keeps it: its verified log, what it may use, who is attached, which joins wait.

use std::collections::BTreeMap;

use netflow_wire::control::ControlMessage;
use netflow_wire::{InviteId, NetworkId, NodeId};

use super::config::{LinkId, Quota};
use super::quota::Meter;
use crate::netlog::NetworkLog;
use crate::time::Now;

/// Joins kept per network, one per invite. A request is about 2 KB.
const MAX_WAITING: usize = 64;
/// Entries of one hosted log. A member costs about 1.6 KB, so 32 MB at the limit.
pub(super) const MAX_ENTRIES: usize = 20_000;

/// A join request waiting for its issuer.
pub(super) struct Waiting {
    pub(super) node: NodeId,
    pub(super) link: LinkId,
    pub(super) request: ControlMessage,
}

/// A hosted network.
pub(super) struct Hosted {
    pub(super) log: NetworkLog,
    pub(super) entries: usize,
    pub(super) meter: Meter,
    /// Members with a link that said `Attach`.
    pub(super) attached: BTreeMap<NodeId, LinkId>,
    mailbox: BTreeMap<InviteId, Waiting>,
    pub(super) forwarded_bytes: u64,
    pub(super) quota_dropped_frames: u64,
    /// Bytes of the day as last noted on disk.
    noted: (u64, u64),
}

/// What became of a request put into the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Stored,
    /// Another node uses the invite right now.
    Taken,
    Full,
}

impl Hosted {
    pub(super) fn new(log: NetworkLog, entries: usize, quota: Quota, now: Now) -> Self {
        let meter = Meter::new(quota, now);
        let noted = meter.used();
        let (attached, mailbox) = (BTreeMap::new(), BTreeMap::new());
        Self { log, entries, meter, attached, mailbox, forwarded_bytes: 0, quota_dropped_frames: 0, noted }
    }

    pub(super) fn waiting_count(&self) -> usize {
        self.mailbox.len()
    }

    /// Keeps a verified request: one per invite, the first one whose link lives.
    pub(super) fn keep(&mut self, invite: InviteId, waiting: Waiting, lives: impl Fn(LinkId) -> bool) -> Kept {
        match self.mailbox.get(&invite) {
            Some(other) if other.node != waiting.node && lives(other.link) => return Kept::Taken,
            Some(_) => {}
            None if self.mailbox.len() >= MAX_WAITING => {
                // Requests of nodes that went away make room first.
                self.mailbox.retain(|_, kept| lives(kept.link));
                if self.mailbox.len() >= MAX_WAITING {
                    return Kept::Full;
                }
            }
            None => {}
        }
        self.mailbox.insert(invite, waiting);
        Kept::Stored
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = (&InviteId, &Waiting)> {
        self.mailbox.iter()
    }

    pub(super) fn take_waiting(&mut self, invite: &InviteId) -> Option<Waiting> {
        self.mailbox.remove(invite)
    }

    /// What to write down about the volume used, when it changed since the last time.
    pub(super) fn note(&mut self) -> Option<Vec<u8>> {
        let used = self.meter.used();
        if used == self.noted {
            return None;
        }
        self.noted = used;
        Some(minicbor::to_vec(used).expect("writing to memory cannot fail"))
    }

    /// Reads [`Hosted::note`] back. Anything else is as if nothing had been noted.
    pub(super) fn restore_note(&mut self, bytes: &[u8]) {
        if let Ok((day, used)) = minicbor::decode::<(u64, u64)>(bytes) {
            self.meter.restore(day, used);
            self.noted = self.meter.used();
        }
    }
}

/// A network being published over one link: kept apart until it has proved that it belongs here.
pub(super) struct Staging {
    pub(super) network: NetworkId,
    pub(super) log: NetworkLog,
    pub(super) raws: Vec<Vec<u8>>,
    pub(super) bytes: usize,
}
