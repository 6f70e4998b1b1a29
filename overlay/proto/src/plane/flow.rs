//! Which packets are alike.

use std::hash::{Hash, Hasher};

/// Addresses, ports, protocol and class of a packet the data path may decide about. Two packets with one key are treated alike by policy,
/// classification and path choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FlowKey {
    /// Source and destination; IPv4 uses the first.
    addresses: [u64; 4],
    /// Source and destination port as they are in the packet.
    ports: u32,
    /// Version, protocol, and the byte with the DSCP.
    kind: u32,
}

impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // One call for all of it: hashers pay by the call.
        let [a, b, c, d] = self.addresses;
        let mixed = a ^ b.rotate_left(16) ^ c.rotate_left(32) ^ d.rotate_left(48);
        state.write_u128(u128::from(mixed) << 64 | u128::from(self.ports) << 32 | u128::from(self.kind));
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const TCP_LEN: usize = 20;
const UDP_LEN: usize = 8;
/// TCP flags of a packet that opens a connection or answers one: its MSS is clamped, so it is no packet like the others.
const SYN: u8 = 0x02;

impl FlowKey {
    /// `None`: a packet for the node. That is everything but whole TCP segments without SYN and UDP datagrams, directly behind an IP
    /// header without options, whose lengths are what the header says; at least as strict as what policy reads from a packet.
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        match packet.first()? {
            0x45 => Self::of_v4(packet),
            first if first >> 4 == 6 => Self::of_v6(packet),
            _ => None,
        }
    }

    fn of_v4(packet: &[u8]) -> Option<Self> {
        let header: &[u8; IPV4_LEN] = packet.first_chunk()?;
        let [_, tos, high, low, _, _, flags, offset, _, protocol, _, _, addresses @ ..] = header;
        let is_fragment = flags & 0x3f != 0 || *offset != 0;
        if usize::from(u16::from_be_bytes([*high, *low])) != packet.len() || is_fragment {
            return None;
        }
        let ports = ports(*protocol, packet.get(IPV4_LEN..)?)?;
        let kind = u32::from_be_bytes([0, 4, *protocol, *tos]);
        Some(Self { addresses: [u64::from_be_bytes(*addresses), 0, 0, 0], ports, kind })
    }

    fn of_v6(packet: &[u8]) -> Option<Self> {
        let header: &[u8; IPV6_LEN] = packet.first_chunk()?;
        let [first, second, _, _, high, low, protocol, _, addresses @ ..] = header;
        if usize::from(u16::from_be_bytes([*high, *low])) + IPV6_LEN != packet.len() {
            return None;
        }
        let ports = ports(*protocol, packet.get(IPV6_LEN..)?)?;
        let class = first << 4 | second >> 4;
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(addresses.as_chunks::<8>().0) {
            *word = u64::from_be_bytes(*bytes);
        }
        Some(Self { addresses: words, ports, kind: u32::from_be_bytes([0, 6, *protocol, class]) })
    }
}

fn ports(protocol: u8, transport: &[u8]) -> Option<u32> {
    match protocol {
        TCP => {
            let header: &[u8; TCP_LEN] = transport.first_chunk()?;
            let length = usize::from(header[12] >> 4) * 4;
            let fits = (TCP_LEN..=transport.len()).contains(&length) && header[13] & SYN == 0;
            fits.then(|| u32::from_be_bytes([header[0], header[1], header[2], header[3]]))
        }
        UDP => {
            let header: &[u8; UDP_LEN] = transport.first_chunk()?;
            Some(u32::from_be_bytes([header[0], header[1], header[2], header[3]]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    fn tcp(v4: bool, syn: bool) -> Vec<u8> {
        let mut packet = Vec::new();
        let builder = if v4 {
            PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        } else {
            PacketBuilder::ipv6([1; 16], [2; 16], 64)
        };
        let builder = builder.tcp(1, 2, 3, 4);
        let builder = if syn { builder.syn() } else { builder.ack(5) };
        builder.write(&mut packet, &[7; 100]).unwrap();
        packet
    }

    #[test]
    fn what_differs_in_address_port_protocol_or_class_is_another_flow() {
        let udp = |source: u8, ports: (u16, u16), tos: u8| {
            let mut packet = Vec::new();
            let builder = PacketBuilder::ipv4([10, 0, 0, source], [10, 0, 0, 2], 64).udp(ports.0, ports.1);
            builder.write(&mut packet, &[0; 10]).unwrap();
            packet[1] = tos;
            FlowKey::of(&packet).unwrap()
        };
        let first = udp(1, (5, 6), 0);
        assert_eq!(first, udp(1, (5, 6), 0));
        for other in [udp(3, (5, 6), 0), udp(1, (6, 5), 0), udp(1, (5, 7), 0), udp(1, (5, 6), 0x20)] {
            assert_ne!(first, other);
        }
        assert_ne!(FlowKey::of(&tcp(true, false)), FlowKey::of(&tcp(false, false)));
    }

    #[test]
    fn what_opens_a_connection_is_in_pieces_or_has_other_lengths_is_for_the_node() {
        for v4 in [true, false] {
            let packet = tcp(v4, false);
            assert!(FlowKey::of(&packet).is_some());
            assert_eq!(FlowKey::of(&tcp(v4, true)), None, "SYN");
            assert_eq!(FlowKey::of(&packet[..packet.len() - 1]), None, "shorter than it says");
            let longer = [packet.as_slice(), &[0]].concat();
            assert_eq!(FlowKey::of(&longer), None, "longer than it says");
        }
        let mut fragment = tcp(true, false);
        fragment[6] |= 0x20;
        assert_eq!(FlowKey::of(&fragment), None, "first fragment");
        let mut options = tcp(true, false);
        options[0] = 0x46;
        assert_eq!(FlowKey::of(&options), None, "IP options");
        let mut short = tcp(true, false);
        short[32] = 0x40;
        assert_eq!(FlowKey::of(&short), None, "TCP header shorter than a TCP header");
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..120), first in prop_oneof![Just(0x45u8), Just(0x60u8), any::<u8>()]) {
            let mut bytes = bytes;
            if let Some(byte) = bytes.first_mut() {
                *byte = first;
            }
            let _ = FlowKey::of(&bytes);
        }
    }
}
