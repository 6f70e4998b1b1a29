//! Snapshots: what comes out goes in again, and nothing else does.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod common;

use alloy_primitives::{Bytes, keccak256};
use common::{Model, Rng, check_state, genesis, grow};
use netchain_store::snapshot::{Importer, Manifest, export};
use netchain_store::state::{Account, AccountChange, StateChanges};
use netchain_store::{Store, StoreError, StoreOptions};
use netchain_types::Header;
use proptest::prelude::*;

const POPULATION: u64 = 60;

fn options() -> StoreOptions {
    StoreOptions { undo_blocks: Some(10), durable: false }
}

fn chain() -> (Store, Model, Manifest, Vec<Bytes>) {
    let store = Store::memory(options());
    let (mut model, mut rng) = (Model::default(), Rng(11));
    genesis(&store, &mut model, &mut rng, POPULATION);
    grow(&store, &mut model, &mut rng, 20, POPULATION);
    let mut chunks = Vec::new();
    let manifest = export(&store, &mut |index, chunk| {
        assert_eq!(index, chunks.len());
        chunks.push(chunk);
        Ok(())
    })
    .unwrap();
    (store, model, manifest, chunks)
}

fn import(manifest: &Manifest, chunks: &[Bytes]) -> Result<Store, StoreError> {
    let store = Store::memory(options());
    let mut importer = Importer::new(store.clone(), manifest.clone(), manifest.header.hash())?;
    for chunk in chunks {
        importer.chunk(chunk)?;
    }
    importer.finish()?;
    Ok(store)
}

#[test]
fn an_imported_snapshot_is_the_state_and_the_chain_goes_on() {
    let (store, mut model, manifest, chunks) = chain();
    let manifest = Manifest::decode(&manifest.encode()).unwrap();
    let copy = import(&manifest, &chunks).unwrap();
    assert_eq!(copy.tip(), store.tip());
    assert_eq!(copy.base().unwrap(), 21);
    assert_eq!(copy.certificate(20).unwrap(), store.certificate(20).unwrap());
    assert_eq!(copy.hash_at(3).unwrap(), store.hash_at(3).unwrap());
    check_state(&copy, &model, 20, POPULATION).unwrap();
    copy.verify(&mut |_| ()).unwrap();
    grow(&copy, &mut model, &mut Rng(12), 3, POPULATION);
    for height in 20..=23 {
        check_state(&copy, &model, height, POPULATION).unwrap();
    }
    copy.verify(&mut |_| ()).unwrap();
}

#[test]
fn a_snapshot_of_another_block_or_with_other_bytes_is_refused() {
    let (_, _, manifest, chunks) = chain();
    let other = Importer::new(Store::memory(options()), manifest.clone(), keccak256("another block"));
    assert_eq!(other.unwrap_err(), StoreError::Snapshot("it is of another block"));
    for at in [0, chunks[0].len() / 2, chunks[0].len() - 1] {
        let mut bad = chunks[0].to_vec();
        bad[at] ^= 1;
        assert!(!manifest.is_chunk(0, &bad));
        let mut importer = Importer::new(Store::memory(options()), manifest.clone(), manifest.header.hash()).unwrap();
        assert!(matches!(importer.chunk(&bad), Err(StoreError::Snapshot(_))));
    }
    // No chunk at all.
    let importer = Importer::new(Store::memory(options()), manifest.clone(), manifest.header.hash()).unwrap();
    assert_eq!(importer.finish().unwrap_err(), StoreError::Snapshot("chunks are missing"));
}

/// A liar who exports a state of his own under the true header: every hash of a chunk is right, the root is not.
#[test]
fn a_consistent_snapshot_of_a_false_state_is_refused_at_the_end() {
    let (_, model, manifest, _) = chain();
    let false_store = Store::memory(options());
    let mut changes = StateChanges::default();
    for (address, (account, storage)) in &model.worlds[20] {
        let account = Account {
            balance: account.balance + alloy_primitives::U256::from(1),
            code_hash: netchain_store::state::KECCAK_EMPTY,
            ..*account
        };
        let storage = storage.iter().filter(|(_, v)| !v.is_zero()).map(|(k, v)| (*k, *v)).collect();
        changes
            .accounts
            .insert(*address, netchain_store::state::AccountChange { account: Some(account), wiped: false, storage });
    }
    let root = false_store.prepare(&changes).unwrap().root;
    false_store.init(&Header { state_root: root, ..Header::blank() }, &changes, b"").unwrap();
    let mut chunks = Vec::new();
    let lie = export(&false_store, &mut |_, chunk| {
        chunks.push(chunk);
        Ok(())
    })
    .unwrap();
    let mut lie = lie;
    lie.header = manifest.header.clone();
    let refused = import(&lie, &chunks).unwrap_err();
    assert_eq!(refused, StoreError::Snapshot("its state is not the one of its header"));
}

/// Blocks that are committed while it is written are not in it.
#[test]
fn an_export_holds_one_block_s_state_however_many_follow_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    for store in [Store::memory(options()), Store::open(folder.path(), options()).unwrap()] {
        let change = |who: u64, balance: u64| {
            let account = Account { balance: alloy_primitives::U256::from(balance), ..Account::default() };
            let change = AccountChange { account: Some(account), ..AccountChange::default() };
            (alloy_primitives::Address::from_word(keccak256(who.to_be_bytes())), change)
        };
        // More than one chunk.
        let all = StateChanges { accounts: (0..30_000).map(|who| change(who, 1)).collect(), ..StateChanges::default() };
        let root = store.prepare(&all).unwrap().root;
        let tip = store.init(&Header { state_root: root, ..Header::blank() }, &all, b"").unwrap();
        let mut chunks = Vec::new();
        let manifest = export(&store, &mut |_, chunk| {
            chunks.push(chunk);
            let later =
                StateChanges { accounts: (0..30_000).map(|who| change(who, 2)).collect(), ..StateChanges::default() };
            let update = store.prepare(&later)?;
            let next = common::new_block(&store.tip().unwrap(), update.root, 1);
            store.commit(&next, &update).map(drop)
        })
        .unwrap();
        assert!(chunks.len() >= 2 && store.tip().unwrap().height == chunks.len() as u64);
        assert_eq!(manifest.header.number, tip.height);
        let mut importer = Importer::new(Store::memory(options()), manifest.clone(), tip.hash).unwrap();
        for chunk in &chunks {
            importer.chunk(chunk).unwrap();
        }
        assert_eq!(importer.finish().unwrap(), tip);
    }
}

#[test]
fn a_manifest_whose_older_headers_are_no_chain_is_refused() {
    let (_, _, mut manifest, _) = chain();
    assert_eq!(manifest.older.len(), 20);
    manifest.older[3].timestamp += 1;
    let refused = Manifest::decode(&manifest.encode()).unwrap_err();
    assert_eq!(refused, StoreError::Snapshot("its older headers are no chain"));
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_of_snapshots_and_blocks_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Manifest::decode(&bytes);
        let _ = netchain_store::transactions_of(&bytes);
        if let Ok(block) = netchain_store::BlockBytes::new(bytes.into()) {
            let _ = block.transactions();
        }
    }

    #[test]
    fn no_change_of_a_chunk_makes_the_importer_panic(at in 0usize..4_000, flip in 1u8..=255, cut in 0usize..50) {
        let (_, _, manifest, chunks) = chain();
        let mut bad = chunks[0].to_vec();
        let at = at % bad.len();
        bad[at] ^= flip;
        bad.truncate(bad.len() - cut);
        // The liar names the hash of what he sends.
        let mut lie = Manifest::decode(&manifest.encode()).unwrap();
        lie.chunks = vec![keccak256(&bad)];
        prop_assert!(import(&lie, &[bad.into()]).is_err());
    }
}
