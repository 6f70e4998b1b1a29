//! Plaintexts inside the two Noise messages.

use super::{INIT_PAYLOAD_LEN, RESPONSE_PAYLOAD_LEN};
use crate::bytes::{byte, check_length, check_zero, put, u64_at};
use crate::frame::{Suite, WireError};

/// What a node can do, as it says inside the authenticated handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caps {
    /// AES in hardware: prefers AES-GCM records.
    pub aes_hardware: bool,
    /// Refuses sessions without ML-KEM.
    pub pq_strict: bool,
}

impl Caps {
    /// Bit 0 AES hardware, bit 1 strict.
    pub const fn to_byte(self) -> u8 {
        self.aes_hardware as u8 | (self.pq_strict as u8) << 1
    }

    /// The inverse of [`Caps::to_byte`].
    ///
    /// # Errors
    /// [`WireError::Reserved`] when another bit is set.
    pub const fn from_byte(byte: u8) -> Result<Self, WireError> {
        if byte & !3 != 0 {
            return Err(WireError::Reserved);
        }
        Ok(Self { aes_hardware: byte & 1 != 0, pq_strict: byte & 2 != 0 })
    }
}

/// Plaintext of the initiation's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InitPayload {
    /// Rises strictly with every initiation of this node: a repeated initiation is refused.
    pub counter: u64,
    /// What the initiator can do.
    pub caps: Caps,
}

impl InitPayload {
    /// `counter u64 | caps u8 | 3 zero`.
    pub fn to_bytes(&self) -> [u8; INIT_PAYLOAD_LEN] {
        let mut bytes = [0; INIT_PAYLOAD_LEN];
        put(&mut bytes, 0, &self.counter.to_le_bytes());
        put(&mut bytes, 8, &[self.caps.to_byte()]);
        bytes
    }

    /// Reads a decrypted payload.
    ///
    /// # Errors
    /// [`WireError::Length`], [`WireError::Reserved`].
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        check_length(bytes, INIT_PAYLOAD_LEN)?;
        check_zero(bytes, 9..INIT_PAYLOAD_LEN)?;
        Ok(Self { counter: u64_at(bytes, 0), caps: Caps::from_byte(byte(bytes, 8))? })
    }
}

/// Plaintext of the response's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponsePayload {
    /// AEAD of the session's records: AES-GCM exactly when both ends have it in hardware.
    pub record_suite: Suite,
    /// What the responder can do.
    pub caps: Caps,
}

impl ResponsePayload {
    /// `record_suite u8 | caps u8 | 2 zero`.
    pub fn to_bytes(&self) -> [u8; RESPONSE_PAYLOAD_LEN] {
        [self.record_suite as u8, self.caps.to_byte(), 0, 0]
    }

    /// Reads a decrypted payload.
    ///
    /// # Errors
    /// [`WireError::Length`], [`WireError::Reserved`], [`WireError::Value`].
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        check_length(bytes, RESPONSE_PAYLOAD_LEN)?;
        check_zero(bytes, 2..RESPONSE_PAYLOAD_LEN)?;
        Ok(Self { record_suite: Suite::from_byte(byte(bytes, 0))?, caps: Caps::from_byte(byte(bytes, 1))? })
    }
}
