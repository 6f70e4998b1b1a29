//! STUN (RFC 8489): the Binding method, so that anybody can ask a relay how an address looks from outside, and nothing else.
//!
//! Spec: `docs/spec/wire.md`, section "STUN". Requests are answered by a pure function that keeps no state. There are no
//! credentials: MESSAGE-INTEGRITY is stepped over, and an answer is worth no more than the address it came from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::bounded::{from_mapped, to_mapped};
use crate::bytes::{array_ref, byte, put};
use crate::frame::WireError;

/// Magic cookie of every message since RFC 5389, network order.
pub const MAGIC_COOKIE: u32 = 0x2112_a442;
/// Bytes of the message header.
pub const STUN_HEADER_LEN: usize = 20;
/// Longest message looked at: what one Ethernet packet of 1,500 bytes carries. Ours have 44 bytes, or are padded to find out what passes.
pub const MAX_STUN_LEN: usize = 1_472;
/// Bytes of [`BindingRequest::to_bytes`]: as many as the longest success answer, so that no answer to us is longer than its request.
pub const REQUEST_LEN: usize = 44;
/// Bytes of a transaction id.
pub const TRANSACTION_LEN: usize = 12;

/// Unknown attributes named in a 420 answer: more would only make it longer.
const MAX_UNKNOWN: usize = 4;
/// XORed onto the CRC-32 of a FINGERPRINT (RFC 8489, 14.7).
const FINGERPRINT_XOR: u32 = 0x5354_554e;
/// Text of our SOFTWARE attribute. It is there to be 20 bytes long: see [`REQUEST_LEN`].
const SOFTWARE_TEXT: &[u8; 20] = b"NetFlowCoin router  ";

/// Attribute types read or written here (RFC 8489, 18.3; RFC 5780, 7).
mod attribute {
    pub(super) const MAPPED_ADDRESS: u16 = 0x0001;
    pub(super) const CHANGE_REQUEST: u16 = 0x0003;
    pub(super) const USERNAME: u16 = 0x0006;
    pub(super) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(super) const ERROR_CODE: u16 = 0x0009;
    pub(super) const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub(super) const REALM: u16 = 0x0014;
    pub(super) const NONCE: u16 = 0x0015;
    pub(super) const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
    pub(super) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(super) const PADDING: u16 = 0x0026;
    pub(super) const SOFTWARE: u16 = 0x8022;
    pub(super) const FINGERPRINT: u16 = 0x8028;
    pub(super) const OTHER_ADDRESS: u16 = 0x802c;
}

/// Class of a message (RFC 8489, 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StunClass {
    /// Asks, wants an answer.
    Request,
    /// Wants none.
    Indication,
    /// The answer.
    Success,
    /// The request failed.
    Error,
}

/// CHANGE-REQUEST of RFC 5780: from where the answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangeRequest {
    /// From another IP address. No server of ours has one.
    pub ip: bool,
    /// From another port.
    pub port: bool,
}

/// A checked Binding message: header, attribute lengths and FINGERPRINT (when there is one) are right.
#[derive(Debug, Clone, Copy)]
pub struct StunMessage<'a> {
    bytes: &'a [u8],
    class: StunClass,
}

impl<'a> StunMessage<'a> {
    /// Checks a datagram. Messages of RFC 3489 (no magic cookie) and of other methods are refused.
    ///
    /// # Errors
    /// [`WireError::Length`] when a length does not fit, [`WireError::Kind`] when it is no STUN Binding message,
    /// [`WireError::Value`] when the FINGERPRINT is wrong.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, WireError> {
        if bytes.len() < STUN_HEADER_LEN || bytes.len() > MAX_STUN_LEN {
            return Err(WireError::Length);
        }
        let class = match be16(bytes, 0) {
            0x0001 => StunClass::Request,
            0x0011 => StunClass::Indication,
            0x0101 => StunClass::Success,
            0x0111 => StunClass::Error,
            _ => return Err(WireError::Kind),
        };
        if *array_ref(bytes, 4) != MAGIC_COOKIE.to_be_bytes() {
            return Err(WireError::Kind);
        }
        let announced = usize::from(be16(bytes, 2));
        if announced != bytes.len() - STUN_HEADER_LEN || !announced.is_multiple_of(4) {
            return Err(WireError::Length);
        }
        let message = Self { bytes, class };
        let mut end = STUN_HEADER_LEN;
        for attribute in message.raw_attributes() {
            end = attribute.end;
            if attribute.kind == attribute::FINGERPRINT && !message.fingerprint_fits(attribute) {
                return Err(WireError::Value);
            }
        }
        if end == bytes.len() { Ok(message) } else { Err(WireError::Length) }
    }

    /// Class of the message.
    pub const fn class(&self) -> StunClass {
        self.class
    }

    /// Names the request an answer belongs to.
    pub fn transaction(&self) -> &'a [u8; TRANSACTION_LEN] {
        array_ref(self.bytes, 8)
    }

    /// XOR-MAPPED-ADDRESS of a success answer, or MAPPED-ADDRESS when the server is that old.
    pub fn mapped_address(&self) -> Option<SocketAddr> {
        let plain = || address(self.attribute(attribute::MAPPED_ADDRESS)?, &[0; 16]);
        match self.attribute(attribute::XOR_MAPPED_ADDRESS) {
            Some(value) => address(value, &self.xor_pad()),
            None => plain(),
        }
    }

    /// OTHER-ADDRESS (RFC 5780): what the server would answer a [`ChangeRequest`] from.
    pub fn other_address(&self) -> Option<SocketAddr> {
        address(self.attribute(attribute::OTHER_ADDRESS)?, &[0; 16])
    }

    /// CHANGE-REQUEST, if the request has one.
    pub fn change_request(&self) -> Option<ChangeRequest> {
        let value = self.attribute(attribute::CHANGE_REQUEST).filter(|value| value.len() == 4)?;
        let flags = byte(value, 3);
        Some(ChangeRequest { ip: flags & 4 != 0, port: flags & 2 != 0 })
    }

    /// The number of an error answer, 300 to 699.
    pub fn error_code(&self) -> Option<u16> {
        let value = self.attribute(attribute::ERROR_CODE).filter(|value| value.len() >= 4)?;
        let (class, number) = (byte(value, 2) & 7, byte(value, 3));
        ((3..=6).contains(&class) && number < 100).then(|| u16::from(class) * 100 + u16::from(number))
    }

    /// Attributes that had to be understood and are not, the first [`MAX_UNKNOWN`] of them.
    fn unknown(&self) -> Vec<u16> {
        let known = |kind: u16| {
            kind >= 0x8000
                || matches!(
                    kind,
                    attribute::CHANGE_REQUEST
                        | attribute::USERNAME
                        | attribute::MESSAGE_INTEGRITY
                        | attribute::REALM
                        | attribute::NONCE
                        | attribute::MESSAGE_INTEGRITY_SHA256
                        | attribute::PADDING
                )
        };
        self.attributes().map(|(kind, _)| kind).filter(|kind| !known(*kind)).take(MAX_UNKNOWN).collect()
    }

    /// The first attribute of a kind; later ones of the same kind are ignored (RFC 8489, 14).
    fn attribute(&self, kind: u16) -> Option<&'a [u8]> {
        self.attributes().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// Attributes before MESSAGE-INTEGRITY and that one itself; what follows it is to be ignored (RFC 8489, 14.5).
    fn attributes(&self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut closed = false;
        self.raw_attributes().map_while(move |attribute| {
            let open = !closed;
            closed |= matches!(attribute.kind, attribute::MESSAGE_INTEGRITY | attribute::MESSAGE_INTEGRITY_SHA256);
            open.then_some((attribute.kind, attribute.value))
        })
    }

    const fn raw_attributes(&self) -> Attributes<'a> {
        Attributes { bytes: self.bytes, at: STUN_HEADER_LEN }
    }

    fn fingerprint_fits(&self, attribute: Attribute<'a>) -> bool {
        let covered = self.bytes.get(..attribute.start).unwrap_or_default();
        let expected = crc32(covered) ^ FINGERPRINT_XOR;
        attribute.end == self.bytes.len() && attribute.value == expected.to_be_bytes()
    }

    /// Magic cookie and transaction id: what addresses are XORed with.
    fn xor_pad(&self) -> [u8; 16] {
        *array_ref(self.bytes, 4)
    }
}

/// One attribute and where it lies.
#[derive(Clone, Copy)]
struct Attribute<'a> {
    kind: u16,
    value: &'a [u8],
    start: usize,
    end: usize,
}

struct Attributes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let head = self.bytes.get(self.at..self.at + 4)?;
        let length = usize::from(be16(head, 2));
        let (start, from) = (self.at, self.at + 4);
        let value = self.bytes.get(from..from + length)?;
        self.at = from + length.next_multiple_of(4);
        Some(Attribute { kind: be16(head, 0), value, start, end: self.at })
    }
}

/// A Binding request as this program sends it: [`REQUEST_LEN`] bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindingRequest {
    /// Random: it is all that ties an answer to its request.
    pub transaction: [u8; TRANSACTION_LEN],
}

impl BindingRequest {
    /// The datagram.
    pub fn to_bytes(&self) -> [u8; REQUEST_LEN] {
        let mut bytes = [0; REQUEST_LEN];
        put(&mut bytes, 0, &[0x00, 0x01, 0x00, 24]);
        put(&mut bytes, 4, &MAGIC_COOKIE.to_be_bytes());
        put(&mut bytes, 8, &self.transaction);
        put(&mut bytes, 20, &attribute::SOFTWARE.to_be_bytes());
        put(&mut bytes, 22, &[0, 20]);
        put(&mut bytes, 24, SOFTWARE_TEXT);
        bytes
    }

    /// The datagram, padded to `len` bytes by a PADDING attribute (RFC 5780, 7.6): is a packet of that size answered? `None`: not a
    /// multiple of four, shorter than a request with that attribute, or longer than [`MAX_STUN_LEN`].
    pub fn padded(&self, len: usize) -> Option<Vec<u8>> {
        let padding = len.checked_sub(STUN_HEADER_LEN + 4).filter(|_| len <= MAX_STUN_LEN && len.is_multiple_of(4))?;
        let mut bytes = self.to_bytes().get(..STUN_HEADER_LEN)?.to_vec();
        push_attribute(&mut bytes, attribute::PADDING, &vec![0; padding]);
        let length = u16::try_from(bytes.len() - STUN_HEADER_LEN).ok()?;
        put(&mut bytes, 2, &length.to_be_bytes());
        Some(bytes)
    }
}

/// What to send back for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StunAnswer {
    /// The datagram. Longer than the request when that was a bare one: see [`StunAnswer::is_longer_than`].
    pub bytes: Vec<u8>,
    /// Send it from the other port of this relay: that is what was asked for.
    pub from_other_port: bool,
}

impl StunAnswer {
    /// Would it make this server an amplifier? A bare request (20 bytes) has an answer of 32 (IPv4) or 44 bytes by the
    /// standard; the caller answers only a few of those a second, over all sources.
    pub fn is_longer_than(&self, request: &[u8]) -> bool {
        self.bytes.len() > request.len()
    }
}

/// Answers a Binding request that came from `from`; `None` for all that is to be dropped in silence.
///
/// `has_other_port`: this server can send from a second port (RFC 5780). A change of the IP address is answered with 420,
/// as an attribute this server does not know: it has no second address.
pub fn answer(request: &[u8], from: SocketAddr, has_other_port: bool) -> Option<StunAnswer> {
    let message = StunMessage::new_checked(request).ok().filter(|message| message.class == StunClass::Request)?;
    let change = message.change_request().unwrap_or_default();
    let mut unknown = message.unknown();
    if change.ip || (change.port && !has_other_port) {
        unknown.insert(0, attribute::CHANGE_REQUEST);
        unknown.truncate(MAX_UNKNOWN);
    }
    let mut bytes = vec![0x01, 0x01, 0, 0];
    bytes.extend_from_slice(&message.xor_pad());
    if unknown.is_empty() {
        push_xor_address(&mut bytes, attribute::XOR_MAPPED_ADDRESS, from, &message.xor_pad());
    } else {
        put(&mut bytes, 1, &[0x11]);
        // Class 4, number 20, no words: they would only make it longer.
        push_attribute(&mut bytes, attribute::ERROR_CODE, &[0, 0, 4, 20]);
        let list: Vec<u8> = unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
        push_attribute(&mut bytes, attribute::UNKNOWN_ATTRIBUTES, &list);
    }
    let length = u16::try_from(bytes.len() - STUN_HEADER_LEN).ok()?;
    put(&mut bytes, 2, &length.to_be_bytes());
    Some(StunAnswer { bytes, from_other_port: change.port && unknown.is_empty() })
}

fn push_attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend_from_slice(&kind.to_be_bytes());
    // Addresses and lists of at most MAX_UNKNOWN: it always fits.
    out.extend_from_slice(&u16::try_from(value.len()).unwrap_or_default().to_be_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn push_xor_address(out: &mut Vec<u8>, kind: u16, addr: SocketAddr, pad: &[u8; 16]) {
    let port = addr.port() ^ u16::from_be_bytes(*array_ref(pad, 0));
    let [high, low] = port.to_be_bytes();
    let xored: [u8; 16] = match addr.ip().to_canonical() {
        IpAddr::V4(v4) => {
            let mut value = vec![0, 1, high, low];
            value.extend(v4.octets().iter().zip(pad).map(|(byte, pad)| byte ^ pad));
            return push_attribute(out, kind, &value);
        }
        IpAddr::V6(v6) => std::array::from_fn(|at| byte(&v6.octets(), at) ^ byte(pad, at)),
    };
    let mut value = vec![0, 2, high, low];
    value.extend_from_slice(&xored);
    push_attribute(out, kind, &value);
}

/// An address attribute, XORed with `pad` (zeros: plain). One spelling per address: a v4-mapped one is IPv4.
fn address(value: &[u8], pad: &[u8; 16]) -> Option<SocketAddr> {
    let port = be16(value, 2) ^ u16::from_be_bytes(*array_ref(pad, 0));
    let ip = match (byte(value, 1), value.len()) {
        (1, 8) => IpAddr::V4(Ipv4Addr::from(std::array::from_fn(|at| byte(value, 4 + at) ^ byte(pad, at)))),
        (2, 20) => {
            let v6 = Ipv6Addr::from(std::array::from_fn(|at| byte(value, 4 + at) ^ byte(pad, at)));
            from_mapped(to_mapped(IpAddr::V6(v6)))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(*array_ref(bytes, at))
}

/// CRC-32 of ISO 3309 (ITU-T V.42), bit by bit: messages are short and few.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    };
    !bytes.iter().fold(!0, step)
}
