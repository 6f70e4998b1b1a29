//! Accounts, and how records are written.

use alloy_primitives::{B256, U256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, TrieAccount};

use crate::StateError;

/// An account as execution sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// Balance in base units.
    pub balance: U256,
    /// keccak256 of its code.
    pub code_hash: B256,
}

impl Default for Account {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK_EMPTY }
    }
}

impl Account {
    /// No nonce, no balance, no code: such an account does not exist (EIP-161).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && self.code_hash == KECCAK_EMPTY
    }
}

/// An account with the root of its storage: the record of the account table and the leaf of the account trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountRecord {
    /// The account.
    pub account: Account,
    /// Root of its storage trie.
    pub storage_root: B256,
}

/// The record in the table: the two hashes most accounts share are left out, a plain account is 12 bytes instead of 76.
#[derive(RlpEncodable, RlpDecodable)]
struct Slim {
    nonce: u64,
    balance: U256,
    storage_root: Vec<B256>,
    code_hash: Vec<B256>,
}

impl AccountRecord {
    /// A record of an account without storage.
    #[must_use]
    pub const fn new(account: Account) -> Self {
        Self { account, storage_root: EMPTY_ROOT_HASH }
    }

    /// Bytes of the table.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let unless = |value: B256, usual: B256| if value == usual { Vec::new() } else { vec![value] };
        alloy_rlp::encode(Slim {
            nonce: self.account.nonce,
            balance: self.account.balance,
            storage_root: unless(self.storage_root, EMPTY_ROOT_HASH),
            code_hash: unless(self.account.code_hash, KECCAK_EMPTY),
        })
    }

    /// Reads what [`encode`](Self::encode) wrote, and nothing else.
    ///
    /// # Errors
    /// Not that encoding. Safe on any input.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let slim: Slim =
            alloy_rlp::decode_exact(bytes).map_err(|_| StateError::Corrupt("a record is no encoded account"))?;
        let account = Account {
            nonce: slim.nonce,
            balance: slim.balance,
            code_hash: slim.code_hash.first().copied().unwrap_or(KECCAK_EMPTY),
        };
        let record = Self { account, storage_root: slim.storage_root.first().copied().unwrap_or(EMPTY_ROOT_HASH) };
        if record.encode() == bytes { Ok(record) } else { Err(StateError::Corrupt("an account has a second encoding")) }
    }

    /// Value of the leaf in the account trie.
    #[must_use]
    pub fn leaf(&self) -> Vec<u8> {
        alloy_rlp::encode(TrieAccount {
            nonce: self.account.nonce,
            balance: self.account.balance,
            storage_root: self.storage_root,
            code_hash: self.account.code_hash,
        })
    }
}

/// Value of a storage leaf: RLP of the integer. The same bytes are the record of the table.
#[must_use]
pub fn encode_slot(value: U256) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(33);
    value.encode(&mut bytes);
    bytes
}

/// Reads what [`encode_slot`] wrote.
///
/// # Errors
/// Not that encoding. Safe on any input.
pub fn decode_slot(bytes: &[u8]) -> Result<U256, StateError> {
    let mut rest = bytes;
    match U256::decode(&mut rest) {
        Ok(value) if rest.is_empty() && !value.is_zero() => Ok(value),
        _ => Err(StateError::Corrupt("a record is no encoded storage value")),
    }
}
