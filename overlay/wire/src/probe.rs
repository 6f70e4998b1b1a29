//! Clear frames that measure: does a datagram of a relay reach this address, and how far away is a relay.
//!
//! Spec: `docs/spec/wire.md`, section "Relay probes". They carry no secret and change no state but the measurement that asked
//! for them: an answer counts only with the random number of a question that is still open, from where it went to.

use crate::bytes::{array_ref, byte, check_kind, check_length, check_zero, put, u16_at, u32_at, u64_at, view};
use crate::frame::{FrameKind, WireError};

/// Bytes of frame 0x1D.
pub const REACH_LEN: usize = 16;
/// Bytes of frame 0x1E, question and answer alike.
pub const ECHO_LEN: usize = 32;
/// Flag of an answer.
const ANSWER: u8 = 1;

fn check_reach(buffer: &[u8]) -> Result<(), WireError> {
    check_kind(buffer, FrameKind::ReachProbe)?;
    check_length(buffer, REACH_LEN)?;
    check_zero(buffer, 1..8)
}

fn check_echo(buffer: &[u8]) -> Result<(), WireError> {
    check_kind(buffer, FrameKind::RelayEcho)?;
    check_length(buffer, ECHO_LEN)?;
    if byte(buffer, 1) == 0 {
        return Err(WireError::Value);
    }
    if byte(buffer, 16) & !ANSWER != 0 {
        return Err(WireError::Reserved);
    }
    check_zero(buffer, 17..24)?;
    // Only who answers says who it is.
    if byte(buffer, 16) == 0 { check_zero(buffer, 24..32) } else { Ok(()) }
}

view! {
    /// View of frame 0x1D, relay to client.
    ReachFrame, check_reach
}

impl<T: AsRef<[u8]>> ReachFrame<T> {
    /// From the `ProbeMe` that asked for it.
    pub fn token(&self) -> u64 {
        u64_at(self.as_bytes(), 8)
    }
}

/// Frame 0x1D as values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReachRepr {
    /// From the `ProbeMe` that asked for it.
    pub token: u64,
}

impl ReachRepr {
    /// Values of a checked frame.
    pub fn parse<T: AsRef<[u8]>>(frame: &ReachFrame<T>) -> Self {
        Self { token: frame.token() }
    }

    /// The frame.
    pub fn to_bytes(&self) -> [u8; REACH_LEN] {
        let mut bytes = [0; REACH_LEN];
        put(&mut bytes, 0, &[FrameKind::ReachProbe as u8]);
        put(&mut bytes, 8, &self.token.to_le_bytes());
        bytes
    }
}

view! {
    /// View of frame 0x1E.
    EchoFrame, check_echo
}

impl<T: AsRef<[u8]>> EchoFrame<T> {
    /// Relays the frame may still pass; the one that finds 1 answers. Never 0.
    pub fn hop_limit(&self) -> u8 {
        byte(self.as_bytes(), 1)
    }

    /// Epoch of the label.
    pub fn epoch(&self) -> u16 {
        u16_at(self.as_bytes(), 2)
    }

    /// Circuit at the next relay or end; 0: no circuit, the relay at the other end of this link is meant.
    pub fn label(&self) -> u32 {
        u32_at(self.as_bytes(), 4)
    }

    /// Random number of the question.
    pub fn id(&self) -> u64 {
        u64_at(self.as_bytes(), 8)
    }

    /// Is it the answer?
    pub fn is_answer(&self) -> bool {
        byte(self.as_bytes(), 16) == ANSWER
    }

    /// First eight bytes of the id of the relay that answered; zeros in a question.
    pub fn relay(&self) -> [u8; 8] {
        *array_ref(self.as_bytes(), 24)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> EchoFrame<T> {
    /// Swaps the label for the one the next receiver knows the circuit by.
    pub fn set_label(&mut self, label: u32, epoch: u16) {
        put(self.buffer.as_mut(), 2, &epoch.to_le_bytes());
        put(self.buffer.as_mut(), 4, &label.to_le_bytes());
    }

    /// Takes one hop. `false`: the limit is used up (it is left unchanged).
    #[must_use]
    pub fn take_hop(&mut self) -> bool {
        match self.hop_limit().checked_sub(1) {
            None | Some(0) => false,
            Some(left) => {
                put(self.buffer.as_mut(), 1, &[left]);
                true
            }
        }
    }

    /// Makes a question its answer, in place.
    pub fn answer(&mut self, hop_limit: u8, relay: [u8; 8]) {
        put(self.buffer.as_mut(), 1, &[hop_limit]);
        put(self.buffer.as_mut(), 16, &[ANSWER]);
        put(self.buffer.as_mut(), 24, &relay);
    }
}

/// Frame 0x1E as values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EchoRepr {
    /// Relays the frame may still pass.
    pub hop_limit: u8,
    /// Epoch of the label.
    pub epoch: u16,
    /// Circuit, or 0.
    pub label: u32,
    /// Random number of the question.
    pub id: u64,
    /// The answer, and who gives it.
    pub answer: Option<[u8; 8]>,
}

impl EchoRepr {
    /// Values of a checked frame.
    pub fn parse<T: AsRef<[u8]>>(frame: &EchoFrame<T>) -> Self {
        Self {
            hop_limit: frame.hop_limit(),
            epoch: frame.epoch(),
            label: frame.label(),
            id: frame.id(),
            answer: frame.is_answer().then(|| frame.relay()),
        }
    }

    /// The frame.
    pub fn to_bytes(&self) -> [u8; ECHO_LEN] {
        let mut bytes = [0; ECHO_LEN];
        put(&mut bytes, 0, &[FrameKind::RelayEcho as u8, self.hop_limit]);
        put(&mut bytes, 2, &self.epoch.to_le_bytes());
        put(&mut bytes, 4, &self.label.to_le_bytes());
        put(&mut bytes, 8, &self.id.to_le_bytes());
        if let Some(relay) = &self.answer {
            put(&mut bytes, 16, &[ANSWER]);
            put(&mut bytes, 24, relay);
        }
        bytes
    }
}
