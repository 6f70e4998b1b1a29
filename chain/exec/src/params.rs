//! What the genesis decides for good.

use alloy_eips::eip1559::BaseFeeParams;
use alloy_primitives::{Address, address};
use netchain_types::Header;

use crate::system::SYSTEM_GAS;

/// Where the genesis puts the contract that the end of a block enters (chain/contracts, `Addresses.WITNESS`).
pub const WITNESS_CONTRACT: Address = address!("0000000000000000000000000000000000001000");
/// Gas of a block: twice what 2,000 plain transfers a second need in 3 s (126 M), so that this load is below the target at
/// which the base fee rises, and the system transaction.
pub const DEFAULT_GAS_LIMIT: u64 = 300_000_000;
/// Lowest base fee: 1 gwei. Below it half a fee would be worth less than the record of it.
pub const DEFAULT_MIN_BASE_FEE: u64 = 1_000_000_000;

/// Who gets the fees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeeRule {
    /// Ethereum's: the base fee is burned, the tip is the creator's. For the conformance suites.
    Ethereum,
    /// Nothing is burned: all of it is the creator's. For chains without the economy contracts.
    Creator,
    /// Nothing is burned: `pool = (fee - gas * min) / 2` goes to the prize pool, the rest to the creator (design, "gas").
    Pool(Address),
}

/// Parameters of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainParams {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Gas limit of every block.
    pub gas_limit: u64,
    /// Lowest base fee in base units per gas.
    pub min_base_fee: u64,
    /// Who gets the fees.
    pub fee_rule: FeeRule,
    /// The contract the end of a block enters; it also holds the witness set.
    pub witness_contract: Address,
}

impl ChainParams {
    /// Parameters of a chain with this id and nothing special.
    #[must_use]
    pub const fn new(chain_id: u64) -> Self {
        Self {
            chain_id,
            gas_limit: DEFAULT_GAS_LIMIT,
            min_base_fee: DEFAULT_MIN_BASE_FEE,
            fee_rule: FeeRule::Creator,
            witness_contract: WITNESS_CONTRACT,
        }
    }

    /// Base fee of the block after `parent`: EIP-1559, never below the minimum.
    #[must_use]
    pub fn next_base_fee(&self, parent: &Header) -> u64 {
        let fee = alloy_eips::eip1559::calc_next_block_base_fee(
            parent.gas_used,
            parent.gas_limit,
            parent.base_fee_per_gas,
            BaseFeeParams::ethereum(),
        );
        fee.max(self.min_base_fee)
    }

    /// Gas that is left for transactions of users.
    #[must_use]
    pub const fn user_gas(&self) -> u64 {
        self.gas_limit.saturating_sub(SYSTEM_GAS)
    }
}
