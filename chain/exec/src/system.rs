//! The system transaction: what consensus tells the contracts, last in every block.
//!
//! It is a legacy transaction (EIP-155) like any other, so every tool reads it: gas price 0, gas limit [`SYSTEM_GAS`], value
//! 0, nonce = height - 1, to the witness contract, input `endBlock(address proposer, uint32 round, uint32 lastCommitBitmap,
//! bytes evidence)`. It is signed with a key everybody knows, `keccak256("NFC/SYSTEM/v1")`, by RFC 6979: everybody derives
//! the same bytes, and nobody in particular signs. The account of that key has the code `fe` from the genesis on, so by
//! Ethereum's own rules (EIP-3607, EIP-7702) it can send nothing else and delegate to nobody; only the executor lets
//! this one transaction pass, and it must succeed.

use std::sync::OnceLock;

use alloy_consensus::{SignableTransaction, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use secp256k1::{Message, PublicKey, SECP256K1, SecretKey};

use crate::transaction::{SignedTransaction, TransactionError};

/// Gas of the system transaction: just below the cap of one transaction (EIP-7825, 2^24). Counting an election is the
/// heaviest thing it will do.
pub const SYSTEM_GAS: u64 = 16_000_000;
/// Code of the system account: `INVALID`.
pub const SYSTEM_CODE: [u8; 1] = [0xfe];
const KEY_TEXT: &[u8] = b"NFC/SYSTEM/v1";
const END_BLOCK: &[u8] = b"endBlock(address,uint32,uint32,bytes)";

/// What consensus says of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndBlock {
    /// Creator: `header.beneficiary`.
    pub proposer: Address,
    /// `header.extra.round`.
    pub round: u32,
    /// Signers of the certificate of the parent carried in the block, bit i = seat i; 0 in block 1.
    pub last_commit_bitmap: u32,
    /// RLP list of the block's evidence, `c0` when there is none.
    pub evidence: Bytes,
}

impl EndBlock {
    /// Input of the call (Solidity ABI).
    #[must_use]
    pub fn input(&self) -> Bytes {
        let mut input = keccak256(END_BLOCK).get(..4).unwrap_or_default().to_vec();
        let word = |value: u64| U256::from(value).to_be_bytes::<32>();
        input.extend_from_slice(self.proposer.into_word().as_slice());
        input.extend_from_slice(&word(u64::from(self.round)));
        input.extend_from_slice(&word(u64::from(self.last_commit_bitmap)));
        input.extend_from_slice(&word(128));
        input.extend_from_slice(&word(self.evidence.len() as u64));
        input.extend_from_slice(&self.evidence);
        input.resize(input.len() + self.evidence.len().next_multiple_of(32) - self.evidence.len(), 0);
        input.into()
    }

    /// The transaction of a height, signed.
    ///
    /// # Errors
    /// Evidence that is longer than a transaction may be.
    pub fn transaction(
        &self,
        chain_id: u64,
        height: u64,
        contract: Address,
    ) -> Result<SignedTransaction, TransactionError> {
        let tx = TxLegacy {
            chain_id: Some(chain_id),
            nonce: height.saturating_sub(1),
            gas_price: 0,
            gas_limit: SYSTEM_GAS,
            to: TxKind::Call(contract),
            value: U256::ZERO,
            input: self.input(),
        };
        let signature = sign(&tx.signature_hash())?;
        let envelope = TxEnvelope::Legacy(tx.into_signed(signature));
        SignedTransaction::decode_any(&envelope.encoded_2718(), chain_id)
    }
}

fn key() -> Option<SecretKey> {
    // Fails for one text in 2^128.
    SecretKey::from_slice(keccak256(KEY_TEXT).as_slice()).ok()
}

fn sign(hash: &B256) -> Result<Signature, TransactionError> {
    let key = key().ok_or(TransactionError::Signature)?;
    let signature = SECP256K1.sign_ecdsa_recoverable(&Message::from_digest(hash.0), &key);
    let (id, bytes) = signature.serialize_compact();
    let (r, s) = bytes.split_at(32);
    Ok(Signature::new(U256::from_be_slice(r), U256::from_be_slice(s), i32::from(id) == 1))
}

/// Account of the system transaction.
#[must_use]
pub fn system_address() -> Address {
    static ADDRESS: OnceLock<Address> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let point = key().map(|key| PublicKey::from_secret_key(SECP256K1, &key).serialize_uncompressed());
        // The account of a key: the last 20 bytes of the hash of its point.
        point.map_or(Address::ZERO, |point| Address::from_word(keccak256(point.get(1..).unwrap_or_default())))
    })
}
