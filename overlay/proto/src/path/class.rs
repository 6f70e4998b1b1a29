//! What an inside packet wants of its path. Per flow, never per packet size: packets of one flow on two paths overtake each other.

/// Class of a path choice (overlay.md, "Next hops").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Short round trip, little loss: calls, games, shells, names.
    Interactive,
    /// As many bytes a second as possible; everything that says nothing else.
    Bulk,
    /// Whatever costs least: backups, seeding.
    Cheap,
}

impl Class {
    /// All of them, in the order of [`Class::index`].
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Bulk, Self::Cheap];

    /// Position in [`Class::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Interactive => 0,
            Self::Bulk => 1,
            Self::Cheap => 2,
        }
    }

    /// Word for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Bulk => "bulk",
            Self::Cheap => "cheap",
        }
    }
}

/// DSCP "lower effort" (RFC 8622) and class selector 1 (RFC 2474), the older mark for the same.
const LOWER_EFFORT: [u8; 2] = [1, 8];
/// From class selector 4 on: AF4x (conferences), EF and VOICE-ADMIT (calls), CS5..CS7 (RFC 4594, 2.3).
const FIRST_INTERACTIVE: u8 = 32;
/// Ports of flows where a person or a resolver waits for each answer: SSH, DNS, remote desktops, VNC.
const INTERACTIVE_PORTS: [u16; 5] = [22, 53, 853, 3_389, 5_900];
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP_V6: u8 = 58;

/// Class of an IP packet by its DSCP, else by its port. Malformed packets are [`Class::Bulk`]: the policy engine drops them.
#[must_use]
pub fn classify(packet: &[u8]) -> Class {
    let byte = |at: usize| packet.get(at).copied().unwrap_or(0);
    let (dscp, protocol, transport) = match byte(0) >> 4 {
        4 => {
            // Only the first fragment has ports, so a fragmented flow goes by its DSCP alone.
            let is_fragment = byte(6) & 0x3f != 0 || byte(7) != 0;
            (byte(1) >> 2, if is_fragment { 0 } else { byte(9) }, usize::from(byte(0) & 0x0f) * 4)
        }
        6 => ((byte(0) & 0x0f) << 2 | byte(1) >> 6, byte(6), 40),
        _ => return Class::Bulk,
    };
    if LOWER_EFFORT.contains(&dscp) {
        return Class::Cheap;
    }
    let port = |at: usize| u16::from_be_bytes([byte(transport + at), byte(transport + at + 1)]);
    let is_interactive = dscp >= FIRST_INTERACTIVE
        || match protocol {
            TCP | UDP => INTERACTIVE_PORTS.contains(&port(0)) || INTERACTIVE_PORTS.contains(&port(2)),
            ICMP | ICMP_V6 => true,
            _ => false,
        };
    if is_interactive { Class::Interactive } else { Class::Bulk }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    fn udp(dscp: u8, port: u16) -> [Vec<u8>; 2] {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(40_000, port).write(&mut v4, &[0; 100]).unwrap();
        PacketBuilder::ipv6([1; 16], [2; 16], 64).udp(40_000, port).write(&mut v6, &[0; 100]).unwrap();
        v4[1] = dscp << 2;
        v6[0] = 0x60 | dscp >> 2;
        v6[1] = dscp << 6;
        [v4, v6]
    }

    #[test]
    fn the_dscp_decides_and_then_the_port() {
        for (dscp, port, class) in [
            (0, 5_000, Class::Bulk),
            (46, 5_000, Class::Interactive),
            (34, 5_000, Class::Interactive),
            (32, 5_000, Class::Interactive),
            (10, 5_000, Class::Bulk),
            (8, 22, Class::Cheap),
            (1, 5_000, Class::Cheap),
            (0, 22, Class::Interactive),
            (0, 53, Class::Interactive),
        ] {
            for packet in udp(dscp, port) {
                assert_eq!(classify(&packet), class, "DSCP {dscp}, port {port}");
            }
        }
    }

    #[test]
    fn all_packets_of_a_fragmented_flow_have_one_class() {
        let [mut first, _] = udp(0, 22);
        let mut second = first.clone();
        first[6] = 0x20;
        second[7] = 0x10;
        assert_eq!(classify(&first), classify(&second));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for length in 0..64 {
            for first in [0x00, 0x40, 0x4f, 0x60, 0xff] {
                let _ = classify(&vec![first; length]);
            }
        }
    }
}
