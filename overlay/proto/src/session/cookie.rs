//! Macs of handshake frames, cookies under load, and the sealed cookie reply (in the manner of WireGuard, section 5.4.7 of its paper).
//!
//! * mac key of a receiver = BLAKE2s-256("NFC/1 mac" | network id | its x25519 key): who knows neither network nor receiver makes
//!   it do nothing but one BLAKE2s.
//! * cookie = keyed BLAKE2s-128(rotating secret, source). A frame with the COOKIE flag is keyed with BLAKE2s-256(mac key; cookie).
//! * The reply carries the cookie under XChaCha20-Poly1305 with the mac of the answered frame as associated data: only who saw
//!   that frame can make one, and nobody off the path can hand us a wrong cookie.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use netflow_wire::handshake::{COOKIE_ENC_LEN, COOKIE_LEN, COOKIE_NONCE_LEN, CookieFrame, CookieRepr};
use netflow_wire::{MAC_LEN, NetworkId};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::primitives::{blake2s256, keyed_blake2s128, keyed_blake2s256};
use super::types::Source;

/// Proof that a source receives what is sent to it.
pub(super) type Cookie = [u8; COOKIE_LEN];
/// A cookie secret is used this long and accepted as long again: a cookie lives two minutes at least, as in WireGuard.
const ROTATE_US: u64 = 120_000_000;

/// The keys everybody who knows a receiver in a network can compute.
pub(super) struct MacKey {
    mac: [u8; 32],
    cookie_reply: [u8; 32],
}

impl MacKey {
    pub(super) fn of_receiver(network: &NetworkId, x25519: &[u8; 32]) -> Self {
        Self {
            mac: blake2s256(&[b"NFC/1 mac", network.as_bytes(), x25519]),
            cookie_reply: blake2s256(&[b"NFC/1 cookie", network.as_bytes(), x25519]),
        }
    }

    /// Writes the mac over all bytes before it into the last 16 of `frame`.
    pub(super) fn finish(&self, frame: &mut [u8], cookie: Option<&Cookie>) {
        if let Some((covered, mac)) = frame.split_last_chunk_mut::<MAC_LEN>() {
            *mac = self.mac_of(covered, cookie);
        }
    }

    /// Checks the mac of a frame in constant time.
    pub(super) fn verify(&self, frame: &[u8], cookie: Option<&Cookie>) -> bool {
        frame
            .split_last_chunk::<MAC_LEN>()
            .is_some_and(|(covered, mac)| bool::from(self.mac_of(covered, cookie).ct_eq(mac)))
    }

    fn mac_of(&self, covered: &[u8], cookie: Option<&Cookie>) -> [u8; MAC_LEN] {
        match cookie {
            None => keyed_blake2s128(&self.mac, covered),
            Some(cookie) => keyed_blake2s128(&keyed_blake2s256(&self.mac, cookie), covered),
        }
    }

    /// The reply that carries `cookie` to the sender of a frame with this `mac`.
    pub(super) fn seal_reply(
        &self,
        rng: &mut dyn CryptoRng,
        receiver_index: u32,
        cookie: &Cookie,
        mac: &[u8; MAC_LEN],
    ) -> Option<Vec<u8>> {
        let mut nonce = [0; COOKIE_NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        let sealed = XChaCha20Poly1305::new(&self.cookie_reply.into())
            .encrypt(&XNonce::from(nonce), Payload { msg: cookie, aad: mac })
            .ok()?;
        let cookie_enc: [u8; COOKIE_ENC_LEN] = sealed.try_into().ok()?;
        Some(CookieRepr { receiver_index, nonce, cookie_enc }.to_bytes().to_vec())
    }

    /// The cookie in a reply to our frame with this `mac`; `None` when it is not authentic.
    pub(super) fn open_reply(&self, reply: &CookieFrame<&[u8]>, mac: &[u8; MAC_LEN]) -> Option<Cookie> {
        XChaCha20Poly1305::new(&self.cookie_reply.into())
            .decrypt(&XNonce::from(*reply.nonce()), Payload { msg: reply.cookie_enc(), aad: mac })
            .ok()?
            .try_into()
            .ok()
    }
}

/// The rotating secret behind our cookies. Drawn when first needed: a node never under load draws none.
#[derive(Default)]
pub(super) struct CookieSecrets {
    current: Option<(u64, Zeroizing<[u8; 32]>)>,
    previous: Option<(u64, Zeroizing<[u8; 32]>)>,
}

impl CookieSecrets {
    /// The cookie to hand to a source now.
    pub(super) fn issue(&mut self, now_us: u64, rng: &mut dyn CryptoRng, source: &Source) -> Cookie {
        let secret = match self.current.take() {
            Some((since, secret)) if now_us.saturating_sub(since) < ROTATE_US => (since, secret),
            old => {
                self.previous = old;
                let mut fresh = Zeroizing::new([0; 32]);
                rng.fill_bytes(fresh.as_mut());
                (now_us, fresh)
            }
        };
        let cookie = keyed_blake2s128(&secret.1, &source.to_bytes());
        self.current = Some(secret);
        cookie
    }

    /// The cookies a source may hold now: of the current secret and of the one before.
    pub(super) fn acceptable(&self, now_us: u64, source: &Source) -> impl Iterator<Item = Cookie> {
        let bytes = source.to_bytes();
        [&self.current, &self.previous]
            .into_iter()
            .flatten()
            .filter(move |(since, _)| now_us.saturating_sub(*since) < 2 * ROTATE_US)
            .map(move |(_, secret)| keyed_blake2s128(secret, &bytes))
    }
}
