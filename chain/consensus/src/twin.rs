//! The chain in memory: the twin of execution and store, with the rules of trust and order and no transactions.
//!
//! The state root is the digest of [`DposState`]; the root of transactions is the hash of evidence and body; the reveal is a
//! hash chain in place of the BLS signature: unique per witness and height, which is all that order needs.

use alloy_primitives::{Address, B256, Bytes, keccak256};
use netchain_types::header::with_extra;
use netchain_types::{Certificate, ConsensusExtra, Header, WitnessSet};

use crate::application::{Application, Draft, Invalid, Tip};
use crate::block::{Block, BlockParts, CertifiedBlock, MAX_BLOCK_EVIDENCE};
use crate::dpos::{DposState, Making};
use crate::evidence::Evidence;

/// A chain whose set never changes.
#[derive(Clone, Debug)]
pub struct MemoryChain {
    set: WitnessSet,
    genesis: Header,
    state: DposState,
    blocks: Vec<CertifiedBlock>,
}

impl MemoryChain {
    /// A chain at genesis; `name` is in its genesis header, so that two chains of one set differ.
    #[must_use]
    pub fn genesis(set: WitnessSet, mix: B256, name: &[u8], unix_s: u64) -> Self {
        let state = DposState::genesis(mix, u8::try_from(set.len()).unwrap_or(u8::MAX));
        let (validators_hash, state_root) = (set.hash(), state.digest());
        let extra = ConsensusExtra {
            round: 0,
            shuffle_round: 0,
            slot: 0,
            reveal: Bytes::new(),
            last_commit_hash: B256::ZERO,
            validators_hash,
            next_validators_hash: validators_hash,
        };
        let header = Header {
            state_root,
            timestamp: unix_s,
            mix_hash: mix,
            transactions_root: keccak256(name),
            ..Header::blank()
        };
        Self { set, genesis: with_extra(header, &extra), state, blocks: Vec::new() }
    }

    /// Hash of the genesis header.
    #[must_use]
    pub fn genesis_hash(&self) -> B256 {
        self.genesis.hash()
    }

    /// Trust, order, randomness.
    #[must_use]
    pub fn state(&self) -> &DposState {
        &self.state
    }

    /// Committed blocks from height 1 on, with this node's certificates.
    #[must_use]
    pub fn blocks(&self) -> &[CertifiedBlock] {
        &self.blocks
    }

    /// The state after `block`, if the state knew its round as `round`.
    #[must_use]
    pub fn state_after(&self, block: &Block, round: u32) -> DposState {
        let mut state = self.state.clone();
        let seat = |evidence: &Evidence| self.set.seat_of(&evidence.account);
        state.apply(Making {
            round,
            last_signers: block.last_commit().map_or(0, Certificate::bitmap),
            reveal: &block.extra().reveal,
            convicted: block.evidence().iter().filter_map(seat).fold(0, |bits, seat| bits | 1 << seat),
        });
        state
    }

    /// Keeps a block with the state that follows from it.
    pub fn keep(&mut self, block: &Block, certificate: &Certificate, state: DposState) {
        self.state = state;
        self.blocks.push(CertifiedBlock { block: block.clone(), certificate: certificate.clone() });
    }

    fn tip_header(&self) -> &Header {
        self.blocks.last().map_or(&self.genesis, |last| last.block.header())
    }

    /// Header and parts of a block, roots filled in.
    fn build(&self, draft: &Draft<'_>, evidence: Vec<Evidence>, body: Bytes) -> Option<Block> {
        let parent = self.tip_header();
        let height = parent.number + 1;
        let seat = self.set.seat_of(&draft.creator).and_then(|seat| self.set.seats().get(seat))?;
        let last_commit: Vec<Certificate> = draft.last_commit.cloned().into_iter().collect();
        let reveal = reveal(&seat.reveal_key, height);
        let extra = ConsensusExtra {
            round: draft.round,
            shuffle_round: self.state.order.shuffle_round,
            slot: self.state.order.slot,
            reveal: reveal.clone(),
            last_commit_hash: last_commit.first().map_or(B256::ZERO, Certificate::hash),
            validators_hash: self.set.hash(),
            next_validators_hash: self.set.hash(),
        };
        let header = Header {
            parent_hash: parent.hash(),
            beneficiary: draft.creator,
            number: height,
            timestamp: draft.now.unix_s.max(parent.timestamp + 1),
            mix_hash: netchain_types::next_mix(&self.state.mix, &reveal),
            transactions_root: content_root(&evidence, &body),
            ..Header::blank()
        };
        let draft_block =
            Block::new(BlockParts { header: with_extra(header, &extra), last_commit, evidence, body }).ok()?;
        let mut parts = draft_block.parts().clone();
        parts.header.state_root = self.state_after(&draft_block, draft.round).digest();
        Block::new(parts).ok()
    }
}

impl Application for MemoryChain {
    fn tip(&self) -> Tip {
        let header = self.tip_header();
        Tip {
            height: header.number,
            hash: header.hash(),
            timestamp: header.timestamp,
            voted: self.set.clone(),
            next: self.set.clone(),
            order: self.state.order.clone(),
        }
    }

    fn propose(&mut self, draft: &Draft<'_>) -> Option<Block> {
        let news = |evidence: &&Evidence| {
            self.set.seat_of(&evidence.account).is_some_and(|seat| self.state.tombstones >> seat & 1 == 0)
        };
        let evidence = draft.evidence.iter().filter(news).take(MAX_BLOCK_EVIDENCE).cloned().collect();
        let body = Bytes::from(draft.now.mono_us.to_be_bytes().to_vec());
        self.build(draft, evidence, body)
    }

    fn binds(&self, block: &Block) -> bool {
        content_root(block.evidence(), block.body()) == block.header().transactions_root
    }

    fn validate(&mut self, block: &Block) -> Result<(), Invalid> {
        let (header, extra) = (block.header(), block.extra());
        let seat = self.set.seat_of(&header.beneficiary).and_then(|seat| self.set.seats().get(seat));
        let expected = seat.map(|seat| reveal(&seat.reveal_key, header.number));
        if expected.as_ref() != Some(&extra.reveal) {
            return Err(Invalid("reveal"));
        }
        // Trap 1: the header's round, the only one every node agrees on.
        let state = self.state_after(block, extra.round);
        if header.mix_hash != state.mix || header.state_root != state.digest() {
            return Err(Invalid("state root"));
        }
        if extra.next_validators_hash != self.set.hash() {
            return Err(Invalid("next witness set"));
        }
        Ok(())
    }

    fn commit(&mut self, block: &Block, certificate: &Certificate) -> Result<(), Invalid> {
        let state = self.state_after(block, block.extra().round);
        self.keep(block, certificate, state);
        Ok(())
    }

    fn certified(&self, height: u64) -> Option<CertifiedBlock> {
        let place = usize::try_from(height.checked_sub(1)?).ok()?;
        self.blocks.get(place).cloned()
    }
}

/// Root of transactions of the twin: evidence and body.
#[must_use]
pub fn content_root(evidence: &[Evidence], body: &Bytes) -> B256 {
    let evidence: Vec<u8> = evidence.iter().flat_map(alloy_rlp::encode).collect();
    keccak256([keccak256(evidence), keccak256(body)].concat())
}

fn reveal(key: &[u8; 48], height: u64) -> Bytes {
    let part = |i: u8| keccak256([key.as_slice(), &height.to_be_bytes(), &[i]].concat());
    [part(0), part(1), part(2)].concat().into()
}

/// An account for tests: the end of the key's hash.
#[must_use]
pub fn account_of(vote_key: &[u8; 32]) -> Address {
    Address::from_slice(keccak256(vote_key).get(12..).unwrap_or_default())
}
