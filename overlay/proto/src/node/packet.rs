//! "Packet too big", made up for the inside: ICMP type 3 code 4 (RFC 792, RFC 1191) and ICMPv6 type 2 (RFC 4443, 3.2).

/// Longest ICMPv4 error: what every host can take (RFC 1812, 4.3.2.3).
const MAX_V4_ERROR: usize = 576;
/// Longest ICMPv6 error (RFC 4443, 2.4 c).
const MAX_V6_ERROR: usize = 1280;

/// The answer to an inside packet over the MTU; `None` where no answer may be given (IPv4 without "don't fragment" is
/// answered all the same: we do not fragment). Errors are never answered.
pub(super) fn too_big(packet: &[u8], mtu: u16) -> Option<Vec<u8>> {
    match packet.first()? >> 4 {
        4 => too_big_v4(packet, mtu),
        6 => too_big_v6(packet, mtu),
        _ => None,
    }
}

fn too_big_v4(packet: &[u8], mtu: u16) -> Option<Vec<u8>> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let is_error = *packet.get(9)? == 1 && matches!(packet.get(header)?, 3 | 5 | 11 | 12);
    let is_tail = packet.get(6)? & 0x1f != 0 || *packet.get(7)? != 0;
    if is_error || is_tail {
        return None;
    }
    let quoted = packet.get(..packet.len().min(MAX_V4_ERROR - 28))?;
    let mut icmp = vec![3, 4, 0, 0, 0, 0];
    icmp.extend_from_slice(&mtu.to_be_bytes());
    icmp.extend_from_slice(quoted);
    put_checksum(&mut icmp, 2, 0);
    let length = u16::try_from(20 + icmp.len()).ok()?;
    let [high, low] = length.to_be_bytes();
    let mut out = vec![0x45, 0, high, low, 0, 0, 0, 0, 64, 1, 0, 0];
    // From where it was going, to where it came from.
    out.extend_from_slice(packet.get(16..20)?);
    out.extend_from_slice(packet.get(12..16)?);
    put_checksum(&mut out, 10, 0);
    out.extend_from_slice(&icmp);
    Some(out)
}

fn too_big_v6(packet: &[u8], mtu: u16) -> Option<Vec<u8>> {
    // Next header 58 with a type below 128 is an error.
    if *packet.get(6)? == 58 && *packet.get(40)? < 128 {
        return None;
    }
    let quoted = packet.get(..packet.len().min(MAX_V6_ERROR - 48))?;
    let mut icmp = vec![2, 0, 0, 0];
    icmp.extend_from_slice(&u32::from(mtu).to_be_bytes());
    icmp.extend_from_slice(quoted);
    let length = u16::try_from(icmp.len()).ok()?;
    let (source, dest) = (packet.get(24..40)?, packet.get(8..24)?);
    let pseudo = sum(source, 0) + sum(dest, 0) + u64::from(length) + 58;
    put_checksum(&mut icmp, 2, pseudo);
    let [high, low] = length.to_be_bytes();
    let mut out = vec![0x60, 0, 0, 0, high, low, 58, 64];
    out.extend_from_slice(source);
    out.extend_from_slice(dest);
    out.extend_from_slice(&icmp);
    Some(out)
}

/// Sum of 16-bit words (RFC 1071), not folded yet.
fn sum(bytes: &[u8], start: u64) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let odd = rest.first().map_or(0, |byte| u64::from(*byte) << 8);
    words.iter().fold(start, |sum, word| sum + u64::from(u16::from_be_bytes(*word))) + odd
}

fn put_checksum(bytes: &mut [u8], at: usize, start: u64) {
    let mut total = sum(bytes, start);
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    let [.., high, low] = (!total).to_be_bytes();
    if let Some(field) = bytes.get_mut(at..at + 2) {
        field.copy_from_slice(&[high, low]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};

    #[test]
    fn the_sender_of_a_large_packet_is_told_the_mtu_in_a_packet_that_checks() {
        let mut v4 = Vec::new();
        PacketBuilder::ipv4([100, 64, 0, 1], [100, 64, 0, 2], 64).udp(1, 2).write(&mut v4, &[0; 1400]).unwrap();
        let answer = too_big(&v4, 1280).unwrap();
        let parsed = SlicedPacket::from_ip(&answer).unwrap();
        let Some(NetSlice::Ipv4(ip)) = parsed.net else { panic!("not IPv4") };
        assert_eq!((ip.header().source(), ip.header().destination()), ([100, 64, 0, 2], [100, 64, 0, 1]));
        assert_eq!(sum(ip.header().slice(), 0) % 0xffff, 0);
        let Some(TransportSlice::Icmpv4(icmp)) = parsed.transport else { panic!("not ICMP") };
        assert_eq!(sum(icmp.slice(), 0) % 0xffff, 0);
        assert_eq!(&icmp.slice()[..8], &[3, 4, icmp.slice()[2], icmp.slice()[3], 0, 0, 5, 0]);

        let mut v6 = Vec::new();
        PacketBuilder::ipv6([1; 16], [2; 16], 64).udp(1, 2).write(&mut v6, &[0; 1400]).unwrap();
        let answer = too_big(&v6, 1280).unwrap();
        let parsed = SlicedPacket::from_ip(&answer).unwrap();
        let Some(TransportSlice::Icmpv6(icmp)) = parsed.transport else { panic!("not ICMPv6") };
        assert!(icmp.is_checksum_valid([2; 16], [1; 16]));
        assert_eq!(&icmp.slice()[4..8], &[0, 0, 5, 0]);
        assert!(answer.len() <= MAX_V6_ERROR);
    }

    #[test]
    fn errors_are_never_answered_and_short_packets_do_no_harm() {
        let mut error = vec![0x45; 1400];
        (error[6], error[7], error[9], error[20]) = (0, 0, 1, 3);
        assert_eq!(too_big(&error, 1280), None);
        for length in 0..60 {
            let _ = too_big(&vec![0x60; length], 1280);
            let _ = too_big(&vec![0x4f; length], 1280);
        }
    }
}
