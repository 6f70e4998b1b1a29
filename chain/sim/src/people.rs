//! Who takes part: witnesses with their keys, and the genesis that names them.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256, keccak256};
use ed25519_dalek::SigningKey;
use netchain_exec::genesis::{GenesisAccount, GenesisConfig, GenesisNfc, GenesisWitness};
use netchain_exec::{ChainParams, Genesis};
use netchain_types::{Witness, WitnessSet};
use netchaind::reveal::RevealKey;

use crate::contract;
use crate::scenario::Scenario;
use crate::traffic::Wallet;

/// Chain id of the simulated chains.
pub const CHAIN_ID: u64 = 7_301;
/// Clock of the genesis block.
pub const GENESIS_S: u64 = 1_700_000_000;

/// One node's keys.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Account of the seat.
    pub account: Address,
    /// ed25519 key of votes.
    pub vote: SigningKey,
    /// Secret of the reveal key.
    reveal: [u8; 32],
    seat: Witness,
}

impl Identity {
    /// The keys of node `index`: the same in every world.
    ///
    /// # Panics
    /// Never: every 32 bytes make a key.
    #[must_use]
    pub fn new(index: usize) -> Self {
        let vote = SigningKey::from_bytes(&keccak256(format!("vote {index}")).0);
        let reveal = RevealKey::generate(&keccak256(format!("reveal {index}")).0).expect("32 bytes make a BLS key");
        let account = Address::from_word(keccak256(format!("account {index}")));
        let seat = Witness { account, vote_key: vote.verifying_key().to_bytes(), reveal_key: reveal.public() };
        Self { account, vote, reveal: *reveal.to_bytes(), seat }
    }

    /// Its seat.
    #[must_use]
    pub fn seat(&self) -> Witness {
        self.seat.clone()
    }

    /// Its reveal key.
    #[must_use]
    pub fn reveal(&self) -> Option<RevealKey> {
        RevealKey::from_bytes(&self.reveal)
    }
}

/// The sets of a scenario, in the order in which they serve.
///
/// # Panics
/// The scenario names a set that is none: a bug of the test.
#[must_use]
pub fn sets(scenario: &Scenario, people: &[Identity]) -> Vec<WitnessSet> {
    let seat = |node: &usize| people.get(*node).map(Identity::seat);
    let set = |nodes: &Vec<usize>| WitnessSet::new(nodes.iter().filter_map(seat).collect()).expect("distinct nodes");
    scenario.sets.iter().map(set).collect()
}

/// The genesis: the first set, the witness contract with all of them, and the wallets' money.
#[must_use]
pub fn genesis(scenario: &Scenario, sets: &[WitnessSet], wallets: &[Wallet]) -> Genesis {
    let entry = |seat: &Witness| GenesisWitness {
        account: seat.account,
        vote_key: seat.vote_key.into(),
        reveal_key: seat.reveal_key.into(),
    };
    let params = ChainParams::new(CHAIN_ID);
    let seats = sets.iter().map(WitnessSet::len).max().unwrap_or(1);
    let rich = GenesisAccount { balance: U256::from(10_u64.pow(18)), ..GenesisAccount::default() };
    let mut alloc: BTreeMap<Address, GenesisAccount> =
        wallets.iter().map(|wallet| (wallet.address, rich.clone())).collect();
    let witness_contract = GenesisAccount {
        code: contract::code(scenario.epoch, sets.len(), seats),
        storage: contract::storage(sets).into_iter().collect(),
        ..GenesisAccount::default()
    };
    alloc.insert(params.witness_contract, witness_contract);
    let nfc = GenesisNfc {
        min_base_fee: params.min_base_fee,
        prize_pool: scenario.seed.is_multiple_of(2).then(|| Address::repeat_byte(0x77)),
        witness_contract: params.witness_contract,
        witnesses: sets.first().map(|set| set.seats().iter().map(entry).collect()).unwrap_or_default(),
    };
    Genesis {
        config: GenesisConfig { chain_id: CHAIN_ID, nfc },
        timestamp: GENESIS_S,
        gas_limit: params.gas_limit,
        mix_hash: keccak256(scenario.seed.to_be_bytes()),
        alloc,
    }
}
