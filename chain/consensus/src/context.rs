//! The types the consensus core works on: ours, seen through its `Context` trait.

use std::fmt;
use std::sync::Arc;

use alloy_primitives::{Address as Account, B256};
use arc_malachitebft_core_types as core;
use core::{NilOrVal, Round, SignedExtension, VoteType, VotingPower};
use netchain_types::{ChainDomain, ProposerOrder, VoteKind, WitnessSet, proposal_signing_bytes, vote_signing_bytes};

use crate::block::Block;

/// Marker of our instantiation of the core.
#[derive(Clone, Debug)]
pub struct Nfc;

/// A height of the chain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Height(pub u64);

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl core::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

/// A witness by its account.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Voter(pub Account);

impl fmt::Display for Voter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl core::Address for Voter {}

/// One seat as the core sees it: one vote each (white paper 3.3.4), so 15 of 21 decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    voter: Voter,
    key: [u8; 32],
}

impl core::Validator<Nfc> for Seat {
    fn address(&self) -> &Voter {
        &self.voter
    }

    fn public_key(&self) -> &[u8; 32] {
        &self.key
    }

    fn voting_power(&self) -> VotingPower {
        1
    }
}

/// The set of one height together with everything the rule of creators needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seats {
    seats: Arc<Vec<Seat>>,
    order: Arc<ProposerOrder>,
}

impl Seats {
    /// The seats of `set`, making blocks in `order`.
    #[must_use]
    pub fn new(set: &WitnessSet, order: &ProposerOrder) -> Self {
        let seats = set.seats().iter().map(|seat| Seat { voter: Voter(seat.account), key: seat.vote_key }).collect();
        Self { seats: Arc::new(seats), order: Arc::new(order.clone()) }
    }
}

impl core::ValidatorSet<Nfc> for Seats {
    fn count(&self) -> usize {
        self.seats.len()
    }

    fn total_voting_power(&self) -> VotingPower {
        self.seats.len() as u64
    }

    fn get_by_address(&self, address: &Voter) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.voter == *address)
    }

    fn get_by_index(&self, index: usize) -> Option<&Seat> {
        self.seats.get(index)
    }
}

impl core::Value for Block {
    type Id = B256;

    fn id(&self) -> B256 {
        self.hash()
    }
}

/// A proposal: a block, offered by the creator of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Height.
    pub height: Height,
    /// Round of this offer; the header names the round of the first.
    pub round: Round,
    /// The block.
    pub block: Block,
    /// Round of the prevote quorum that justifies offering it again, or nil.
    pub pol_round: Round,
    /// Who offers.
    pub voter: Voter,
}

impl core::Proposal<Nfc> for Proposal {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &Block {
        &self.block
    }

    fn take_value(self) -> Block {
        self.block
    }

    fn pol_round(&self) -> Round {
        self.pol_round
    }

    fn validator_address(&self) -> &Voter {
        &self.voter
    }
}

impl Proposal {
    /// What the creator signs, with the chain's domain in front (trap 2 of the design).
    #[must_use]
    pub fn signing_bytes(&self, chain: &ChainDomain) -> Vec<u8> {
        let round = self.round.as_u32().unwrap_or(u32::MAX);
        proposal_signing_bytes(chain, self.height.0, round, self.pol_round.as_u32(), &self.block.hash())
    }
}

/// A prevote or precommit, for a block or for nil.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// First or second step.
    pub kind: VoteType,
    /// Height.
    pub height: Height,
    /// Round.
    pub round: Round,
    /// Hash of the block, or nil.
    pub value: NilOrVal<B256>,
    /// Who votes.
    pub voter: Voter,
}

impl core::Vote<Nfc> for Vote {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<B256> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<B256> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Voter {
        &self.voter
    }

    // Vote extensions are not used: the reveal travels in the header.
    fn extension(&self) -> Option<&SignedExtension<Nfc>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Nfc>> {
        None
    }

    fn extend(self, _: SignedExtension<Nfc>) -> Self {
        self
    }
}

impl Vote {
    /// What the witness signs, with the chain's domain in front (trap 2 of the design).
    #[must_use]
    pub fn signing_bytes(&self, chain: &ChainDomain) -> Vec<u8> {
        let kind = match self.kind {
            VoteType::Prevote => VoteKind::Prevote,
            VoteType::Precommit => VoteKind::Precommit,
        };
        let round = self.round.as_u32().unwrap_or(u32::MAX);
        let block = match &self.value {
            NilOrVal::Nil => None,
            NilOrVal::Val(hash) => Some(hash),
        };
        vote_signing_bytes(chain, kind, self.height.0, round, block)
    }
}

/// Blocks travel whole inside proposals: there are no parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoParts;

impl core::ProposalPart<Nfc> for NoParts {
    fn is_first(&self) -> bool {
        true
    }

    fn is_last(&self) -> bool {
        true
    }
}

/// Raw ed25519: keys and signatures stay bytes here, the host checks them strictly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ed25519;

impl core::SigningScheme for Ed25519 {
    type DecodingError = &'static str;
    type Signature = [u8; 64];
    type PublicKey = [u8; 32];
    // The core never holds a private key: it asks for signatures by effect.
    type PrivateKey = ();

    fn decode_signature(bytes: &[u8]) -> Result<[u8; 64], &'static str> {
        bytes.try_into().map_err(|_| "a signature has 64 bytes")
    }

    fn encode_signature(signature: &[u8; 64]) -> Vec<u8> {
        signature.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<[u8; 32], &'static str> {
        bytes.try_into().map_err(|_| "a key has 32 bytes")
    }

    fn encode_public_key(key: &[u8; 32]) -> Vec<u8> {
        key.to_vec()
    }
}

impl core::Context for Nfc {
    type Address = Voter;
    type Height = Height;
    type ProposalPart = NoParts;
    type Proposal = Proposal;
    type Validator = Seat;
    type ValidatorSet = Seats;
    type Timeouts = core::LinearTimeouts;
    type Value = Block;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Ed25519;

    fn select_proposer<'a>(&self, seats: &'a Seats, _: Height, round: Round) -> &'a Seat {
        let seat = usize::from(seats.order.seat(round.as_u32().unwrap_or(0)));
        // A witness set has at least one seat (`WitnessSet::new`), and an order names only its seats.
        seats.seats.get(seat).or_else(|| seats.seats.first()).expect("a witness set is never empty")
    }

    fn new_proposal(&self, height: Height, round: Round, block: Block, pol_round: Round, voter: Voter) -> Proposal {
        Proposal { height, round, block, pol_round, voter }
    }

    fn new_prevote(&self, height: Height, round: Round, value: NilOrVal<B256>, voter: Voter) -> Vote {
        Vote { kind: VoteType::Prevote, height, round, value, voter }
    }

    fn new_precommit(&self, height: Height, round: Round, value: NilOrVal<B256>, voter: Voter) -> Vote {
        Vote { kind: VoteType::Precommit, height, round, value, voter }
    }
}
