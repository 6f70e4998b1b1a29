//! The data path: what was decided for one packet of a flow, kept for the next ones.
//!
//! Everything about a packet is decided once, by the [`Node`](crate::node::Node): source and destination, policy, session, path, size. The decision is kept as
//! an entry of [`Outbound`] or [`Inbound`], and packets that are alike (same network, addresses, ports, protocol, class; TCP without SYN,
//! UDP; whole; small enough) take it from there: one look-up, one AEAD, a few counters. Whatever has no entry goes to the node, which is
//! always right; so an entry may be missing at any time, and must never be wrong:
//!
//! * The node counts a [`Generation`] whenever anything it decided from may have changed (log, session, path, size). An entry of another
//!   generation is none. This is what makes a revocation take effect with the next packet.
//! * An entry lives [`ENTRY_US`] at most. Then one packet of the flow passes through the node again, which so sees every flow that is alive
//!   fifty times a second: idle times, liveness of paths and renewal of sessions need no more.
//! * What must be exact is counted in atomics that node and data path share ([`Traffic`] of a session, [`PathTraffic`] of a path).
//!
//! All of it is `Send`: a worker thread owns its caches, and asks the node, behind a lock, only where it has no entry.

mod flow;
mod inbound;
mod outbound;
mod traffic;

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use flow::FlowKey;
pub(crate) use inbound::{Circuit, Inbound, Opened};
pub(crate) use outbound::{Forward, Outbound};
pub(crate) use traffic::{PathTraffic, Traffic};

use crate::time::MILLI_US;

/// An entry is used for this long. Bounds what the node may not see: a path that falls silent is noticed this much later (the goal for a
/// fail-over is 300 ms, of which 260 are used), and a flow costs the node 50 packets a second.
pub(crate) const ENTRY_US: u64 = 20 * MILLI_US;
/// Entries of one cache; all are forgotten when there are more, because each is made again by its next packet.
const MAX_ENTRIES: usize = 4_096;

/// Counts changes of what decisions rest on.
#[derive(Debug, Default)]
pub(crate) struct Generation(AtomicU64);

impl Generation {
    /// Every entry made before is void.
    pub(crate) fn advance(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}
