//! Packets as sentences of a grammar, and their bytes. Written by hand, so that a mistake of the parsing library does not hide itself.

use std::net::IpAddr;

use proptest::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    Tcp { syn: bool, ack: bool },
    Udp,
    Echo { reply: bool },
    IcmpOther,
    Other(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ext {
    HopByHop,
    DestinationOptions,
    Routing(u8),
    Auth,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frag {
    Whole,
    First { id: u16 },
    Tail { id: u16, offset_units: u16 },
}

#[derive(Clone, Debug)]
pub(super) struct Sentence {
    pub(super) v6: bool,
    pub(super) from: usize,
    pub(super) to: usize,
    /// The member whose address is claimed as source.
    pub(super) claims: usize,
    /// Before the fragment header (version 6).
    pub(super) exts: Vec<Ext>,
    /// Behind the fragment header (version 6, whole or first).
    pub(super) inner_exts: Vec<Ext>,
    pub(super) frag: Frag,
    pub(super) payload: Payload,
    pub(super) source_port: u16,
    pub(super) dest_port: u16,
    /// Bytes missing at the end, with the length fields of the IP header saying so.
    pub(super) cut: usize,
}

pub(super) fn sentence() -> impl Strategy<Value = Sentence> {
    let payload = prop_oneof![
        3 => (any::<bool>(), any::<bool>()).prop_map(|(syn, ack)| Payload::Tcp { syn, ack }),
        3 => Just(Payload::Udp),
        2 => any::<bool>().prop_map(|reply| Payload::Echo { reply }),
        1 => Just(Payload::IcmpOther),
        1 => prop_oneof![Just(47u8), Just(50), Just(132)].prop_map(Payload::Other),
    ];
    let ext = || {
        prop_oneof![
            4 => Just(Ext::DestinationOptions),
            1 => Just(Ext::HopByHop),
            1 => Just(Ext::Routing(4)),
            1 => Just(Ext::Routing(0)),
            1 => Just(Ext::Auth),
        ]
    };
    let exts = || prop_oneof![3 => Just(Vec::new()), 2 => prop::collection::vec(ext(), 0..10)];
    let frag = prop_oneof![
        5 => Just(Frag::Whole),
        2 => (0..3u16).prop_map(|id| Frag::First { id }),
        2 => (0..3u16, 1..8u16).prop_map(|(id, offset_units)| Frag::Tail { id, offset_units }),
    ];
    let port = || prop_oneof![Just(80u16), Just(443), Just(5000)];
    let ends = prop_oneof![6 => Just((0usize, 1usize)), 6 => Just((1, 0)), 1 => (0..3usize, 0..3usize)];
    let claims = prop_oneof![9 => Just(None), 1 => (0..3usize).prop_map(Some)];
    let cut = prop_oneof![9 => Just(0usize), 1 => 1..25usize];
    (any::<bool>(), ends, claims, exts(), exts(), frag, payload, (port(), port()), cut).prop_map(
        |(v6, (from, to), claims, exts, inner_exts, frag, payload, (source_port, dest_port), cut)| Sentence {
            v6,
            from,
            to,
            claims: claims.unwrap_or(from),
            exts,
            inner_exts,
            frag,
            payload,
            source_port,
            dest_port,
            cut,
        },
    )
}

impl Sentence {
    pub(super) fn proto(&self) -> u8 {
        match self.payload {
            Payload::Tcp { .. } => 6,
            Payload::Udp => 17,
            Payload::Echo { .. } | Payload::IcmpOther => {
                if self.v6 {
                    58
                } else {
                    1
                }
            }
            Payload::Other(proto) => proto,
        }
    }

    /// The identifier of an echo is its source port, so that requests and replies meet.
    pub(super) fn transport(&self) -> Vec<u8> {
        let (s, d) = (self.source_port.to_be_bytes(), self.dest_port.to_be_bytes());
        match self.payload {
            Payload::Tcp { syn, ack } => {
                let mut bytes = [s, d].concat();
                bytes.extend_from_slice(&[
                    0,
                    0,
                    0,
                    1,
                    0,
                    0,
                    0,
                    2,
                    0x50,
                    u8::from(syn) << 1 | u8::from(ack) << 4,
                    1,
                    0,
                    0,
                    0,
                    0,
                    0,
                ]);
                bytes
            }
            Payload::Udp => [s, d, [0, 12], [0, 0], *b"da", *b"ta"].concat(),
            Payload::Echo { reply } => {
                let kind = match (self.v6, reply) {
                    (false, false) => 8,
                    (false, true) => 0,
                    (true, false) => 128,
                    (true, true) => 129,
                };
                vec![kind, 0, 0, 0, s[0], s[1], 0, 1, 1, 2, 3, 4]
            }
            Payload::IcmpOther => vec![if self.v6 { 133 } else { 13 }, 0, 0, 0, 0, 0, 0, 0],
            Payload::Other(_) => vec![0xee; 24],
        }
    }

    /// Bytes from the first extension header on, and the number of the first header.
    fn v6_payload(&self) -> (u8, Vec<u8>) {
        let (mut next, mut bytes) = match self.frag {
            Frag::Tail { .. } => (self.proto(), vec![0xdd; 32]),
            Frag::Whole | Frag::First { .. } => {
                let mut wrapped = (self.proto(), self.transport());
                if self.frag != Frag::Whole {
                    for ext in self.inner_exts.iter().rev() {
                        wrapped = wrap(*ext, wrapped);
                    }
                }
                wrapped
            }
        };
        let fragment = match self.frag {
            Frag::Whole => None,
            Frag::First { id } => Some((id, 0u16, 1u16)),
            Frag::Tail { id, offset_units } => Some((id, offset_units, 0)),
        };
        if let Some((id, offset, more)) = fragment {
            let word = (offset << 3 | more).to_be_bytes();
            let mut header = vec![next, 0, word[0], word[1], 0, 0];
            header.extend_from_slice(&id.to_be_bytes());
            header.extend_from_slice(&bytes);
            (next, bytes) = (44, header);
        }
        self.exts.iter().rev().fold((next, bytes), |inner, ext| wrap(*ext, inner))
    }

    pub(super) fn bytes(&self, source: IpAddr, dest: IpAddr) -> Vec<u8> {
        match (source, dest) {
            (IpAddr::V4(source), IpAddr::V4(dest)) => {
                let mut payload = match self.frag {
                    Frag::Tail { .. } => vec![0xdd; 32],
                    Frag::Whole | Frag::First { .. } => self.transport(),
                };
                payload.truncate(payload.len().saturating_sub(self.cut));
                let (id, word) = match self.frag {
                    Frag::Whole => (9, 0x4000u16),
                    Frag::First { id } => (id, 0x2000),
                    Frag::Tail { id, offset_units } => (id, offset_units),
                };
                let length = (20 + payload.len()) as u16;
                let mut bytes = vec![0x45, 0];
                for word in [length, id, word] {
                    bytes.extend_from_slice(&word.to_be_bytes());
                }
                bytes.extend_from_slice(&[64, self.proto(), 0, 0]);
                bytes.extend_from_slice(&source.octets());
                bytes.extend_from_slice(&dest.octets());
                bytes.extend_from_slice(&payload);
                bytes
            }
            (IpAddr::V6(source), IpAddr::V6(dest)) => {
                let (next, mut payload) = self.v6_payload();
                payload.truncate(payload.len().saturating_sub(self.cut));
                let length = (payload.len() as u16).to_be_bytes();
                let mut bytes = vec![0x60, 0, 0, 0, length[0], length[1], next, 64];
                bytes.extend_from_slice(&source.octets());
                bytes.extend_from_slice(&dest.octets());
                bytes.extend_from_slice(&payload);
                bytes
            }
            _ => unreachable!("both addresses are of the same family"),
        }
    }
}

fn wrap(ext: Ext, (next, inner): (u8, Vec<u8>)) -> (u8, Vec<u8>) {
    let (number, mut header) = match ext {
        Ext::HopByHop => (0, vec![next, 0, 1, 4, 0, 0, 0, 0]),
        Ext::DestinationOptions => (60, vec![next, 0, 1, 4, 0, 0, 0, 0]),
        Ext::Routing(kind) => (43, vec![next, 0, kind, 0, 0, 0, 0, 0]),
        Ext::Auth => (51, vec![next, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9]),
    };
    header.extend_from_slice(&inner);
    (number, header)
}
