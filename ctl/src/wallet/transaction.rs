//! The one kind of transaction this program makes: EIP-1559, type 2.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::{Encodable, Header};

use super::account::AccountKey;

/// First byte of the encoding (EIP-2718).
const TYPE: u8 = 2;

/// A transaction before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    /// Chain it is valid on.
    pub(crate) chain_id: u64,
    /// Number of the sender's transaction.
    pub(crate) nonce: u64,
    /// Most wei per gas for the creator of the block.
    pub(crate) tip: u128,
    /// Most wei per gas in all.
    pub(crate) max_fee: u128,
    /// Most gas.
    pub(crate) gas_limit: u64,
    /// Receiver, or contract to call.
    pub(crate) to: Address,
    /// Wei that go there.
    pub(crate) value: U256,
    /// Input of a contract.
    pub(crate) data: Bytes,
}

/// A signed transaction.
pub(crate) struct Signed {
    /// Its hash, by which it is found.
    pub(crate) hash: B256,
    /// What goes to `eth_sendRawTransaction`.
    pub(crate) raw: Bytes,
}

impl Transaction {
    /// Most wei the sender pays for gas; none when it exceeds 2^256.
    pub(crate) fn max_gas_cost(&self) -> Option<U256> {
        U256::from(self.max_fee).checked_mul(U256::from(self.gas_limit))
    }

    /// Most wei that leave the account.
    pub(crate) fn max_cost(&self) -> Option<U256> {
        self.max_gas_cost()?.checked_add(self.value)
    }

    /// `2 | rlp([chain id, nonce, tip, max fee, gas, to, value, data, access list, last..])`: the text that is signed without
    /// `last`, the transaction with parity, r and s.
    fn encode(&self, last: &[&dyn Encodable]) -> Vec<u8> {
        // An empty access list: no contract here needs one, and the node warms what a call touches by itself.
        let access_list: Vec<Bytes> = Vec::new();
        let fields: [&dyn Encodable; 9] = [
            &self.chain_id,
            &self.nonce,
            &self.tip,
            &self.max_fee,
            &self.gas_limit,
            &self.to,
            &self.value,
            &self.data,
            &access_list,
        ];
        let payload_length = fields.iter().chain(last).map(|field| field.length()).sum();
        let mut out = vec![TYPE];
        Header { list: true, payload_length }.encode(&mut out);
        fields.iter().chain(last).for_each(|field| field.encode(&mut out));
        out
    }

    /// Signs it.
    pub(crate) fn sign(&self, key: &AccountKey) -> Signed {
        let signature = key.sign(&keccak256(self.encode(&[])));
        let raw = self.encode(&[&signature.v(), &signature.r(), &signature.s()]);
        Signed { hash: keccak256(&raw), raw: raw.into() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a wrong assumption must fail the test")]
mod tests {
    use alloy_consensus::transaction::SignerRecoverable;
    use alloy_consensus::{Transaction as _, TxEnvelope};
    use alloy_rlp::Decodable;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The reader is alloy's: another implementation than the one under test.
        #[test]
        fn another_implementation_reads_every_field_and_the_sender(
            (chain_id, nonce, gas_limit) in (1_u64.., 0..u64::MAX, any::<u64>()),
            (tip, max_fee) in any::<(u128, u128)>(),
            value: [u64; 4], to: [u8; 20], data: Vec<u8>, seed in 1_u8..,
        ) {
            let key = AccountKey::from_bytes(&[seed % 255 + 1; 32]).unwrap_or_else(|| AccountKey::from_bytes(&[1; 32]).unwrap());
            let tx = Transaction {
                chain_id, nonce, tip, max_fee, gas_limit, to: to.into(), value: U256::from_limbs(value), data: data.into(),
            };
            let signed = tx.sign(&key);
            let read = alloy_eips_decode(&signed.raw);
            prop_assert_eq!(read.chain_id(), Some(chain_id));
            prop_assert_eq!((read.nonce(), read.gas_limit()), (nonce, gas_limit));
            prop_assert_eq!((read.max_priority_fee_per_gas(), read.max_fee_per_gas()), (Some(tip), max_fee));
            prop_assert_eq!((read.to(), read.value()), (Some(tx.to), tx.value));
            prop_assert_eq!(read.input(), &tx.data);
            prop_assert_eq!(*read.tx_hash(), signed.hash);
            prop_assert_eq!(read.recover_signer().unwrap(), key.address());
        }
    }

    /// In a block's network form a typed transaction is a byte string around what `eth_sendRawTransaction` takes.
    fn alloy_eips_decode(raw: &Bytes) -> TxEnvelope {
        TxEnvelope::decode(&mut alloy_rlp::encode(raw).as_slice()).unwrap()
    }

    #[test]
    fn a_cost_beyond_all_numbers_is_none() {
        let tx = Transaction {
            chain_id: 1,
            nonce: 0,
            tip: 0,
            max_fee: 3,
            gas_limit: 21_000,
            to: Address::ZERO,
            value: U256::from(5),
            data: Bytes::new(),
        };
        assert_eq!(tx.max_cost(), Some(U256::from(63_005)));
        assert_eq!(Transaction { value: U256::MAX, ..tx }.max_cost(), None);
    }
}
