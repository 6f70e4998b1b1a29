//! Users: wallets that send money around, to nobody and to the contract, some of it in vain.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, keccak256};
use netchain_exec::WITNESS_CONTRACT;
use secp256k1::{Message, PublicKey, SECP256K1, SecretKey};

use crate::people::CHAIN_ID;
use crate::rng::Rng;

/// Wallets of a world: a few, so that nonces and balances of one meet.
pub const WALLETS: u64 = 8;
const GWEI: u128 = 1_000_000_000;

/// An account of a user.
#[derive(Clone, Debug)]
pub struct Wallet {
    key: SecretKey,
    /// The account.
    pub address: Address,
}

impl Wallet {
    /// Wallet `index`: the same in every world.
    ///
    /// # Panics
    /// Never for the few that are used.
    #[must_use]
    pub fn new(index: u64) -> Self {
        let key = SecretKey::from_slice(keccak256(format!("wallet {index}")).as_slice()).expect("a scalar");
        let point = PublicKey::from_secret_key(SECP256K1, &key).serialize_uncompressed();
        Self { key, address: Address::from_word(keccak256(point.get(1..).unwrap_or_default())) }
    }

    fn sign(&self, tx: TxEip1559) -> Bytes {
        let hash = Message::from_digest(tx.signature_hash().0);
        let (id, bytes) = SECP256K1.sign_ecdsa_recoverable(&hash, &self.key).serialize_compact();
        let (r, s) = bytes.split_at(32);
        let signature = Signature::new(U256::from_be_slice(r), U256::from_be_slice(s), i32::from(id) == 1);
        TxEnvelope::Eip1559(tx.into_signed(signature)).encoded_2718().into()
    }
}

/// `count` transactions in the order in which their senders sign them.
#[must_use]
pub fn transactions(count: usize, wallets: &[Wallet], others: &[Address], rng: &mut Rng) -> Vec<Bytes> {
    let mut nonces = vec![0u64; wallets.len()];
    let mut out = Vec::new();
    for _ in 0..count {
        let from = rng.index(wallets.len());
        let (Some(wallet), Some(nonce)) = (wallets.get(from), nonces.get_mut(from)) else { continue };
        let peer = wallets.get(rng.index(wallets.len())).map_or(Address::ZERO, |wallet| wallet.address);
        let witness = others.get(rng.index(others.len())).copied().unwrap_or_default();
        let (to, gas_limit, input) = match rng.below(20) {
            0 => (Address::ZERO, 21_000, Vec::new()),
            1..=3 => (witness, 21_000, Vec::new()),
            // Enough for the call, and too little: it fails and pays.
            4 | 5 => (WITNESS_CONTRACT, 8_000_000, vec![1; 36]),
            6 => (WITNESS_CONTRACT, 22_000, vec![2; 4]),
            _ => (peer, 21_000, Vec::new()),
        };
        out.push(wallet.sign(TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: *nonce,
            gas_limit,
            max_fee_per_gas: (10 + u128::from(rng.below(20))) * GWEI,
            max_priority_fee_per_gas: u128::from(rng.below(5)) * GWEI,
            to: TxKind::Call(to),
            value: if to == WITNESS_CONTRACT { U256::ZERO } else { U256::from(rng.below(1_000_000_000)) },
            access_list: alloy_eips::eip2930::AccessList::default(),
            input: input.into(),
        }));
        *nonce += 1;
    }
    out
}
