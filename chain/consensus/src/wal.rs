//! The write-ahead log: what this node took in and signed at the height under way, so that a crash never makes it sign twice.
//!
//! A log is a sequence of frames `length u32 LE | crc32c u32 LE | record`; the first record names the height. Records are
//! appended, then synced, before anything they lead to is published (the host's output queue keeps that order). A crash may
//! tear the end of what was not synced: a torn tail is cut, silently. Damage *before* the end means that synced records are
//! gone, and with them the memory of what was signed: then the node must not vote, and [`Wal::read`] says so.

use alloy_primitives::Address;
use alloy_rlp::{RlpDecodable, RlpEncodable};
use arc_malachitebft_core_consensus::{Input, ProposedValue};
use arc_malachitebft_core_types::{Round, Timeout, TimeoutKind, Validity, ValueOrigin};

use crate::block::{Block, BlockParts};
use crate::context::{Height, Nfc, Voter};
use crate::message::{MAX_MESSAGE_BYTES, Message, exact, pol_from_wire, pol_to_wire, tagged};

const HEADER_BYTES: usize = 8;
const TAG_START: u8 = 0x10;
const TAG_VALUE: u8 = 0x11;
const TAG_TIMEOUT: u8 = 0x12;

/// Why a log cannot be used. The node must not vote at this height; it may follow until the height is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalError {
    /// A frame is damaged and intact ones follow it.
    #[error("the write-ahead log is damaged at byte {0}, before its end")]
    Damaged(usize),
    /// A frame is intact and its record is not one of ours.
    #[error("the write-ahead log holds an unknown record at byte {0}")]
    Record(usize),
}

/// A log that was read.
#[derive(Debug, Default)]
pub struct Wal {
    /// Height of the log; none when it is empty.
    pub height: Option<u64>,
    /// Inputs of the core, in the order in which it took them.
    pub inputs: Vec<Input<Nfc>>,
    /// Bytes that are good: the file is to be cut here.
    pub good_bytes: usize,
}

#[derive(RlpEncodable, RlpDecodable)]
struct StartWire {
    height: u64,
}

#[derive(RlpEncodable, RlpDecodable)]
struct ValueWire {
    height: u64,
    round: u64,
    valid_round: u64,
    account: Address,
    valid: u8,
    block: BlockParts,
}

#[derive(RlpEncodable, RlpDecodable)]
struct TimeoutWire {
    kind: u8,
    round: u32,
}

impl Wal {
    /// Reads a log. A torn tail ends it; see the module's head.
    ///
    /// # Errors
    /// See [`WalError`].
    pub fn read(log: &[u8]) -> Result<Self, WalError> {
        let mut wal = Self::default();
        while let Some(record) = frame_at(log, wal.good_bytes) {
            wal.take(record).ok_or(WalError::Record(wal.good_bytes))?;
            wal.good_bytes += HEADER_BYTES + record.len();
        }
        let rest = log.get(wal.good_bytes..).unwrap_or_default();
        // A whole frame further on was written, and so synced or not, after the damage: this is no torn tail.
        let next = length_at(rest).and_then(|length| length.checked_add(HEADER_BYTES));
        if next.is_some_and(|next| frame_at(rest, next).is_some()) {
            return Err(WalError::Damaged(wal.good_bytes));
        }
        Ok(wal)
    }

    fn take(&mut self, record: &[u8]) -> Option<()> {
        match record.split_first()? {
            (&TAG_START, rlp) if self.height.is_none() => self.height = Some(exact::<StartWire>(rlp).ok()?.height),
            _ if self.height.is_none() => return None,
            (&TAG_VALUE, rlp) => self.inputs.push(value_from_wire(exact(rlp).ok()?)?),
            (&TAG_TIMEOUT, rlp) => self.inputs.push(timeout_from_wire(&exact(rlp).ok()?)?),
            _ => self.inputs.push(match Message::decode(record).ok()? {
                Message::Vote(vote) => Input::Vote(vote),
                Message::Proposal(proposal) => Input::Proposal(proposal),
                Message::Polka(polka) => Input::PolkaCertificate(polka),
                Message::Round(_) | Message::BlockRequest(_) | Message::Block(_) => return None,
            }),
        }
        Some(())
    }
}

/// Height of a log by its first record, even when the rest is damaged.
#[must_use]
pub fn log_height(log: &[u8]) -> Option<u64> {
    match frame_at(log, 0)?.split_first()? {
        (&TAG_START, rlp) => exact::<StartWire>(rlp).ok().map(|start| start.height),
        _ => None,
    }
}

/// The frame that begins the log of a height.
#[must_use]
pub fn start_frame(height: u64) -> Vec<u8> {
    frame(&tagged(TAG_START, &StartWire { height }))
}

/// The frame of an input; none for what the core never asks to be kept.
#[must_use]
pub fn input_frame(input: &Input<Nfc>) -> Option<Vec<u8>> {
    let record = match input {
        Input::Vote(vote) => Message::Vote(vote.clone()).encode(),
        Input::Proposal(proposal) => Message::Proposal(proposal.clone()).encode(),
        Input::PolkaCertificate(polka) => Message::Polka(polka.clone()).encode(),
        Input::ProposedValue(value, _) => tagged(TAG_VALUE, &value_to_wire(value)),
        Input::TimeoutElapsed(timeout) => tagged(TAG_TIMEOUT, &timeout_to_wire(timeout)?),
        Input::StartHeight(..) | Input::RoundCertificate(_) | Input::Propose(_) | Input::SyncValueResponse(_) => {
            return None;
        }
    };
    Some(frame(&record))
}

fn frame(record: &[u8]) -> Vec<u8> {
    let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes(), &crc32c(record).to_le_bytes(), record].concat()
}

fn length_at(log: &[u8]) -> Option<usize> {
    let bytes: [u8; 4] = log.get(..4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

/// The record of the whole, undamaged frame at `at`.
fn frame_at(log: &[u8], at: usize) -> Option<&[u8]> {
    let log = log.get(at..)?;
    let length = length_at(log).filter(|length| (1..=MAX_MESSAGE_BYTES).contains(length))?;
    let sum: [u8; 4] = log.get(4..HEADER_BYTES)?.try_into().ok()?;
    let record = log.get(HEADER_BYTES..HEADER_BYTES.checked_add(length)?)?;
    (crc32c(record) == u32::from_le_bytes(sum)).then_some(record)
}

fn value_to_wire(value: &ProposedValue<Nfc>) -> ValueWire {
    ValueWire {
        height: value.height.0,
        round: pol_to_wire(value.round),
        valid_round: pol_to_wire(value.valid_round),
        account: value.proposer.0,
        valid: u8::from(value.validity.is_valid()),
        block: value.value.parts().clone(),
    }
}

fn value_from_wire(wire: ValueWire) -> Option<Input<Nfc>> {
    let value = ProposedValue {
        height: Height(wire.height),
        round: pol_from_wire(wire.round).ok()?,
        valid_round: pol_from_wire(wire.valid_round).ok()?,
        proposer: Voter(wire.account),
        value: Block::new(wire.block).ok()?,
        validity: Validity::from_bool(wire.valid == 1),
    };
    Some(Input::ProposedValue(value, ValueOrigin::Consensus))
}

fn timeout_to_wire(timeout: &Timeout) -> Option<TimeoutWire> {
    let kind = match timeout.kind {
        TimeoutKind::Propose => 0,
        TimeoutKind::Prevote => 1,
        TimeoutKind::Precommit => 2,
        TimeoutKind::Rebroadcast | TimeoutKind::FinalizeHeight(_) => return None,
    };
    Some(TimeoutWire { kind, round: timeout.round.as_u32()? })
}

fn timeout_from_wire(wire: &TimeoutWire) -> Option<Input<Nfc>> {
    let kind = match wire.kind {
        0 => TimeoutKind::Propose,
        1 => TimeoutKind::Prevote,
        2 => TimeoutKind::Precommit,
        _ => return None,
    };
    Some(Input::TimeoutElapsed(Timeout::new(Round::new(wire.round), kind)))
}

/// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), as in RFC 3720 B.4: finds every burst up to 32 bits.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}
