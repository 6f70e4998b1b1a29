//! The round trip that ties a client's UDP address to its control link, without state at the relay and without amplification.
//!
//! Spec: `docs/spec/wire.md`, section "Relay bind". The MACs are keyed with the bind key of the control link.

use std::net::SocketAddr;

use crate::bounded::{from_mapped, to_mapped};
use crate::bytes::{
    MAC_LEN, array_ref, check_kind, check_length, check_zero, mac_accessors, put, u16_at, u64_at, view,
};
use crate::frame::{FrameKind, WireError};

/// Bytes of frame 0x19.
pub const BIND_LEN: usize = 36;
/// Bytes of frame 0x1A: less than the bind it answers.
pub const CHALLENGE_LEN: usize = 28;
/// Bytes of frame 0x1B.
pub const CONFIRM_LEN: usize = 52;
/// Bytes of frame 0x1C.
pub const BOUND_LEN: usize = 54;
/// Bytes of the relay's cookie.
pub const RELAY_COOKIE_LEN: usize = 16;

const _: () = assert!(CHALLENGE_LEN <= BIND_LEN);

fn check_fixed(buffer: &[u8], kind: FrameKind, length: usize) -> Result<(), WireError> {
    check_kind(buffer, kind)?;
    check_length(buffer, length)?;
    check_zero(buffer, 1..4)
}

fn check_bind(buffer: &[u8]) -> Result<(), WireError> {
    check_fixed(buffer, FrameKind::RelayBind, BIND_LEN)
}

fn check_challenge(buffer: &[u8]) -> Result<(), WireError> {
    check_fixed(buffer, FrameKind::RelayChallenge, CHALLENGE_LEN)
}

fn check_confirm(buffer: &[u8]) -> Result<(), WireError> {
    check_fixed(buffer, FrameKind::RelayBindConfirm, CONFIRM_LEN)
}

fn check_bound(buffer: &[u8]) -> Result<(), WireError> {
    check_fixed(buffer, FrameKind::RelayBound, BOUND_LEN)
}

view! {
    /// View of frame 0x19, client to relay: "bind this address".
    BindFrame, check_bind
}
mac_accessors!(BindFrame);
view! {
    /// View of frame 0x1A, relay to client: "show that you get what I send there".
    ChallengeFrame, check_challenge
}
view! {
    /// View of frame 0x1B, client to relay: the bind again, with the cookie.
    ConfirmFrame, check_confirm
}
mac_accessors!(ConfirmFrame);
view! {
    /// View of frame 0x1C, relay to client: the address as the relay sees it is bound.
    BoundFrame, check_bound
}
mac_accessors!(BoundFrame);

macro_rules! bind_id {
    ($name:ident) => {
        impl<T: AsRef<[u8]>> $name<T> {
            /// Names the binding; from the bind ticket.
            pub fn bind_id(&self) -> u64 {
                u64_at(self.as_bytes(), 4)
            }
        }
    };
}
bind_id!(BindFrame);
bind_id!(ChallengeFrame);
bind_id!(ConfirmFrame);
bind_id!(BoundFrame);

macro_rules! nonce {
    ($name:ident) => {
        impl<T: AsRef<[u8]>> $name<T> {
            /// The client's number of this attempt; the answer carries it back.
            pub fn nonce(&self) -> u64 {
                u64_at(self.as_bytes(), 12)
            }
        }
    };
}
nonce!(BindFrame);
nonce!(ConfirmFrame);
nonce!(BoundFrame);

impl<T: AsRef<[u8]>> ChallengeFrame<T> {
    /// Cookie to send back.
    pub fn cookie(&self) -> &[u8; RELAY_COOKIE_LEN] {
        array_ref(self.as_bytes(), 12)
    }
}

impl<T: AsRef<[u8]>> ConfirmFrame<T> {
    /// Cookie of the challenge.
    pub fn cookie(&self) -> &[u8; RELAY_COOKIE_LEN] {
        array_ref(self.as_bytes(), 20)
    }
}

impl<T: AsRef<[u8]>> BoundFrame<T> {
    /// The client's address as the relay sees it.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(from_mapped(*array_ref(self.as_bytes(), 20)), u16_at(self.as_bytes(), 36))
    }
}

fn start<const N: usize>(kind: FrameKind, bind_id: u64) -> [u8; N] {
    let mut bytes = [0; N];
    put(&mut bytes, 0, &[kind as u8]);
    put(&mut bytes, 4, &bind_id.to_le_bytes());
    bytes
}

/// Frame 0x19 as values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindRepr {
    /// Names the binding.
    pub bind_id: u64,
    /// The client's number of this attempt.
    pub nonce: u64,
    /// MAC; zeros until computed over the emitted frame.
    pub mac: [u8; MAC_LEN],
}

impl BindRepr {
    /// Values of a checked frame.
    pub fn parse<T: AsRef<[u8]>>(frame: &BindFrame<T>) -> Self {
        Self { bind_id: frame.bind_id(), nonce: frame.nonce(), mac: *frame.mac() }
    }

    /// The frame; put it into a [`BindFrame`] to set the MAC.
    pub fn to_bytes(&self) -> [u8; BIND_LEN] {
        let mut bytes = start(FrameKind::RelayBind, self.bind_id);
        put(&mut bytes, 12, &self.nonce.to_le_bytes());
        put(&mut bytes, 20, &self.mac);
        bytes
    }
}

/// Frame 0x1A as values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChallengeRepr {
    /// Names the binding.
    pub bind_id: u64,
    /// Cookie to send back.
    pub cookie: [u8; RELAY_COOKIE_LEN],
}

impl ChallengeRepr {
    /// Values of a checked frame.
    pub fn parse<T: AsRef<[u8]>>(frame: &ChallengeFrame<T>) -> Self {
        Self { bind_id: frame.bind_id(), cookie: *frame.cookie() }
    }

    /// The frame.
    pub fn to_bytes(&self) -> [u8; CHALLENGE_LEN] {
        let mut bytes = start(FrameKind::RelayChallenge, self.bind_id);
        put(&mut bytes, 12, &self.cookie);
        bytes
    }
}

/// Frame 0x1B as values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfirmRepr {
    /// Names the binding.
    pub bind_id: u64,
    /// The client's number of this attempt.
    pub nonce: u64,
    /// Cookie of the challenge.
    pub cookie: [u8; RELAY_COOKIE_LEN],
    /// MAC; zeros until computed over the emitted frame.
    pub mac: [u8; MAC_LEN],
}

impl ConfirmRepr {
    /// Values of a checked frame.
    pub fn parse<T: AsRef<[u8]>>(frame: &ConfirmFrame<T>) -> Self {
        Self { bind_id: frame.bind_id(), nonce: frame.nonce(), cookie: *frame.cookie(), mac: *frame.mac() }
    }

    /// The frame; put it into a [`ConfirmFrame`] to set the MAC.
    pub fn to_bytes(&self) -> [u8; CONFIRM_LEN] {
        let mut bytes = start(FrameKind::RelayBindConfirm, self.bind_id);
        put(&mut bytes, 12, &self.nonce.to_le_bytes());
        put(&mut bytes, 20, &self.cookie);
        put(&mut bytes, 36, &self.mac);
        bytes
    }
}

/// Frame 0x1C as values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoundRepr {
    /// Names the binding.
    pub bind_id: u64,
    /// Nonce of the confirm answered.
    pub nonce: u64,
    /// The client's address as the relay sees it.
    pub address: SocketAddr,
    /// MAC; zeros until computed over the emitted frame.
    pub mac: [u8; MAC_LEN],
}

impl BoundRepr {
    /// Values of a checked frame.
    pub fn parse<T: AsRef<[u8]>>(frame: &BoundFrame<T>) -> Self {
        Self { bind_id: frame.bind_id(), nonce: frame.nonce(), address: frame.address(), mac: *frame.mac() }
    }

    /// The frame; put it into a [`BoundFrame`] to set the MAC.
    pub fn to_bytes(&self) -> [u8; BOUND_LEN] {
        let mut bytes = start(FrameKind::RelayBound, self.bind_id);
        put(&mut bytes, 12, &self.nonce.to_le_bytes());
        put(&mut bytes, 20, &to_mapped(self.address.ip()));
        put(&mut bytes, 36, &self.address.port().to_le_bytes());
        put(&mut bytes, 38, &self.mac);
        bytes
    }
}
