//! Genesis files, the witness set in the state, the order of creators from headers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod common;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use common::{CHAIN_ID, chain, genesis_json, wallet};
use netchain_exec::state::{MemoryState, State};
use netchain_exec::system::system_address;
use netchain_exec::witness::read_witness_set;
use netchain_exec::{FeeRule, Genesis, GenesisError, order_after};
use netchain_types::header::with_extra;
use netchain_types::{ConsensusExtra, Header, ProposerOrder, next_mix};
use proptest::prelude::*;

#[test]
fn a_genesis_file_makes_the_state_it_says() {
    let alloc = r#""0x0000000000000000000000000000000000001002": { "balance": "0x10", "code": "0x6001", "storage": { "0x01": "0x02", "3": "0" } },
        "0x0000000000000000000000000000000000001003": { "balance": 5, "nonce": 9 },"#;
    let genesis = Genesis::from_json(genesis_json("\"minBaseFee\": 7,", alloc).as_bytes()).unwrap();
    let block = genesis.block().unwrap();
    assert_eq!(block, genesis.block().unwrap());
    let mut state = MemoryState::default();
    assert_eq!(state.commit(&block.changes).unwrap(), block.header.state_root);
    let vault: Address = "0x0000000000000000000000000000000000001002".parse().unwrap();
    let account = state.account(&vault).unwrap().unwrap();
    assert_eq!((account.nonce, account.balance), (1, U256::from(16)));
    assert_eq!(state.code(&account.code_hash).unwrap(), Bytes::from(vec![0x60, 1]));
    assert_eq!(state.storage(&vault, &U256::from(1)).unwrap(), U256::from(2));
    let plain = state.account(&"0x0000000000000000000000000000000000001003".parse().unwrap()).unwrap().unwrap();
    assert_eq!((plain.nonce, plain.balance), (9, U256::from(5)));
    assert_eq!(state.account(&wallet(3).address).unwrap().unwrap().balance, U256::from(10).pow(U256::from(21)));
    let system = state.account(&system_address()).unwrap().unwrap();
    assert_eq!(state.code(&system.code_hash).unwrap(), Bytes::from(vec![0xfe]));
    assert_eq!((block.params.chain_id, block.params.fee_rule), (CHAIN_ID, FeeRule::Creator));
    assert_eq!((block.header.base_fee_per_gas, block.params.min_base_fee), (7, 7));
    // The header is one of this chain, and the set in the state is the one it names.
    let (header, extra) = Header::decode_checked(&alloy_rlp::encode(&block.header)).unwrap();
    assert_eq!(header, block.header);
    let set = read_witness_set(&state, &block.params.witness_contract).unwrap();
    assert_eq!((set.hash(), &set), (extra.next_validators_hash, &block.witnesses));
}

#[test]
fn a_genesis_file_that_makes_no_chain_is_refused() {
    let refused = |json: String| match Genesis::from_json(json.as_bytes()) {
        Ok(genesis) => genesis.block().unwrap_err(),
        Err(error) => error,
    };
    let good = genesis_json("", "");
    assert!(matches!(refused(good.replace("300000000", "16000000")), GenesisError::Rule(_)));
    assert!(matches!(refused(genesis_json("\"minBaseFee\": 0,", "")), GenesisError::Rule(_)));
    assert!(matches!(refused(good.replace("\"chainId\": 7300,", "")), GenesisError::Json(_)));
    let system = format!("\"{}\": {{ \"balance\": 1 }},", system_address());
    assert!(matches!(refused(genesis_json("", &system)), GenesisError::Rule(_)));
    let nobody = good.split("\"witnesses\": [").next().unwrap().to_string() + "\"witnesses\": [] } }, \"alloc\": {} }";
    assert!(matches!(refused(nobody), GenesisError::Witnesses(_)));
    let negative = genesis_json("", "\"0x0000000000000000000000000000000000001003\": { \"balance\": \"-1\" },");
    assert!(matches!(refused(negative), GenesisError::Json(_)));
}

#[test]
fn a_state_without_a_witness_set_is_an_error() {
    let chain = chain("", "");
    assert!(read_witness_set(&chain.state, &Address::repeat_byte(2)).is_err());
}

proptest! {
    #[test]
    fn the_order_of_creators_is_found_again_from_headers(
        seats in 1u8..=21,
        rounds in prop::collection::vec(prop_oneof![5 => Just(0u32), 1 => 1u32..60], 1..120)
    ) {
        let mix = keccak256("genesis");
        let mut order = ProposerOrder::genesis(&mix, seats);
        let extra = ConsensusExtra {
            round: 0, shuffle_round: 0, slot: 0, reveal: Bytes::new(), last_commit_hash: B256::ZERO,
            validators_hash: B256::ZERO, next_validators_hash: B256::ZERO,
        };
        let mut headers = vec![with_extra(Header { mix_hash: mix, ..Header::blank() }, &extra)];
        prop_assert_eq!(order_after(&headers[0], seats, &|h| headers.get(h as usize).cloned()), Some(order.clone()));
        for (number, round) in (1u64..).zip(rounds) {
            let reveal: Bytes = vec![number as u8; 96].into();
            let extra = ConsensusExtra {
                round, shuffle_round: order.shuffle_round, slot: order.slot, reveal: reveal.clone(), ..extra.clone()
            };
            let mix_hash = next_mix(&headers.last().unwrap().mix_hash, &reveal);
            headers.push(with_extra(Header { number, mix_hash, ..Header::blank() }, &extra));
            order.advance(round, &mix_hash);
            let found = order_after(headers.last().unwrap(), seats, &|h| headers.get(h as usize).cloned());
            prop_assert_eq!(found, Some(order.clone()));
        }
    }
}
