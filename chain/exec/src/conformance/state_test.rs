//! GeneralStateTests: a state, one transaction, the root and the logs afterwards.

use std::collections::BTreeMap;

use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use netchain_state::{Account, AccountChange, KECCAK_EMPTY, MemoryState, StateChanges};
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::context_interface::either::Either;
use revm::primitives::Log;
use revm::primitives::hardfork::SpecId;
use revm::{Context, ExecuteEvm, MainBuilder};
use secp256k1::{PublicKey, SECP256K1, SecretKey};
use serde::Deserialize;
use serde_json::Value;

use super::Report;
use crate::genesis::{big_number, words};
use crate::overlay::Overlay;

#[derive(Deserialize)]
#[serde(transparent)]
struct Quantity(#[serde(deserialize_with = "big_number")] U256);

impl Quantity {
    fn u64(&self) -> u64 {
        self.0.saturating_to()
    }
    fn u128(&self) -> u128 {
        self.0.saturating_to()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    env: Env,
    pre: BTreeMap<Address, PreAccount>,
    transaction: Transaction,
    post: BTreeMap<String, Vec<Post>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Env {
    current_coinbase: Address,
    current_gas_limit: Quantity,
    current_number: Quantity,
    current_timestamp: Quantity,
    current_difficulty: Option<Quantity>,
    current_random: Option<Quantity>,
    current_base_fee: Option<Quantity>,
    current_excess_blob_gas: Option<Quantity>,
}

#[derive(Deserialize)]
struct PreAccount {
    balance: Quantity,
    nonce: Quantity,
    code: Bytes,
    #[serde(deserialize_with = "words")]
    storage: BTreeMap<U256, U256>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessItem {
    address: Address,
    storage_keys: Vec<B256>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TestAuthorization {
    chain_id: Quantity,
    address: Address,
    nonce: Quantity,
    #[serde(alias = "yParity")]
    v: Quantity,
    r: Quantity,
    s: Quantity,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Transaction {
    data: Vec<Bytes>,
    gas_limit: Vec<Quantity>,
    value: Vec<Quantity>,
    gas_price: Option<Quantity>,
    max_fee_per_gas: Option<Quantity>,
    max_priority_fee_per_gas: Option<Quantity>,
    nonce: Quantity,
    #[serde(default)]
    to: String,
    sender: Option<Address>,
    secret_key: Option<B256>,
    #[serde(default)]
    access_lists: Vec<Option<Vec<AccessItem>>>,
    max_fee_per_blob_gas: Option<Quantity>,
    #[serde(default)]
    blob_versioned_hashes: Vec<B256>,
    authorization_list: Option<Vec<TestAuthorization>>,
}

#[derive(Deserialize)]
struct Indexes {
    data: usize,
    gas: usize,
    value: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Post {
    hash: B256,
    logs: B256,
    indexes: Indexes,
    expect_exception: Option<String>,
}

/// The forks since accounts that are empty go away (EIP-161): [`Overlay`] knows no other rule.
fn spec(fork: &str) -> Option<SpecId> {
    match fork {
        "EIP158" | "SpuriousDragon" => Some(SpecId::SPURIOUS_DRAGON),
        "Byzantium" => Some(SpecId::BYZANTIUM),
        // Constantinople alone was never a chain's rule.
        "ConstantinopleFix" | "Petersburg" => Some(SpecId::PETERSBURG),
        "Istanbul" => Some(SpecId::ISTANBUL),
        "Berlin" => Some(SpecId::BERLIN),
        "London" => Some(SpecId::LONDON),
        "Merge" | "Paris" => Some(SpecId::MERGE),
        "Shanghai" => Some(SpecId::SHANGHAI),
        "Cancun" => Some(SpecId::CANCUN),
        "Prague" => Some(SpecId::PRAGUE),
        "Osaka" => Some(SpecId::OSAKA),
        _ => None,
    }
}

pub(super) fn run(name: &str, case: Value, report: &mut Report) {
    let case: Case = match serde_json::from_value(case) {
        Ok(case) => case,
        Err(error) => return report.failed.push(format!("{name}: not readable: {error}")),
    };
    for (fork, posts) in &case.post {
        for (index, post) in posts.iter().enumerate() {
            match spec(fork) {
                Some(spec) => report.count(&format!("{name} {fork} #{index}"), case.run(spec, post)),
                None => report.skipped += 1,
            }
        }
    }
}

impl Case {
    fn run(&self, spec: SpecId, post: &Post) -> Result<(), String> {
        let mut state = MemoryState::default();
        state.commit(&self.pre_state()).map_err(|error| error.to_string())?;
        let number: u64 = self.env.current_number.u64();
        for height in number.saturating_sub(256)..number {
            // Ethereum's tests define it so.
            state.set_block_hash(height, keccak256(height.to_string()));
        }
        let env = self.transaction.env(&post.indexes)?;
        let mut overlay = Overlay::new(state.clone());
        let mut cfg = CfgEnv::new_with_spec(spec);
        cfg.chain_id = 1;
        let context: crate::env::ChainContext<'_, MemoryState> = Context::new(&mut overlay, spec);
        let mut evm = context.with_cfg(cfg).with_block(self.env.block(spec)).build_mainnet();
        let outcome = evm.transact(env);
        drop(evm);
        let mut logs: Vec<Log> = Vec::new();
        match (outcome, &post.expect_exception) {
            (Ok(done), None) => {
                overlay.keep(done.state);
                logs = done.result.into_logs();
            }
            (Err(_), Some(_)) => {}
            (Ok(_), Some(exception)) => return Err(format!("it is valid, expected {exception}")),
            (Err(error), None) => return Err(format!("it is not valid: {error}")),
        }
        let changes = overlay.into_changes();
        let root = state.commit(&changes).map_err(|error| error.to_string())?;
        let logs_hash = keccak256(alloy_rlp::encode(&logs));
        if logs_hash != post.logs {
            return Err(format!("logs {logs_hash}, expected {}", post.logs));
        }
        if root == post.hash { Ok(()) } else { Err(format!("state root {root}, expected {}", post.hash)) }
    }

    fn pre_state(&self) -> StateChanges {
        let mut changes = StateChanges::default();
        for (address, pre) in &self.pre {
            let code_hash = if pre.code.is_empty() { KECCAK_EMPTY } else { keccak256(&pre.code) };
            if !pre.code.is_empty() {
                changes.codes.insert(code_hash, pre.code.clone());
            }
            let account = Account { nonce: pre.nonce.u64(), balance: pre.balance.0, code_hash };
            let storage = pre.storage.iter().filter(|(_, v)| !v.is_zero()).map(|(k, v)| (*k, *v)).collect();
            changes.accounts.insert(*address, AccountChange { account: Some(account), wiped: false, storage });
        }
        changes
    }
}

impl Env {
    fn block(&self, spec: SpecId) -> BlockEnv {
        let excess = self.current_excess_blob_gas.as_ref().map_or(0, Quantity::u64);
        BlockEnv {
            number: self.current_number.0,
            beneficiary: self.current_coinbase,
            timestamp: self.current_timestamp.0,
            gas_limit: self.current_gas_limit.u64(),
            // Before London there is none; some files give one for all forks.
            basefee: self
                .current_base_fee
                .as_ref()
                .filter(|_| spec.is_enabled_in(SpecId::LONDON))
                .map_or(0, Quantity::u64),
            difficulty: self.current_difficulty.as_ref().map_or(U256::ZERO, |difficulty| difficulty.0),
            prevrandao: spec.is_enabled_in(SpecId::MERGE).then(|| {
                self.current_random.as_ref().map_or(B256::ZERO, |random| B256::from(random.0.to_be_bytes::<32>()))
            }),
            blob_excess_gas_and_price: spec
                .is_enabled_in(SpecId::CANCUN)
                .then(|| BlobExcessGasAndPrice::new(excess, super::blob_fraction(spec))),
            slot_num: 0,
        }
    }
}

impl Transaction {
    fn sender(&self) -> Result<Address, String> {
        if let Some(sender) = self.sender {
            return Ok(sender);
        }
        let key = self.secret_key.ok_or("neither sender nor secretKey")?;
        let key = SecretKey::from_slice(key.as_slice()).map_err(|error| error.to_string())?;
        let point = PublicKey::from_secret_key(SECP256K1, &key).serialize_uncompressed();
        Ok(Address::from_word(keccak256(point.get(1..).unwrap_or_default())))
    }

    fn env(&self, indexes: &Indexes) -> Result<TxEnv, String> {
        let missing = |what: &str| format!("no {what} of that index");
        let access_list = self.access_lists.get(indexes.data).and_then(Option::as_ref);
        let to = match self.to.as_str() {
            "" => TxKind::Create,
            to => TxKind::Call(to.parse().map_err(|_| "`to` is no address".to_string())?),
        };
        let list = access_list.map(|items| {
            AccessList(
                items
                    .iter()
                    .map(|i| AccessListItem { address: i.address, storage_keys: i.storage_keys.clone() })
                    .collect(),
            )
        });
        let tx_type = match () {
            () if self.authorization_list.is_some() => 4,
            () if self.max_fee_per_blob_gas.is_some() => 3,
            () if self.max_fee_per_gas.is_some() => 2,
            () if list.is_some() => 1,
            () => 0,
        };
        let authorizations = self.authorization_list.iter().flatten().map(|authorization| {
            let inner = Authorization {
                chain_id: authorization.chain_id.0,
                address: authorization.address,
                nonce: authorization.nonce.u64(),
            };
            let parity = u8::try_from(authorization.v.u64()).unwrap_or(u8::MAX);
            Either::Left(SignedAuthorization::new_unchecked(inner, parity, authorization.r.0, authorization.s.0))
        });
        let price = self.gas_price.as_ref().or(self.max_fee_per_gas.as_ref()).map_or(0, Quantity::u128);
        Ok(TxEnv {
            tx_type,
            caller: self.sender()?,
            gas_limit: self.gas_limit.get(indexes.gas).ok_or_else(|| missing("gasLimit"))?.u64(),
            gas_price: price,
            kind: to,
            value: self.value.get(indexes.value).ok_or_else(|| missing("value"))?.0,
            data: self.data.get(indexes.data).ok_or_else(|| missing("data"))?.clone(),
            nonce: self.nonce.u64(),
            chain_id: Some(1),
            access_list: list.unwrap_or_default(),
            gas_priority_fee: self.max_priority_fee_per_gas.as_ref().map(Quantity::u128),
            blob_hashes: self.blob_versioned_hashes.clone(),
            max_fee_per_blob_gas: self.max_fee_per_blob_gas.as_ref().map_or(0, Quantity::u128),
            authorization_list: authorizations.collect(),
        })
    }
}
