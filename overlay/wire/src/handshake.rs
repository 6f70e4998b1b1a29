//! Handshake frames: initiation, response, cookie reply, and the plaintext payloads inside the first two.
//!
//! Spec: `docs/spec/wire.md`, section "Handshake". Noise `IKpsk2` (Noise Protocol Framework, revision 34, 9.4), with an ML-KEM-768
//! ciphertext (FIPS 203) beside the Noise message.

mod cookie;
mod payload;

pub use self::cookie::{CookieFrame, CookieRepr};
pub use self::payload::{Caps, InitPayload, ResponsePayload};
use crate::bytes::{MAC_LEN, array_ref, byte, check_kind, check_length, mac_accessors, put, u16_at, u32_at, view};
use crate::frame::{FrameKind, Suite, WireError};

/// Flag: the MAC is keyed with a cookie.
pub const FLAG_COOKIE: u16 = 1;
/// Flag: an ML-KEM-768 ciphertext is present (initiation only).
pub const FLAG_KEM: u16 = 2;

/// Bytes of an x25519 public key.
pub const KEY_LEN: usize = 32;
/// Bytes of the initiator's sealed static key: key and tag.
pub const STATIC_ENC_LEN: usize = KEY_LEN + 16;
/// Bytes of an ML-KEM-768 ciphertext (FIPS 203, table 3).
pub const KEM_CIPHERTEXT_LEN: usize = 1_088;
/// Bytes of the initiation's plaintext payload.
pub const INIT_PAYLOAD_LEN: usize = 12;
/// The same, sealed.
pub const INIT_PAYLOAD_ENC_LEN: usize = INIT_PAYLOAD_LEN + 16;
/// Bytes of the response's plaintext payload.
pub const RESPONSE_PAYLOAD_LEN: usize = 4;
/// The same, sealed.
pub const RESPONSE_PAYLOAD_ENC_LEN: usize = RESPONSE_PAYLOAD_LEN + 16;
/// Bytes of the first Noise message: e, sealed s, sealed payload.
pub const INIT_NOISE_LEN: usize = KEY_LEN + STATIC_ENC_LEN + INIT_PAYLOAD_ENC_LEN;
/// Bytes of the second Noise message: e, sealed payload.
pub const RESPONSE_NOISE_LEN: usize = KEY_LEN + RESPONSE_PAYLOAD_ENC_LEN;

/// Bytes of an initiation without KEM.
pub const INIT_LEN: usize = 8 + INIT_NOISE_LEN + MAC_LEN;
/// Bytes of an initiation with KEM. With the relay header it is 1,228 bytes: within the 1,232 of IPv6's smallest MTU (RFC 8200, 5).
pub const INIT_KEM_LEN: usize = INIT_LEN + KEM_CIPHERTEXT_LEN;
/// Bytes of a response.
pub const RESPONSE_LEN: usize = 12 + RESPONSE_NOISE_LEN + MAC_LEN;
/// Bytes of a cookie.
pub const COOKIE_LEN: usize = 16;
/// Bytes of a sealed cookie.
pub const COOKIE_ENC_LEN: usize = COOKIE_LEN + 16;
/// Bytes of the cookie reply's XChaCha20 nonce.
pub const COOKIE_NONCE_LEN: usize = 24;
/// Bytes of a cookie reply: less than any frame it answers, so no amplifier.
pub const COOKIE_REPLY_LEN: usize = 8 + COOKIE_NONCE_LEN + COOKIE_ENC_LEN;

const _: () = assert!(INIT_LEN == 132 && INIT_KEM_LEN == 1_220 && RESPONSE_LEN == 80 && COOKIE_REPLY_LEN == 64);
const _: () = assert!(INIT_KEM_LEN + crate::relay::RELAY_HEADER_LEN <= 1_232);
const _: () = assert!(COOKIE_REPLY_LEN <= INIT_LEN && COOKIE_REPLY_LEN <= RESPONSE_LEN && RESPONSE_LEN <= INIT_LEN);

const EPHEMERAL: usize = 8;
const STATIC_ENC: usize = EPHEMERAL + KEY_LEN;
const KEM: usize = STATIC_ENC + STATIC_ENC_LEN;

fn check_init(buffer: &[u8]) -> Result<(), WireError> {
    check_kind(buffer, FrameKind::HandshakeInit)?;
    let flags = if buffer.len() < INIT_LEN { return Err(WireError::Length) } else { u16_at(buffer, 2) };
    if flags & !(FLAG_COOKIE | FLAG_KEM) != 0 {
        return Err(WireError::Reserved);
    }
    check_length(buffer, if flags & FLAG_KEM != 0 { INIT_KEM_LEN } else { INIT_LEN })?;
    Suite::from_byte(byte(buffer, 1)).map(drop)
}

view! {
    /// View of frame 0x10.
    InitFrame, check_init
}
mac_accessors!(InitFrame);

impl<T: AsRef<[u8]>> InitFrame<T> {
    /// Noise suite of this handshake.
    pub fn suite(&self) -> Suite {
        Suite::from_byte(byte(self.as_bytes(), 1)).unwrap_or(Suite::ChaChaPoly)
    }

    /// True when the MAC is keyed with a cookie.
    pub fn has_cookie(&self) -> bool {
        u16_at(self.as_bytes(), 2) & FLAG_COOKIE != 0
    }

    /// True when a KEM ciphertext is present.
    pub fn has_kem(&self) -> bool {
        u16_at(self.as_bytes(), 2) & FLAG_KEM != 0
    }

    /// Index the initiator wants to receive with.
    pub fn sender_index(&self) -> u32 {
        u32_at(self.as_bytes(), 4)
    }

    /// Noise `e`.
    pub fn ephemeral(&self) -> &[u8; KEY_LEN] {
        array_ref(self.as_bytes(), EPHEMERAL)
    }

    /// Noise `s`, sealed.
    pub fn static_enc(&self) -> &[u8; STATIC_ENC_LEN] {
        array_ref(self.as_bytes(), STATIC_ENC)
    }

    /// ML-KEM-768 ciphertext.
    pub fn kem_ciphertext(&self) -> Option<&[u8; KEM_CIPHERTEXT_LEN]> {
        self.has_kem().then(|| array_ref(self.as_bytes(), KEM))
    }

    /// Sealed [`InitPayload`].
    pub fn payload_enc(&self) -> &[u8; INIT_PAYLOAD_ENC_LEN] {
        let at = if self.has_kem() { KEM + KEM_CIPHERTEXT_LEN } else { KEM };
        array_ref(self.as_bytes(), at)
    }

    /// The Noise message as one piece: on the wire the KEM ciphertext sits inside it.
    pub fn noise_message(&self) -> [u8; INIT_NOISE_LEN] {
        let mut message = [0; INIT_NOISE_LEN];
        put(&mut message, 0, self.ephemeral());
        put(&mut message, KEY_LEN, self.static_enc());
        put(&mut message, KEY_LEN + STATIC_ENC_LEN, self.payload_enc());
        message
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> InitFrame<T> {
    /// Sets or clears the cookie flag: the same handshake is sent again with a cookie. Recompute the MAC afterwards.
    pub fn set_has_cookie(&mut self, cookie: bool) {
        let flags = u16_at(self.as_bytes(), 2) & !FLAG_COOKIE;
        put(self.buffer.as_mut(), 2, &(flags | if cookie { FLAG_COOKIE } else { 0 }).to_le_bytes());
    }
}

/// Frame 0x10 as values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitRepr {
    /// Noise suite of this handshake.
    pub suite: Suite,
    /// The MAC is keyed with a cookie.
    pub cookie: bool,
    /// Index the initiator wants to receive with.
    pub sender_index: u32,
    /// The Noise message in one piece.
    pub noise: [u8; INIT_NOISE_LEN],
    /// ML-KEM-768 ciphertext.
    pub kem_ciphertext: Option<Box<[u8; KEM_CIPHERTEXT_LEN]>>,
    /// MAC; zeros until it can be computed over the emitted frame.
    pub mac: [u8; MAC_LEN],
}

impl InitRepr {
    /// Values of a checked frame.
    pub fn parse<T: AsRef<[u8]>>(frame: &InitFrame<T>) -> Self {
        Self {
            suite: frame.suite(),
            cookie: frame.has_cookie(),
            sender_index: frame.sender_index(),
            noise: frame.noise_message(),
            kem_ciphertext: frame.kem_ciphertext().map(|ciphertext| Box::new(*ciphertext)),
            mac: *frame.mac(),
        }
    }

    /// Bytes [`InitRepr::emit`] needs.
    pub const fn buffer_len(&self) -> usize {
        if self.kem_ciphertext.is_some() { INIT_KEM_LEN } else { INIT_LEN }
    }

    /// Writes the frame and gives the view back, so that the MAC can be set.
    ///
    /// # Errors
    /// [`WireError::Length`] when the buffer is not exactly [`InitRepr::buffer_len`] long.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, mut buffer: T) -> Result<InitFrame<T>, WireError> {
        check_length(buffer.as_ref(), self.buffer_len())?;
        let bytes = buffer.as_mut();
        let kem = self.kem_ciphertext.as_ref();
        let flags = if self.cookie { FLAG_COOKIE } else { 0 } | if kem.is_some() { FLAG_KEM } else { 0 };
        put(bytes, 0, &[FrameKind::HandshakeInit as u8, self.suite as u8]);
        put(bytes, 2, &flags.to_le_bytes());
        put(bytes, 4, &self.sender_index.to_le_bytes());
        let (keys, payload) = self.noise.split_at(KEY_LEN + STATIC_ENC_LEN);
        put(bytes, EPHEMERAL, keys);
        let payload_at = match kem {
            Some(ciphertext) => {
                put(bytes, KEM, ciphertext.as_slice());
                KEM + KEM_CIPHERTEXT_LEN
            }
            None => KEM,
        };
        put(bytes, payload_at, payload);
        put(bytes, payload_at + INIT_PAYLOAD_ENC_LEN, &self.mac);
        InitFrame::new_checked(buffer)
    }
}

fn check_response(buffer: &[u8]) -> Result<(), WireError> {
    check_kind(buffer, FrameKind::HandshakeResponse)?;
    check_length(buffer, RESPONSE_LEN)?;
    if u16_at(buffer, 2) & !FLAG_COOKIE != 0 {
        return Err(WireError::Reserved);
    }
    Suite::from_byte(byte(buffer, 1)).map(drop)
}

view! {
    /// View of frame 0x11.
    ResponseFrame, check_response
}
mac_accessors!(ResponseFrame);

impl<T: AsRef<[u8]>> ResponseFrame<T> {
    /// Noise suite of this handshake: that of the initiation.
    pub fn suite(&self) -> Suite {
        Suite::from_byte(byte(self.as_bytes(), 1)).unwrap_or(Suite::ChaChaPoly)
    }

    /// True when the MAC is keyed with a cookie.
    pub fn has_cookie(&self) -> bool {
        u16_at(self.as_bytes(), 2) & FLAG_COOKIE != 0
    }

    /// Index the responder wants to receive with.
    pub fn sender_index(&self) -> u32 {
        u32_at(self.as_bytes(), 4)
    }

    /// `sender_index` of the initiation answered.
    pub fn receiver_index(&self) -> u32 {
        u32_at(self.as_bytes(), 8)
    }

    /// The Noise message: e and the sealed [`ResponsePayload`].
    pub fn noise_message(&self) -> &[u8; RESPONSE_NOISE_LEN] {
        array_ref(self.as_bytes(), 12)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> ResponseFrame<T> {
    /// Sets or clears the cookie flag. Recompute the MAC afterwards.
    pub fn set_has_cookie(&mut self, cookie: bool) {
        put(self.buffer.as_mut(), 2, &(if cookie { FLAG_COOKIE } else { 0 }).to_le_bytes());
    }
}

/// Frame 0x11 as values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseRepr {
    /// Noise suite of this handshake.
    pub suite: Suite,
    /// The MAC is keyed with a cookie.
    pub cookie: bool,
    /// Index the responder wants to receive with.
    pub sender_index: u32,
    /// `sender_index` of the initiation answered.
    pub receiver_index: u32,
    /// The Noise message.
    pub noise: [u8; RESPONSE_NOISE_LEN],
    /// MAC; zeros until it can be computed over the emitted frame.
    pub mac: [u8; MAC_LEN],
}

impl ResponseRepr {
    /// Values of a checked frame.
    pub fn parse<T: AsRef<[u8]>>(frame: &ResponseFrame<T>) -> Self {
        Self {
            suite: frame.suite(),
            cookie: frame.has_cookie(),
            sender_index: frame.sender_index(),
            receiver_index: frame.receiver_index(),
            noise: *frame.noise_message(),
            mac: *frame.mac(),
        }
    }

    /// Bytes [`ResponseRepr::emit`] needs.
    pub const fn buffer_len(&self) -> usize {
        RESPONSE_LEN
    }

    /// Writes the frame and gives the view back, so that the MAC can be set.
    ///
    /// # Errors
    /// [`WireError::Length`] when the buffer is not exactly [`RESPONSE_LEN`] long.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, mut buffer: T) -> Result<ResponseFrame<T>, WireError> {
        check_length(buffer.as_ref(), RESPONSE_LEN)?;
        let bytes = buffer.as_mut();
        put(bytes, 0, &[FrameKind::HandshakeResponse as u8, self.suite as u8]);
        put(bytes, 2, &(if self.cookie { FLAG_COOKIE } else { 0 }).to_le_bytes());
        put(bytes, 4, &self.sender_index.to_le_bytes());
        put(bytes, 8, &self.receiver_index.to_le_bytes());
        put(bytes, 12, &self.noise);
        put(bytes, 12 + RESPONSE_NOISE_LEN, &self.mac);
        ResponseFrame::new_checked(buffer)
    }
}
