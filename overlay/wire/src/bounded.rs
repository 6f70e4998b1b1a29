//! CBOR fields with a limit, the same on both ways: what a peer would refuse is never sent.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use minicbor::decode::{Decode, Decoder, Error as DecodeError};
use minicbor::encode::{Encode, Encoder, Error as EncodeError, Write};

/// Byte strings of at most `MAX` bytes.
pub(crate) fn encode_bytes<C, W: Write, const MAX: usize>(
    value: &[u8],
    e: &mut Encoder<W>,
    _: &mut C,
) -> Result<(), EncodeError<W::Error>> {
    if value.len() > MAX {
        return Err(EncodeError::message("byte string over its limit"));
    }
    e.bytes(value)?.ok()
}

pub(crate) fn decode_bytes<C, const MAX: usize>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<u8>, DecodeError> {
    let position = d.position();
    let value = d.bytes()?;
    if value.len() > MAX {
        return Err(DecodeError::message("byte string over its limit").at(position));
    }
    Ok(value.to_vec())
}

/// Exactly `N` bytes.
pub(crate) fn encode_array<C, W: Write, const N: usize>(
    value: &[u8; N],
    e: &mut Encoder<W>,
    _: &mut C,
) -> Result<(), EncodeError<W::Error>> {
    e.bytes(value)?.ok()
}

pub(crate) fn decode_array<C, const N: usize>(d: &mut Decoder<'_>, _: &mut C) -> Result<[u8; N], DecodeError> {
    let position = d.position();
    d.bytes()?.try_into().map_err(|_| DecodeError::message("byte string of the wrong length").at(position))
}

/// Texts of at most `MAX` bytes of UTF-8.
pub(crate) fn encode_text<C, W: Write, const MAX: usize>(
    value: &str,
    e: &mut Encoder<W>,
    _: &mut C,
) -> Result<(), EncodeError<W::Error>> {
    if value.len() > MAX {
        return Err(EncodeError::message("text over its limit"));
    }
    e.str(value)?.ok()
}

pub(crate) fn decode_text<C, const MAX: usize>(d: &mut Decoder<'_>, _: &mut C) -> Result<String, DecodeError> {
    let position = d.position();
    let value = d.str()?;
    if value.len() > MAX {
        return Err(DecodeError::message("text over its limit").at(position));
    }
    Ok(value.to_owned())
}

/// Lists of at most `MAX` items.
pub(crate) fn encode_list<C, T: Encode<C>, W: Write, const MAX: usize>(
    value: &[T],
    e: &mut Encoder<W>,
    ctx: &mut C,
) -> Result<(), EncodeError<W::Error>> {
    list_header::<W, MAX>(value.len(), e)?;
    value.iter().try_for_each(|item| item.encode(e, ctx))
}

pub(crate) fn decode_list<'b, C, T: Decode<'b, C>, const MAX: usize>(
    d: &mut Decoder<'b>,
    ctx: &mut C,
) -> Result<Vec<T>, DecodeError> {
    let length = list_length::<MAX>(d)?;
    (0..length).map(|_| T::decode(d, ctx)).collect()
}

/// Lists of at most `COUNT` byte strings of at most `MAX` bytes each.
pub(crate) fn encode_blobs<C, W: Write, const COUNT: usize, const MAX: usize>(
    value: &[Vec<u8>],
    e: &mut Encoder<W>,
    ctx: &mut C,
) -> Result<(), EncodeError<W::Error>> {
    list_header::<W, COUNT>(value.len(), e)?;
    value.iter().try_for_each(|item| encode_bytes::<C, W, MAX>(item, e, ctx))
}

pub(crate) fn decode_blobs<C, const COUNT: usize, const MAX: usize>(
    d: &mut Decoder<'_>,
    ctx: &mut C,
) -> Result<Vec<Vec<u8>>, DecodeError> {
    let length = list_length::<COUNT>(d)?;
    (0..length).map(|_| decode_bytes::<C, MAX>(d, ctx)).collect()
}

fn list_header<W: Write, const MAX: usize>(length: usize, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
    if length > MAX {
        return Err(EncodeError::message("list over its limit"));
    }
    e.array(length as u64)?.ok()
}

/// The declared length is checked before anything is allocated for it, and indefinite arrays are refused.
fn list_length<const MAX: usize>(d: &mut Decoder<'_>) -> Result<usize, DecodeError> {
    let position = d.position();
    let declared = d.array()?.ok_or_else(|| DecodeError::message("indefinite array").at(position))?;
    match usize::try_from(declared) {
        Ok(length) if length <= MAX => Ok(length),
        _ => Err(DecodeError::message("list over its limit").at(position)),
    }
}

/// A socket address: 18 bytes, IPv6 (IPv4 as v4-mapped) then port, both in network order. Flow label and scope are not carried.
pub(crate) struct WireAddr(pub(crate) SocketAddr);

impl<C> Encode<C> for WireAddr {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        let mut bytes = [0; 18];
        let (ip, port) = bytes.split_at_mut(16);
        ip.copy_from_slice(&to_mapped(self.0.ip()));
        port.copy_from_slice(&self.0.port().to_be_bytes());
        e.bytes(&bytes)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for WireAddr {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, DecodeError> {
        let bytes = decode_array::<C, 18>(d, ctx)?;
        let (ip, port) = bytes.split_first_chunk::<16>().ok_or_else(|| DecodeError::message("address"))?;
        let port = port.try_into().map_err(|_| DecodeError::message("address"))?;
        Ok(Self(SocketAddr::new(from_mapped(*ip), u16::from_be_bytes(port))))
    }
}

/// IPv4 as v4-mapped IPv6, IPv6 as it is.
pub(crate) fn to_mapped(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The inverse of [`to_mapped`]; a v4-mapped address always comes back as IPv4.
pub(crate) fn from_mapped(octets: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(octets).to_canonical()
}

pub(crate) fn encode_addrs<C, W: Write, const MAX: usize>(
    value: &[SocketAddr],
    e: &mut Encoder<W>,
    ctx: &mut C,
) -> Result<(), EncodeError<W::Error>> {
    list_header::<W, MAX>(value.len(), e)?;
    value.iter().try_for_each(|addr| WireAddr(*addr).encode(e, ctx))
}

pub(crate) fn decode_addrs<C, const MAX: usize>(
    d: &mut Decoder<'_>,
    ctx: &mut C,
) -> Result<Vec<SocketAddr>, DecodeError> {
    let length = list_length::<MAX>(d)?;
    (0..length).map(|_| WireAddr::decode(d, ctx).map(|addr| addr.0)).collect()
}

pub(crate) fn encode_addr<C, W: Write>(
    value: &SocketAddr,
    e: &mut Encoder<W>,
    ctx: &mut C,
) -> Result<(), EncodeError<W::Error>> {
    WireAddr(*value).encode(e, ctx)
}

pub(crate) fn decode_addr<C>(d: &mut Decoder<'_>, ctx: &mut C) -> Result<SocketAddr, DecodeError> {
    WireAddr::decode(d, ctx).map(|addr| addr.0)
}
