//! Proof that a witness said two things at once: data anyone can check with nothing but the chain's domain and the witness' key.

use alloy_primitives::{Address, B256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use arc_malachitebft_core_types::{NilOrVal, SignedProposal, SignedVote, VoteType};
use netchain_types::{ChainDomain, VoteKind, proposal_signing_bytes, vote_signing_bytes};

use crate::context::Nfc;
use crate::keys::verify_strict;

/// One of the two statements: RLP `[value, pol_round, signature]`.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Statement {
    /// Block hash, or empty for nil.
    pub value: Vec<B256>,
    /// Of a proposal: its pol round + 1, 0 for none. Of a vote: 0.
    pub pol_round: u64,
    /// ed25519 signature of the witness over the statement.
    pub signature: [u8; 64],
}

/// Two conflicting statements of one witness: RLP `[kind, account, height, round, first, second]`.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Evidence {
    /// 0 prevotes, 1 precommits, 2 proposals.
    pub kind: u8,
    /// The witness.
    pub account: Address,
    /// Height of both statements.
    pub height: u64,
    /// Round of both statements.
    pub round: u32,
    /// The statement seen first.
    pub first: Statement,
    /// The one that conflicts with it.
    pub second: Statement,
}

impl Evidence {
    /// From two signed votes that the core found to conflict.
    #[must_use]
    pub fn of_votes(first: &SignedVote<Nfc>, second: &SignedVote<Nfc>) -> Self {
        let statement = |vote: &SignedVote<Nfc>| Statement {
            value: match vote.message.value {
                NilOrVal::Nil => Vec::new(),
                NilOrVal::Val(hash) => vec![hash],
            },
            pol_round: 0,
            signature: vote.signature,
        };
        Self {
            kind: u8::from(first.message.kind == VoteType::Precommit),
            account: first.message.voter.0,
            height: first.message.height.0,
            round: first.message.round.as_u32().unwrap_or(0),
            first: statement(first),
            second: statement(second),
        }
    }

    /// From two signed proposals that the core found to conflict.
    #[must_use]
    pub fn of_proposals(first: &SignedProposal<Nfc>, second: &SignedProposal<Nfc>) -> Self {
        let statement = |proposal: &SignedProposal<Nfc>| Statement {
            value: vec![proposal.message.block.hash()],
            pol_round: proposal.message.pol_round.as_u32().map_or(0, |round| u64::from(round) + 1),
            signature: proposal.signature,
        };
        Self {
            kind: 2,
            account: first.message.voter.0,
            height: first.message.height.0,
            round: first.message.round.as_u32().unwrap_or(0),
            first: statement(first),
            second: statement(second),
        }
    }

    /// Whether the holder of `vote_key` signed both statements on this chain, and they conflict.
    #[must_use]
    pub fn proves(&self, chain: &ChainDomain, vote_key: &[u8; 32]) -> bool {
        let says = |s: &Statement| (s.value.clone(), s.pol_round);
        if says(&self.first) == says(&self.second) {
            return false;
        }
        [&self.first, &self.second].into_iter().all(|statement| {
            self.signing_bytes(chain, statement)
                .is_some_and(|bytes| verify_strict(vote_key, &bytes, &statement.signature))
        })
    }

    fn signing_bytes(&self, chain: &ChainDomain, statement: &Statement) -> Option<Vec<u8>> {
        if statement.value.len() > 1 {
            return None;
        }
        let value = statement.value.first();
        let vote =
            |kind| (statement.pol_round == 0).then(|| vote_signing_bytes(chain, kind, self.height, self.round, value));
        match self.kind {
            0 => vote(VoteKind::Prevote),
            1 => vote(VoteKind::Precommit),
            2 => {
                let pol_round = match statement.pol_round.checked_sub(1) {
                    None => None,
                    Some(round) => Some(u32::try_from(round).ok()?),
                };
                Some(proposal_signing_bytes(chain, self.height, self.round, pol_round, value?))
            }
            _ => None,
        }
    }
}
