//! What witnesses tell each other, and its encoding: `kind u8 | RLP`. Decoders are canonical and safe on any input.

use alloy_primitives::{Address, B256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use arc_malachitebft_core_types as core;
use core::{NilOrVal, Round, RoundCertificateType, SignedProposal, SignedVote, VoteType};
use netchain_types::{Certificate, MAX_WITNESSES};

use crate::block::{Block, BlockParts, CertifiedBlock, MAX_BLOCK_BYTES};
use crate::context::{Height, Nfc, Proposal, Vote, Voter};

/// Longest encoded message: a block, its certificate and the numbers around them.
pub const MAX_MESSAGE_BYTES: usize = MAX_BLOCK_BYTES + 4_096;

/// A message between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A signed vote.
    Vote(SignedVote<Nfc>),
    /// A signed proposal with its block.
    Proposal(SignedProposal<Nfc>),
    /// Prevotes of a quorum for one block.
    Polka(core::PolkaCertificate<Nfc>),
    /// Votes that justify going to a later round.
    Round(core::RoundCertificate<Nfc>),
    /// "Give me the block of this height."
    BlockRequest(u64),
    /// The answer.
    Block(CertifiedBlock),
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Too long, not canonical RLP, or of unknown kind.
    #[error("not an encoded message")]
    Encoding,
    /// The block inside is none.
    #[error(transparent)]
    Block(#[from] crate::block::BlockError),
}

#[derive(RlpEncodable, RlpDecodable)]
struct VoteWire {
    kind: u8,
    height: u64,
    round: u32,
    value: Vec<B256>,
    account: Address,
    signature: [u8; 64],
}

#[derive(RlpEncodable, RlpDecodable)]
struct ProposalWire {
    height: u64,
    round: u32,
    pol_round: u64,
    account: Address,
    signature: [u8; 64],
    block: BlockParts,
}

#[derive(RlpEncodable, RlpDecodable)]
struct SignerWire {
    account: Address,
    signature: [u8; 64],
}

#[derive(RlpEncodable, RlpDecodable)]
struct PolkaWire {
    height: u64,
    round: u32,
    value: B256,
    signers: Vec<SignerWire>,
}

#[derive(RlpEncodable, RlpDecodable)]
struct RoundSignerWire {
    kind: u8,
    value: Vec<B256>,
    account: Address,
    signature: [u8; 64],
}

#[derive(RlpEncodable, RlpDecodable)]
struct RoundWire {
    height: u64,
    round: u32,
    kind: u8,
    signers: Vec<RoundSignerWire>,
}

#[derive(RlpEncodable, RlpDecodable)]
struct RequestWire {
    height: u64,
}

#[derive(RlpEncodable, RlpDecodable)]
struct CertifiedWire {
    block: BlockParts,
    certificate: Certificate,
}

impl Message {
    /// Height the message speaks of.
    #[must_use]
    pub fn height(&self) -> u64 {
        match self {
            Self::Vote(vote) => vote.message.height.0,
            Self::Proposal(proposal) => proposal.message.height.0,
            Self::Polka(polka) => polka.height.0,
            Self::Round(round) => round.height.0,
            Self::BlockRequest(height) => *height,
            Self::Block(certified) => certified.block.height(),
        }
    }

    /// `kind u8 | RLP`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Vote(vote) => tagged(0, &vote_to_wire(vote)),
            Self::Proposal(proposal) => tagged(1, &proposal_to_wire(proposal)),
            Self::Polka(polka) => tagged(2, &polka_to_wire(polka)),
            Self::Round(round) => tagged(3, &round_to_wire(round)),
            Self::BlockRequest(height) => tagged(4, &RequestWire { height: *height }),
            Self::Block(certified) => tagged(
                5,
                &CertifiedWire { block: certified.block.parts().clone(), certificate: certified.certificate.clone() },
            ),
        }
    }

    /// Reads what [`encode`](Self::encode) wrote, and nothing else. No signature is checked here.
    ///
    /// # Errors
    /// See [`MessageError`]. Safe on any input.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let (kind, rlp) = bytes.split_first().ok_or(MessageError::Encoding)?;
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(MessageError::Encoding);
        }
        let message = match kind {
            0 => Self::Vote(vote_from_wire(exact(rlp)?)?),
            1 => Self::Proposal(proposal_from_wire(exact(rlp)?)?),
            2 => Self::Polka(polka_from_wire(exact(rlp)?)?),
            3 => Self::Round(round_from_wire(exact(rlp)?)?),
            4 => Self::BlockRequest(exact::<RequestWire>(rlp)?.height),
            5 => {
                let wire: CertifiedWire = exact(rlp)?;
                Self::Block(CertifiedBlock { block: Block::new(wire.block)?, certificate: wire.certificate })
            }
            _ => return Err(MessageError::Encoding),
        };
        // One message, one encoding: else a relay could make "new" messages out of old ones.
        if message.encode() == bytes { Ok(message) } else { Err(MessageError::Encoding) }
    }
}

/// `tag | rlp(value)`.
pub(crate) fn tagged(tag: u8, value: &impl Encodable) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.length() + 1);
    bytes.push(tag);
    value.encode(&mut bytes);
    bytes
}

/// One RLP item and nothing behind it.
pub(crate) fn exact<T: Decodable>(rlp: &[u8]) -> Result<T, MessageError> {
    alloy_rlp::decode_exact(rlp).map_err(|_| MessageError::Encoding)
}

fn kind_to_wire(kind: VoteType) -> u8 {
    u8::from(kind == VoteType::Precommit)
}

fn kind_from_wire(kind: u8) -> Result<VoteType, MessageError> {
    match kind {
        0 => Ok(VoteType::Prevote),
        1 => Ok(VoteType::Precommit),
        _ => Err(MessageError::Encoding),
    }
}

fn value_to_wire(value: &NilOrVal<B256>) -> Vec<B256> {
    match value {
        NilOrVal::Nil => Vec::new(),
        NilOrVal::Val(hash) => vec![*hash],
    }
}

fn value_from_wire(value: &[B256]) -> Result<NilOrVal<B256>, MessageError> {
    match value {
        [] => Ok(NilOrVal::Nil),
        [hash] => Ok(NilOrVal::Val(*hash)),
        _ => Err(MessageError::Encoding),
    }
}

/// Number of a defined round; the core never publishes an undefined one.
fn number(round: Round) -> u32 {
    round.as_u32().unwrap_or(0)
}

fn vote_to_wire(vote: &SignedVote<Nfc>) -> VoteWire {
    VoteWire {
        kind: kind_to_wire(vote.message.kind),
        height: vote.message.height.0,
        round: number(vote.message.round),
        value: value_to_wire(&vote.message.value),
        account: vote.message.voter.0,
        signature: vote.signature,
    }
}

fn vote_from_wire(wire: VoteWire) -> Result<SignedVote<Nfc>, MessageError> {
    let vote = Vote {
        kind: kind_from_wire(wire.kind)?,
        height: Height(wire.height),
        round: Round::new(wire.round),
        value: value_from_wire(&wire.value)?,
        voter: Voter(wire.account),
    };
    Ok(SignedVote::new(vote, wire.signature))
}

/// A pol round on the wire: round + 1, 0 for none.
pub(crate) fn pol_to_wire(round: Round) -> u64 {
    round.as_u32().map_or(0, |round| u64::from(round) + 1)
}

pub(crate) fn pol_from_wire(round: u64) -> Result<Round, MessageError> {
    match round.checked_sub(1) {
        None => Ok(Round::Nil),
        Some(round) => u32::try_from(round).map(Round::new).map_err(|_| MessageError::Encoding),
    }
}

fn proposal_to_wire(proposal: &SignedProposal<Nfc>) -> ProposalWire {
    ProposalWire {
        height: proposal.message.height.0,
        round: number(proposal.message.round),
        pol_round: pol_to_wire(proposal.message.pol_round),
        account: proposal.message.voter.0,
        signature: proposal.signature,
        block: proposal.message.block.parts().clone(),
    }
}

fn proposal_from_wire(wire: ProposalWire) -> Result<SignedProposal<Nfc>, MessageError> {
    let proposal = Proposal {
        height: Height(wire.height),
        round: Round::new(wire.round),
        block: Block::new(wire.block)?,
        pol_round: pol_from_wire(wire.pol_round)?,
        voter: Voter(wire.account),
    };
    Ok(SignedProposal::new(proposal, wire.signature))
}

fn polka_to_wire(polka: &core::PolkaCertificate<Nfc>) -> PolkaWire {
    let signers = polka.polka_signatures.iter();
    PolkaWire {
        height: polka.height.0,
        round: number(polka.round),
        value: polka.value_id,
        signers: signers.map(|s| SignerWire { account: s.address.0, signature: s.signature }).collect(),
    }
}

fn polka_from_wire(wire: PolkaWire) -> Result<core::PolkaCertificate<Nfc>, MessageError> {
    if wire.signers.len() > MAX_WITNESSES {
        return Err(MessageError::Encoding);
    }
    let signers = wire.signers.into_iter();
    Ok(core::PolkaCertificate {
        height: Height(wire.height),
        round: Round::new(wire.round),
        value_id: wire.value,
        polka_signatures: signers.map(|s| core::PolkaSignature::new(Voter(s.account), s.signature)).collect(),
    })
}

fn round_to_wire(round: &core::RoundCertificate<Nfc>) -> RoundWire {
    let signer = |s: &core::RoundSignature<Nfc>| RoundSignerWire {
        kind: kind_to_wire(s.vote_type),
        value: value_to_wire(&s.value_id),
        account: s.address.0,
        signature: s.signature,
    };
    RoundWire {
        height: round.height.0,
        round: number(round.round),
        kind: u8::from(round.cert_type == RoundCertificateType::Precommit),
        signers: round.round_signatures.iter().map(signer).collect(),
    }
}

fn round_from_wire(wire: RoundWire) -> Result<core::RoundCertificate<Nfc>, MessageError> {
    if wire.signers.len() > MAX_WITNESSES {
        return Err(MessageError::Encoding);
    }
    let signer = |s: RoundSignerWire| -> Result<_, MessageError> {
        let (kind, value) = (kind_from_wire(s.kind)?, value_from_wire(&s.value)?);
        Ok(core::RoundSignature::new(kind, value, Voter(s.account), s.signature))
    };
    Ok(core::RoundCertificate {
        height: Height(wire.height),
        round: Round::new(wire.round),
        cert_type: match wire.kind {
            0 => RoundCertificateType::Skip,
            1 => RoundCertificateType::Precommit,
            _ => return Err(MessageError::Encoding),
        },
        round_signatures: wire.signers.into_iter().map(signer).collect::<Result<_, _>>()?,
    })
}
