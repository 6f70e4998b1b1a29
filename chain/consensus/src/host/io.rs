//! The effects of the core, answered: signatures, timers, the log, and a queue of what the shell is to do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use alloy_primitives::B256;
use arc_malachitebft_core_consensus as cc;
use arc_malachitebft_core_types as core;
use cc::{ConsensusMsg, LivenessMsg, MisbehaviorEvidence, Resumable, Resume, SignedConsensusMsg};
use core::{
    CertificateError, CommitCertificate, NilOrVal, RoundCertificateType, SignedProposal, SignedVote, ThresholdParams,
    Timeout, TimeoutKind, VoteType,
};
use netchain_types::{Certificate, ChainDomain, CommitSignature, WitnessSet};

use crate::application::Now;
use crate::context::{Height, Nfc, Voter};
use crate::host::Effect;
use crate::keys::Keys;
use crate::message::Message;
use crate::timing::Timing;
use crate::wal::input_frame;

/// What the effect handler may touch: everything of the host but the core and the application.
pub(super) struct Io {
    pub(super) chain: ChainDomain,
    pub(super) keys: Box<dyn Keys>,
    pub(super) timing: Timing,
    pub(super) thresholds: ThresholdParams,
    pub(super) set: WitnessSet,
    pub(super) now: Now,
    pub(super) started_us: u64,
    pub(super) timers: BTreeMap<TimerKey, (u64, Timeout)>,
    pub(super) out: VecDeque<Effect>,
    /// Frames of the log being replayed: they are there already.
    pub(super) replayed: Option<BTreeSet<Vec<u8>>>,
    /// A round in which this node is to offer a block.
    pub(super) turn: Option<(u64, u32)>,
    pub(super) finalized: Option<(CommitCertificate<Nfc>, MisbehaviorEvidence<Nfc>)>,
    /// Whether the signature of the proposal at hand was found good.
    pub(super) authentic: bool,
    /// Whether the log takes entries: not while it is kept as evidence.
    pub(super) logging: bool,
    /// Log entries were appended and not synced.
    pub(super) unsynced: bool,
}

/// Kind and round: the core schedules each at most once at a time, so the map holds at most 5 per round under way.
pub(super) type TimerKey = (u8, i64);

fn timer_key(timeout: &Timeout) -> TimerKey {
    let kind = match timeout.kind {
        TimeoutKind::Propose => 0,
        TimeoutKind::Prevote => 1,
        TimeoutKind::Precommit => 2,
        TimeoutKind::Rebroadcast => 3,
        TimeoutKind::FinalizeHeight(_) => 4,
    };
    (kind, timeout.round.as_i64())
}

impl Io {
    /// Appends a frame to the log.
    pub(super) fn append(&mut self, frame: Vec<u8>) {
        self.out.push_back(Effect::WalAppend(frame));
        self.unsynced = true;
    }

    /// Publishes. The one way out for anything signed: whatever it follows from is durable first.
    pub(super) fn publish(&mut self, message: Message) {
        if std::mem::take(&mut self.unsynced) {
            self.out.push_back(Effect::WalSync);
        }
        self.out.push_back(Effect::Broadcast(message));
    }

    /// One effect of the core.
    #[allow(clippy::wildcard_enum_match_arm)] // `answer` goes on, and names every effect
    pub(super) fn handle(&mut self, effect: cc::Effect<Nfc>) -> Resume<Nfc> {
        use cc::Effect as E;
        match effect {
            E::CancelAllTimeouts(r) => {
                self.timers.clear();
                r.resume_with(())
            }
            E::CancelTimeout(timeout, r) => {
                self.timers.remove(&timer_key(&timeout));
                r.resume_with(())
            }
            E::ScheduleTimeout(timeout, r) => {
                self.schedule(timeout);
                r.resume_with(())
            }
            E::PublishConsensusMsg(message, r) => {
                self.publish(match message {
                    SignedConsensusMsg::Vote(vote) => Message::Vote(vote),
                    SignedConsensusMsg::Proposal(proposal) => Message::Proposal(proposal),
                });
                r.resume_with(())
            }
            E::PublishLivenessMsg(message, r) => {
                self.publish(match message {
                    LivenessMsg::Vote(vote) => Message::Vote(vote),
                    LivenessMsg::PolkaCertificate(polka) => Message::Polka(polka),
                    LivenessMsg::SkipRoundCertificate(round) => Message::Round(round),
                });
                r.resume_with(())
            }
            E::RepublishVote(vote, r) => {
                self.publish(Message::Vote(vote));
                r.resume_with(())
            }
            E::RepublishRoundCertificate(round, r) => {
                self.publish(Message::Round(round));
                r.resume_with(())
            }
            E::GetValue(Height(height), round, _, r) => {
                self.turn = round.as_u32().map(|round| (height, round));
                r.resume_with(())
            }
            E::Finalize(certificate, _, evidence, r) => {
                self.finalized = Some((certificate, evidence));
                r.resume_with(())
            }
            E::WalAppend(_, input, r) => {
                self.log(&input);
                r.resume_with(())
            }
            other => self.answer(other),
        }
    }

    /// Effects that ask for a signature or a verdict, and those that ask for nothing here.
    fn answer(&mut self, effect: cc::Effect<Nfc>) -> Resume<Nfc> {
        use cc::Effect as E;
        match effect {
            E::SignVote(vote, r) => {
                let signature = self.keys.sign(&vote.signing_bytes(&self.chain));
                r.resume_with(SignedVote::new(vote, signature))
            }
            E::SignProposal(proposal, r) => {
                let signature = self.keys.sign(&proposal.signing_bytes(&self.chain));
                r.resume_with(SignedProposal::new(proposal, signature))
            }
            E::VerifySignature(message, key, r) => {
                let bytes = match &message.message {
                    ConsensusMsg::Vote(vote) => vote.signing_bytes(&self.chain),
                    ConsensusMsg::Proposal(proposal) => proposal.signing_bytes(&self.chain),
                };
                let good = self.keys.verify(&key, &bytes, &message.signature);
                self.authentic |= good && matches!(message.message, ConsensusMsg::Proposal(_));
                r.resume_with(good)
            }
            E::VerifyCommitCertificate(certificate, _, _, r) => r.resume_with(self.check_commit(&certificate)),
            E::VerifyExtendedCommitCertificate(certificate, _, _, _, r) => {
                r.resume_with(self.check_commit(&certificate.trim_vote_extensions()))
            }
            E::VerifyPolkaCertificate(certificate, _, _, r) => r.resume_with(self.check_polka(&certificate)),
            E::VerifyRoundCertificate(certificate, _, _, r) => r.resume_with(self.check_round(&certificate)),
            E::ExtendVote(_, _, _, _, r) => r.resume_with(None),
            E::VerifyVoteExtension(_, _, _, _, _, _, r) => {
                r.resume_with(Err(cc::VoteExtensionError::InvalidVoteExtension))
            }
            // Proposals carry their block, so restreaming is publishing, which follows. Blocks of other nodes come by our
            // own block sync. A decision is acted on when it is finalized: the certificate has gathered its signers then.
            E::StartRound(_, _, _, _, r)
            | E::RestreamProposal(_, _, _, _, _, r)
            | E::CertVerifiedSyncValue(_, _, r)
            | E::CertRejectedSyncValue(_, _, _, r)
            | E::Decide(_, _, r) => r.resume_with(()),
            E::CancelAllTimeouts(r) | E::CancelTimeout(_, r) | E::ScheduleTimeout(_, r) => r.resume_with(()),
            E::PublishConsensusMsg(_, r) | E::PublishLivenessMsg(_, r) | E::RepublishVote(_, r) => r.resume_with(()),
            E::RepublishRoundCertificate(_, r) | E::GetValue(_, _, _, r) => r.resume_with(()),
            E::Finalize(_, _, _, r) | E::WalAppend(_, _, r) => r.resume_with(()),
        }
    }

    fn schedule(&mut self, timeout: Timeout) {
        let wait = self.timing.duration_us(&timeout);
        let at = match timeout.kind {
            // The pace of blocks is kept from the start of the height, and kept here: the core would ask a real clock.
            TimeoutKind::FinalizeHeight(Duration { .. }) => self.now.mono_us.max(self.started_us.saturating_add(wait)),
            TimeoutKind::Propose | TimeoutKind::Prevote | TimeoutKind::Precommit | TimeoutKind::Rebroadcast => {
                self.now.mono_us.saturating_add(wait)
            }
        };
        self.timers.insert(timer_key(&timeout), (at, timeout));
    }

    fn log(&mut self, input: &cc::Input<Nfc>) {
        let Some(frame) = input_frame(input) else { return };
        if self.logging && !self.replayed.as_ref().is_some_and(|frames| frames.contains(&frame)) {
            self.append(frame);
        }
    }

    /// Our form of a certificate of the core.
    pub(super) fn certificate(&self, from: &CommitCertificate<Nfc>) -> Certificate {
        let seat = |voter: &Voter| self.set.seat_of(&voter.0).and_then(|seat| u8::try_from(seat).ok());
        let mut signatures: Vec<CommitSignature> = from
            .commit_signatures
            .iter()
            .filter_map(|s| Some(CommitSignature { seat: seat(&s.address)?, signature: s.signature }))
            .collect();
        signatures.sort_unstable_by_key(|commit| commit.seat);
        signatures.dedup_by_key(|commit| commit.seat);
        let round = from.round.as_u32().unwrap_or(0);
        Certificate { height: from.height.0, round, block_hash: from.value_id, signatures }
    }

    fn check_commit(&self, c: &CommitCertificate<Nfc>) -> Result<(), CertificateError<Nfc>> {
        let signers = c.commit_signatures.iter().map(|s| (s.address, s.signature));
        let vote = (VoteType::Precommit, c.height, c.round, NilOrVal::Val(c.value_id));
        self.check_signers(signers.map(|s| (s, vote)), self.thresholds.quorum)
    }

    fn check_polka(&self, c: &core::PolkaCertificate<Nfc>) -> Result<(), CertificateError<Nfc>> {
        let signers = c.polka_signatures.iter().map(|s| (s.address, s.signature));
        let vote = (VoteType::Prevote, c.height, c.round, NilOrVal::Val(c.value_id));
        self.check_signers(signers.map(|s| (s, vote)), self.thresholds.quorum)
    }

    /// Going on to the next round takes precommits of a quorum, whatever for; joining a later round takes any vote in it by
    /// more than a third (Tendermint, arXiv 1807.04938, lines 47 and 55).
    fn check_round(&self, c: &core::RoundCertificate<Nfc>) -> Result<(), CertificateError<Nfc>> {
        let need = match c.cert_type {
            RoundCertificateType::Precommit => self.thresholds.quorum,
            RoundCertificateType::Skip => self.thresholds.honest,
        };
        let prevote = c.round_signatures.iter().find(|s| s.vote_type == VoteType::Prevote);
        if let (RoundCertificateType::Precommit, Some(s)) = (&c.cert_type, prevote) {
            return Err(CertificateError::InvalidVoteType(s.address));
        }
        let signers =
            c.round_signatures.iter().map(|s| ((s.address, s.signature), (s.vote_type, c.height, c.round, s.value_id)));
        self.check_signers(signers, need)
    }

    /// Distinct members of the set, enough of them, and then their signatures.
    fn check_signers(
        &self,
        signers: impl Iterator<Item = ((Voter, [u8; 64]), Statement)>,
        need: core::ThresholdParam,
    ) -> Result<(), CertificateError<Nfc>> {
        let signers: Vec<_> = signers.collect();
        let (total, signed) = (self.set.len() as u64, signers.len() as u64);
        let mut seen = BTreeSet::new();
        if let Some(((twice, _), _)) = signers.iter().find(|((voter, _), _)| !seen.insert(*voter)) {
            return Err(CertificateError::DuplicateVote(*twice));
        }
        if !need.is_met(signed, total) {
            return Err(CertificateError::NotEnoughVotingPower { signed, total, expected: need.min_expected(total) });
        }
        for ((voter, signature), (kind, height, round, value)) in signers {
            let key = self.vote_key(&voter).ok_or(CertificateError::UnknownValidator(voter))?;
            let vote = crate::context::Vote { kind, height, round, value, voter };
            if !self.keys.verify(&key, &vote.signing_bytes(&self.chain), &signature) {
                return Err(CertificateError::InvalidCommitSignature(core::CommitSignature::new(voter, signature)));
            }
        }
        Ok(())
    }

    fn vote_key(&self, voter: &Voter) -> Option<[u8; 32]> {
        self.set.seat_of(&voter.0).and_then(|seat| self.set.seats().get(seat)).map(|seat| seat.vote_key)
    }
}

type Statement = (VoteType, Height, core::Round, NilOrVal<B256>);
