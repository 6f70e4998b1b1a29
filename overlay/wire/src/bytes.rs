//! Reading and writing fields at fixed offsets without a panic path.
//!
//! Views check the length once, in `new_checked`. A buffer that lies about its length afterwards reads as zeros and is not written.

use crate::frame::{FrameKind, WireError};

/// Bytes of the MAC that ends clear frames (keyed BLAKE2s-128).
pub const MAC_LEN: usize = 16;
/// Bytes of an AEAD tag.
pub const TAG_LEN: usize = 16;

pub(crate) fn array_ref<const N: usize>(buffer: &[u8], at: usize) -> &[u8; N] {
    buffer.get(at..).and_then(<[u8]>::first_chunk).unwrap_or(const { &[0; N] })
}

pub(crate) fn byte(buffer: &[u8], at: usize) -> u8 {
    buffer.get(at).copied().unwrap_or(0)
}

pub(crate) fn u16_at(buffer: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(*array_ref(buffer, at))
}

pub(crate) fn u32_at(buffer: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*array_ref(buffer, at))
}

pub(crate) fn u64_at(buffer: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*array_ref(buffer, at))
}

pub(crate) fn put(buffer: &mut [u8], at: usize, value: &[u8]) {
    if let Some(field) = buffer.get_mut(at..).and_then(|rest| rest.get_mut(..value.len())) {
        field.copy_from_slice(value);
    }
}

pub(crate) fn check_kind(buffer: &[u8], kind: FrameKind) -> Result<(), WireError> {
    match buffer.first() {
        None => Err(WireError::Length),
        Some(first) if *first == kind as u8 => Ok(()),
        Some(_) => Err(WireError::Kind),
    }
}

pub(crate) fn check_zero(buffer: &[u8], range: std::ops::Range<usize>) -> Result<(), WireError> {
    match buffer.get(range) {
        None => Err(WireError::Length),
        Some(bytes) if bytes.iter().all(|byte| *byte == 0) => Ok(()),
        Some(_) => Err(WireError::Reserved),
    }
}

pub(crate) fn check_length(buffer: &[u8], length: usize) -> Result<(), WireError> {
    if buffer.len() == length { Ok(()) } else { Err(WireError::Length) }
}

/// Defines a view over a buffer: the struct, its checked constructor and the way back to the buffer.
macro_rules! view {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name<T: AsRef<[u8]>> {
            buffer: T,
        }

        impl<T: AsRef<[u8]>> $name<T> {
            /// Checks length, kind, reserved bits and field values; accessors then never fail.
            ///
            /// # Errors
            /// The first [`WireError`] found.
            pub fn new_checked(buffer: T) -> Result<Self, $crate::frame::WireError> {
                $check(buffer.as_ref())?;
                Ok(Self { buffer })
            }

            /// The whole frame.
            pub fn as_bytes(&self) -> &[u8] {
                self.buffer.as_ref()
            }

            /// The buffer back.
            pub fn into_inner(self) -> T {
                self.buffer
            }
        }
    };
}

/// The last 16 bytes of a clear frame are its MAC, over everything before them.
macro_rules! mac_accessors {
    ($name:ident) => {
        impl<T: AsRef<[u8]>> $name<T> {
            /// MAC of the frame. Compare in constant time.
            pub fn mac(&self) -> &[u8; $crate::bytes::MAC_LEN] {
                self.as_bytes().last_chunk().unwrap_or(const { &[0; $crate::bytes::MAC_LEN] })
            }

            /// The bytes the MAC covers: all before it.
            pub fn mac_input(&self) -> &[u8] {
                self.as_bytes().split_last_chunk::<{ $crate::bytes::MAC_LEN }>().map_or(&[], |(input, _)| input)
            }
        }

        impl<T: AsRef<[u8]> + AsMut<[u8]>> $name<T> {
            /// Writes the MAC.
            pub fn set_mac(&mut self, mac: &[u8; $crate::bytes::MAC_LEN]) {
                if let Some(field) = self.buffer.as_mut().last_chunk_mut() {
                    *field = *mac;
                }
            }
        }
    };
}

pub(crate) use {mac_accessors, view};
