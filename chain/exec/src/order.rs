//! The order of creators after a block, from headers alone: what a node knows after a restart or a snapshot.

use alloy_primitives::B256;
use netchain_types::{ConsensusExtra, Header, ProposerOrder, shuffle, shuffle_seed};

/// Order after the block `tip`. `older` gives the header of a height below it; at most two shuffle rounds are read.
///
/// The order of shuffle round j is drawn with the randomness after the last block that began in round j - 2 or before
/// (docs/spec/chain.md, "Consensus"), rounds 0 and 1 with that of the genesis. `seats`: number of witnesses.
///
/// # Errors
/// None when a header is missing or its `extraData` is not readable.
pub fn order_after(tip: &Header, seats: u8, older: &dyn Fn(u64) -> Option<Header>) -> Option<ProposerOrder> {
    if tip.number == 0 {
        return Some(ProposerOrder::genesis(&tip.mix_hash, seats));
    }
    let extra = tip.check().ok()?;
    let n = u32::from(seats.max(1));
    let mut slot = extra.slot.saturating_add(extra.round).saturating_add(1);
    let mut shuffle_round = extra.shuffle_round;
    while slot >= n {
        slot -= n;
        shuffle_round += 1;
    }
    let order = |round: u64| Some(shuffle(&shuffle_seed(&mix_for(round, tip, &extra, older)?, round), seats));
    Some(ProposerOrder { shuffle_round, current: order(shuffle_round)?, next: order(shuffle_round + 1)?, slot })
}

/// Randomness that the order of a shuffle round is drawn with.
fn mix_for(
    round: u64,
    tip: &Header,
    tip_extra: &ConsensusExtra,
    older: &dyn Fn(u64) -> Option<Header>,
) -> Option<B256> {
    let Some(before) = round.checked_sub(2) else {
        return Some(older(0)?.mix_hash);
    };
    if tip_extra.shuffle_round <= before {
        return Some(tip.mix_hash);
    }
    let mut height = tip.number;
    loop {
        height = height.checked_sub(1)?;
        let header = older(height)?;
        // The genesis began before every round.
        if height == 0 || header.check().ok()?.shuffle_round <= before {
            return Some(header.mix_hash);
        }
    }
}
