//! The store in memory and on RocksDB against a model.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod common;

use alloy_primitives::{B256, U256, keccak256};
use common::{Model, Rng, address, changes, check_state, genesis, grow, new_block};
use netchain_light::{AccountClaim, verify_account, verify_storage};
use netchain_store::state::StateError;
use netchain_store::{Entry, Kv, RocksKv, Store, StoreError, StoreOptions, Table};

const POPULATION: u64 = 40;

fn options(undo_blocks: Option<u64>) -> StoreOptions {
    StoreOptions { undo_blocks, durable: false }
}

/// Both kinds of store; the folder lives as long as the store.
fn stores(undo_blocks: Option<u64>) -> Vec<(Store, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let disk = Store::open(folder.path(), options(undo_blocks)).unwrap();
    vec![(Store::memory(options(undo_blocks)), None), (disk, Some(folder))]
}

fn dump(store: &Store) -> Vec<(Table, Vec<Entry>)> {
    Table::ALL.into_iter().map(|table| (table, store.kv().scan(table, &[], 0, usize::MAX).unwrap())).collect()
}

#[test]
fn every_height_can_be_read_as_it_was() {
    for (store, _folder) in stores(None) {
        let (mut model, mut rng) = (Model::default(), Rng(1));
        genesis(&store, &mut model, &mut rng, POPULATION);
        grow(&store, &mut model, &mut rng, 30, POPULATION);
        for height in 0..=30 {
            check_state(&store, &model, height, POPULATION).unwrap();
        }
        let ahead = store.state_at(31).unwrap_err();
        assert_eq!(ahead, StoreError::State(StateError::Future { height: 31, tip: 30 }));
        let sum = store.verify(&mut |_| ()).unwrap();
        assert_eq!(sum.headers, 31);
        assert_eq!(sum.state.accounts, model.worlds[30].len() as u64);
    }
}

#[test]
fn proofs_of_every_height_convince_a_light_client() {
    for (store, _folder) in stores(None) {
        let (mut model, mut rng) = (Model::default(), Rng(2));
        genesis(&store, &mut model, &mut rng, POPULATION);
        grow(&store, &mut model, &mut rng, 12, POPULATION);
        for height in 0..=12u64 {
            let root = store.header(height).unwrap().unwrap().state_root;
            let world = &model.worlds[usize::try_from(height).unwrap()];
            for who in (0..POPULATION + 2).map(address) {
                let slots: Vec<U256> = (0..20).map(U256::from).collect();
                let proof = store.proof(height, &who, &slots).unwrap();
                let claim = proof.record.map_or(AccountClaim::absent(), |record| AccountClaim {
                    nonce: record.account.nonce,
                    balance: record.account.balance,
                    storage_root: record.storage_root,
                    code_hash: record.account.code_hash,
                });
                assert_eq!(proof.record.map(|record| record.account), world.get(&who).map(|(account, _)| *account));
                verify_account(root, &who, &claim, &proof.nodes).unwrap();
                for slot in &proof.storage {
                    let expected = world.get(&who).and_then(|(_, s)| s.get(&slot.slot)).copied().unwrap_or_default();
                    assert_eq!(slot.value, expected);
                    let key = B256::from(slot.slot.to_be_bytes::<32>());
                    verify_storage(claim.storage_root, &key, slot.value, &slot.nodes).unwrap();
                }
            }
        }
    }
}

#[test]
fn rolling_back_restores_every_byte() {
    for (store, _folder) in stores(None) {
        let (mut model, mut rng) = (Model::default(), Rng(3));
        genesis(&store, &mut model, &mut rng, POPULATION);
        let mut dumps = vec![dump(&store)];
        for _ in 0..10 {
            grow(&store, &mut model, &mut rng, 1, POPULATION);
            dumps.push(dump(&store));
        }
        while store.tip().unwrap().height > 0 {
            dumps.pop();
            store.rollback().unwrap();
            for ((table, now), (_, then)) in dump(&store).into_iter().zip(dumps.last().unwrap()) {
                // Code is kept by its hash and may stay.
                if table != Table::Codes {
                    assert_eq!(&now, then, "{table:?}");
                }
            }
        }
        assert_eq!(store.rollback().unwrap_err(), StoreError::Block("its undo records are not kept any more"));
    }
}

#[test]
fn undo_records_are_kept_as_long_as_told_and_no_longer() {
    for (store, _folder) in stores(Some(5)) {
        let (mut model, mut rng) = (Model::default(), Rng(4));
        genesis(&store, &mut model, &mut rng, POPULATION);
        grow(&store, &mut model, &mut rng, 20, POPULATION);
        let early = store.state_at(15).unwrap();
        for height in 15..=20 {
            check_state(&store, &model, height, POPULATION).unwrap();
        }
        assert_eq!(store.state_at(14).unwrap_err(), StoreError::State(StateError::Pruned { height: 14, oldest: 15 }));
        let count = |table| store.kv().scan(table, &[], 0, usize::MAX).unwrap().len();
        assert_eq!(count(Table::UndoKeys), 5);
        // A reader that was given a height notices when it goes away, instead of reading something else.
        grow(&store, &mut model, &mut rng, 1, POPULATION);
        let gone = netchain_store::state::State::account(&early, &address(1)).unwrap_err();
        assert_eq!(gone, StateError::Pruned { height: 15, oldest: 16 });
        let heights: std::collections::BTreeSet<Vec<u8>> = [(Table::AccountUndo, 32), (Table::SlotUndo, 64)]
            .into_iter()
            .flat_map(|(table, at)| {
                let keys = store.kv().scan(table, &[], 0, usize::MAX).unwrap();
                keys.into_iter().map(move |(key, _)| key[at..].to_vec())
            })
            .collect();
        assert!(heights.iter().all(|height| *height >= 17u64.to_be_bytes().to_vec()), "{heights:?}");
    }
}

#[test]
fn a_block_that_does_not_follow_or_lies_about_its_root_changes_nothing() {
    for (store, _folder) in stores(None) {
        let (mut model, mut rng) = (Model::default(), Rng(5));
        let tip = genesis(&store, &mut model, &mut rng, POPULATION);
        let before = dump(&store);
        let mut world = model.worlds[0].clone();
        let update = store.prepare(&changes(&mut rng, &mut world, POPULATION, 8)).unwrap();
        let wrong_root = new_block(&tip, keccak256("root"), 2);
        let other = netchain_store::StoreTip { hash: keccak256("other"), ..tip };
        let wrong_parent = new_block(&other, update.root, 2);
        let wrong_height = new_block(&netchain_store::StoreTip { height: 7, ..tip }, update.root, 2);
        let mut no_receipt = new_block(&tip, update.root, 2);
        no_receipt.receipts.pop();
        for bad in [wrong_root, wrong_parent, wrong_height, no_receipt] {
            assert!(matches!(store.commit(&bad, &update), Err(StoreError::Block(_))));
            assert_eq!(dump(&store), before);
        }
        let good = new_block(&tip, update.root, 2);
        store.commit(&good, &update).unwrap();
        // What was prepared for another tip is refused.
        let next = new_block(&store.tip().unwrap(), update.root, 0);
        assert!(matches!(store.commit(&next, &update), Err(StoreError::Block(_))));
        assert_eq!(store.block(1).unwrap().unwrap(), good.block);
        assert_eq!(store.height_of(&good.block.hash).unwrap(), Some(1));
        assert_eq!(store.receipts(1).unwrap().unwrap(), good.receipts);
        assert_eq!(store.certificate(1).unwrap().unwrap(), good.certificate);
        let hash = keccak256(&good.block.transactions().unwrap()[1]);
        assert_eq!(store.transaction(&hash).unwrap(), Some((1, 1)));
        assert_eq!(store.transaction(&B256::ZERO).unwrap(), None);
    }
}

#[test]
fn a_log_cut_at_any_byte_leaves_whole_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let (mut model, mut rng) = (Model::default(), Rng(6));
    {
        let store = Store::open(folder.path(), options(None)).unwrap();
        genesis(&store, &mut model, &mut rng, POPULATION);
        grow(&store, &mut model, &mut rng, 12, POPULATION);
    }
    let log = |folder: &std::path::Path| {
        let mut logs: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .collect();
        logs.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
        logs.pop().unwrap()
    };
    let length = std::fs::metadata(log(folder.path())).unwrap().len();
    assert!(length > 10_000, "the blocks are in the log, not in table files: {length}");
    let mut heights = std::collections::BTreeSet::new();
    for step in 0..24 {
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        let cut = length * step / 24 + rng.below(length / 24);
        std::fs::OpenOptions::new().write(true).open(log(copy.path())).unwrap().set_len(cut).unwrap();
        let store = Store::open(copy.path(), options(None)).unwrap();
        let Some(tip) = store.tip() else { continue };
        store.verify(&mut |_| ()).unwrap();
        check_state(&store, &model, tip.height, POPULATION).unwrap();
        // And it goes on from there.
        let mut shorter = Model { worlds: model.worlds[..=usize::try_from(tip.height).unwrap()].to_vec() };
        grow(&store, &mut shorter, &mut rng, 1, POPULATION);
        heights.insert(tip.height);
    }
    assert!(heights.len() > 5, "cuts hit different blocks: {heights:?}");
}

#[test]
fn a_store_is_found_again_as_it_was_left_and_is_held_by_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let (mut model, mut rng) = (Model::default(), Rng(7));
    let tip = {
        let store = Store::open(folder.path(), options(Some(5))).unwrap();
        genesis(&store, &mut model, &mut rng, POPULATION);
        grow(&store, &mut model, &mut rng, 9, POPULATION);
        assert!(Store::open(folder.path(), options(Some(5))).is_err());
        store.tip()
    };
    let store = Store::open(folder.path(), options(Some(5))).unwrap();
    assert_eq!(store.tip(), tip);
    assert_eq!(store.oldest_state(), 4);
    check_state(&store, &model, 9, POPULATION).unwrap();
    let refused = store.init(&netchain_types::Header::blank(), &Default::default(), b"");
    assert_eq!(refused.unwrap_err(), StoreError::NotEmpty);
}

#[test]
fn verification_finds_every_kind_of_damage() {
    for table in [
        Table::Accounts,
        Table::Slots,
        Table::AccountNodes,
        Table::StorageNodes,
        Table::Codes,
        Table::Headers,
        Table::Blocks,
        Table::Receipts,
        Table::Hashes,
        Table::Transactions,
    ] {
        let store = Store::memory(options(None));
        let (mut model, mut rng) = (Model::default(), Rng(8));
        genesis(&store, &mut model, &mut rng, POPULATION);
        grow(&store, &mut model, &mut rng, 10, POPULATION);
        store.verify(&mut |_| ()).unwrap();
        let entries = store.kv().scan(table, &[], 0, usize::MAX).unwrap();
        assert!(!entries.is_empty(), "{table:?}");
        let (key, _) = entries[entries.len() / 2].clone();
        let mut batch = netchain_store::Batch::default();
        batch.delete(table, key);
        store.kv().write(batch, false).unwrap();
        // The code of an account that went away since may be missing.
        let found = store.verify(&mut |_| ()).is_err();
        assert!(found || table == Table::Codes, "{table:?}");
    }
}

#[test]
fn both_kinds_of_tables_answer_alike() {
    let folder = tempfile::tempdir().unwrap();
    let rocks = RocksKv::open(folder.path()).unwrap();
    let memory = netchain_store::MemoryKv::default();
    let mut rng = Rng(9);
    for _ in 0..200 {
        let mut batch = netchain_store::Batch::default();
        for _ in 0..rng.below(6) {
            let table = [Table::Slots, Table::AccountNodes, Table::SlotUndo][usize::try_from(rng.below(3)).unwrap()];
            let owner = keccak256(rng.below(4).to_be_bytes());
            let key =
                [owner.as_slice(), keccak256(rng.below(4).to_be_bytes()).as_slice(), &[rng.below(6) as u8]].concat();
            let key =
                if table == Table::AccountNodes { key[..usize::try_from(rng.below(3)).unwrap()].to_vec() } else { key };
            if rng.below(4) == 0 { batch.delete(table, key) } else { batch.put(table, key, vec![rng.below(9) as u8]) }
        }
        memory.write(batch.clone(), false).unwrap();
        rocks.write(batch, false).unwrap();
        for table in [Table::Slots, Table::AccountNodes, Table::SlotUndo] {
            let from =
                [keccak256(rng.below(4).to_be_bytes()).as_slice(), keccak256(rng.below(4).to_be_bytes()).as_slice()]
                    .concat();
            for within in [0, 32, 64] {
                let scan = |kv: &dyn Kv| kv.scan(table, &from, within, 3).unwrap();
                assert_eq!(scan(&rocks), scan(&memory), "{table:?} within {within}");
            }
            assert_eq!(rocks.get(table, &from).unwrap(), memory.get(table, &from).unwrap());
        }
    }
}
