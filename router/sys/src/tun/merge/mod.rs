//! Packets for a TUN, merged where they are segments of one flow, so that the kernel takes 64 KiB in one call.
//!
//! A packet is merged only when its checksum was found right: for a merged one the kernel is told to make the checksums itself, and what was
//! broken before it came here must stay recognisable. Packets of one flow leave in the order they came.

use tun_rs::VIRTIO_NET_HDR_LEN;

/// Packets and merged packets of one batch: more would merge no better, a 64 KiB packet of 1280-byte segments has 53.
const MAX_RUNS: usize = 64;
/// The largest IP packet.
const MAX_LEN: usize = 65_535;
/// Segments of a merged packet: what a kernel takes (UDP_MAX_SEGMENTS), and more than 64 KiB of usual segments have.
const MAX_SEGMENTS: u16 = 64;
/// Runs looked at for a flow, latest first: more flows than this in one batch do not happen on purpose, and each look costs every packet.
const LOOK_BACK: usize = 8;

const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
/// `virtio_net_hdr` (linux/virtio_net.h): flags and kinds.
const NEEDS_CSUM: u8 = 1;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;

/// What a packet must have to be part of a merged one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    ip_len: usize,
    header_len: usize,
    protocol: u8,
    /// TCP sequence number; 0 for UDP.
    seq: u32,
    pushes: bool,
}

impl Segment {
    fn of(packet: &[u8]) -> Option<Self> {
        let (ip_len, protocol) = match packet.first()? {
            0x45 => {
                let header: &[u8; IPV4_LEN] = packet.first_chunk()?;
                let is_whole = header[6] & 0x3f == 0 && header[7] == 0;
                let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
                (is_whole && length == packet.len() && fold(sum(header)) == 0xffff).then_some((IPV4_LEN, header[9]))?
            }
            first if first >> 4 == 6 => {
                let header: &[u8; IPV6_LEN] = packet.first_chunk()?;
                let length = usize::from(u16::from_be_bytes([header[4], header[5]])) + IPV6_LEN;
                (length == packet.len()).then_some((IPV6_LEN, header[6]))?
            }
            _ => return None,
        };
        let transport = packet.get(ip_len..)?;
        let (header_len, seq, pushes) = match protocol {
            TCP => {
                let header: &[u8; 20] = transport.first_chunk()?;
                let length = usize::from(header[12] >> 4) * 4;
                let is_plain = header[13] & !PSH == ACK && length >= 20 && header[12] & 0x0f == 0;
                let seq = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
                is_plain.then_some((length, seq, header[13] & PSH != 0))?
            }
            UDP => {
                let header: &[u8; 8] = transport.first_chunk()?;
                let is_plain = usize::from(u16::from_be_bytes([header[4], header[5]])) == transport.len()
                    && (header[6], header[7]) != (0, 0);
                is_plain.then_some((8, 0, false))?
            }
            _ => return None,
        };
        let header_len = ip_len + header_len;
        // A segment without payload (an acknowledgement) says something by itself.
        (packet.len() > header_len).then_some(Self { ip_len, header_len, protocol, seq, pushes })
    }

    /// Is the transport checksum right?
    fn is_intact(&self, packet: &[u8]) -> bool {
        let Some((ip, transport)) = packet.split_at_checked(self.ip_len) else { return false };
        fold(pseudo(ip, self.protocol, transport.len()) + sum(transport)) == 0xffff
    }
}

/// One packet, or several in one.
#[derive(Debug, Default)]
struct Run {
    /// `virtio_net_hdr` and packet.
    bytes: Vec<u8>,
    first: Option<Segment>,
    /// Payload of each segment but the last.
    size: usize,
    count: u16,
    /// No segment may follow: the last one was shorter, or asks to be delivered.
    closed: bool,
    intact: bool,
}

impl Run {
    fn start(&mut self, packet: &[u8], segment: Option<Segment>) {
        self.bytes.clear();
        self.bytes.resize(VIRTIO_NET_HDR_LEN, 0);
        self.bytes.extend_from_slice(packet);
        self.first = segment;
        self.size = segment.map_or(0, |segment| packet.len() - segment.header_len);
        self.count = 1;
        self.closed = segment.is_none_or(|segment| segment.pushes);
        self.intact = false;
    }

    fn packet(&self) -> &[u8] {
        self.bytes.get(VIRTIO_NET_HDR_LEN..).unwrap_or_default()
    }

    /// Same addresses, protocol and ports.
    fn is_flow(&self, segment: &Segment, packet: &[u8]) -> bool {
        self.first.is_some_and(|first| (first.ip_len, first.protocol) == (segment.ip_len, segment.protocol))
            && same(self.packet(), packet, if segment.ip_len == IPV4_LEN { 12..24 } else { 8..44 })
    }

    /// Adds the segment behind the others. `false`: it does not follow them.
    fn add(&mut self, segment: &Segment, packet: &[u8]) -> bool {
        let Some(first) = self.first.filter(|first| first.header_len == segment.header_len && !self.closed) else {
            return false;
        };
        let payload = packet.get(segment.header_len..).unwrap_or_default();
        let behind = u32::try_from(self.packet().len() - first.header_len).unwrap_or(0);
        let follows = match segment.protocol {
            TCP => segment.seq == first.seq.wrapping_add(behind),
            _ => true,
        };
        let fits = payload.len() <= self.size
            && self.count < MAX_SEGMENTS
            && self.packet().len() + payload.len() <= MAX_LEN
            && alike(&first, self.packet(), packet);
        if !follows || !fits {
            return false;
        }
        self.intact = self.intact || first.is_intact(self.packet());
        if !self.intact || !segment.is_intact(packet) {
            // Both go as they are.
            self.closed = true;
            return false;
        }
        self.bytes.extend_from_slice(payload);
        self.count += 1;
        self.closed = payload.len() < self.size || segment.pushes;
        if segment.pushes
            && let Some(flags) = self.bytes.get_mut(VIRTIO_NET_HDR_LEN + first.ip_len + 13)
        {
            *flags |= PSH;
        }
        true
    }

    /// Completes the headers of several in one.
    fn finish(&mut self) -> Option<()> {
        let first = self.first.filter(|_| self.count > 1)?;
        let is_v4 = first.ip_len == IPV4_LEN;
        let (header, packet) = self.bytes.split_at_mut_checked(VIRTIO_NET_HDR_LEN)?;
        let total = u16::try_from(packet.len()).ok()?;
        let transport_len = packet.len() - first.ip_len;
        let (ip, transport) = packet.split_at_mut_checked(first.ip_len)?;
        if is_v4 {
            ip.get_mut(2..4)?.copy_from_slice(&total.to_be_bytes());
            ip.get_mut(10..12)?.fill(0);
            let checksum = !fold(sum(ip));
            ip.get_mut(10..12)?.copy_from_slice(&checksum.to_ne_bytes());
        } else {
            ip.get_mut(4..6)?.copy_from_slice(&u16::try_from(transport_len).ok()?.to_be_bytes());
        }
        if first.protocol == UDP {
            transport.get_mut(4..6)?.copy_from_slice(&u16::try_from(transport_len).ok()?.to_be_bytes());
        }
        let at: u16 = if first.protocol == TCP { 16 } else { 6 };
        // What the kernel adds the rest to.
        let partial = fold(pseudo(ip, first.protocol, transport_len));
        transport.get_mut(usize::from(at)..usize::from(at) + 2)?.copy_from_slice(&partial.to_ne_bytes());
        let kind = match (first.protocol, is_v4) {
            (TCP, true) => GSO_TCPV4,
            (TCP, false) => GSO_TCPV6,
            _ => GSO_UDP_L4,
        };
        header.get_mut(..2)?.copy_from_slice(&[NEEDS_CSUM, kind]);
        let numbers = [first.header_len, self.size, first.ip_len, usize::from(at)];
        for (place, number) in header.get_mut(2..10)?.chunks_exact_mut(2).zip(numbers) {
            place.copy_from_slice(&u16::try_from(number).ok()?.to_ne_bytes());
        }
        Some(())
    }
}

/// What a device takes merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merges {
    pub(super) tcp: bool,
    pub(super) udp: bool,
}

impl Merges {
    const fn takes(self, protocol: u8) -> bool {
        match protocol {
            TCP => self.tcp,
            UDP => self.udp,
            _ => false,
        }
    }
}

/// Packets on their way to one device.
#[derive(Debug, Default)]
pub struct WriteBatch {
    runs: Vec<Run>,
    used: usize,
}

impl WriteBatch {
    /// Adds a packet; `false` when the batch is full and must be written first.
    #[must_use]
    pub fn push(&mut self, packet: &[u8], merges: Merges) -> bool {
        let segment = Segment::of(packet).filter(|segment| merges.takes(segment.protocol));
        if let Some(segment) = &segment {
            let runs = self.runs.get_mut(..self.used).unwrap_or_default();
            // Only behind the last packet of its flow: what came later must not leave sooner.
            let last = runs.iter_mut().rev().take(LOOK_BACK).find(|run| run.is_flow(segment, packet));
            if last.is_some_and(|run| run.add(segment, packet)) {
                return true;
            }
        }
        if self.used == MAX_RUNS {
            return false;
        }
        if self.used == self.runs.len() {
            self.runs.push(Run::default());
        }
        let Some(run) = self.runs.get_mut(self.used) else { return false };
        run.start(packet, segment);
        self.used += 1;
        true
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Hands out what there is to write, with the header in front, and empties the batch.
    pub(super) fn drain(&mut self, mut write: impl FnMut(&[u8])) {
        for run in self.runs.iter_mut().take(std::mem::take(&mut self.used)) {
            let _ = run.finish();
            write(&run.bytes);
        }
    }
}

fn same(a: &[u8], b: &[u8], range: std::ops::Range<usize>) -> bool {
    a.get(range.clone()).is_some_and(|a| b.get(range) == Some(a))
}

/// Everything in the headers that a merged packet has once: class, hop limit, "don't fragment", acknowledgement, window, options.
fn alike(first: &Segment, a: &[u8], b: &[u8]) -> bool {
    let ip = if first.ip_len == IPV4_LEN {
        same(a, b, 0..2) && same(a, b, 6..7) && same(a, b, 8..9)
    } else {
        same(a, b, 0..4) && same(a, b, 7..8)
    };
    let at = first.ip_len;
    ip && (first.protocol == UDP
        || same(a, b, at + 8..at + 13) && same(a, b, at + 14..at + 16) && same(a, b, at + 20..first.header_len))
}

/// Sum of 16-bit words as they are in memory; the internet checksum does not care about byte order (RFC 1071, 2 B).
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    for (place, byte) in last.iter_mut().zip(rest) {
        *place = *byte;
    }
    words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum::<u64>() + u64::from(u32::from_ne_bytes(last))
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(0)
}

/// Sum of the pseudo header (RFC 9293, 3.1; RFC 8200, 8.1).
fn pseudo(ip: &[u8], protocol: u8, length: usize) -> u64 {
    let addresses = if ip.len() == IPV4_LEN { ip.get(12..20) } else { ip.get(8..40) };
    let length = u16::try_from(length).unwrap_or(0).to_be_bytes();
    sum(addresses.unwrap_or_default()) + sum(&[0, protocol]) + sum(&length)
}

#[cfg(test)]
mod tests;
