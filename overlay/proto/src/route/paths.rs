//! The best paths from one relay to any of several others, over at most three relays.
//!
//! So short paths need no Dijkstra: all of them are looked at, at most 64 x 64 of them. The order is total (metric, number of
//! relays, their ids), so that two runs over the same table give the same answer.

use std::collections::BTreeSet;

use netflow_wire::NodeId;
use netflow_wire::control::{CandidatePath, MAX_CANDIDATES, MAX_ROUTE, path_class};

use super::table::{LinkQuality, LinkTable};

/// A per mille of loss against microseconds of round trip: one per cent is worth 5 ms to a conversation, 20 ms to a transfer.
const LOSS_INTERACTIVE_US: u64 = 500;
const LOSS_BULK_US: u64 = 2_000;
/// What one relay more costs a conversation, beside its measured part: one more thing that can fail.
const RELAY_US: u64 = 2_000;
/// Load up to which a relay counts as free, in thousandths, and what each above it costs: 100 ms at full load, a full queue.
const FREE_LOAD: u16 = 500;
const LOAD_US: u64 = 200;
/// What one unit of price counts where price comes first.
const PRICE_CHEAP_US: u64 = 1_000;

/// What counts most on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Round trip and loss.
    Interactive,
    /// Room and loss, then price.
    Bulk,
    /// Price, then round trip.
    Cheap,
}

impl Class {
    /// The class a code of [`path_class`] names.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            path_class::INTERACTIVE => Some(Self::Interactive),
            path_class::BULK => Some(Self::Bulk),
            path_class::CHEAP => Some(Self::Cheap),
            _ => None,
        }
    }

    /// Its code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Interactive => path_class::INTERACTIVE,
            Self::Bulk => path_class::BULK,
            Self::Cheap => path_class::CHEAP,
        }
    }

    /// Metric of a path, smaller is better; `docs/spec/routing.md`, "Path service".
    #[must_use]
    pub fn metric(self, path: &CandidatePath) -> u64 {
        let (rtt, loss) = (u64::from(path.rtt_us), u64::from(path.loss_permille));
        let load = u64::from(path.load_permille.min(1_000).saturating_sub(FREE_LOAD)) * LOAD_US;
        let relays = u64::try_from(path.relays.len()).unwrap_or(u64::MAX);
        let interactive = rtt + loss * LOSS_INTERACTIVE_US + relays * RELAY_US + load;
        match self {
            Self::Interactive => interactive,
            Self::Bulk => loss * LOSS_BULK_US + load * 4 + rtt / 4 + u64::from(path.price),
            Self::Cheap => u64::from(path.price) * PRICE_CHEAP_US + interactive / 16,
        }
    }
}

/// At most [`MAX_CANDIDATES`] paths that begin at `from` and end at one of `to`, best first. `from` may be one of `to`.
///
/// No relay is twice in a path, and no path is there whose relays contain those of one that is at least as good.
#[must_use]
pub fn best_paths(table: &LinkTable, from: NodeId, to: &BTreeSet<NodeId>, class: Class) -> Vec<CandidatePath> {
    let mut found = Vec::new();
    let start = Walk::start(table, from);
    start.visit(table, to, &mut found);
    let mut ranked: Vec<(u64, CandidatePath)> = found.into_iter().map(|path| (class.metric(&path), path)).collect();
    ranked.sort_by(|(a, left), (b, right)| {
        (a, left.relays.len(), &left.relays).cmp(&(b, right.relays.len(), &right.relays))
    });
    let mut best: Vec<CandidatePath> = Vec::new();
    for (_, path) in ranked {
        // Sorted by metric: whatever is in `best` already is at least as good.
        let longer = best.iter().any(|other| other.relays.iter().all(|relay| path.relays.contains(relay)));
        if !longer {
            best.push(path);
        }
        if best.len() >= MAX_CANDIDATES {
            break;
        }
    }
    best
}

/// A path that grows.
#[derive(Clone)]
struct Walk {
    path: CandidatePath,
    /// Part of the frames that arrive, in millionths.
    arrive: u64,
}

impl Walk {
    fn start(table: &LinkTable, from: NodeId) -> Self {
        let (load_permille, price) = table.relay(&from);
        let path = CandidatePath { relays: vec![from], rtt_us: 0, loss_permille: 0, load_permille, price };
        Self { path, arrive: 1_000_000 }
    }

    fn step(&self, table: &LinkTable, to: NodeId, link: LinkQuality) -> Self {
        let (load, price) = table.relay(&to);
        let mut next = self.clone();
        next.path.relays.push(to);
        next.path.rtt_us = next.path.rtt_us.saturating_add(link.rtt_us);
        next.arrive = self.arrive * u64::from(1_000 - link.loss_permille.min(1_000)) / 1_000;
        next.path.loss_permille = u16::try_from((1_000_000 - next.arrive).div_ceil(1_000)).unwrap_or(1_000);
        next.path.load_permille = next.path.load_permille.max(load);
        next.path.price = next.path.price.saturating_add(price);
        next
    }

    fn visit(&self, table: &LinkTable, to: &BTreeSet<NodeId>, found: &mut Vec<CandidatePath>) {
        let Some(last) = self.path.relays.last() else { return };
        if to.contains(last) {
            found.push(self.path.clone());
        }
        if self.path.relays.len() >= MAX_ROUTE {
            return;
        }
        for (next, link) in table.neighbours(last) {
            // The last step only leads somewhere.
            let useful = self.path.relays.len() + 1 < MAX_ROUTE || to.contains(&next);
            if useful && !self.path.relays.contains(&next) {
                self.step(table, next, link).visit(table, to, found);
            }
        }
    }
}
