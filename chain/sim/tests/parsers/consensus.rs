//! Blocks, messages, the write-ahead log, and the host that eats them.

use alloy_primitives::B256;
use arc_malachitebft_core_types::{SignedProposal, SignedVote};
use ed25519_dalek::{Signer, SigningKey};
use netchain_consensus::twin::{MemoryChain, account_of};
use netchain_consensus::wal::{Wal, input_frame, log_height, start_frame};
use netchain_consensus::{Block, Config, Effect, Host, Message, Now, Timing};
use netchain_store::{BlockBytes, transactions_of};
use netchain_types::{ChainDomain, Witness, WitnessSet};

use super::parts;

/// Seats of the host's chain.
pub(crate) const SEATS: usize = 4;

pub(crate) fn block(bytes: &[u8]) {
    let Ok(block) = Block::decode(bytes) else { return };
    assert_eq!(block.encode(), bytes, "one block has one spelling");
    let stored = BlockBytes::new(bytes.to_vec().into()).expect("the store reads every block that consensus reads");
    assert_eq!((stored.hash, &stored.header), (block.hash(), block.header()));
    assert_eq!(stored.body().unwrap(), *block.body());
    let _ = transactions_of(block.body());
}

pub(crate) fn message(bytes: &[u8]) {
    if let Ok(message) = Message::decode(bytes) {
        assert_eq!(message.encode(), bytes, "one message has one spelling");
        let _ = message.height();
    }
}

/// A log as it comes; then a node starts with it, and what it says must not contradict what the log holds.
pub(crate) fn wal(bytes: &[u8]) {
    let _ = log_height(bytes);
    if let Ok(wal) = Wal::read(bytes) {
        assert!(wal.good_bytes <= bytes.len());
        let frames: Vec<u8> = wal.inputs.iter().filter_map(input_frame).flatten().collect();
        if let Some(height) = wal.height {
            let again = [start_frame(height), frames].concat();
            assert_eq!(Wal::read(&again).unwrap().inputs.len(), wal.inputs.len(), "what was read can be written");
        }
    }
    let mut host = start(0, bytes);
    drain(&mut host);
    host.handle_timeout(now(30_000_000));
    drain(&mut host);
}

pub(crate) fn vote_key(i: usize) -> SigningKey {
    SigningKey::from_bytes(&alloy_primitives::keccak256(format!("witness {i}")).0)
}

fn chain() -> MemoryChain {
    let seat = |i: usize| {
        let vote_key = vote_key(i).verifying_key().to_bytes();
        Witness { account: account_of(&vote_key), vote_key, reveal_key: [u8::try_from(i).unwrap() + 1; 48] }
    };
    let set = WitnessSet::new((0..SEATS).map(seat).collect()).unwrap();
    MemoryChain::genesis(set, B256::repeat_byte(7), b"fuzz", 1_700_000_000)
}

pub(crate) fn now(us: u64) -> Now {
    Now { mono_us: us, unix_s: 1_700_000_010 + us / 1_000_000 }
}

pub(crate) fn start(seat: usize, log: &[u8]) -> Host<MemoryChain> {
    let key = vote_key(seat);
    let chain = chain();
    let domain = ChainDomain { chain_id: 7, genesis: chain.genesis_hash() };
    let account = account_of(&key.verifying_key().to_bytes());
    let config = Config { chain: domain, account, timing: Timing::default() };
    Host::start(config, Box::new(key), chain, log, now(0))
}

pub(crate) fn drain(host: &mut Host<MemoryChain>) -> Vec<Effect> {
    std::iter::from_fn(|| host.poll_effect()).collect()
}

/// Votes and proposals signed by the seat that they name, if it is one.
fn sign_again(message: Message, domain: &ChainDomain) -> Message {
    let key = |account| (0..SEATS).map(vote_key).find(|key| account_of(&key.verifying_key().to_bytes()) == account);
    match message {
        Message::Vote(vote) => match key(vote.message.voter.0) {
            Some(key) => {
                let signature = key.sign(&vote.message.signing_bytes(domain)).to_bytes();
                Message::Vote(SignedVote::new(vote.message, signature))
            }
            None => Message::Vote(vote),
        },
        Message::Proposal(proposal) => match key(proposal.message.voter.0) {
            Some(key) => {
                let signature = key.sign(&proposal.message.signing_bytes(domain)).to_bytes();
                Message::Proposal(SignedProposal::new(proposal.message, signature))
            }
            None => Message::Proposal(proposal),
        },
        other @ (Message::Polka(_) | Message::Round(_) | Message::BlockRequest(_) | Message::Block(_)) => other,
    }
}

/// Parts are messages, each taken as it comes and with a good signature; time passes in between. Whatever peers say, a host
/// never panics, keeps a bounded number of messages, and never halts: there is no certified block that it cannot execute.
pub(crate) fn host(bytes: &[u8]) {
    let mut host = start(0, &[]);
    let domain = ChainDomain { chain_id: 7, genesis: chain().genesis_hash() };
    let mut us = 0;
    drain(&mut host);
    for (peer, part) in parts(bytes).into_iter().enumerate() {
        let Ok(message) = Message::decode(part) else {
            us += 400_000;
            host.handle_timeout(now(us));
            continue;
        };
        let signed = sign_again(message.clone(), &domain);
        host.handle_message(now(us), peer as u64, message);
        host.handle_message(now(us), peer as u64, signed);
        for effect in drain(&mut host) {
            assert!(!matches!(effect, Effect::Halt(_)), "halted by what peers said");
        }
        assert!(host.future_len() <= SEATS * 11 * 3, "more is kept than the bound");
    }
}
