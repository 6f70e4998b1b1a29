//! What a stranger's initiation may cost (pitfall 9).
//!
//! An initiation is tried against the key of each of our networks before anything else can be known of it: with 16 networks
//! that is some twenty microseconds, and 100,000 forged ones a second would be two processors. Members meet through a relay
//! first, where the label says who they are; an initiation without a label is rare: a renewal on a direct path, or a
//! peer-reflexive surprise. So only so many of those are looked at, and established sessions are found by their index without
//! any of this.

use crate::relay::Bucket;
use crate::time::Now;

/// Initiations a second from addresses that are no path of ours: one or two of honest peers, the rest is somebody's flood.
const UNKNOWN_PER_SECOND: u32 = 200;
/// The same from addresses of direct paths, which can be forged as well: every peer renews every two minutes.
const KNOWN_PER_SECOND: u32 = 500;

/// How many initiations without a label are looked at.
pub(super) struct InitGate {
    unknown: Bucket,
    known: Bucket,
}

impl InitGate {
    pub(super) fn new(now: Now) -> Self {
        Self {
            unknown: Bucket::new(UNKNOWN_PER_SECOND, UNKNOWN_PER_SECOND, now),
            known: Bucket::new(KNOWN_PER_SECOND, KNOWN_PER_SECOND, now),
        }
    }

    /// One initiation. `false`: drop it unread.
    pub(super) fn admits(&mut self, now: Now, is_path: bool) -> bool {
        if is_path { self.known.take(now) } else { self.unknown.take(now) }
    }
}
