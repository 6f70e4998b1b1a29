//! Settlement of one flow in one epoch.
//!
//! Positions on the path: 0 initiator, 1..=k relays, k+1 provider. Everything is computed from the byte totals the hops
//! claimed and the goodput the payer acknowledged; the payer burns the sum of the fees, and a discount is neither
//! refunded (that would pay the payer for causing a mismatch) nor given to others.

use crate::algo::discount::Deviation;
use crate::algo::exchange::average_bytes;
use crate::algo::hedge;
use crate::algo::logm::byte_distance;
use crate::amount::{Amount, allow_above, share};
use crate::ids::{Direction, PerDirection};
use crate::params::{ETA_PPM, LOSS_SHARE_PPM, MAX_RELAYS, PRICE_FLOOR, RETX_MAX_PPM};
use crate::verdict::Flags;
use crate::wire::{Contract, Counts};

/// What a flow and epoch left behind.
#[derive(Clone, Copy, Debug)]
pub struct FlowAccount<'a> {
    /// Atto-NB per byte of the provider.
    pub price_provider: u64,
    /// Atto-NB per byte of each relay, in path order.
    pub relay_prices: &'a [u64],
    /// Claims of initiator, relays, provider; a missing claim is one of zeros.
    pub claims: &'a [PerDirection<Counts>],
    /// Goodput of the payer's last voucher.
    pub acked: PerDirection<u64>,
    /// Paid with promotional NB, which never mint.
    pub promo: bool,
    /// Audit flags of each position; empty when nothing was audited.
    pub flags: &'a [Flags],
}

/// What one paid position gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Position on the path.
    pub hop: usize,
    /// Bytes paid.
    pub bytes: u128,
    /// Atto-NB the payer burns for it.
    pub fee: Amount,
    /// Share of the fee that counts, parts per million.
    pub coefficient: u64,
    /// Fee after discount: what minting goes by.
    pub weight: Amount,
}

/// Settlement of a flow and epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlowSettlement {
    /// Bytes the provider is paid for: what it sent beyond what it got.
    pub provider_bytes: u64,
    /// The same, seen from the initiator; nobody pays for it.
    pub initiator_bytes: u64,
    /// The provider's part, then the relays' in path order.
    pub parts: Vec<Part>,
    /// Sum of the fees, atto-NB.
    pub burn: Amount,
    /// Sum of the bytes of all parts.
    pub effective_bytes: u128,
    /// Bytes that advance the decay curve: never more than was paid for at the floor price.
    pub counted_bytes: u128,
}

/// Why a flow cannot be settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SettleError {
    /// The contract names more relays than a path can have.
    #[error("{0} relays on one path")]
    TooManyRelays(usize),
    /// There must be one claim per position.
    #[error("{got} claims for {want} positions")]
    Claims {
        /// Claims given.
        got: usize,
        /// Positions on the path.
        want: usize,
    },
    /// There must be one set of flags per position, or none at all.
    #[error("{got} flags for {want} positions")]
    Flags {
        /// Flags given.
        got: usize,
        /// Positions on the path.
        want: usize,
    },
}

/// What one direction says about one position.
#[derive(Clone, Copy, Default)]
struct Measured {
    effective: u64,
    step: u32,
    over: u32,
}

impl FlowAccount<'_> {
    /// Settles the flow.
    ///
    /// # Errors
    /// [`SettleError`] when the account does not fit its own path.
    pub fn settle(&self) -> Result<FlowSettlement, SettleError> {
        let positions = self.check()?;
        let counts = |direction: Direction| self.claims.iter().map(move |c| c.get(direction).bytes);
        let up = measure(&counts(Direction::Up).collect::<Vec<_>>(), self.acked.up);
        let mut down = measure(&counts(Direction::Down).rev().collect::<Vec<_>>(), self.acked.down);
        down.reverse();

        let sent = |m: Option<&Measured>| m.map_or(0, |m| m.effective);
        let (provider_bytes, initiator_bytes) = hedge::net(sent(down.last()), sent(up.first()), ETA_PPM);
        let mut parts = Vec::with_capacity(positions - 1);
        let all = self.claims.iter().zip(up.iter().zip(&down)).enumerate();
        for (hop, (claim, (_, down))) in all.clone().skip(positions - 1) {
            let seen = Deviation {
                over: down.over,
                step: down.step,
                pkts: claim.down.pkts.into(),
                dups: claim.down.dups.into(),
                flagged: self.is_flagged(hop),
            };
            parts.push(self.part(hop, provider_bytes.into(), self.price_provider, &seen));
        }
        for ((hop, (claim, (up, down))), price) in all.skip(1).zip(self.relay_prices) {
            let seen = Deviation {
                over: up.over.max(down.over),
                step: up.step.max(down.step),
                pkts: u128::from(claim.up.pkts) + u128::from(claim.down.pkts),
                dups: u128::from(claim.up.dups) + u128::from(claim.down.dups),
                flagged: self.is_flagged(hop),
            };
            parts.push(self.part(hop, u128::from(up.effective) + u128::from(down.effective), *price, &seen));
        }
        let burn = parts.iter().fold(Amount::ZERO, |sum, part| sum + part.fee);
        let effective_bytes = parts.iter().map(|part| part.bytes).sum();
        let counted_bytes = if self.promo { 0 } else { counted_bytes(effective_bytes, burn) };
        Ok(FlowSettlement { provider_bytes, initiator_bytes, parts, burn, effective_bytes, counted_bytes })
    }

    /// Number of positions, when the account is consistent.
    const fn check(&self) -> Result<usize, SettleError> {
        if self.relay_prices.len() > MAX_RELAYS {
            return Err(SettleError::TooManyRelays(self.relay_prices.len()));
        }
        let want = self.relay_prices.len() + 2;
        if self.claims.len() != want {
            return Err(SettleError::Claims { got: self.claims.len(), want });
        }
        if !self.flags.is_empty() && self.flags.len() != want {
            return Err(SettleError::Flags { got: self.flags.len(), want });
        }
        Ok(want)
    }

    fn is_flagged(&self, hop: usize) -> bool {
        self.flags.get(hop).is_some_and(|flags| flags.any())
    }

    fn part(&self, hop: usize, bytes: u128, price: u64, seen: &Deviation) -> Part {
        // bytes < 2^65, price < 2^64: the fee needs at most 129 bits, ten of them 133.
        let fee = Amount::from(bytes) * Amount::from(price);
        let coefficient = seen.coefficient();
        let weight = if self.promo { Amount::ZERO } else { share(fee, coefficient) };
        Part { hop, bytes, fee, coefficient, weight }
    }
}

/// The prices of a contract, in the form an account wants them.
#[must_use]
pub fn relay_prices(contract: &Contract) -> Vec<u64> {
    contract.relays.iter().map(|relay| relay.price).collect()
}

/// Bytes that advance the network's traffic counter: at most what was burnt at the floor price, so that nobody pushes the
/// decay curve for free.
#[must_use]
pub fn counted_bytes(effective_bytes: u128, burn: Amount) -> u128 {
    (burn / Amount::from(PRICE_FLOOR)).min(Amount::from(effective_bytes)).saturating_to()
}

/// Measures one direction; `bytes` in direction order, sender first.
fn measure(bytes: &[u64], acked: u64) -> Vec<Measured> {
    let at = |position: Option<usize>| position.and_then(|i| bytes.get(i)).copied();
    let (sender, receiver) = (at(Some(0)).unwrap_or(0), bytes.last().copied().unwrap_or(0));
    let sender_cap = allow_above(acked, LOSS_SHARE_PPM);
    let relay_cap = allow_above(acked, RETX_MAX_PPM);
    // Nobody forwards more than was sent.
    let most = sender.max(receiver);
    let mut out = Vec::with_capacity(bytes.len());
    for (j, own) in bytes.iter().copied().enumerate() {
        // Two neighbours on each side: one liar next to an honest hop does not hurt it.
        let next = [at(Some(j + 1)), at(Some(j + 2))];
        let previous = [at(j.checked_sub(1)), at(j.checked_sub(2))];
        let nearest = |side: [Option<u64>; 2]| side.into_iter().flatten().map(|x| byte_distance(own, x)).min();
        let agreed = |side: [Option<u64>; 2]| side.into_iter().flatten().map(|x| average_bytes(own, x)).max();
        let is_receiver = j + 1 == bytes.len();
        let effective = if is_receiver {
            own
        } else if j == 0 {
            average_bytes(sender, receiver).min(sender_cap)
        } else {
            agreed(previous).unwrap_or(0).min(agreed(next).unwrap_or(0)).min(most).min(relay_cap)
        };
        out.push(Measured {
            effective,
            // A receiver is not paid for this direction, so its distance weighs nothing.
            step: if is_receiver { 0 } else { nearest(previous).unwrap_or(0).max(nearest(next).unwrap_or(0)) },
            over: if is_receiver || own <= most { 0 } else { byte_distance(own, most) },
        });
    }
    out
}
