//! The economy's contracts on the real engine: a candidate registers, is elected, makes blocks and is paid; who stops is blamed.
//! Everything is asked for as a wallet does, by JSON-RPC, and reckoned once more from headers and certificates.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, missing_docs)]

#[path = "../examples/common/mod.rs"]
mod common;
#[path = "../examples/common/economy.rs"]
mod economy;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use common::{Rpc, free_ports};
use economy::{Ask, BALLOTS, VAULT, account, contract, input, nfc, registration, signed};
use netchain_consensus::Block;
use netchain_exec::state::{State as _, TablesState};
use netchain_exec::witness::read_witness_set;
use netchain_exec::{Genesis, WITNESS_CONTRACT, order_after};
use netchain_store::Store;
use netchaind::config::{Layout, load};
use netchaind::init::{DEV_ACCOUNTS, DEV_CHAIN_ID, Localnet, localnet_with};
use netchaind::keys::{WitnessKeys, make_witness_keys};
use netchaind::preset::{DEV_OWNERS, NewGenesis, Owners, Preset, install};
use netchaind::service::Running;
use serde_json::json;

/// For anything the network is waited for, on a machine where other tests run.
const PATIENCE: Duration = Duration::from_secs(180);
/// Blocks of an epoch in this test: the preset's are a week of minutes.
const EPOCH: u64 = 12;

/// Account `index` of those whose keys are known.
struct Wallet {
    index: u32,
    nonce: u64,
}

impl Wallet {
    /// Sends a call and waits for its receipt; says whether it succeeded.
    fn send(&mut self, rpc: &mut Rpc, to: Address, value: U256, input: Vec<u8>) -> bool {
        let raw = signed(DEV_CHAIN_ID, self.index, self.nonce, Ask { to, value, input });
        self.nonce += 1;
        let hash = rpc.call("eth_sendRawTransaction", &json!([hex::encode_prefixed(raw)])).unwrap();
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            let receipt = rpc.call("eth_getTransactionReceipt", &json!([hash])).unwrap();
            if let Some(status) = receipt["status"].as_str() {
                return status == "0x1";
            }
            assert!(std::time::Instant::now() < end, "{hash} is in no block");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn word_of(address: Address) -> U256 {
    U256::from_be_bytes(address.into_word().0)
}

/// What a view function answers at a height, as words.
fn view(rpc: &mut Rpc, to: Address, data: Vec<u8>, height: u64) -> Vec<U256> {
    let request = json!([{ "to": to, "data": hex::encode_prefixed(data) }, format!("{height:#x}")]);
    let answer = rpc.call("eth_call", &request).unwrap();
    let bytes: Bytes = answer.as_str().unwrap().parse().unwrap();
    bytes.chunks(32).map(U256::from_be_slice).collect()
}

fn layout(root: &Path, index: usize) -> Layout {
    Layout(root.join(format!("node{index}")))
}

async fn start(root: &Path, index: usize) -> Running {
    let mut config = load(&layout(root, index).config()).unwrap();
    config.store.snapshot_blocks = 0;
    config.metrics.listen = None;
    Running::start(layout(root, index), config, Arc::new(|_| Ok(()))).await.unwrap()
}

/// Five nodes, four of them witnesses of the genesis, the fifth with the keys of `candidate`.
fn network(root: &Path, first_port: u16, candidate: Address) -> (Genesis, WitnessKeys) {
    let net = Localnet { witnesses: 5, first_port, block_ms: 1_000, bench_accounts: 3 };
    let mut made = None;
    localnet_with(root, &net, account, |genesis| {
        for index in 0..3 {
            genesis.alloc.get_mut(&account(index)).unwrap().balance = nfc(10_000);
        }
        genesis.config.nfc.witnesses.truncate(4);
        install(genesis, Preset::Dev, &DEV_OWNERS).unwrap();
        let witness = genesis.alloc.get_mut(&WITNESS_CONTRACT).unwrap();
        witness.storage.insert(U256::from(1), U256::from(EPOCH));
        made = Some(genesis.clone());
    })
    .unwrap();
    let key_file = layout(root, 4).witness_key();
    std::fs::remove_file(&key_file).unwrap();
    (made.unwrap(), make_witness_keys(&key_file, candidate).unwrap())
}

/// Trust of every seat after a height, by the rule of the specification, from what nodes keep.
fn trust_by_headers(store: &Store, height: u64) -> BTreeMap<Address, i64> {
    let header = |height: u64| store.header(height).unwrap().unwrap();
    let set = |hash: &B256| store.witness_set(hash).unwrap().unwrap();
    let mut trust: BTreeMap<Address, i64> = BTreeMap::new();
    for number in 1..=height {
        let (this, parent) = (header(number), header(number - 1));
        let extra = this.check().unwrap();
        let seats = set(&extra.validators_hash);
        trust.retain(|account, _| seats.seat_of(account).is_some());
        for seat in seats.seats() {
            trust.entry(seat.account).or_insert(28_800);
        }
        let older = |height| store.header(height).unwrap();
        let order = order_after(&parent, u8::try_from(seats.len()).unwrap(), &older).unwrap();
        let skipped: BTreeSet<u8> = (0..extra.round.min(6)).map(|round| order.seat(round)).collect();
        for seat in skipped {
            *trust.get_mut(&seats.seats()[usize::from(seat)].account).unwrap() -= 100;
        }
        *trust.get_mut(&this.beneficiary).unwrap() += 10;
        let block = Block::decode(&store.block(number).unwrap().unwrap().bytes).unwrap();
        if let Some(commit) = block.last_commit() {
            let voted = set(&parent.check().unwrap().validators_hash);
            for signature in &commit.signatures {
                if let Some(points) = trust.get_mut(&voted.seats()[usize::from(signature.seat)].account) {
                    *points += 1;
                }
            }
        }
    }
    // Who takes a seat with the end of the last block begins anew.
    let next = set(&header(height).check().unwrap().next_validators_hash);
    trust.retain(|account, _| next.seat_of(account).is_some());
    next.seats().iter().for_each(|seat| _ = trust.entry(seat.account).or_insert(28_800));
    trust
}

/// Block rewards in year 1: a straight line up to T(1) of the vectors.
fn reward(height: u64) -> U256 {
    let vectors = include_str!("../../contracts/vectors/econ_vectors.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
    assert_eq!(vectors["block_curve"][1]["year"], 1);
    let year: U256 = vectors["block_curve"][1]["T_integer"].as_str().unwrap().parse().unwrap();
    let cumulative = |height: u64| year * U256::from(height) / U256::from(10_512_000);
    cumulative(height) - cumulative(height - 1)
}

/// (witness, voters) of the blocks that an account made, by the rule; `bps` is its bonus ratio, for voters from `since` on.
fn earned(store: &Store, account: Address, heights: std::ops::RangeInclusive<u64>, bps: u64) -> (U256, U256) {
    let mut sums = (U256::ZERO, U256::ZERO);
    for height in heights {
        if store.header(height).unwrap().unwrap().beneficiary == account {
            let rest = reward(height) - reward(height) / U256::from(10);
            let voters = rest * U256::from(bps) / U256::from(10_000);
            sums = (sums.0 + rest - voters, sums.1 + voters);
        }
    }
    sums
}

/// All coins there are after a height: nobody else ever got any.
fn supply(store: &Store, genesis: &Genesis, more: &[Address], height: u64) -> U256 {
    let state = store.state_at(height).unwrap();
    let mut accounts: BTreeSet<Address> = genesis.alloc.keys().copied().collect();
    accounts.extend(genesis.config.nfc.witnesses.iter().map(|it| it.account));
    accounts.extend(more);
    accounts.insert(Address::ZERO);
    accounts.iter().map(|it| state.account(it).unwrap().map_or(U256::ZERO, |it| it.balance)).sum()
}

fn wait_for(rpc: &mut Rpc, what: &str, mut done: impl FnMut(&mut Rpc, u64) -> bool) -> u64 {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let height = rpc.height().unwrap();
        if done(rpc, height) {
            return height;
        }
        assert!(std::time::Instant::now() < end, "never: {what}, height {height}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The fifth node's account becomes a witness, makes blocks, and is paid as are those who voted for it.
fn elect_and_pay(rpc: &mut Rpc, store: &Store, keys: &WitnessKeys) {
    let (mut candidate, mut voter) = (Wallet { index: 0, nonce: 0 }, Wallet { index: 1, nonce: 0 });
    let (elected, holder) = (account(0), account(1));
    let five = U256::from(5);
    wait_for(rpc, "a block", |_, height| height >= 1);
    // Another's signature is refused by the real precompile, the true one is taken.
    let good = registration(DEV_CHAIN_ID, &keys.seat(), &keys.vote, 5_000);
    let mut forged = good.clone();
    let end = forged.len() - 1;
    forged[end] ^= 1;
    assert!(!candidate.send(rpc, WITNESS_CONTRACT, nfc(1_000), forged));
    assert!(candidate.send(rpc, WITNESS_CONTRACT, nfc(1_000), good));
    assert!(voter.send(rpc, BALLOTS, nfc(7), input("vote(uint256)", &[five])));
    // `earned`: the word after account, status, three of the bonus, votes, voters, two of the removal, three of the pledge.
    let own = |rpc: &mut Rpc, height| view(rpc, WITNESS_CONTRACT, input("candidate(uint256)", &[five]), height)[12];
    wait_for(rpc, "two blocks of the elected", |rpc, height| own(rpc, height) > U256::from(300_000_000_000_000_000u64));
    let at = rpc.height().unwrap();
    let part = view(rpc, BALLOTS, input("positionOf(address,uint256)", &[word_of(holder), five]), at);
    let (witness, voters) = earned(store, elected, 1..=at, 5_000);
    assert_eq!(part[0], U256::from(7));
    assert!(part[1] <= voters && voters - part[1] <= U256::from(1), "{} of {voters}", part[1]);
    assert_eq!(own(rpc, at), witness);
    // Both are paid on request, in coins; the transactions cost less than a hundredth of one.
    let before = balance_of(store, holder);
    assert!(voter.send(rpc, BALLOTS, U256::ZERO, input("claim(uint256)", &[five])));
    assert!(balance_of(store, holder) + nfc(1) / U256::from(100) > before + part[1]);
    let before = balance_of(store, elected);
    assert!(candidate.send(rpc, WITNESS_CONTRACT, U256::ZERO, input("fetch()", &[])));
    assert!(balance_of(store, elected) + nfc(1) / U256::from(100) > before + witness);
}

/// A witness is silent: its turns are missed, and everybody's trust is what headers and certificates say. Returns the height.
fn blame(rpc: &mut Rpc, store: &Store, stopped: Address) -> u64 {
    wait_for(rpc, "a missed turn", |_, height| {
        trust_by_headers(store, height).get(&stopped).is_some_and(|points| *points < 28_800)
    });
    let tip = rpc.height().unwrap();
    for (account, points) in trust_by_headers(store, tip) {
        let id = view(rpc, WITNESS_CONTRACT, input("idOf(address)", &[word_of(account)]), tip)[0];
        let trust = view(rpc, WITNESS_CONTRACT, input("trustOf(uint256)", &[id]), tip)[0];
        assert_eq!(i64::try_from(trust).unwrap(), points, "candidate {id}");
    }
    let released = view(rpc, VAULT, input("released()", &[]), tip)[0];
    assert_eq!(released, (1..=tip).map(reward).sum::<U256>());
    tip
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_registers_is_elected_makes_blocks_and_is_paid_and_who_stops_is_blamed() {
    let root = tempfile::tempdir().unwrap();
    let first_port = free_ports(5).unwrap();
    let elected = account(0);
    let (genesis, keys) = network(root.path(), first_port, elected);
    let mut nodes = Vec::new();
    for index in 0..5 {
        nodes.push(start(root.path(), index).await);
    }
    let store = nodes[0].node().store.clone();
    let read = store.clone();
    let blocking = tokio::task::spawn_blocking(move || {
        let mut rpc = Rpc::new(first_port);
        elect_and_pay(&mut rpc, &read, &keys);
        rpc
    });
    let mut rpc = blocking.await.unwrap();
    // A witness of the genesis that still sits is stopped.
    let seats = read_witness_set(&TablesState(&store.latest()), &WITNESS_CONTRACT).unwrap();
    assert!(seats.seat_of(&elected).is_some());
    let sits = |index: usize| seats.seat_of(&genesis.config.nfc.witnesses[index].account).is_some();
    let index = (1..4).find(|index| sits(*index)).unwrap();
    let stopped = genesis.config.nfc.witnesses[index].account;
    nodes.remove(index).stop().await.unwrap();
    let read = store.clone();
    let tip = tokio::task::spawn_blocking(move || blame(&mut rpc, &read, stopped)).await.unwrap();
    for height in 0..=tip {
        assert_eq!(supply(&store, &genesis, &[elected], height), nfc(2_100_000_000), "height {height}");
    }
    for node in nodes {
        node.stop().await.unwrap();
    }
}

fn balance_of(store: &Store, account: Address) -> U256 {
    let height = store.tip().unwrap().height;
    store.state_at(height).unwrap().account(&account).unwrap().map_or(U256::ZERO, |it| it.balance)
}

#[test]
fn a_genesis_never_holds_more_than_the_supply() {
    let root = tempfile::tempdir().unwrap();
    let (genesis, _) = network(root.path(), 20_000, Address::repeat_byte(7));
    let sum: U256 = genesis.alloc.values().map(|it| it.balance).sum();
    assert_eq!(sum, nfc(netchaind::preset::SUPPLY_NFC));
    let owners: Owners = DEV_OWNERS;
    // Twice: the contracts are there.
    assert!(install(&mut genesis.clone(), Preset::Main, &owners).is_err());
    let mut rich = genesis;
    rich.alloc.retain(|account, _| DEV_ACCOUNTS.contains(account));
    let mut fine = rich.clone();
    fine.alloc.values_mut().for_each(|it| it.balance = nfc(10_500_000));
    assert!(install(&mut fine, Preset::Main, &owners).is_ok());
    rich.alloc.values_mut().for_each(|it| it.balance = nfc(10_500_000) + U256::from(1));
    assert!(install(&mut rich, Preset::Main, &owners).is_err());
}

#[test]
fn a_genesis_made_for_a_preset_is_read_back_as_the_same_chain() {
    let root = tempfile::tempdir().unwrap();
    let witnesses = root.path().join("witnesses.json");
    let seat = |byte: u8| {
        json!({ "account": Address::repeat_byte(byte), "voteKey": B256::repeat_byte(byte),
            "revealKey": alloy_primitives::FixedBytes::<48>::repeat_byte(byte) })
    };
    std::fs::write(&witnesses, json!([seat(1), seat(2)]).to_string()).unwrap();
    let mut new = NewGenesis {
        preset: Preset::Main,
        chain_id: 7_300,
        timestamp: 1_800_000_000,
        mix_hash: B256::repeat_byte(9),
        foundation: Address::repeat_byte(0xf0),
        team: Address::repeat_byte(0xee),
        witnesses: witnesses.clone(),
    };
    let genesis = Genesis::from_json(new.make().unwrap().as_bytes()).unwrap();
    assert_eq!(genesis.alloc.values().map(|it| it.balance).sum::<U256>(), nfc(2_100_000_000));
    let storage = |low: u16, slot: u64| genesis.alloc[&contract(low)].storage.get(&U256::from(slot)).copied();
    // Seven days of 3 s; seven days; both orders' randomness; the team's account and the time its year begins.
    assert_eq!(storage(0x1000, 1), Some(U256::from(201_600)));
    assert_eq!(storage(0x1001, 0), Some(U256::from(604_800)));
    assert_eq!(storage(0x1000, 5), storage(0x1000, 6));
    assert_eq!(storage(0x1000, 5), Some(U256::from_be_bytes([9; 32])));
    assert_eq!(storage(0x1007, 0), Some(word_of(new.team)));
    assert_eq!(storage(0x1007, 1), Some(U256::from(new.timestamp)));
    assert_eq!(genesis.config.nfc.prize_pool, Some(contract(0x1006)));
    assert_eq!(genesis.block().unwrap().witnesses.len(), 2);
    std::fs::write(&witnesses, json!([seat(1), seat(1)]).to_string()).unwrap();
    assert!(new.make().is_err(), "one witness twice");
    new.witnesses = root.path().join("nothing");
    assert!(new.make().is_err(), "no file");
}
