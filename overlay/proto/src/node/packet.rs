//! Packets that do not fit: "packet too big" made up for the inside, ICMP type 3 code 4 (RFC 792, RFC 1191) and ICMPv6 type 2 (RFC 4443,
//! 3.2); IPv4 fragments (RFC 791, 3.2); and the MSS of TCP connections, clamped so that their packets fit (RFC 9293, 3.7.1).

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

/// IPv4 header without options, and where its fields are.
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const TCP_LEN: usize = 20;
const TCP: u8 = 6;
const DONT_FRAGMENT: u8 = 0x40;
const MORE_FRAGMENTS: u8 = 0x20;
/// TCP flag SYN, and the option kinds of RFC 9293, 3.1.
const SYN: u8 = 0x02;
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_MSS: u8 = 2;

/// Cuts an IPv4 packet that may be cut into fragments of at most `mtu` bytes. `None`: IPv6, "don't fragment" is set, or malformed.
pub(super) fn fragment_v4(packet: &[u8], mtu: u16) -> Option<Vec<Vec<u8>>> {
    let first = *packet.first()?;
    let header_len = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || *packet.get(6)? & DONT_FRAGMENT != 0 || header_len < IPV4_LEN {
        return None;
    }
    let (header, payload) = packet.split_at_checked(header_len)?;
    let (flags, offset) = (*packet.get(6)?, u16::from_be_bytes([*packet.get(6)? & 0x1f, *packet.get(7)?]));
    // Later fragments carry only options that say so; their header is never longer than the first.
    let later = later_header(header)?;
    let room = usize::from(mtu).checked_sub(header_len)? / 8 * 8;
    if room == 0 {
        return None;
    }
    let mut fragments = Vec::new();
    for (index, bytes) in payload.chunks(room).enumerate() {
        let mut fragment = if index == 0 { header.to_vec() } else { later.clone() };
        let is_last = (index + 1) * room >= payload.len();
        let more = if is_last { flags & MORE_FRAGMENTS } else { MORE_FRAGMENTS };
        let units = u16::try_from(index * room / 8).ok()?.checked_add(offset)?;
        let [high, low] = units.to_be_bytes();
        if high > 0x1f {
            return None;
        }
        let [length_high, length_low] = u16::try_from(fragment.len() + bytes.len()).ok()?.to_be_bytes();
        fragment.get_mut(2..4)?.copy_from_slice(&[length_high, length_low]);
        fragment.get_mut(6..8)?.copy_from_slice(&[more | high, low]);
        fragment.get_mut(10..12)?.fill(0);
        put_checksum(&mut fragment, 10, 0);
        fragment.extend_from_slice(bytes);
        fragments.push(fragment);
    }
    Some(fragments)
}

/// The header of every fragment but the first: options without the "copied" bit are left out (RFC 791, 3.1).
fn later_header(header: &[u8]) -> Option<Vec<u8>> {
    let (fixed, mut options) = header.split_at_checked(IPV4_LEN)?;
    let mut later = fixed.to_vec();
    while let Some(kind) = options.first().copied().filter(|kind| *kind != OPTION_END) {
        let length = if kind == OPTION_NOP { 1 } else { usize::from(*options.get(1)?).max(2) };
        let (option, rest) = options.split_at_checked(length)?;
        if kind & 0x80 != 0 {
            later.extend_from_slice(option);
        }
        options = rest;
    }
    later.resize(later.len().next_multiple_of(4), OPTION_END);
    let words = u8::try_from(later.len() / 4).ok()?;
    *later.first_mut()? = 0x40 | words;
    Some(later)
}

/// Is it a TCP SYN with a maximum segment size?
pub(super) fn is_syn(packet: &[u8]) -> bool {
    mss_at(packet).is_some()
}

/// Lowers the MSS of a TCP SYN so that segments of the answering side fit packets of `mtu` bytes. `true`: it was lowered. A SYN
/// behind extension headers or in a fragment is left alone: path MTU discovery takes care of it.
pub(super) fn clamp_mss(packet: &mut [u8], mtu: u16) -> bool {
    let Some(at) = mss_at(packet) else { return false };
    let is_v4 = packet.first().is_some_and(|first| first >> 4 == 4);
    let headers = if is_v4 { IPV4_LEN + TCP_LEN } else { IPV6_LEN + TCP_LEN };
    let limit = mtu.saturating_sub(u16::try_from(headers).unwrap_or(0));
    let Some(field) = packet.get_mut(at.field..).and_then(<[u8]>::first_chunk_mut::<2>) else { return false };
    let old = u16::from_be_bytes(*field);
    if old <= limit {
        return false;
    }
    *field = limit.to_be_bytes();
    // RFC 1624, eqn. 3, over the words the field lies in: an odd place swaps its bytes.
    let swap = |value: u16| if at.is_odd { value.swap_bytes() } else { value };
    if let Some(sum) = packet.get_mut(at.checksum..).and_then(<[u8]>::first_chunk_mut::<2>) {
        let before = u16::from_be_bytes(*sum);
        let mut total = u32::from(!before) + u32::from(!swap(old)) + u32::from(swap(limit));
        while total > 0xffff {
            total = (total & 0xffff) + (total >> 16);
        }
        let [.., high, low] = (!total).to_be_bytes();
        *sum = [high, low];
    }
    true
}

struct MssAt {
    field: usize,
    is_odd: bool,
    checksum: usize,
}

fn mss_at(packet: &[u8]) -> Option<MssAt> {
    let first = *packet.first()?;
    let tcp = match first >> 4 {
        4 if *packet.get(9)? == TCP && *packet.get(6)? & 0x3f == 0 && *packet.get(7)? == 0 => {
            usize::from(first & 0x0f) * 4
        }
        6 if *packet.get(6)? == TCP => IPV6_LEN,
        _ => return None,
    };
    if packet.get(tcp + 13)? & SYN == 0 {
        return None;
    }
    let end = tcp + usize::from(packet.get(tcp + 12)? >> 4) * 4;
    let mut at = tcp + TCP_LEN;
    while at + 1 < end {
        match *packet.get(at)? {
            OPTION_END => return None,
            OPTION_NOP => at += 1,
            OPTION_MSS if *packet.get(at + 1)? == 4 && at + 4 <= end => {
                let field = at + 2;
                return Some(MssAt { field, is_odd: (field - tcp) % 2 == 1, checksum: tcp + 16 });
            }
            _ => at += usize::from(*packet.get(at + 1)?).max(2),
        }
    }
    None
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

    fn ipv4(length: usize, flags: u8) -> Vec<u8> {
        let mut packet = Vec::new();
        let payload: Vec<u8> = (0..=255u8).cycle().take(length - 28).collect();
        PacketBuilder::ipv4([100, 64, 0, 1], [100, 64, 0, 2], 64).udp(1, 2).write(&mut packet, &payload).unwrap();
        packet[6] = flags;
        packet[10..12].fill(0);
        put_checksum(&mut packet[..20], 10, 0);
        packet
    }

    #[test]
    fn fragments_of_fragments_cover_the_packet_once_and_check() {
        let packet = ipv4(4_000, 0);
        let mut pieces = Vec::new();
        for half in fragment_v4(&packet, 2_000).unwrap() {
            pieces.extend(fragment_v4(&half, 1_277).unwrap());
        }
        assert!(pieces.len() >= 4);
        let mut whole = vec![0; 4_000 - 20];
        let mut covered = 0;
        for (index, piece) in pieces.iter().enumerate() {
            assert!(piece.len() <= 1_277);
            let parsed = etherparse::Ipv4HeaderSlice::from_slice(piece).unwrap();
            assert_eq!(sum(parsed.slice(), 0) % 0xffff, 0);
            assert_eq!(usize::from(parsed.total_len()), piece.len());
            assert_eq!(parsed.more_fragments(), index + 1 < pieces.len());
            let at = usize::from(parsed.fragments_offset().value()) * 8;
            whole[at..at + piece.len() - 20].copy_from_slice(&piece[20..]);
            covered += piece.len() - 20;
        }
        assert_eq!((covered, whole.as_slice()), (3_980, &packet[20..]));
    }

    #[test]
    fn what_must_not_be_fragmented_is_not() {
        assert_eq!(fragment_v4(&ipv4(1_400, 0x40), 1_280), None);
        assert_eq!(fragment_v4(&[0x60; 1_400], 1_280), None);
        for length in 0..60 {
            let _ = fragment_v4(&vec![0x4f; length], 68);
            let _ = clamp_mss(&mut vec![0x4f; length], 68);
            let _ = clamp_mss(&mut vec![0x65; length], 68);
        }
    }

    #[test]
    fn options_that_are_not_copied_are_only_in_the_first_fragment() {
        let mut packet = ipv4(1_400, 0);
        // Timestamp (68, not copied) and security (130, copied), four bytes each.
        packet.splice(20..20, [68, 4, 5, 0, 130, 4, 1, 2]);
        packet[0] = 0x47;
        packet[2..4].copy_from_slice(&1_408u16.to_be_bytes());
        let pieces = fragment_v4(&packet, 1_280).unwrap();
        assert_eq!((pieces[0][0], pieces[1][0]), (0x47, 0x46));
        assert_eq!(&pieces[1][20..24], &[130, 4, 1, 2]);
        assert_eq!(pieces.iter().map(|piece| piece.len() - usize::from(piece[0] & 15) * 4).sum::<usize>(), 1_380);
    }

    #[test]
    fn the_mss_of_a_syn_is_lowered_and_its_checksum_still_fits() {
        use etherparse::TcpOptionElement::{MaximumSegmentSize, Noop};
        for pad in 0..3 {
            let mut options = vec![Noop; pad];
            options.push(MaximumSegmentSize(1_460));
            for is_v4 in [true, false] {
                let mut packet = Vec::new();
                let builder = if is_v4 {
                    PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
                } else {
                    PacketBuilder::ipv6([1; 16], [2; 16], 64)
                };
                let builder = builder.tcp(1, 2, 3, 4).syn().options(&options).unwrap();
                builder.write(&mut packet, &[]).unwrap();
                let mut lowered = packet.clone();
                assert!(!clamp_mss(&mut lowered, 1_520), "1,460 fits");
                assert!(clamp_mss(&mut lowered, 1_212));
                let parsed = SlicedPacket::from_ip(&lowered).unwrap();
                let Some(TransportSlice::Tcp(tcp)) = parsed.transport else { panic!("not TCP") };
                let mss = tcp
                    .options_iterator()
                    .filter_map(Result::ok)
                    .find_map(|option| if let MaximumSegmentSize(mss) = option { Some(mss) } else { None });
                assert_eq!(mss, Some(if is_v4 { 1_172 } else { 1_152 }));
                let expected = if is_v4 {
                    tcp.to_header().calc_checksum_ipv4_raw([10, 0, 0, 1], [10, 0, 0, 2], &[])
                } else {
                    tcp.to_header().calc_checksum_ipv6_raw([1; 16], [2; 16], &[])
                };
                assert_eq!(tcp.checksum(), expected.unwrap());
            }
        }
        let mut plain = Vec::new();
        PacketBuilder::ipv4([1; 4], [2; 4], 64)
            .tcp(1, 2, 3, 4)
            .options(&[MaximumSegmentSize(1_460)])
            .unwrap()
            .write(&mut plain, &[])
            .unwrap();
        assert!(!clamp_mss(&mut plain, 1_212), "only a SYN says anything");
    }
}
