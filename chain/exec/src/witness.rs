//! Where the witness set stands in the storage of the witness contract.
//!
//! From slot `W = keccak("NFC/WITNESS-SET/v1")` on: `W` the number of seats, then four slots a seat: the account (right
//! aligned), the vote key, bytes 0..32 of the reveal key, bytes 32..48 of it (left aligned). The genesis writes it; the
//! contract's election changes it in the block before the set that then votes.

use alloy_primitives::{Address, B256, U256, keccak256};
use netchain_state::{State, StateError};
use netchain_types::{MAX_WITNESSES, Witness, WitnessSet, WitnessSetError};

const TEXT: &[u8] = b"NFC/WITNESS-SET/v1";
const SLOTS_A_SEAT: u64 = 4;

/// Why the state has no witness set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessStateError {
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// What is there is no set.
    #[error("the witness contract holds no witness set: {0}")]
    Set(#[from] WitnessSetError),
}

fn slot(seat: u64, part: u64) -> U256 {
    U256::from_be_bytes(keccak256(TEXT).0).wrapping_add(U256::from(1 + seat * SLOTS_A_SEAT + part))
}

fn count_slot() -> U256 {
    U256::from_be_bytes(keccak256(TEXT).0)
}

/// The slots of a set with their values, for a genesis.
#[must_use]
pub fn witness_slots(set: &WitnessSet) -> Vec<(U256, U256)> {
    let word = |bytes: &[u8]| {
        let mut word = [0; 32];
        word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        U256::from_be_bytes(word)
    };
    let mut slots = vec![(count_slot(), U256::from(set.len()))];
    for (seat, witness) in (0u64..).zip(set.seats()) {
        let (first, last) = witness.reveal_key.split_at(32);
        slots.push((slot(seat, 0), U256::from_be_bytes(witness.account.into_word().0)));
        slots.push((slot(seat, 1), word(&witness.vote_key)));
        slots.push((slot(seat, 2), word(first)));
        slots.push((slot(seat, 3), word(last)));
    }
    slots
}

/// Reads the set that votes on the next block.
///
/// # Errors
/// See [`WitnessStateError`].
pub fn read_witness_set<S: State>(state: &S, contract: &Address) -> Result<WitnessSet, WitnessStateError> {
    let count = state.storage(contract, &count_slot())?;
    // A number that is no size of a set is refused before anything is read by it.
    if count > U256::from(MAX_WITNESSES) {
        return Err(WitnessSetError::Size(usize::MAX).into());
    }
    let mut seats = Vec::new();
    for seat in 0..count.to::<u64>() {
        let read = |part| state.storage(contract, &slot(seat, part)).map(|value| value.to_be_bytes::<32>());
        let mut reveal_key = [0; 48];
        for (to, from) in reveal_key.iter_mut().zip(read(2)?.into_iter().chain(read(3)?)) {
            *to = from;
        }
        seats.push(Witness { account: Address::from_word(B256::from(read(0)?)), vote_key: read(1)?, reveal_key });
    }
    Ok(WitnessSet::new(seats)?)
}
