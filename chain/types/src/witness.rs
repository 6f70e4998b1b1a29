//! Witness sets: who may vote, and how many votes decide.

use alloy_primitives::{Address, B256, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};

/// Most witnesses of a set: the 21 seats of the design. A certificate's signer bitmap is sized by it.
pub const MAX_WITNESSES: usize = 21;
/// Longest encoded set: 21 seats of 104 bytes and list heads.
pub const MAX_SET_BYTES: usize = 2_304;

/// One seat. The account earns and is named in the state; the two keys belong to the machine that holds the seat.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Witness {
    /// Account of the witness, 20 bytes; the id of the election order.
    pub account: Address,
    /// ed25519 key of votes and certificates.
    pub vote_key: [u8; 32],
    /// Compressed BLS12-381 G1 key of the randomness reveal. An ed25519 signature is not unique, so it is no randomness.
    pub reveal_key: [u8; 48],
}

/// Why a list of witnesses is no set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessSetError {
    /// No seat or more than [`MAX_WITNESSES`].
    #[error("a witness set has 1 to {MAX_WITNESSES} seats, this one {0}")]
    Size(usize),
    /// Two seats share an account or a vote key: one machine would count twice.
    #[error("a witness stands twice in the set")]
    Duplicate,
    /// Not the RLP of a list of witnesses.
    #[error("not an encoded witness set")]
    Encoding,
}

/// An ordered set of witnesses. The order is the seat number used by bitmaps and by the shuffle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessSet {
    seats: Vec<Witness>,
}

/// Votes that decide among `n` witnesses of one vote each: more than two thirds (Tendermint), 15 of 21.
#[must_use]
pub const fn quorum(n: usize) -> usize {
    n * 2 / 3 + 1
}

impl WitnessSet {
    /// Makes a set of 1 to [`MAX_WITNESSES`] distinct seats.
    ///
    /// # Errors
    /// Wrong size, or an account or vote key that stands twice.
    pub fn new(seats: Vec<Witness>) -> Result<Self, WitnessSetError> {
        if seats.is_empty() || seats.len() > MAX_WITNESSES {
            return Err(WitnessSetError::Size(seats.len()));
        }
        let twice = |i: usize, a: &Witness| {
            seats
                .iter()
                .skip(i + 1)
                .any(|b| a.account == b.account || a.vote_key == b.vote_key || a.reveal_key == b.reveal_key)
        };
        if seats.iter().enumerate().any(|(i, seat)| twice(i, seat)) {
            return Err(WitnessSetError::Duplicate);
        }
        Ok(Self { seats })
    }

    /// The seats in order.
    #[must_use]
    pub fn seats(&self) -> &[Witness] {
        &self.seats
    }

    /// Number of seats, never 0.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // a set is never empty
    pub const fn len(&self) -> usize {
        self.seats.len()
    }

    /// Votes that decide in this set.
    #[must_use]
    pub const fn quorum(&self) -> usize {
        quorum(self.seats.len())
    }

    /// Seat number of an account.
    #[must_use]
    pub fn seat_of(&self, account: &Address) -> Option<usize> {
        self.seats.iter().position(|seat| seat.account == *account)
    }

    /// `keccak256(rlp([witness, ...]))`: `validators_hash` of a header.
    #[must_use]
    pub fn hash(&self) -> B256 {
        keccak256(self.encode())
    }

    /// RLP of the list of seats.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        alloy_rlp::encode(&self.seats)
    }

    /// Reads what [`encode`](Self::encode) wrote; nothing may follow it.
    ///
    /// # Errors
    /// Not that encoding, or not a set.
    pub fn decode(bytes: &[u8]) -> Result<Self, WitnessSetError> {
        if bytes.len() > MAX_SET_BYTES {
            return Err(WitnessSetError::Encoding);
        }
        let seats = alloy_rlp::decode_exact::<Vec<Witness>>(bytes).map_err(|_| WitnessSetError::Encoding)?;
        Self::new(seats)
    }
}
