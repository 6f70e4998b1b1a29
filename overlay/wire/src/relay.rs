//! Relay header: eight bytes in front of an untouched end-to-end frame. A relay rewrites them in place.
//!
//! Spec: `docs/spec/wire.md`, section "Relay".

use crate::bytes::{byte, check_kind, put, u16_at, u32_at, view};
use crate::frame::{FrameKind, MAX_DATAGRAM_LEN, WireError};

/// Bytes of the header.
pub const RELAY_HEADER_LEN: usize = 8;
/// Hop limit a sender starts with: paths have at most three relays; the rest is room for a longer backbone.
pub const INITIAL_HOP_LIMIT: u8 = 8;

fn check_relay(buffer: &[u8]) -> Result<(), WireError> {
    check_kind(buffer, FrameKind::Relay)?;
    if buffer.len() <= RELAY_HEADER_LEN || buffer.len() > MAX_DATAGRAM_LEN {
        return Err(WireError::Length);
    }
    if byte(buffer, 1) == 0 || u32_at(buffer, 4) == 0 {
        return Err(WireError::Value);
    }
    // Only what two members say to each other is carried: no relay header inside another, no bind through a circuit.
    match FrameKind::from_byte(byte(buffer, RELAY_HEADER_LEN)) {
        Some(kind) if kind.is_end_to_end() => Ok(()),
        _ => Err(WireError::Kind),
    }
}

view! {
    /// View of frame 0x18.
    RelayFrame, check_relay
}

impl<T: AsRef<[u8]>> RelayFrame<T> {
    /// Relays the frame may still pass, this one included.
    pub fn hop_limit(&self) -> u8 {
        byte(self.as_bytes(), 1)
    }

    /// Epoch of the label.
    pub fn epoch(&self) -> u16 {
        u16_at(self.as_bytes(), 2)
    }

    /// Circuit at the next relay or end; never 0.
    pub fn label(&self) -> u32 {
        u32_at(self.as_bytes(), 4)
    }

    /// The end-to-end frame.
    pub fn inner(&self) -> &[u8] {
        self.as_bytes().get(RELAY_HEADER_LEN..).unwrap_or_default()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> RelayFrame<T> {
    /// Swaps the label for the one the next receiver knows the circuit by.
    pub fn set_label(&mut self, label: u32) {
        put(self.buffer.as_mut(), 4, &label.to_le_bytes());
    }

    /// Sets the epoch of the label.
    pub fn set_epoch(&mut self, epoch: u16) {
        put(self.buffer.as_mut(), 2, &epoch.to_le_bytes());
    }

    /// Sets the hop limit.
    pub fn set_hop_limit(&mut self, hop_limit: u8) {
        put(self.buffer.as_mut(), 1, &[hop_limit]);
    }

    /// Takes one hop. `false`: the limit is used up, drop the frame (it is left unchanged).
    #[must_use]
    pub fn take_hop(&mut self) -> bool {
        match self.hop_limit().checked_sub(1) {
            None | Some(0) => false,
            Some(left) => {
                self.set_hop_limit(left);
                true
            }
        }
    }

    /// The end-to-end frame, to open in place.
    pub fn inner_mut(&mut self) -> &mut [u8] {
        self.buffer.as_mut().get_mut(RELAY_HEADER_LEN..).unwrap_or_default()
    }
}

/// Header of frame 0x18 as values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayRepr {
    /// Relays the frame may still pass.
    pub hop_limit: u8,
    /// Epoch of the label.
    pub epoch: u16,
    /// Circuit; not 0.
    pub label: u32,
}

impl RelayRepr {
    /// Values of a checked frame.
    pub fn parse<T: AsRef<[u8]>>(frame: &RelayFrame<T>) -> Self {
        Self { hop_limit: frame.hop_limit(), epoch: frame.epoch(), label: frame.label() }
    }

    /// The header.
    pub fn to_bytes(&self) -> [u8; RELAY_HEADER_LEN] {
        let mut bytes = [0; RELAY_HEADER_LEN];
        put(&mut bytes, 0, &[FrameKind::Relay as u8, self.hop_limit]);
        put(&mut bytes, 2, &self.epoch.to_le_bytes());
        put(&mut bytes, 4, &self.label.to_le_bytes());
        bytes
    }

    /// Header and end-to-end frame in one new buffer.
    pub fn wrap(&self, inner: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::with_capacity(RELAY_HEADER_LEN.saturating_add(inner.len()));
        datagram.extend_from_slice(&self.to_bytes());
        datagram.extend_from_slice(inner);
        datagram
    }
}
