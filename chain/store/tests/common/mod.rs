//! A chain of blocks with made-up transactions, and what its state must be at every height.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use netchain_store::state::{Account, AccountChange, EMPTY_ROOT_HASH, KECCAK_EMPTY, State, StateChanges};
use netchain_store::{BlockBytes, NewBlock, Store, StoreError, StoreTip};
use netchain_types::Header;

/// Accounts with their slots.
pub(crate) type World = BTreeMap<Address, (Account, BTreeMap<U256, U256>)>;

/// The worlds after each block, from height 0 on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) worlds: Vec<World>,
}

pub(crate) fn address(n: u64) -> Address {
    Address::from_word(keccak256(n.to_be_bytes()))
}

/// A small generator of numbers: the same run on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Rng(pub u64);

impl Rng {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Changes of one block: accounts made, changed, wiped and removed among `population`.
pub(crate) fn changes(rng: &mut Rng, world: &mut World, population: u64, touched: u64) -> StateChanges {
    let mut all = StateChanges::default();
    for _ in 0..touched {
        let who = address(rng.below(population));
        let mut one = StateChanges::default();
        let kind = rng.below(10);
        if kind == 0 {
            world.remove(&who);
            one.accounts.insert(who, AccountChange { account: None, wiped: true, ..AccountChange::default() });
        } else {
            let code: Bytes = vec![0x60, rng.below(3) as u8].into();
            let with_code = rng.below(3) == 0;
            let code_hash = if with_code { keccak256(&code) } else { KECCAK_EMPTY };
            let account = Account { nonce: rng.below(5) + 1, balance: U256::from(rng.below(1_000_000)), code_hash };
            let storage: BTreeMap<U256, U256> =
                (0..rng.below(5)).map(|_| (U256::from(rng.below(20)), U256::from(rng.below(3)))).collect();
            let wiped = kind == 1;
            let entry = world.entry(who).or_default();
            if wiped {
                entry.1.clear();
            }
            entry.0 = account;
            entry.1.extend(storage.clone());
            if with_code {
                one.codes.insert(code_hash, code);
            }
            one.accounts.insert(who, AccountChange { account: Some(account), wiped, storage });
        }
        all.merge(one);
    }
    all
}

pub(crate) fn new_block(parent: &StoreTip, root: B256, transactions: u64) -> NewBlock {
    let number = parent.height + 1;
    let header = Header { parent_hash: parent.hash, number, state_root: root, timestamp: number, ..Header::blank() };
    let list: Vec<Bytes> =
        (0..transactions).map(|i| [&number.to_be_bytes()[..], &i.to_be_bytes()].concat().into()).collect();
    let body: Bytes = alloy_rlp::encode(&list).into();
    let mut payload = alloy_rlp::encode(&header);
    payload.extend_from_slice(&[0xc0, 0xc0]);
    payload.extend(alloy_rlp::encode(&body));
    let mut bytes = Vec::new();
    alloy_rlp::Header { list: true, payload_length: payload.len() }.encode(&mut bytes);
    bytes.extend(payload);
    NewBlock {
        block: BlockBytes::new(bytes.into()).unwrap(),
        receipts: list.iter().map(|tx| keccak256(tx).to_vec().into()).collect(),
        certificate: number.to_be_bytes().to_vec().into(),
        notes: vec![number as u8].into(),
    }
}

pub(crate) fn genesis(store: &Store, model: &mut Model, rng: &mut Rng, accounts: u64) -> StoreTip {
    let mut world = World::new();
    let changes = changes(rng, &mut world, accounts.max(1), accounts);
    let root = store.prepare(&changes).unwrap().root;
    model.worlds.push(world);
    store.init(&Header { state_root: root, ..Header::blank() }, &changes, b"").unwrap()
}

pub(crate) fn grow(store: &Store, model: &mut Model, rng: &mut Rng, blocks: u64, population: u64) {
    for _ in 0..blocks {
        let tip = store.tip().unwrap();
        let mut world = model.worlds.last().unwrap().clone();
        let changes = changes(rng, &mut world, population, 8);
        let update = store.prepare(&changes).unwrap();
        let transactions = rng.below(4);
        store.commit(&new_block(&tip, update.root, transactions), &update).unwrap();
        model.worlds.push(world);
    }
}

/// The state at a height is the one of the model, for accounts that exist and for some that do not.
pub(crate) fn check_state(store: &Store, model: &Model, height: u64, population: u64) -> Result<(), StoreError> {
    let state = store.state_at(height)?;
    let world = &model.worlds[height as usize];
    for who in (0..population + 3).map(address) {
        let expected = world.get(&who);
        assert_eq!(state.account(&who)?, expected.map(|(account, _)| *account), "height {height}");
        for slot in (0..20).map(U256::from) {
            let value = expected.and_then(|(_, slots)| slots.get(&slot)).copied().unwrap_or_default();
            assert_eq!(state.storage(&who, &slot)?, value, "height {height} slot {slot}");
        }
    }
    Ok(())
}

pub(crate) fn empty_root() -> B256 {
    EMPTY_ROOT_HASH
}
