//! Deterministic CBOR (RFC 8949, 4.2.1) by hand: definite lengths, shortest integers, no tags, no floats.
//!
//! Every reader in this crate decodes, encodes the result again and compares with its input: one value has one spelling. So the helpers here need
//! not refuse long forms themselves.

use minicbor::decode::{Decoder, Error};
use minicbor::encode::Encoder;

/// Encoder into a growing buffer, which cannot fail.
pub(crate) type Enc = Encoder<Vec<u8>>;

/// Runs `fill` on an empty buffer.
pub(crate) fn encode(fill: impl FnOnce(&mut Enc) -> Result<(), EncError>) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(256));
    fill(&mut encoder).expect("writing CBOR into a Vec cannot fail");
    encoder.into_writer()
}

/// Error of [`Enc`]: uninhabited in practice.
pub(crate) type EncError = minicbor::encode::Error<core::convert::Infallible>;

/// Reads an array header of exactly `length` items.
pub(crate) fn array(d: &mut Decoder<'_>, length: u64) -> Result<(), Error> {
    let at = d.position();
    if d.array()? == Some(length) { Ok(()) } else { Err(Error::message("array of another length").at(at)) }
}

/// Reads an array header of at most `limit` items, before anything is allocated for them.
pub(crate) fn list(d: &mut Decoder<'_>, limit: usize) -> Result<usize, Error> {
    let at = d.position();
    match d.array()?.map(usize::try_from) {
        Some(Ok(length)) if length <= limit => Ok(length),
        _ => Err(Error::message("list over its limit").at(at)),
    }
}

/// Reads exactly `N` bytes.
pub(crate) fn fixed<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], Error> {
    let at = d.position();
    d.bytes()?.try_into().map_err(|_| Error::message("byte string of another length").at(at))
}

/// Reads a text of at most `limit` bytes.
pub(crate) fn text(d: &mut Decoder<'_>, limit: usize) -> Result<String, Error> {
    let at = d.position();
    let value = d.str()?;
    if value.len() > limit { Err(Error::message("text over its limit").at(at)) } else { Ok(value.to_owned()) }
}

/// Reads at most `limit` bytes.
pub(crate) fn bytes(d: &mut Decoder<'_>, limit: usize) -> Result<Vec<u8>, Error> {
    let at = d.position();
    let value = d.bytes()?;
    if value.len() > limit { Err(Error::message("byte string over its limit").at(at)) } else { Ok(value.to_vec()) }
}

/// Reads null or exactly `N` bytes.
pub(crate) fn optional_fixed<const N: usize>(d: &mut Decoder<'_>) -> Result<Option<[u8; N]>, Error> {
    if d.datatype()? == minicbor::data::Type::Null {
        d.null()?;
        return Ok(None);
    }
    fixed(d).map(Some)
}

/// Writes null or the bytes.
pub(crate) fn optional_bytes(e: &mut Enc, value: Option<&[u8]>) -> Result<(), EncError> {
    match value {
        Some(bytes) => e.bytes(bytes)?.ok(),
        None => e.null()?.ok(),
    }
}
