//! The genesis file: geth's JSON (`config`, `alloc`, `timestamp`, ...) and what this chain adds under `config.nfc`.
//!
//! ```json
//! { "config": { "chainId": 7300, "nfc": {
//!       "minBaseFee": "1000000000", "prizePool": "0x...1006", "witnessContract": "0x...1000",
//!       "witnesses": [ { "account": "0x..", "voteKey": "0x..", "revealKey": "0x.." } ] } },
//!   "timestamp": "0x65000000", "gasLimit": "300000000", "mixHash": "0x..",
//!   "alloc": { "0x..": { "balance": "0x..", "nonce": 1, "code": "0x..", "storage": { "0x00": "0x01" } } } }
//! ```
//! An account with code and no nonce gets nonce 1, as a created contract has. The system account and the witness set are
//! added.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use netchain_state::{Account, AccountChange, KECCAK_EMPTY, MemoryState, StateChanges, StateError};
use netchain_types::header::with_extra;
use netchain_types::{ConsensusExtra, Header, Witness, WitnessSet, WitnessSetError};
use serde::{Deserialize, Deserializer, Serialize};

use crate::params::{ChainParams, DEFAULT_GAS_LIMIT, DEFAULT_MIN_BASE_FEE, FeeRule, WITNESS_CONTRACT};
use crate::system::{SYSTEM_CODE, SYSTEM_GAS, system_address};
use crate::witness::witness_slots;

/// Longest genesis file: 100,000 accounts with contracts among them.
pub const MAX_GENESIS_BYTES: usize = 64 << 20;

/// Why a genesis file makes no chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Not that JSON.
    #[error("the genesis file is not readable: {0}")]
    Json(String),
    /// The witnesses are no set.
    #[error("the genesis file names no witness set: {0}")]
    Witnesses(#[from] WitnessSetError),
    /// A rule of the chain is broken.
    #[error("the genesis file is not acceptable: {0}")]
    Rule(&'static str),
    /// The state could not be computed.
    #[error(transparent)]
    State(#[from] StateError),
}

/// A genesis file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Genesis {
    /// Chain configuration.
    pub config: GenesisConfig,
    /// Seconds since 1970.
    #[serde(default, deserialize_with = "number")]
    pub timestamp: u64,
    /// Gas limit of all blocks.
    #[serde(default = "default_gas_limit", deserialize_with = "number")]
    pub gas_limit: u64,
    /// First randomness.
    #[serde(default)]
    pub mix_hash: B256,
    /// Accounts.
    #[serde(default)]
    pub alloc: BTreeMap<Address, GenesisAccount>,
}

/// `config` of a genesis file. Names this chain does not know (fork blocks) are left alone: all forks are active.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GenesisConfig {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// What this chain adds.
    pub nfc: GenesisNfc,
}

/// `config.nfc` of a genesis file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GenesisNfc {
    /// Lowest base fee, base units per gas.
    #[serde(default = "default_min_base_fee", deserialize_with = "number")]
    pub min_base_fee: u64,
    /// Prize pool; none: all fees are the creator's.
    #[serde(default)]
    pub prize_pool: Option<Address>,
    /// The contract the end of a block enters.
    #[serde(default = "default_witness_contract")]
    pub witness_contract: Address,
    /// The first witnesses.
    pub witnesses: Vec<GenesisWitness>,
}

/// A witness of a genesis file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GenesisWitness {
    /// Account.
    pub account: Address,
    /// ed25519 key.
    pub vote_key: B256,
    /// Compressed BLS12-381 G1 key.
    pub reveal_key: alloy_primitives::FixedBytes<48>,
}

/// An account of a genesis file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GenesisAccount {
    /// Balance in base units.
    #[serde(default, deserialize_with = "big_number")]
    pub balance: U256,
    /// Nonce; left out: 1 with code, else 0.
    #[serde(default, deserialize_with = "maybe_number", skip_serializing_if = "Option::is_none")]
    pub nonce: Option<u64>,
    /// Code.
    #[serde(default)]
    pub code: Bytes,
    /// Storage.
    #[serde(default, deserialize_with = "words")]
    pub storage: BTreeMap<U256, U256>,
}

const fn default_gas_limit() -> u64 {
    DEFAULT_GAS_LIMIT
}
const fn default_min_base_fee() -> u64 {
    DEFAULT_MIN_BASE_FEE
}
const fn default_witness_contract() -> Address {
    WITNESS_CONTRACT
}

/// A number as JSON number, decimal or hexadecimal string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(u64),
    Text(String),
}

impl Number {
    fn value<E: serde::de::Error>(self) -> Result<U256, E> {
        match self {
            Self::Number(number) => Ok(U256::from(number)),
            Self::Text(text) if text == "0x" => Ok(U256::ZERO),
            Self::Text(text) => text.parse().map_err(|_| E::custom(format!("{text:?} is no number"))),
        }
    }
}

pub(crate) fn big_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<U256, D::Error> {
    Number::deserialize(deserializer)?.value()
}

pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = big_number(deserializer)?;
    value.try_into().map_err(|_| serde::de::Error::custom("the number has more than 64 bits"))
}

fn maybe_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    number(deserializer).map(Some)
}

pub(crate) fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<U256, U256>, D::Error> {
    let text = BTreeMap::<String, String>::deserialize(deserializer)?;
    let read = |(key, value): (String, String)| Ok((Number::Text(key).value()?, Number::Text(value).value()?));
    text.into_iter().map(read).collect()
}

/// The first block of a chain and what comes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisBlock {
    /// Header; its hash is the chain's identity in everything that is signed.
    pub header: Header,
    /// The state, as changes of nothing.
    pub changes: StateChanges,
    /// Parameters.
    pub params: ChainParams,
    /// The set that votes on block 1.
    pub witnesses: WitnessSet,
}

impl Genesis {
    /// Reads a genesis file.
    ///
    /// # Errors
    /// [`GenesisError::Json`]. Safe on any input.
    pub fn from_json(json: &[u8]) -> Result<Self, GenesisError> {
        if json.len() > MAX_GENESIS_BYTES {
            return Err(GenesisError::Rule("it is longer than 64 MiB"));
        }
        serde_json::from_slice(json).map_err(|error| GenesisError::Json(error.to_string()))
    }

    /// Makes the first block.
    ///
    /// # Errors
    /// See [`GenesisError`].
    pub fn block(&self) -> Result<GenesisBlock, GenesisError> {
        let nfc = &self.config.nfc;
        if self.gas_limit < SYSTEM_GAS * 2 || self.gas_limit > i64::MAX as u64 {
            return Err(GenesisError::Rule("gasLimit leaves no room beside the system transaction, or is not sane"));
        }
        if nfc.min_base_fee == 0 {
            return Err(GenesisError::Rule("minBaseFee is 0: then the base fee stays 0 for ever"));
        }
        let seats = nfc.witnesses.iter().map(|witness| Witness {
            account: witness.account,
            vote_key: witness.vote_key.0,
            reveal_key: witness.reveal_key.0,
        });
        let witnesses = WitnessSet::new(seats.collect())?;
        let params = ChainParams {
            chain_id: self.config.chain_id,
            gas_limit: self.gas_limit,
            min_base_fee: nfc.min_base_fee,
            fee_rule: nfc.prize_pool.map_or(FeeRule::Creator, FeeRule::Pool),
            witness_contract: nfc.witness_contract,
        };
        let mut changes = alloc_changes(&self.alloc);
        let system = GenesisAccount { nonce: Some(0), code: SYSTEM_CODE.to_vec().into(), ..GenesisAccount::default() };
        if self.alloc.contains_key(&system_address()) {
            return Err(GenesisError::Rule("it gives the system account something"));
        }
        add_account(&mut changes, system_address(), &system);
        let contract = changes.accounts.entry(nfc.witness_contract).or_default();
        // Without code the account exists all the same: it holds the witness set.
        let account = contract.account.get_or_insert_with(Account::default);
        account.nonce = account.nonce.max(1);
        contract.storage.extend(witness_slots(&witnesses));
        let root = MemoryState::default().commit(&changes)?;
        let extra = ConsensusExtra {
            round: 0,
            shuffle_round: 0,
            slot: 0,
            reveal: Bytes::new(),
            last_commit_hash: B256::ZERO,
            validators_hash: witnesses.hash(),
            next_validators_hash: witnesses.hash(),
        };
        let header = Header {
            state_root: root,
            gas_limit: self.gas_limit,
            timestamp: self.timestamp,
            mix_hash: self.mix_hash,
            base_fee_per_gas: nfc.min_base_fee,
            ..Header::blank()
        };
        Ok(GenesisBlock { header: with_extra(header, &extra), changes, params, witnesses })
    }
}

/// The accounts of `alloc` as changes of nothing; an account with code and no nonce gets nonce 1.
#[must_use]
pub fn alloc_changes(alloc: &BTreeMap<Address, GenesisAccount>) -> StateChanges {
    let mut changes = StateChanges::default();
    alloc.iter().for_each(|(address, account)| add_account(&mut changes, *address, account));
    changes
}

fn add_account(changes: &mut StateChanges, address: Address, account: &GenesisAccount) {
    let code_hash = if account.code.is_empty() { KECCAK_EMPTY } else { keccak256(&account.code) };
    if code_hash != KECCAK_EMPTY {
        changes.codes.insert(code_hash, account.code.clone());
    }
    let nonce = account.nonce.unwrap_or_else(|| u64::from(code_hash != KECCAK_EMPTY));
    let info = Account { nonce, balance: account.balance, code_hash };
    let storage = account.storage.iter().filter(|(_, value)| !value.is_zero()).map(|(k, v)| (*k, *v)).collect();
    let exists = !info.is_empty() || !account.storage.is_empty();
    changes.accounts.insert(address, AccountChange { account: exists.then_some(info), wiped: false, storage });
}
