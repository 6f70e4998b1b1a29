//! What a block did to the state.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};

use crate::record::Account;

/// What happened to one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// The account afterwards, none when it does not exist.
    pub account: Option<Account>,
    /// Everything it had stored before is gone; `storage` is all it has now.
    pub wiped: bool,
    /// Slots written, with their values afterwards. 0 removes.
    pub storage: BTreeMap<U256, U256>,
}

/// All changes of a block (or of a transaction). Values that did not change may be in it; they cost work and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateChanges {
    /// Accounts touched.
    pub accounts: BTreeMap<Address, AccountChange>,
    /// New code by its keccak256.
    pub codes: BTreeMap<B256, Bytes>,
}

impl StateChanges {
    /// Adds what happened later.
    pub fn merge(&mut self, later: Self) {
        for (address, change) in later.accounts {
            let here = self.accounts.entry(address).or_default();
            here.account = change.account;
            if change.wiped {
                here.wiped = true;
                here.storage.clear();
            }
            here.storage.extend(change.storage);
        }
        self.codes.extend(later.codes);
    }
}
