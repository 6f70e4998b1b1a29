//! MACs of the bind round trip: keyed BLAKE2s-128 (RFC 7693) with the key of the ticket. Spec: `docs/spec/wire.md`, "Relay bind".

use std::net::{IpAddr, SocketAddr};

use blake2::Blake2sMac;
use blake2::digest::consts::U16;
use blake2::digest::{FixedOutput as _, KeyInit as _, Update as _};
use netflow_wire::bind::{BindFrame, BindRepr, BoundFrame, BoundRepr, ConfirmFrame, ConfirmRepr};
use subtle::ConstantTimeEq as _;

/// Keyed BLAKE2s-128 of `parts` one after the other.
fn mac128(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 16] {
    let mut mac = Blake2sMac::<U16>::new_from_slice(key).expect("32 bytes are a BLAKE2s key");
    for part in parts {
        mac.update(part);
    }
    mac.finalize_fixed().into()
}

/// Cookie over an address and the binding it is meant for.
pub(super) fn cookie(secret: &[u8; 32], addr: SocketAddr, bind_id: u64) -> [u8; 16] {
    let ip = match addr.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    mac128(secret, &[&ip, &addr.port().to_le_bytes(), &bind_id.to_le_bytes()])
}

/// Does the MAC at the end of a frame hold? In constant time.
pub(super) fn verify(key: &[u8; 32], covered: &[u8], mac: &[u8; 16]) -> bool {
    mac128(key, &[covered]).ct_eq(mac).into()
}

/// Frame 0x19, keyed.
pub(super) fn bind_frame(key: &[u8; 32], bind_id: u64, nonce: u64) -> Vec<u8> {
    let bytes = BindRepr { bind_id, nonce, mac: [0; 16] }.to_bytes();
    let mut frame = BindFrame::new_checked(bytes).expect("a frame of ours is well formed");
    let mac = mac128(key, &[frame.mac_input()]);
    frame.set_mac(&mac);
    frame.into_inner().to_vec()
}

/// Frame 0x1B, keyed.
pub(super) fn confirm_frame(key: &[u8; 32], bind_id: u64, nonce: u64, cookie: [u8; 16]) -> Vec<u8> {
    let bytes = ConfirmRepr { bind_id, nonce, cookie, mac: [0; 16] }.to_bytes();
    let mut frame = ConfirmFrame::new_checked(bytes).expect("a frame of ours is well formed");
    let mac = mac128(key, &[frame.mac_input()]);
    frame.set_mac(&mac);
    frame.into_inner().to_vec()
}

/// Frame 0x1C, keyed.
pub(super) fn bound_frame(key: &[u8; 32], bind_id: u64, nonce: u64, address: SocketAddr) -> Vec<u8> {
    let bytes = BoundRepr { bind_id, nonce, address, mac: [0; 16] }.to_bytes();
    let mut frame = BoundFrame::new_checked(bytes).expect("a frame of ours is well formed");
    let mac = mac128(key, &[frame.mac_input()]);
    frame.set_mac(&mac);
    frame.into_inner().to_vec()
}
