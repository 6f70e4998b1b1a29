//! (5) Fair reward: from the burnt fees of an epoch to minted NFC.
//!
//! Linear in the weight, so it is neutral to splitting identities and to inserting hops. What a discount, the curve or
//! the pledge cuts off is never given to others, so every coalition mints at most [`ALPHA_PPM`] of what was burnt for it.

use crate::amount::{Amount, mul_div, share};
use crate::params::{ALPHA_PPM, ATTO, KAPPA_EPOCH_PPM, POOL_PPM, PPM, SERVICE_PPM};

/// Tier of a node, as far as rewards care.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tier {
    /// Edge node: shares its reward with the nodes that serve it.
    Edge,
    /// Central node.
    Central,
    /// Root node.
    Root,
}

/// What an epoch brought one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeDue {
    /// The node's tier.
    pub tier: Tier,
    /// Atto-NB burnt for its service.
    pub fee: Amount,
    /// Fee after discounts; never above the fee.
    pub weight: Amount,
    /// Its pledge, atto-NFC.
    pub pledge: Amount,
}

/// What an epoch gives one node, atto-NFC. `gross = net + pool + service`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reward {
    /// Minted for it.
    pub gross: Amount,
    /// Of this, to the prize pool.
    pub pool: Amount,
    /// Of this, to central and root nodes.
    pub service: Amount,
    /// Of this, to the node.
    pub net: Amount,
}

/// The rewards of an epoch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rewards {
    /// In the order of the dues.
    pub rewards: Vec<Reward>,
    /// Sum of all gross rewards.
    pub minted: Amount,
    /// Sum of the pool shares.
    pub pool: Amount,
    /// Sum of the service shares.
    pub service: Amount,
    /// Part of the curve's allowance that stays unminted.
    pub unminted_carry: Amount,
    /// Cut off by pledge caps.
    pub cut_by_pledge: Amount,
}

/// Why no rewards can be computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RewardError {
    /// A price of zero would mint without limit.
    #[error("the price of NFC is zero")]
    NoPrice,
    /// A weight above its fee would mint more than was burnt.
    #[error("due {0} has a weight above its fee")]
    WeightAboveFee(usize),
    /// More than 2^160 atto-NB: no such sum exists, and the arithmetic is proven below it only.
    #[error("due {0} is larger than any sum of money")]
    TooLarge(usize),
    /// More than 2^24 dues in one epoch.
    #[error("too many dues in one epoch")]
    TooMany,
}

/// Bits of the largest fee. raw <= 2^160 * 2^80 / 2^19 = 2^221, and 2^24 of them stay below 2^256.
const FEE_BITS: usize = 160;
const MAX_DUES: usize = 1 << 24;

/// Rewards of one epoch at `price` atto-NB per NFC, below the curve's `allowance` in atto-NFC.
///
/// # Errors
/// [`RewardError`]; nothing is computed for a part of the dues.
pub fn fair_reward(dues: &[NodeDue], price: u128, allowance: u128) -> Result<Rewards, RewardError> {
    let raw = raw_rewards(dues, price)?;
    let total: Amount = raw.iter().fold(Amount::ZERO, |sum, x| sum + *x);
    let allowance = Amount::from(allowance);
    let mut out = Rewards::default();
    for (due, raw) in dues.iter().zip(raw) {
        let scaled = if total <= allowance { raw } else { mul_div(raw, allowance, total).unwrap_or(Amount::ZERO) };
        let gross = scaled.min(share(due.pledge, KAPPA_EPOCH_PPM));
        let pool = share(gross, POOL_PPM);
        let service = if due.tier == Tier::Edge { share(gross, SERVICE_PPM) } else { Amount::ZERO };
        out.minted += gross;
        out.pool += pool;
        out.service += service;
        out.cut_by_pledge += scaled - gross;
        out.rewards.push(Reward { gross, pool, service, net: gross - pool - service });
    }
    out.unminted_carry = allowance.saturating_sub(out.minted);
    Ok(out)
}

/// weight * alpha / price for each due.
fn raw_rewards(dues: &[NodeDue], price: u128) -> Result<Vec<Amount>, RewardError> {
    if price == 0 {
        return Err(RewardError::NoPrice);
    }
    if dues.len() > MAX_DUES {
        return Err(RewardError::TooMany);
    }
    let numerator = Amount::from(ALPHA_PPM) * Amount::from(ATTO);
    let denominator = Amount::from(PPM) * Amount::from(price);
    dues.iter()
        .enumerate()
        .map(|(i, due)| {
            if due.weight > due.fee {
                return Err(RewardError::WeightAboveFee(i));
            }
            if due.fee.bit_len() > FEE_BITS {
                return Err(RewardError::TooLarge(i));
            }
            mul_div(due.weight, numerator, denominator).ok_or(RewardError::TooLarge(i))
        })
        .collect()
}
