//! The economy's contracts without a network: accounts with known keys, signed calls, and an executor on a state in memory.
#![allow(dead_code, reason = "each program uses a part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a wrong test input is a bug of the test

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, Signature, TxKind, U256, keccak256};
use ed25519_dalek::{Signer as _, SigningKey};
use netchain_exec::genesis::{GenesisAccount, GenesisConfig, GenesisNfc, GenesisWitness};
use netchain_exec::{Genesis, SignedTransaction};
use netchain_types::Witness;
use netchaind::init::bench_key;
use netchaind::keys::account_of_secret;
use netchaind::preset::{Owners, Preset, install, registration_text};
use secp256k1::{Message, SECP256K1, SecretKey};

pub(crate) const WITNESS: Address = contract(0x1000);
pub(crate) const BALLOTS: Address = contract(0x1001);
pub(crate) const VAULT: Address = contract(0x1002);

/// Address of a system contract.
pub(crate) const fn contract(low: u16) -> Address {
    let mut bytes = [0; 20];
    [bytes[18], bytes[19]] = low.to_be_bytes();
    Address::new(bytes)
}

pub(crate) fn nfc(amount: u64) -> U256 {
    U256::from(amount) * U256::from(10u64.pow(18))
}

/// Account `index` of those whose keys are known.
pub(crate) fn account(index: u32) -> Address {
    account_of_secret(&bench_key(index)).unwrap()
}

/// Keys of a candidate on a chain without consensus: only the vote key has to be one.
pub(crate) fn seat(index: u32) -> (Witness, SigningKey) {
    let key = SigningKey::from_bytes(&keccak256(format!("vote {index}")).0);
    let mut reveal_key = [0; 48];
    reveal_key[..32].copy_from_slice(keccak256(format!("reveal {index}")).as_slice());
    (Witness { account: account(index), vote_key: key.verifying_key().to_bytes(), reveal_key }, key)
}

/// Input of a call whose arguments are words.
pub(crate) fn input(function: &str, words: &[U256]) -> Vec<u8> {
    let mut bytes = keccak256(function)[..4].to_vec();
    words.iter().for_each(|word| bytes.extend(word.to_be_bytes::<32>()));
    bytes
}

/// Input of `register`, signed by the vote key.
pub(crate) fn registration(chain_id: u64, seat: &Witness, key: &SigningKey, bonus_bps: u64) -> Vec<u8> {
    let signature = key.sign(&registration_text(chain_id, seat)).to_bytes();
    let words = [U256::from_be_bytes(seat.vote_key), U256::from(0x80), U256::from(0xe0), U256::from(bonus_bps)];
    let mut bytes = input("register(bytes32,bytes,bytes,uint256)", &words);
    bytes.extend(U256::from(48).to_be_bytes::<32>());
    bytes.extend(seat.reveal_key);
    bytes.extend([0; 16]);
    bytes.extend(U256::from(64).to_be_bytes::<32>());
    bytes.extend(signature);
    bytes
}

/// What an account wants of a contract.
pub(crate) struct Ask {
    pub(crate) to: Address,
    pub(crate) value: U256,
    pub(crate) input: Vec<u8>,
}

/// A signed transaction of account `index`, as bytes.
pub(crate) fn signed(chain_id: u64, index: u32, nonce: u64, ask: Ask) -> Vec<u8> {
    let tx = TxEip1559 {
        chain_id,
        nonce,
        gas_limit: 1_000_000,
        max_fee_per_gas: 100_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: TxKind::Call(ask.to),
        value: ask.value,
        input: ask.input.into(),
        ..TxEip1559::default()
    };
    let key = SecretKey::from_slice(bench_key(index).as_slice()).unwrap();
    let digest = Message::from_digest(tx.signature_hash().0);
    let (id, bytes) = SECP256K1.sign_ecdsa_recoverable(&digest, &key).serialize_compact();
    let (r, s) = bytes.split_at(32);
    let signature = Signature::new(U256::from_be_slice(r), U256::from_be_slice(s), i32::from(id) == 1);
    TxEnvelope::Eip1559(tx.into_signed(signature)).encoded_2718()
}

/// As the executor takes it.
pub(crate) fn transaction(chain_id: u64, index: u32, nonce: u64, ask: Ask) -> SignedTransaction {
    SignedTransaction::decode(&signed(chain_id, index, nonce, ask), chain_id).unwrap()
}

/// Genesis of the preset `dev`: accounts 0..`seats` are the witnesses, accounts 0..`accounts` hold so many NFC.
pub(crate) fn genesis(chain_id: u64, seats: u32, accounts: u32, holds: impl Fn(u32) -> u64) -> Genesis {
    let rich = |index| (account(index), GenesisAccount { balance: nfc(holds(index)), ..GenesisAccount::default() });
    let witness = |index: u32| {
        let (seat, _) = seat(index);
        GenesisWitness { account: seat.account, vote_key: seat.vote_key.into(), reveal_key: seat.reveal_key.into() }
    };
    let mut genesis = Genesis {
        config: GenesisConfig {
            chain_id,
            nfc: GenesisNfc {
                min_base_fee: 1_000_000_000,
                prize_pool: None,
                witness_contract: WITNESS,
                witnesses: (0..seats).map(witness).collect(),
            },
        },
        timestamp: 1_700_000_000,
        gas_limit: 300_000_000,
        mix_hash: keccak256("economy"),
        alloc: (0..accounts).map(rich).collect(),
    };
    install(&mut genesis, Preset::Dev, &Owners { foundation: Address::repeat_byte(1), team: Address::repeat_byte(2) })
        .unwrap();
    genesis
}
