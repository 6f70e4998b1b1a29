//! Cookie reply: what a node under load answers before any DH or KEM work.

use super::{COOKIE_ENC_LEN, COOKIE_NONCE_LEN, COOKIE_REPLY_LEN};
use crate::bytes::{array_ref, check_kind, check_length, check_zero, put, u32_at, view};
use crate::frame::{FrameKind, WireError};

fn check_cookie(buffer: &[u8]) -> Result<(), WireError> {
    check_kind(buffer, FrameKind::CookieReply)?;
    check_length(buffer, COOKIE_REPLY_LEN)?;
    check_zero(buffer, 1..4)
}

view! {
    /// View of frame 0x12.
    CookieFrame, check_cookie
}

impl<T: AsRef<[u8]>> CookieFrame<T> {
    /// `sender_index` of the frame answered.
    pub fn receiver_index(&self) -> u32 {
        u32_at(self.as_bytes(), 4)
    }

    /// XChaCha20 nonce.
    pub fn nonce(&self) -> &[u8; COOKIE_NONCE_LEN] {
        array_ref(self.as_bytes(), 8)
    }

    /// Sealed cookie.
    pub fn cookie_enc(&self) -> &[u8; COOKIE_ENC_LEN] {
        array_ref(self.as_bytes(), 8 + COOKIE_NONCE_LEN)
    }
}

/// Frame 0x12 as values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieRepr {
    /// `sender_index` of the frame answered.
    pub receiver_index: u32,
    /// XChaCha20 nonce.
    pub nonce: [u8; COOKIE_NONCE_LEN],
    /// Sealed cookie.
    pub cookie_enc: [u8; COOKIE_ENC_LEN],
}

impl CookieRepr {
    /// Values of a checked frame.
    pub fn parse<T: AsRef<[u8]>>(frame: &CookieFrame<T>) -> Self {
        Self { receiver_index: frame.receiver_index(), nonce: *frame.nonce(), cookie_enc: *frame.cookie_enc() }
    }

    /// The frame.
    pub fn to_bytes(&self) -> [u8; COOKIE_REPLY_LEN] {
        let mut bytes = [0; COOKIE_REPLY_LEN];
        put(&mut bytes, 0, &[FrameKind::CookieReply as u8]);
        put(&mut bytes, 4, &self.receiver_index.to_le_bytes());
        put(&mut bytes, 8, &self.nonce);
        put(&mut bytes, 8 + COOKIE_NONCE_LEN, &self.cookie_enc);
        bytes
    }
}
