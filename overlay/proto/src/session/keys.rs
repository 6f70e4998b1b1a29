//! Key derivation of the session layer. Domain strings are the specification (`docs/spec/wire.md`); changing one changes the protocol.

use netflow_wire::NetworkId;

use super::primitives::{Secret, hkdf_sha256};

/// Slice 0 is the main slice, the only one so far.
pub(super) const MAIN_SLICE: u32 = 0;

/// The psk of `IKpsk2`: `HKDF(salt = network id, ikm = ML-KEM secret or 32 zero bytes, info = "NFC/1 psk" | hybrid | response header)`.
///
/// The 12 header bytes of the response are in `info` because Noise itself covers no header: without them a member on the path, who
/// can compute the mac of any frame, could put another sender index into the response.
pub(super) fn handshake_psk(network: &NetworkId, kem: Option<&Secret>, response_header: &[u8; 12]) -> Secret {
    let classical = Secret::new([0; 32]);
    let ikm = kem.unwrap_or(&classical);
    hkdf_sha256(network.as_bytes(), ikm.expose(), &[b"NFC/1 psk", &[u8::from(kem.is_some())], response_header])
}

/// The record key of one direction and slice:
/// `HKDF(salt = handshake hash, ikm = Noise split key of the direction, info = "NFC/1 slice" | slice)`.
pub(super) fn slice_key(handshake_hash: &[u8; 32], direction: &Secret, slice: u32) -> Secret {
    hkdf_sha256(handshake_hash, direction.expose(), &[b"NFC/1 slice", &slice.to_le_bytes()])
}
