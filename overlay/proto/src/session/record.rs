//! The record layer: data frames of one session, one direction each. `docs/adr/0002-own-record-layer.md`.
//!
//! `type u8 | slot_lsb u8 | flags u16 | receiver_index u32 | counter u64 | ciphertext | tag[16]`: all 16 header bytes are associated
//! data, the nonce is four zero bytes and the counter (little endian, both suites). The two states know nothing of handshakes,
//! peers or each other. The control core and the workers of the data path share them: a counter is taken by one atomic addition, so no
//! two threads ever get the same one, and the window is behind a lock that is held for a few nanoseconds.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use netflow_wire::data::{DATA_HEADER_LEN, DATA_OVERHEAD, DataFrame, DataRepr, nonce};
use netflow_wire::{Suite, TAG_LEN};

use super::aead::{Aead, AeadError};
use super::primitives::Secret;
use super::replay::ReplayWindow;

/// Counters from here on are neither sent nor accepted: 2^64 - 2^13, so that no window or worker batch can reach the wrap (as in WireGuard).
pub(super) const REJECT_AFTER_MESSAGES: u64 = u64::MAX - (1 << 13) + 1;
/// Counters from here on ask for a new handshake. 2^60 leaves more time than any link needs before the limit above.
pub(super) const REKEY_AFTER_MESSAGES: u64 = 1 << 60;

/// Why a record could not be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealError {
    /// The counter is at [`REJECT_AFTER_MESSAGES`].
    CounterLimit,
    /// The AEAD refused (input beyond its limit).
    Aead,
}

/// Why a record was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// Too short, too long, wrong type, or reserved bits set.
    Malformed,
    /// Counter seen before, or too old.
    Replay,
    /// Counter at or above [`REJECT_AFTER_MESSAGES`].
    CounterLimit,
    /// Not authentic.
    Forged,
}

/// The sending half of a session.
pub(crate) struct SealState {
    aead: Aead,
    counter: AtomicU64,
    receiver_index: u32,
}

impl SealState {
    pub(super) fn new(suite: Suite, key: &Secret, receiver_index: u32) -> Result<Self, AeadError> {
        Ok(Self { aead: Aead::new(suite, key.expose())?, counter: AtomicU64::new(0), receiver_index })
    }

    /// Puts the counter where a test needs it.
    #[cfg(test)]
    pub(super) fn set_counter(&self, counter: u64) {
        self.counter.store(counter, Ordering::Relaxed);
    }

    /// The counter of the next record.
    pub(super) fn counter(&self) -> u64 {
        self.counter.load(Ordering::Relaxed)
    }

    /// A counter nobody else has.
    fn take_counter(&self) -> Result<u64, SealError> {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        if counter >= REJECT_AFTER_MESSAGES {
            // Back to the limit: the 2^13 above it are more than all threads can be ahead of this line.
            self.counter.store(REJECT_AFTER_MESSAGES, Ordering::Relaxed);
            return Err(SealError::CounterLimit);
        }
        Ok(counter)
    }

    /// Appends the frame of `inner` to `out`, growing it at most once. `out` is unchanged after an error.
    pub(crate) fn seal_into(&self, slot_lsb: u8, inner: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let counter = self.take_counter()?;
        let header = DataRepr { slot_lsb, receiver_index: self.receiver_index, counter }.to_bytes();
        let start = out.len();
        out.reserve_exact(DATA_OVERHEAD + inner.len());
        out.extend_from_slice(&header);
        out.extend_from_slice(inner);
        let body = out.get_mut(start + DATA_HEADER_LEN..).unwrap_or_default();
        let Ok(tag) = self.aead.seal(nonce(counter), &header, body) else {
            out.truncate(start);
            return Err(SealError::Aead);
        };
        out.extend_from_slice(&tag);
        Ok(())
    }
}

/// The receiving half of a session.
pub(crate) struct OpenState {
    aead: Aead,
    window: Mutex<ReplayWindow>,
}

impl OpenState {
    pub(super) fn new(suite: Suite, key: &Secret) -> Result<Self, AeadError> {
        Ok(Self { aead: Aead::new(suite, key.expose())?, window: Mutex::new(ReplayWindow::new()) })
    }

    /// True when no record was accepted yet.
    pub(super) fn is_unused(&self) -> bool {
        self.with_window(|window| window.is_empty())
    }

    /// The window is a few numbers that are right after each of its methods, so a thread that panicked elsewhere spoils nothing.
    fn with_window<T>(&self, run: impl FnOnce(&mut ReplayWindow) -> T) -> T {
        run(&mut self.window.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Decrypts a data frame in place and returns where its plaintext is. The window moves only for authentic frames, and says yes to one
    /// of two threads that open the same one.
    pub(crate) fn open_in_place(&self, frame: &mut [u8]) -> Result<Range<usize>, OpenError> {
        let mut frame = DataFrame::new_checked(frame).map_err(|_| OpenError::Malformed)?;
        let counter = frame.counter();
        if counter >= REJECT_AFTER_MESSAGES {
            return Err(OpenError::CounterLimit);
        }
        if !self.with_window(|window| window.is_fresh(counter)) {
            return Err(OpenError::Replay);
        }
        let (header, sealed) = frame.split_mut();
        let (body, tag) = sealed.split_last_chunk_mut::<TAG_LEN>().ok_or(OpenError::Malformed)?;
        self.aead.open(nonce(counter), &header, body, tag).map_err(|_| OpenError::Forged)?;
        if !self.with_window(|window| window.accept(counter)) {
            return Err(OpenError::Replay);
        }
        Ok(DATA_HEADER_LEN..DATA_HEADER_LEN + body.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{OpenError, OpenState, REJECT_AFTER_MESSAGES, SealError, SealState};
    use netflow_wire::Suite;
    use netflow_wire::data::{DataRepr, nonce};

    use crate::session::primitives::Secret;

    fn pair(suite: Suite, counter: u64) -> (SealState, OpenState) {
        let key = Secret::new([7; 32]);
        let seal = SealState::new(suite, &key, 9).expect("32-byte key");
        seal.set_counter(counter);
        (seal, OpenState::new(suite, &key).expect("32-byte key"))
    }

    #[test]
    fn pitfall_05_counter_limit_refuses_and_never_wraps() {
        for suite in [Suite::ChaChaPoly, Suite::AesGcm] {
            let (seal, open) = pair(suite, REJECT_AFTER_MESSAGES - 1);
            let mut last = Vec::new();
            assert_eq!(seal.seal_into(0, b"last", &mut last), Ok(()));
            assert!(open.open_in_place(&mut last).is_ok());
            for _ in 0..3 {
                let mut out = vec![1];
                assert_eq!(seal.seal_into(0, b"one too many", &mut out), Err(SealError::CounterLimit));
                assert_eq!((out.as_slice(), seal.counter()), ([1].as_slice(), REJECT_AFTER_MESSAGES));
            }
        }
        assert_eq!(REJECT_AFTER_MESSAGES, 0u64.wrapping_sub(1 << 13));
    }

    #[test]
    fn pitfall_05_counter_limit_holds_for_the_receiver_of_an_authentic_frame_too() {
        let (seal, open) = pair(Suite::AesGcm, 0);
        let header = DataRepr { slot_lsb: 0, receiver_index: 9, counter: REJECT_AFTER_MESSAGES }.to_bytes();
        let mut body = *b"authentic";
        let tag = seal.aead.seal(nonce(REJECT_AFTER_MESSAGES), &header, &mut body).expect("short input");
        let mut frame = [header.as_slice(), &body, &tag].concat();
        assert_eq!(open.open_in_place(&mut frame), Err(OpenError::CounterLimit));
    }

    #[test]
    fn a_sealed_frame_allocates_exactly_its_size() {
        let (seal, _) = pair(Suite::ChaChaPoly, 0);
        let mut out = Vec::new();
        assert_eq!(seal.seal_into(0, &[0; 1300], &mut out), Ok(()));
        assert_eq!((out.len(), out.capacity()), (1332, 1332));
    }
}
