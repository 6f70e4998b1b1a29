//! Questions a relay answers about itself: is it reachable from there, does it reach here, and how far is it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use netflow_wire::control::{ControlMessage, refused_code};
use netflow_wire::probe::{EchoFrame, ReachRepr};
use netflow_wire::relay::INITIAL_HOP_LIMIT;
use netflow_wire::stun;
use rand_core::CryptoRng;

use super::bucket::Bucket;
use super::config::LinkId;
use super::server::{RelayOutput, RelayServer};
use crate::endpoint::{Endpoint, PortId};
use crate::time::{Now, SECOND_US, WallClock};

/// Answers for one source (IPv4 /24, IPv6 /48): a site that classifies its NAT needs a dozen.
const STUN_PER_SECOND: u32 = 20;
const STUN_BURST: u32 = 60;
/// Answers in all: 100 bytes each, so at most 4 Mbit/s.
const STUN_ALL: u32 = 5_000;
/// Answers longer than their request, in all. A bare request has 20 bytes and its answer 32 or 44; this is what is left of an
/// amplifier: 25 Kbit/s over all sources.
const STUN_LONGER: u32 = 100;
/// Budgets by source. Sources that share one share its budget: forged ones use up their own.
const STUN_SOURCES: usize = 1_024;

/// Addresses that asked lately, kept for this long: a fresh port of a node is tested within seconds after its main port asked.
const SEEN_US: u64 = 30 * SECOND_US;
/// Of so many; the oldest goes. 48 bytes each.
const MAX_SEEN: usize = 4_096;

/// Addresses that asked by STUN: a node on a control link of one family may be reached over the other.
#[derive(Default)]
pub(super) struct Seen {
    last_us: BTreeMap<IpAddr, u64>,
    order: BTreeSet<(u64, IpAddr)>,
}

impl Seen {
    fn add(&mut self, now: Now, ip: IpAddr) {
        if let Some(last_us) = self.last_us.insert(ip, now.mono_us) {
            self.order.remove(&(last_us, ip));
        }
        self.order.insert((now.mono_us, ip));
        while let Some((last_us, oldest)) = self.order.first().copied() {
            if self.order.len() <= MAX_SEEN && now.since(last_us) < SEEN_US {
                break;
            }
            self.order.remove(&(last_us, oldest));
            self.last_us.remove(&oldest);
        }
    }

    fn has(&self, now: Now, ip: IpAddr) -> bool {
        self.last_us.get(&ip).is_some_and(|last_us| now.since(*last_us) < SEEN_US)
    }
}

/// How many STUN requests are answered.
pub(super) struct StunLimits {
    all: Bucket,
    longer: Bucket,
    sources: Vec<Bucket>,
    seed: u64,
    seen: Seen,
}

impl StunLimits {
    pub(super) fn new(now: Now, rng: &mut dyn CryptoRng) -> Self {
        Self {
            all: Bucket::new(STUN_ALL, STUN_ALL, now),
            longer: Bucket::new(STUN_LONGER, STUN_LONGER, now),
            sources: vec![Bucket::new(STUN_PER_SECOND, STUN_BURST, now); STUN_SOURCES],
            seed: rng.next_u64(),
            seen: Seen::default(),
        }
    }

    /// The source first: what one site uses up must not be taken from all.
    fn take(&mut self, now: Now, from: SocketAddr) -> bool {
        let prefix = match from.ip() {
            IpAddr::V4(v4) => u64::from(v4.to_bits() >> 8),
            IpAddr::V6(v6) => u64::try_from(v6.to_bits() >> 80).unwrap_or(0) | 1 << 63,
        };
        // Multiply and take the high half: enough to spread, and nobody outside knows the seed.
        let spread = u128::from(prefix ^ self.seed) * 0x9e37_79b9_7f4a_7c15;
        let at = usize::try_from((spread >> 64) & 0xffff).unwrap_or(0) % STUN_SOURCES;
        self.sources.get_mut(at).is_some_and(|bucket| bucket.take(now)) && self.all.take(now)
    }
}

impl RelayServer {
    /// The shell has, or lost, the second port ([`PortId::STUN_ALT`]).
    pub fn set_other_port(&mut self, there: bool) {
        self.has_other_port = there;
    }

    /// A STUN Binding request of anybody (RFC 8489). `false`: not answered.
    pub fn handle_stun(&mut self, now: Now, from: Endpoint, datagram: &[u8]) -> bool {
        let Endpoint::Udp { port, addr } = from else { return false };
        if !self.stun.take(now, addr) {
            return false;
        }
        let Some(answer) = stun::answer(datagram, addr, self.has_other_port) else { return false };
        if answer.is_longer_than(datagram) && !self.stun.longer.take(now) {
            return false;
        }
        self.stun.seen.add(now, addr.ip());
        let port = if answer.from_other_port { PortId::STUN_ALT } else { port };
        self.emit(RelayOutput::Datagram { to: Endpoint::Udp { port, addr }, bytes: answer.bytes });
        true
    }

    /// The shell says what the wall clock of this machine shows.
    pub fn set_wall_clock(&mut self, wall: WallClock) {
        self.wall = wall;
    }

    /// A client asks what this relay's clock shows.
    pub(super) fn tell_time(&mut self, now: Now, link: LinkId, id: u64) {
        if self.links.get_mut(&link).is_some_and(|state| state.probes.take(now)) {
            let unix_ms = u64::try_from(self.wall.unix_ms(now, now.mono_us)).unwrap_or(0);
            self.send(link, ControlMessage::TimeAnswer { id, unix_ms });
        }
    }

    /// A client asks for one datagram to an address of its own. To the IP address it is known to be at, or one that asked by STUN a
    /// moment ago, and no other: otherwise anybody could make relays send to anybody. Who forges the source of a STUN request
    /// gains nothing by it: the message that asks for a probe is longer than the probe.
    pub(super) fn probe_me(&mut self, now: Now, link: LinkId, addr: SocketAddr, token: u64, alt: bool) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let (node, remote) = (state.node, state.remote.ip());
        let bound = self.binds.address(&node).and_then(|bound| bound.addr()).map(|bound| bound.ip());
        let known = addr.ip() == remote || Some(addr.ip()) == bound || self.stun.seen.has(now, addr.ip());
        if addr.port() == 0 || !known {
            self.strike(link, "a probe to an address that is not that of this node");
            return;
        }
        if alt && !self.has_other_port {
            self.refuse(link, None, refused_code::OTHER, "this relay has no second port");
        } else if self.links.get_mut(&link).is_some_and(|state| state.probes.take(now)) {
            let port = if alt { PortId::STUN_ALT } else { PortId::MAIN };
            let bytes = ReachRepr { token }.to_bytes().to_vec();
            self.emit(RelayOutput::Datagram { to: Endpoint::Udp { port, addr }, bytes });
        }
    }

    /// Frame 0x1E: the round trip of one mesh link, or to one relay of a circuit.
    pub(super) fn echo(&mut self, now: Now, from: Endpoint, datagram: &mut [u8]) -> bool {
        let Ok(mut frame) = EchoFrame::new_checked(datagram) else { return false };
        if frame.label() == 0 {
            if frame.is_answer() {
                let heard = self.mesh.answered(now, from, frame.id(), frame.relay());
                if heard {
                    self.tell_news(now);
                }
                return heard;
            }
            if self.mesh.by_endpoint(from).is_none() {
                return false;
            }
            frame.answer(1, self.me.short());
            self.emit(RelayOutput::Datagram { to: from, bytes: frame.into_inner().to_vec() });
            return true;
        }
        let Some(hop) = self.circuits.hop(frame.label()).filter(|_| frame.epoch() == self.epoch) else { return false };
        if self.place(&hop.from) != Some(from) {
            return false;
        }
        let ends_here = frame.hop_limit() == 1;
        let (labels, to) = if ends_here && !frame.is_answer() {
            frame.answer(INITIAL_HOP_LIMIT, self.me.short());
            (hop.back, Some(from))
        } else if frame.take_hop() {
            (hop.onward, self.place(&hop.to))
        } else {
            return false;
        };
        let Some(((label, epoch), to)) = labels.zip(to) else { return false };
        frame.set_label(label, epoch);
        let bytes = frame.into_inner().to_vec();
        // Not kept behind data: it would measure the queue of others.
        if self.charge(now, &hop, bytes.len()) {
            self.emit(RelayOutput::Datagram { to, bytes });
        }
        true
    }
}
