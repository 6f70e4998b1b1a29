//! What the pool knows of a transaction, and why it refuses one.

use alloy_primitives::{Address, B256, Bytes, U256};

use super::PRICE_BUMP_PERCENT;

/// Nonce and balance of an account on the tip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountState {
    /// Nonce of the next transaction.
    pub nonce: u64,
    /// Balance in base units (10^-18).
    pub balance: U256,
}

/// A transaction with a verified sender.
#[derive(Clone, Debug)]
pub struct PoolTx<T> {
    /// Transaction hash.
    pub hash: B256,
    /// Recovered sender.
    pub sender: Address,
    /// Nonce.
    pub nonce: u64,
    /// Most base units per gas; the gas price of a legacy transaction.
    pub max_fee: u128,
    /// Most tip in base units per gas; the gas price of a legacy transaction.
    pub max_tip: u128,
    /// Gas limit.
    pub gas_limit: u64,
    /// Most it can cost: value and gas limit times fee cap.
    pub cost: U256,
    /// EIP-2718 encoding, as it goes over the wire.
    pub raw: Bytes,
    /// The executor's form.
    pub payload: T,
    pub(super) sequence: u64,
    pub(super) arrived_s: u64,
}

/// The parts of a [`PoolTx`] that its encoding gives.
#[derive(Clone, Debug)]
pub struct TxParts {
    /// Transaction hash.
    pub hash: B256,
    /// Recovered sender.
    pub sender: Address,
    /// Nonce.
    pub nonce: u64,
    /// Most base units per gas.
    pub max_fee: u128,
    /// Most tip in base units per gas.
    pub max_tip: u128,
    /// Gas limit.
    pub gas_limit: u64,
    /// Value in base units.
    pub value: U256,
    /// EIP-2718 encoding.
    pub raw: Bytes,
}

impl<T> PoolTx<T> {
    /// A transaction as it arrives.
    #[must_use]
    pub fn new(parts: TxParts, payload: T) -> Self {
        let TxParts { hash, sender, nonce, max_fee, max_tip, gas_limit, value, raw } = parts;
        let cost = U256::from(max_fee).saturating_mul(U256::from(gas_limit)).saturating_add(value);
        Self { hash, sender, nonce, max_fee, max_tip, gas_limit, cost, raw, payload, sequence: 0, arrived_s: 0 }
    }

    /// Whether it pays enough more than `old` to take its place.
    #[must_use]
    pub fn outbids(&self, old: &Self) -> bool {
        let percent = |price: u128| (price / 100).saturating_add(1).saturating_mul(PRICE_BUMP_PERCENT);
        let bumped = |price: u128| match price.checked_mul(100 + PRICE_BUMP_PERCENT) {
            Some(scaled) => scaled.div_ceil(100).max(1),
            None => price.saturating_add(percent(price)),
        };
        self.max_fee >= bumped(old.max_fee) && self.max_tip >= bumped(old.max_tip)
    }

    /// What the creator of a block with this base fee earns per gas; none when the fee cap is below it.
    #[must_use]
    pub fn tip_at(&self, base_fee: u128) -> Option<u128> {
        self.max_fee.checked_sub(base_fee).map(|left| left.min(self.max_tip))
    }
}

/// Why a transaction is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// It is here.
    #[error("already known")]
    Known,
    /// Its nonce is used up.
    #[error("nonce too low: next nonce {account}, tx nonce {tx}")]
    NonceTooLow {
        /// Of the transaction.
        tx: u64,
        /// Next of the account.
        account: u64,
    },
    /// Too far ahead to be kept.
    #[error("nonce too high: next nonce {account}, tx nonce {tx}")]
    NonceTooHigh {
        /// Of the transaction.
        tx: u64,
        /// Next of the account.
        account: u64,
    },
    /// One of this sender and nonce is here and not outbid by 10 %.
    #[error("replacement transaction underpriced")]
    Underpriced,
    /// Full of better ones.
    #[error("txpool is full")]
    PoolFull,
    /// The account cannot pay for it.
    #[error("insufficient funds for gas * price + value: have {balance} want {cost}")]
    InsufficientFunds {
        /// Most it can cost, base units.
        cost: U256,
        /// What the account has, base units.
        balance: U256,
    },
    /// Below what this node relays.
    #[error("transaction underpriced: the least fee cap here is {least}")]
    FeeTooLow {
        /// Base units per gas.
        least: u128,
    },
    /// Tip above the fee cap (EIP-1559).
    #[error("max priority fee per gas higher than max fee per gas")]
    TipAboveFee,
    /// Longer than [`MAX_TX_BYTES`](super::MAX_TX_BYTES).
    #[error("oversized data")]
    TooLarge,
    /// More gas than a transaction may use.
    #[error("exceeds block gas limit of {most}")]
    GasLimit {
        /// Most gas.
        most: u64,
    },
}
