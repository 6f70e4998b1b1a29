//! From a peer to the inside.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use netflow_wire::FrameKind;
use netflow_wire::data::DATA_HEADER_LEN;
use netflow_wire::relay::RELAY_HEADER_LEN;

use super::flow::FlowKey;
use super::traffic::{PathTraffic, Traffic};
use super::{Generation, MAX_ENTRIES};
use crate::endpoint::PortId;
use crate::node::Via;
use crate::session::{NULL_MESSAGE, OpenState, PeerRef};
use crate::time::Now;

/// Where a frame came from and what its headers say: frames with one of these are of one session on one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Mark {
    port: PortId,
    from: SocketAddr,
    /// Label and epoch, when a relay was in the way.
    relay: Option<u64>,
    receiver_index: u32,
}

impl Mark {
    /// The mark of a data frame, and where the frame begins.
    fn of(port: PortId, from: SocketAddr, datagram: &[u8]) -> Option<(Self, usize)> {
        let kind = *datagram.first()?;
        let (relay, at) = if kind == FrameKind::Relay as u8 {
            let [_, hops, rest @ ..] = *datagram.first_chunk::<RELAY_HEADER_LEN>()?;
            let [a, b, c, d, e, f] = rest;
            // A hop limit is spent on the way and says nothing here, unless it ought not to have come this far.
            let relay = (hops > 0).then_some(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))?;
            (Some(relay), RELAY_HEADER_LEN)
        } else {
            (None, 0)
        };
        let header: &[u8; DATA_HEADER_LEN] = datagram.get(at..)?.first_chunk()?;
        let is_data = header[0] == FrameKind::Data as u8;
        let receiver_index = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        is_data.then_some((Self { port, from, relay, receiver_index }, at))
    }
}

/// A session on a path, as the data path needs it.
pub(crate) struct Circuit {
    pub(crate) generation: u64,
    pub(crate) until_us: u64,
    pub(crate) peer: PeerRef,
    pub(crate) via: Via,
    pub(crate) open: Arc<OpenState>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) path: Arc<PathTraffic>,
}

struct Entry {
    mark: Mark,
    circuit: Circuit,
    /// Flows of this peer that may enter, until the circuit's time is over.
    flows: HashSet<FlowKey>,
    last: Option<FlowKey>,
}

/// What became of a datagram.
#[derive(Debug)]
pub(crate) enum Opened {
    /// Nothing is known about it: the node has to look at it. It is as it was.
    Unknown,
    /// Authentic, and says nothing.
    Nothing,
    /// Neither authentic nor new: dropped.
    Refused,
    /// A packet that may enter the network of this peer.
    Inside(PeerRef, Range<usize>),
    /// Opened; the node has to decide what it may.
    Plain(PeerRef, Via, Range<usize>),
}

/// Entries of frames from outside.
#[derive(Default)]
pub(crate) struct Inbound {
    places: HashMap<Mark, usize>,
    entries: Vec<Entry>,
    /// Frames of one circuit come in a row.
    last: usize,
    /// Flows in all entries together.
    flows: usize,
}

impl std::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbound").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

impl Inbound {
    /// Opens a frame of a known circuit in place.
    pub(crate) fn open(
        &mut self,
        now: Now,
        generation: &Generation,
        port: PortId,
        from: SocketAddr,
        datagram: &mut [u8],
    ) -> Opened {
        let Some((mark, at)) = Mark::of(port, from, datagram) else { return Opened::Unknown };
        let Some(entry) = self.find(&mark) else { return Opened::Unknown };
        let circuit = &entry.circuit;
        if circuit.generation != generation.now() || now.mono_us >= circuit.until_us {
            return Opened::Unknown;
        }
        let len = datagram.len();
        let Some(frame) = datagram.get_mut(at..) else { return Opened::Unknown };
        let Ok(plaintext) = circuit.open.open_in_place(frame) else { return Opened::Refused };
        circuit.path.heard(now, len);
        let inner = plaintext.start + at..plaintext.end + at;
        let packet = datagram.get(inner.clone()).unwrap_or_default();
        if packet == NULL_MESSAGE {
            circuit.traffic.heard(now, len - at);
            return Opened::Nothing;
        }
        circuit.traffic.heard_past_node(now, len - at);
        let key = FlowKey::of(packet);
        let may_enter = key.is_some_and(|key| {
            entry.last == Some(key) || {
                let is_known = entry.flows.contains(&key);
                if is_known {
                    entry.last = Some(key);
                }
                is_known
            }
        });
        if may_enter {
            Opened::Inside(entry.circuit.peer, inner)
        } else {
            Opened::Plain(entry.circuit.peer, entry.circuit.via, inner)
        }
    }

    /// Keeps what the node found out about a datagram (its headers are still as they came).
    pub(crate) fn learn(&mut self, port: PortId, from: SocketAddr, datagram: &[u8], circuit: Circuit) {
        let Some((mark, _)) = Mark::of(port, from, datagram) else { return };
        if let Some(place) = self.places.get(&mark).copied() {
            if let Some(entry) = self.entries.get_mut(place) {
                entry.circuit = circuit;
                // What may enter is decided again: the log or the policy may be another.
                self.flows = self.flows.saturating_sub(entry.flows.len());
                entry.flows.clear();
                entry.last = None;
            }
            return;
        }
        if self.entries.len() >= MAX_ENTRIES {
            self.forget();
        }
        self.last = self.entries.len();
        self.places.insert(mark, self.last);
        self.entries.push(Entry { mark, circuit, flows: HashSet::new(), last: None });
    }

    /// Packets like this one may enter, as long as the circuit it came on is known.
    pub(crate) fn admit(&mut self, generation: &Generation, peer: PeerRef, key: FlowKey) {
        let Some(entry) = self.entries.get_mut(self.last) else { return };
        if entry.circuit.peer != peer || entry.circuit.generation != generation.now() {
            return;
        }
        entry.last = Some(key);
        self.flows += usize::from(entry.flows.insert(key));
        if self.flows > MAX_ENTRIES {
            self.forget();
        }
    }

    fn forget(&mut self) {
        // Sets keep their room when they are emptied, so they go too.
        self.entries = Vec::new();
        self.places.clear();
        self.flows = 0;
    }

    fn find(&mut self, mark: &Mark) -> Option<&mut Entry> {
        if self.entries.get(self.last).is_none_or(|entry| entry.mark != *mark) {
            self.last = self.places.get(mark).copied()?;
        }
        self.entries.get_mut(self.last)
    }
}
