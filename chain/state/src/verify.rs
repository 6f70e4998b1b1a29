//! Reading everything once: every node and value against the hash that leads to it.

use alloy_primitives::{B256, keccak256};
use alloy_trie::KECCAK_EMPTY;

use crate::StateError;
use crate::apply::{AccountSource, SlotSource, after};
use crate::tables::Tables;
use crate::trie::Trie;

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Accounts.
    pub accounts: u64,
    /// Storage slots.
    pub slots: u64,
    /// Stored trie nodes.
    pub nodes: u64,
}

/// Checks that the tables are exactly the state of `root`: every trie from its root to its leaves, every record and slot in
/// a trie, every code there with its hash. `progress` sees the numbers now and then. Memory is bounded by the depth.
///
/// # Errors
/// [`StateError::Corrupt`] names the first contradiction.
pub fn verify_tables<T: Tables + ?Sized>(
    tables: &T,
    root: B256,
    progress: &mut dyn FnMut(Verified),
) -> Result<Verified, StateError> {
    let mut sum = Verified::default();
    let (leaves, nodes) = Trie::open(AccountSource(tables), root).count()?;
    sum.nodes = nodes;
    let mut from = Some(B256::ZERO);
    while let Some(start) = from {
        let Some((owner, record)) = tables.next_record(&start)? else { break };
        sum.accounts += 1;
        let (slots, nodes) = Trie::open(SlotSource(tables, owner), record.storage_root).count()?;
        if count_slots(tables, &owner)? != slots {
            return Err(StateError::Corrupt("the slots of an account are not those of its storage trie"));
        }
        sum.slots += slots;
        sum.nodes += nodes;
        let hash = record.account.code_hash;
        if hash != KECCAK_EMPTY && tables.code(&hash)?.is_none_or(|code| keccak256(&code) != hash) {
            return Err(StateError::Corrupt("the code of an account is missing or another one"));
        }
        if sum.accounts % 4_096 == 0 {
            progress(sum);
        }
        from = after(&owner);
    }
    if sum.accounts != leaves {
        return Err(StateError::Corrupt("the accounts are not those of the account trie"));
    }
    progress(sum);
    Ok(sum)
}

fn count_slots<T: Tables + ?Sized>(tables: &T, owner: &B256) -> Result<u64, StateError> {
    let mut count = 0;
    let mut from = Some(B256::ZERO);
    while let Some(start) = from {
        let Some((slot, _)) = tables.next_slot(owner, &start)? else { break };
        count += 1;
        from = after(&slot);
    }
    Ok(count)
}
