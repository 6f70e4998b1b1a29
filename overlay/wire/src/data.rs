//! Data frame: 16 bytes of header, all of it authenticated, then ciphertext and tag.
//!
//! Spec: `docs/spec/wire.md`, section "Data". There is no flag: nothing in the header can turn protection off.

use crate::bytes::{TAG_LEN, array_ref, byte, check_kind, check_zero, put, u32_at, u64_at, view};
use crate::frame::{FrameKind, MAX_DATAGRAM_LEN, WireError};

/// Bytes of the header; all of them are the AEAD's associated data.
pub const DATA_HEADER_LEN: usize = 16;
/// Header and tag: what sealing adds to a packet.
pub const DATA_OVERHEAD: usize = DATA_HEADER_LEN + TAG_LEN;

fn check_data(buffer: &[u8]) -> Result<(), WireError> {
    check_kind(buffer, FrameKind::Data)?;
    // An empty plaintext means nothing: the inner message has at least its type byte.
    if buffer.len() <= DATA_OVERHEAD || buffer.len() > MAX_DATAGRAM_LEN {
        return Err(WireError::Length);
    }
    check_zero(buffer, 2..4)
}

view! {
    /// View of frame 0x13.
    DataFrame, check_data
}

impl<T: AsRef<[u8]>> DataFrame<T> {
    /// Low byte of the traffic-proof slot the sender counts this packet in.
    pub fn slot_lsb(&self) -> u8 {
        byte(self.as_bytes(), 1)
    }

    /// Index the receiver gave out in the handshake.
    pub fn receiver_index(&self) -> u32 {
        u32_at(self.as_bytes(), 4)
    }

    /// Packet counter of the session: the nonce.
    pub fn counter(&self) -> u64 {
        u64_at(self.as_bytes(), 8)
    }

    /// Associated data.
    pub fn header(&self) -> &[u8; DATA_HEADER_LEN] {
        array_ref(self.as_bytes(), 0)
    }

    /// Ciphertext and tag.
    pub fn sealed(&self) -> &[u8] {
        self.as_bytes().get(DATA_HEADER_LEN..).unwrap_or_default()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> DataFrame<T> {
    /// Header by value and sealed part to open in place.
    pub fn split_mut(&mut self) -> ([u8; DATA_HEADER_LEN], &mut [u8]) {
        let header = *self.header();
        (header, self.buffer.as_mut().get_mut(DATA_HEADER_LEN..).unwrap_or_default())
    }
}

/// Header of frame 0x13 as values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataRepr {
    /// Low byte of the traffic-proof slot.
    pub slot_lsb: u8,
    /// Index the receiver gave out.
    pub receiver_index: u32,
    /// Packet counter.
    pub counter: u64,
}

impl DataRepr {
    /// Values of a checked frame.
    pub fn parse<T: AsRef<[u8]>>(frame: &DataFrame<T>) -> Self {
        Self { slot_lsb: frame.slot_lsb(), receiver_index: frame.receiver_index(), counter: frame.counter() }
    }

    /// Bytes of the frame for a plaintext of this length.
    pub const fn buffer_len(plaintext_len: usize) -> usize {
        DATA_OVERHEAD.saturating_add(plaintext_len)
    }

    /// The header, which is also the associated data.
    pub fn to_bytes(&self) -> [u8; DATA_HEADER_LEN] {
        let mut bytes = [0; DATA_HEADER_LEN];
        put(&mut bytes, 0, &[FrameKind::Data as u8, self.slot_lsb]);
        put(&mut bytes, 4, &self.receiver_index.to_le_bytes());
        put(&mut bytes, 8, &self.counter.to_le_bytes());
        bytes
    }
}

/// AEAD nonce of a packet: four zero bytes, then the counter, little endian.
pub fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    put(&mut nonce, 4, &counter.to_le_bytes());
    nonce
}
