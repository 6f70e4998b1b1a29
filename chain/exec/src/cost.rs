//! Fees: who gets what a transaction pays.

use alloy_primitives::U256;
use netchain_state::State;

use crate::overlay::{Overlay, ReadError};
use crate::params::{ChainParams, FeeRule};

/// What one transaction paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paid {
    pub(crate) gas_used: u64,
    pub(crate) gas_price: u128,
    pub(crate) base_fee: u64,
}

/// `fee = gas * price`, `pool = (fee - gas * min) / 2`, `creator = fee - pool`; what is below the minimum is the creator's.
pub(crate) fn split(paid: Paid, min_price: u64) -> (U256, U256) {
    let gas = U256::from(paid.gas_used);
    let fee = gas * U256::from(paid.gas_price);
    let pool = fee.saturating_sub(gas * U256::from(min_price)) / U256::from(2);
    (pool, fee - pool)
}

/// revm gave the creator the tip and burned the base fee; this makes it the chain's rule.
pub(crate) fn pay_out<S: State>(
    overlay: &mut Overlay<S>,
    params: &ChainParams,
    creator: &alloy_primitives::Address,
    paid: Paid,
) -> Result<(), ReadError> {
    let tip = U256::from(paid.gas_used) * U256::from(paid.gas_price.saturating_sub(u128::from(paid.base_fee)));
    let (pool, share) = match params.fee_rule {
        FeeRule::Ethereum => return Ok(()),
        FeeRule::Creator => (None, U256::from(paid.gas_used) * U256::from(paid.gas_price)),
        FeeRule::Pool(pool) => {
            let (amount, share) = split(paid, params.min_base_fee);
            (Some((pool, amount)), share)
        }
    };
    overlay.change_balance(creator, |balance| balance.saturating_sub(tip).saturating_add(share))?;
    match pool {
        Some((pool, amount)) => overlay.change_balance(&pool, |balance| balance.saturating_add(amount)),
        None => Ok(()),
    }
}
