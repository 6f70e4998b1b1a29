//! Changes on top of a state: what revm reads and writes while a block is executed.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use netchain_state::{Account, AccountChange, KECCAK_EMPTY, State, StateChanges, StateError};
use revm::bytecode::Bytecode;
use revm::database_interface::DBErrorMarker;
use revm::state::{AccountInfo, EvmState};
use revm::{Database, DatabaseRef};

/// The state could not be read. Fatal for the block that is executed, and no judgement of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct ReadError(#[from] pub StateError);

impl DBErrorMarker for ReadError {}

#[derive(Clone, Debug, Default)]
struct Cached {
    account: Option<Account>,
    /// Changed here.
    touched: bool,
    /// What the state below has stored for it does not count any more.
    wiped: bool,
    /// Slots read or written: value now, and whether it was written.
    storage: BTreeMap<U256, (U256, bool)>,
}

/// A state with changes on top.
#[derive(Debug)]
pub struct Overlay<S> {
    state: S,
    accounts: BTreeMap<Address, Cached>,
    codes: BTreeMap<B256, Bytecode>,
    new_codes: BTreeMap<B256, Bytes>,
    hashes: BTreeMap<u64, B256>,
}

impl<S: State> Overlay<S> {
    /// No changes yet.
    pub const fn new(state: S) -> Self {
        Self {
            state,
            accounts: BTreeMap::new(),
            codes: BTreeMap::new(),
            new_codes: BTreeMap::new(),
            hashes: BTreeMap::new(),
        }
    }

    /// The account, with changes.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn account(&mut self, address: &Address) -> Result<Option<Account>, ReadError> {
        Ok(self.cached(address)?.account)
    }

    fn cached(&mut self, address: &Address) -> Result<&mut Cached, ReadError> {
        if !self.accounts.contains_key(address) {
            let account = self.state.account(address)?;
            self.accounts.insert(*address, Cached { account, ..Cached::default() });
        }
        Ok(self.accounts.entry(*address).or_default())
    }

    /// Changes a balance outside of any transaction: paying out fees.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn change_balance(&mut self, address: &Address, change: impl Fn(U256) -> U256) -> Result<(), ReadError> {
        let cached = self.cached(address)?;
        let mut account = cached.account.unwrap_or_default();
        let balance = change(account.balance);
        if balance != account.balance {
            account.balance = balance;
            cached.touched = true;
            cached.account = (!account.is_empty()).then_some(account);
        }
        Ok(())
    }

    /// Sets an account as it is told, for state overrides of calls. `storage` replaces all of it when `wipe` is set.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn override_account(
        &mut self,
        address: &Address,
        change: impl FnOnce(&mut Account),
        code: Option<Bytes>,
        storage: impl IntoIterator<Item = (U256, U256)>,
        wipe: bool,
    ) -> Result<(), ReadError> {
        let cached = self.cached(address)?;
        let mut account = cached.account.unwrap_or_default();
        change(&mut account);
        if let Some(code) = &code {
            account.code_hash = alloy_primitives::keccak256(code);
        }
        cached.account = Some(account);
        cached.touched = true;
        if wipe {
            cached.wiped = true;
            cached.storage.clear();
        }
        cached.storage.extend(storage.into_iter().map(|(slot, value)| (slot, (value, true))));
        if let Some(code) = code {
            self.codes.insert(account.code_hash, bytecode(&code));
            self.new_codes.insert(account.code_hash, code);
        }
        Ok(())
    }

    /// Keeps what a transaction did.
    // The order in which a transaction's accounts are kept does not show in the result.
    #[allow(clippy::iter_over_hash_type)]
    pub fn keep(&mut self, changes: EvmState) {
        for (address, account) in changes {
            if !account.is_touched() {
                continue;
            }
            let gone = account.is_selfdestructed() || account.is_empty();
            let cached = self.accounts.entry(address).or_default();
            cached.touched = true;
            if gone || account.is_created() {
                cached.wiped = true;
                cached.storage.clear();
            }
            if gone {
                cached.account = None;
                continue;
            }
            let info = account.info;
            cached.account = Some(Account { nonce: info.nonce, balance: info.balance, code_hash: info.code_hash });
            for (slot, value) in account.storage {
                if value.is_changed() {
                    cached.storage.insert(slot, (value.present_value, true));
                }
            }
            if let Some(code) = info.code.filter(|_| info.code_hash != KECCAK_EMPTY) {
                self.new_codes.entry(info.code_hash).or_insert_with(|| code.original_bytes());
                self.codes.entry(info.code_hash).or_insert(code);
            }
        }
    }

    /// Everything that was changed.
    #[must_use]
    pub fn into_changes(self) -> StateChanges {
        let mut changes = StateChanges::default();
        for (address, cached) in self.accounts {
            if cached.touched {
                let storage = cached
                    .storage
                    .into_iter()
                    .filter(|(_, (_, written))| *written)
                    .map(|(slot, (value, _))| (slot, value));
                let change = AccountChange { account: cached.account, wiped: cached.wiped, storage: storage.collect() };
                changes.accounts.insert(address, change);
            }
        }
        // Code that no surviving account has was never deployed as far as the state knows; codes of overrides neither.
        let used = |hash: &B256| {
            changes.accounts.values().any(|change| change.account.is_some_and(|account| account.code_hash == *hash))
        };
        changes.codes = self.new_codes.into_iter().filter(|(hash, _)| used(hash)).collect();
        changes
    }
}

/// Code as revm wants it. Bytes that begin like an EIP-7702 designation and are none run as they are.
fn bytecode(code: &Bytes) -> Bytecode {
    Bytecode::new_raw_checked(code.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code.clone()))
}

fn info(account: Account) -> AccountInfo {
    AccountInfo {
        nonce: account.nonce,
        balance: account.balance,
        code_hash: account.code_hash,
        code: None,
        ..AccountInfo::default()
    }
}

impl<S: State> Database for Overlay<S> {
    type Error = ReadError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, ReadError> {
        Ok(self.cached(&address)?.account.map(info))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, ReadError> {
        if let Some(code) = self.codes.get(&code_hash) {
            return Ok(code.clone());
        }
        let code = bytecode(&self.state.code(&code_hash)?);
        self.codes.insert(code_hash, code.clone());
        Ok(code)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, ReadError> {
        let cached = self.cached(&address)?;
        if let Some((value, _)) = cached.storage.get(&slot) {
            return Ok(*value);
        }
        if cached.wiped {
            return Ok(U256::ZERO);
        }
        let value = self.state.storage(&address, &slot)?;
        self.cached(&address)?.storage.insert(slot, (value, false));
        Ok(value)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ReadError> {
        if let Some(hash) = self.hashes.get(&number) {
            return Ok(*hash);
        }
        let hash = self.state.block_hash(number)?;
        self.hashes.insert(number, hash);
        Ok(hash)
    }
}

impl<S: State> DatabaseRef for Overlay<S> {
    type Error = ReadError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, ReadError> {
        match self.accounts.get(&address) {
            Some(cached) => Ok(cached.account.map(info)),
            None => Ok(self.state.account(&address)?.map(info)),
        }
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, ReadError> {
        match self.codes.get(&code_hash) {
            Some(code) => Ok(code.clone()),
            None => Ok(bytecode(&self.state.code(&code_hash)?)),
        }
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, ReadError> {
        if let Some(cached) = self.accounts.get(&address) {
            if let Some((value, _)) = cached.storage.get(&slot) {
                return Ok(*value);
            }
            if cached.wiped {
                return Ok(U256::ZERO);
            }
        }
        Ok(self.state.storage(&address, &slot)?)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, ReadError> {
        Ok(self.state.block_hash(number)?)
    }
}
