//! State as a whole: roots against alloy's builder, proofs against the light client, undo.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::TrieAccount;
use netchain_light::{AccountClaim, verify_account, verify_storage};
use netchain_state::{
    Account, AccountChange, KECCAK_EMPTY, MemoryState, State, StateChanges, Tables, apply, prove, revert, verify_tables,
};
use proptest::prelude::*;

type World = BTreeMap<Address, (Account, BTreeMap<U256, U256>)>;

fn address(n: u8) -> Address {
    Address::repeat_byte(n)
}

/// The root by alloy-trie's builder, from everything.
fn reference_root(world: &World) -> B256 {
    let accounts = world.iter().map(|(address, (account, storage))| {
        let slots = storage.iter().filter(|(_, v)| !v.is_zero()).map(|(k, v)| (B256::from(k.to_be_bytes::<32>()), *v));
        let leaf = TrieAccount {
            nonce: account.nonce,
            balance: account.balance,
            storage_root: alloy_trie::root::storage_root_unhashed(slots),
            code_hash: account.code_hash,
        };
        (*address, leaf)
    });
    alloy_trie::root::state_root_unhashed(accounts)
}

#[derive(Clone, Debug)]
enum Op {
    Set { who: u8, nonce: u64, balance: u64, code: bool, slots: Vec<(u8, u8)> },
    Recreate { who: u8, slots: Vec<(u8, u8)> },
    Delete { who: u8 },
}

fn op() -> impl Strategy<Value = Op> {
    let slots = || prop::collection::vec((0u8..12, 0u8..3), 0..6);
    prop_oneof![
        5 => (0u8..20, 0u64..3, 0u64..1000, any::<bool>(), slots())
            .prop_map(|(who, nonce, balance, code, slots)| Op::Set { who, nonce: nonce + 1, balance, code, slots }),
        1 => (0u8..20, slots()).prop_map(|(who, slots)| Op::Recreate { who, slots }),
        2 => (0u8..20).prop_map(|who| Op::Delete { who }),
    ]
}

fn run(op: &Op, world: &mut World, changes: &mut StateChanges) {
    let code: Bytes = vec![0x60, 0x00].into();
    let slots_of = |slots: &[(u8, u8)]| -> BTreeMap<U256, U256> {
        slots.iter().map(|(k, v)| (U256::from(*k), U256::from(*v))).collect()
    };
    let mut one = StateChanges::default();
    match op {
        Op::Set { who, nonce, balance, code: has_code, slots } => {
            let code_hash = if *has_code { keccak256(&code) } else { KECCAK_EMPTY };
            let account = Account { nonce: *nonce, balance: U256::from(*balance), code_hash };
            let storage = slots_of(slots);
            let entry = world.entry(address(*who)).or_default();
            entry.0 = account;
            entry.1.extend(storage.clone());
            if *has_code {
                one.codes.insert(code_hash, code);
            }
            one.accounts.insert(address(*who), AccountChange { account: Some(account), wiped: false, storage });
        }
        Op::Recreate { who, slots } => {
            let account = Account { nonce: 1, ..Account::default() };
            let storage = slots_of(slots);
            world.insert(address(*who), (account, storage.clone()));
            one.accounts.insert(address(*who), AccountChange { account: Some(account), wiped: true, storage });
        }
        Op::Delete { who } => {
            world.remove(&address(*who));
            one.accounts
                .insert(address(*who), AccountChange { account: None, wiped: true, ..AccountChange::default() });
        }
    }
    changes.merge(one);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn roots_proofs_and_undo_agree_with_a_state_built_afresh(
        blocks in prop::collection::vec(prop::collection::vec(op(), 1..12), 1..6)
    ) {
        let mut world = World::new();
        let mut state = MemoryState::default();
        for block in &blocks {
            let mut changes = StateChanges::default();
            block.iter().for_each(|op| run(op, &mut world, &mut changes));
            let before = state.clone();
            let update = apply(before.tables(), before.root(), &changes).unwrap();
            state.commit(&changes).unwrap();
            prop_assert_eq!(state.root(), reference_root(&world));
            prop_assert_eq!(state.root(), update.root);
            verify_tables(state.tables(), state.root(), &mut |_| ()).unwrap();
            // The undo records lead back, byte for byte.
            let records = update.records.iter().map(|(k, (old, _))| (*k, *old)).collect();
            let slots = update.slots.iter().map(|(k, (old, _))| (*k, *old)).collect();
            let back = revert(state.tables(), state.root(), before.root(), &records, &slots).unwrap();
            let mut undone = state.tables().clone();
            undone.write(&back);
            prop_assert_eq!(undone.sizes(), before.tables().sizes());
            verify_tables(&undone, before.root(), &mut |_| ()).unwrap();
        }
        for who in 0..21 {
            let slots: Vec<U256> = (0u8..13).map(U256::from).collect();
            let proof = prove(state.tables(), state.root(), &address(who), &slots).unwrap();
            let claim = proof.record.map_or(AccountClaim::absent(), |record| AccountClaim {
                nonce: record.account.nonce,
                balance: record.account.balance,
                storage_root: record.storage_root,
                code_hash: record.account.code_hash,
            });
            prop_assert_eq!(proof.record.is_some(), world.contains_key(&address(who)));
            verify_account(state.root(), &address(who), &claim, &proof.nodes).unwrap();
            for slot in &proof.storage {
                let expected = world.get(&address(who)).and_then(|(_, s)| s.get(&slot.slot)).copied().unwrap_or_default();
                prop_assert_eq!(slot.value, expected);
                prop_assert_eq!(state.storage(&address(who), &slot.slot).unwrap(), expected);
                verify_storage(claim.storage_root, &B256::from(slot.slot.to_be_bytes::<32>()), slot.value, &slot.nodes).unwrap();
            }
        }
    }

    #[test]
    fn no_bytes_make_a_record_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(record) = netchain_state::AccountRecord::decode(&bytes) {
            prop_assert_eq!(record.encode(), bytes.clone());
        }
        if let Ok(value) = netchain_state::decode_slot(&bytes) {
            prop_assert_eq!(netchain_state::encode_slot(value), bytes);
        }
    }
}

#[test]
fn an_empty_state_proves_that_nobody_is_there() {
    let state = MemoryState::default();
    let proof = prove(state.tables(), state.root(), &address(1), &[U256::from(1)]).unwrap();
    assert_eq!(proof.record, None);
    verify_account(state.root(), &address(1), &AccountClaim::absent(), &proof.nodes).unwrap();
    assert!(state.tables().next_record(&B256::ZERO).unwrap().is_none());
}
