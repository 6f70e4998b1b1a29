//! Inner packets of the simulator: UDP with a payload that says whose it is, and that is easy to find where it must not be.

use std::net::IpAddr;

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};

/// The payload is full of this after its header. No ciphertext holds 8 bytes of it but once in 2^64.
const PATTERN: [u8; 8] = *b"NFclear!";
/// magic, flow, seq, network, kind, pad.
const HEADER: usize = 24;
/// Shortest payload: 24 bytes of pattern, so that an aligned 8-byte window of any datagram falls into it.
pub const MIN_PAYLOAD: usize = HEADER + 24;
const PORT: u16 = 5_000;

/// What a payload says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Which flow.
    pub flow: u32,
    /// Number within the flow.
    pub seq: u32,
    /// Index of the network.
    pub network: u32,
    /// `true`: an answer.
    pub answer: bool,
}

/// One IP packet with `length` bytes of payload (at least [`MIN_PAYLOAD`]). `None`: the addresses are of two families.
#[must_use]
pub fn build(source: IpAddr, dest: IpAddr, tag: Tag, length: usize) -> Option<Vec<u8>> {
    let length = length.max(MIN_PAYLOAD);
    let mut payload = Vec::with_capacity(length);
    payload.extend_from_slice(b"nfsim1\0\0");
    payload.extend_from_slice(&tag.flow.to_le_bytes());
    payload.extend_from_slice(&tag.seq.to_le_bytes());
    payload.extend_from_slice(&tag.network.to_le_bytes());
    payload.extend_from_slice(&u32::from(tag.answer).to_le_bytes());
    payload.extend(PATTERN.iter().copied().cycle().take(length - HEADER));
    let builder = match (source, dest) {
        (IpAddr::V4(source), IpAddr::V4(dest)) => PacketBuilder::ipv4(source.octets(), dest.octets(), 64),
        (IpAddr::V6(source), IpAddr::V6(dest)) => PacketBuilder::ipv6(source.octets(), dest.octets(), 64),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    };
    let builder = builder.udp(PORT, PORT);
    let mut packet = Vec::with_capacity(builder.size(length));
    builder.write(&mut packet, &payload).ok()?;
    Some(packet)
}

/// Reads a packet of [`build`]. `None`: it is none, or it was changed.
#[must_use]
pub fn read(packet: &[u8]) -> Option<Tag> {
    let parsed = SlicedPacket::from_ip(packet).ok()?;
    let Some(TransportSlice::Udp(udp)) = parsed.transport else { return None };
    let payload = udp.payload();
    let (head, body) = payload.split_at_checked(HEADER)?;
    if !head.starts_with(b"nfsim1\0\0") || !body.iter().zip(PATTERN.iter().cycle()).all(|(a, b)| a == b) {
        return None;
    }
    let word = |at: usize| head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    Some(Tag { flow: word(8)?, seq: word(12)?, network: word(16)?, answer: word(20)? != 0 })
}

/// The size an ICMP or ICMPv6 "packet too big" asks for.
#[must_use]
pub fn too_big(packet: &[u8]) -> Option<usize> {
    let parsed = SlicedPacket::from_ip(packet).ok()?;
    match parsed.transport? {
        // RFC 1191: type 3 code 4, the next-hop MTU in bytes 6 and 7.
        TransportSlice::Icmpv4(icmp) => match icmp.slice() {
            [3, 4, _, _, _, _, high, low, ..] => Some(usize::from(u16::from_be_bytes([*high, *low]))),
            _ => None,
        },
        // RFC 4443, 3.2.
        TransportSlice::Icmpv6(icmp) => match icmp.slice() {
            [2, 0, _, _, a, b, c, d, ..] => usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok(),
            _ => None,
        },
        TransportSlice::Udp(_) | TransportSlice::Tcp(_) | TransportSlice::Igmp(_) => None,
    }
}

/// Does anything of a payload show in these bytes? Looks at every eighth byte for any rotation of the pattern.
#[must_use]
pub fn shows_clear(bytes: &[u8]) -> bool {
    let word = u64::from_le_bytes(PATTERN);
    bytes.chunks_exact(8).any(|window| {
        let window = window.try_into().map_or(0, u64::from_le_bytes);
        // Eight rotations; the first byte of most windows is in none of them.
        PATTERN.contains(&window.to_le_bytes()[0]) && (0..8).any(|turn| word.rotate_right(8 * turn) == window)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(length: usize) -> Vec<u8> {
        let tag = Tag { flow: 7, seq: 9, network: 1, answer: true };
        build([100, 64, 0, 1].into(), [100, 64, 0, 2].into(), tag, length).unwrap()
    }

    #[test]
    fn a_packet_reads_as_it_was_built_and_a_changed_one_does_not() {
        let mut bytes = packet(200);
        assert_eq!(read(&bytes), Some(Tag { flow: 7, seq: 9, network: 1, answer: true }));
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(read(&bytes), None);
    }

    #[test]
    fn a_payload_in_clear_is_found_wherever_it_starts() {
        for before in 0..16 {
            let mut bytes = vec![0xa5; before];
            bytes.extend(packet(MIN_PAYLOAD));
            assert!(shows_clear(&bytes), "{before}");
        }
        assert!(!shows_clear(&[0x4e; 1_000]));
    }
}
