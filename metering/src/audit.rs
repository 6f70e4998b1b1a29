//! One audit: what the hops of a flow committed for a slot and what they opened, checked and judged.

use crate::hash::SampleKey;
use crate::ids::{Direction, FlowId};
use crate::sample::{Level, is_audited};
use crate::verdict::{Flags, HopReport, Verdict, judge};
use crate::wire::{Opening, OpeningFault, SlotRoot};

/// What an auditor has of one hop.
#[derive(Clone, Copy, Debug)]
pub struct HopEvidence<'a> {
    /// The SlotRoot the collector put into the chain.
    pub root: &'a SlotRoot,
    /// The opening, when one came in time.
    pub opening: Option<&'a Opening>,
}

/// What an audit finds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Audit {
    /// Flags of every hop in direction order; fabrication and loss between hops whose openings were good.
    pub verdict: Verdict,
    /// Faults that convict a hop by themselves, with its position in direction order.
    pub faults: Vec<(usize, OpeningFault)>,
}

/// The level of an audit by the sender's opening; `None` when the lottery did not draw the slot, and nobody owes an
/// opening.
#[must_use]
pub fn level_of(sender: &Opening, slot_key: SampleKey) -> Option<Level> {
    let leaf = &sender.leaf;
    let is_drawn = is_audited(slot_key, leaf.flow, leaf.direction, leaf.bytes);
    is_drawn.then(|| Level::of_slot(leaf.pkts.into(), leaf.bytes))
}

/// Audits one flow and direction of a slot at `level`; `hops` in direction order, sender first. A hop whose opening is
/// missing or faulty is flagged, and its neighbours are compared with each other. The same evidence gives the same audit
/// everywhere.
#[must_use]
pub fn audit(hops: &[HopEvidence<'_>], flow: FlowId, direction: Direction, slot_key: SampleKey, level: Level) -> Audit {
    let flow_key = slot_key.of_flow(flow, direction);
    let (mut good, mut faults) = (Vec::new(), Vec::new());
    for (position, hop) in hops.iter().enumerate() {
        let Some(opening) = hop.opening else { continue };
        let index = match direction {
            Direction::Up => position,
            Direction::Down => hops.len() - 1 - position,
        };
        let leaf = &opening.leaf;
        // An opening of something else is no opening; it convicts nobody.
        let is_asked = leaf.flow == flow
            && leaf.direction == direction
            && usize::from(leaf.hop) == index
            && opening.level == level;
        match opening.check(hop.root, flow_key) {
            Ok(()) if is_asked => good.push((position, opening)),
            Err(fault) if is_asked => faults.push((position, fault)),
            Ok(()) | Err(_) => {}
        }
    }
    let reports: Vec<HopReport<'_>> = good
        .iter()
        .map(|(_, o)| HopReport { pkts: o.leaf.pkts.into(), bytes: o.leaf.bytes, samples: &o.samples })
        .collect();
    let judged = judge(&reports, level);
    let mut flags = vec![Flags::OPENING; hops.len()];
    for ((position, _), found) in good.iter().zip(judged.flags) {
        if let Some(place) = flags.get_mut(*position) {
            *place = found;
        }
    }
    Audit { verdict: Verdict { flags, ..judged }, faults }
}
