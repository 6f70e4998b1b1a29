//! The rules of trust and order (white paper 3.3.4) as a pure function of what blocks carry.

use alloy_primitives::{B256, keccak256};
use netchain_types::{ProposerOrder, next_mix};

/// Trust of a new witness: one day of slots.
pub const TRUST_INITIAL: i64 = 28_800;
/// For the creator of a block.
pub const TRUST_CREATED: i64 = 10;
/// For each signer of the certificate that the next block carries.
pub const TRUST_SIGNED: i64 = 1;
/// For a skipped witness, once a height.
pub const TRUST_SKIPPED: i64 = -100;
/// Rounds whose silent creators are blamed: later ones say more about the network than about the witness.
pub const BLAMED_ROUNDS: u32 = 6;

/// What a block says about its making.
#[derive(Clone, Copy, Debug)]
pub struct Making<'a> {
    /// `header.round`: the only round that state may know (trap 1 of the design).
    pub round: u32,
    /// Signer bitmap of the certificate carried in the block.
    pub last_signers: u32,
    /// Randomness of the header.
    pub reveal: &'a [u8],
    /// Seats convicted by the block's evidence.
    pub convicted: u32,
}

/// Trust, order and randomness after a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DposState {
    /// Randomness.
    pub mix: B256,
    /// Who makes blocks.
    pub order: ProposerOrder,
    /// Trust per seat.
    pub trust: Vec<i64>,
    /// Bit per seat: proven to have equivocated. Never cleared.
    pub tombstones: u32,
}

impl DposState {
    /// State of `seats` witnesses at genesis.
    #[must_use]
    pub fn genesis(mix: B256, seats: u8) -> Self {
        let trust = vec![TRUST_INITIAL; usize::from(seats)];
        Self { mix, order: ProposerOrder::genesis(&mix, seats), trust, tombstones: 0 }
    }

    /// Seats skipped by a block of `round`, each once, in order.
    #[must_use]
    pub fn skipped(&self, round: u32) -> Vec<u8> {
        let mut seats = Vec::new();
        for seat in (0..round.min(BLAMED_ROUNDS)).map(|round| self.order.seat(round)) {
            if !seats.contains(&seat) {
                seats.push(seat);
            }
        }
        seats
    }

    /// Applies one block.
    pub fn apply(&mut self, making: Making<'_>) {
        for seat in self.skipped(making.round) {
            self.add(seat, TRUST_SKIPPED);
        }
        self.add(self.order.seat(making.round), TRUST_CREATED);
        let seats = u8::try_from(self.trust.len().min(32)).unwrap_or(32);
        for seat in (0..seats).filter(|seat| making.last_signers >> seat & 1 == 1) {
            self.add(seat, TRUST_SIGNED);
        }
        self.tombstones |= making.convicted;
        for (seat, trust) in self.trust.iter_mut().enumerate().take(32) {
            if self.tombstones >> seat & 1 == 1 {
                *trust = 0;
            }
        }
        self.mix = next_mix(&self.mix, making.reveal);
        self.order.advance(making.round, &self.mix);
    }

    /// Digest of all of it: two nodes agree on state when they agree on this.
    #[must_use]
    pub fn digest(&self) -> B256 {
        let mut bytes = self.mix.to_vec();
        bytes.extend_from_slice(&self.order.shuffle_round.to_be_bytes());
        bytes.extend_from_slice(&self.order.slot.to_be_bytes());
        bytes.extend_from_slice(&self.order.current);
        bytes.extend_from_slice(&self.order.next);
        self.trust.iter().for_each(|trust| bytes.extend_from_slice(&trust.to_be_bytes()));
        bytes.extend_from_slice(&self.tombstones.to_be_bytes());
        keccak256(bytes)
    }

    fn add(&mut self, seat: u8, amount: i64) {
        if let Some(trust) = self.trust.get_mut(usize::from(seat)) {
            *trust += amount;
        }
    }
}
