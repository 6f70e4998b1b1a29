//! Everything that leaves the daemon as packets: datagrams in batches of one peer, packets in batches of one TUN.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use netflow_overlay::PortId;
use netflow_overlay::node::PacketSink;
use netflow_sys::clock::Clock;
use netflow_sys::tun::{Tun, WriteBatch};
use netflow_sys::udp::{MAX_SEND_BATCH, Outgoing, Run, is_unreachable};
use netflow_wire::NetworkId;

use super::IoCounters;
use super::ports::Ports;
use super::send::SendBatch;

/// How long the loop waits for room in the socket before it drops. Longer would stall other peers, none at all would lose bursts that the
/// kernel takes a moment later; the TUN queues meanwhile, which is what slows TCP senders down.
const SEND_PATIENCE: Duration = Duration::from_millis(5);
/// Destinations the kernel refused that wait for the node; it hears of each once a drain, and of these at most.
const MAX_UNREACHABLE: usize = 64;
/// Send calls that wait at most, each for up to 64 KiB. What is read in one go for many peers needs one each; more than 16 bring
/// nothing, because the flush after them is what takes the time.
const MAX_BATCHES: usize = 16;

/// Sockets, devices, and what is queued for them.
pub(crate) struct Out {
    pub(super) ports: Ports,
    pub(super) tuns: BTreeMap<NetworkId, Tun>,
    write: WriteBatch,
    write_to: Option<NetworkId>,
    /// Those in use come first; the others keep their buffers.
    batches: Vec<SendBatch>,
    used: usize,
    pub(super) clock: Clock,
    /// Remote addresses of links dialled here, and since when something sent there is unanswered.
    pub(super) watched: BTreeMap<SocketAddr, Option<u64>>,
    pub(super) unreachable: Vec<(PortId, SocketAddr)>,
    pub(super) counters: IoCounters,
}

impl PacketSink for Out {
    fn datagram(&mut self, from: PortId, to: SocketAddr, len: usize) -> Option<&mut Vec<u8>> {
        let place = self.place(from, to, len);
        if place.is_none() {
            self.counters.tx_dropped += 1;
        }
        self.batches.get_mut(place?).map(|batch| batch.buffer())
    }

    fn inside(&mut self, network: &NetworkId, packet: &[u8]) {
        self.deliver(*network, packet);
    }
}

impl Out {
    pub(super) fn new(ports: Ports, clock: Clock) -> Self {
        Self {
            ports,
            tuns: BTreeMap::new(),
            write: WriteBatch::default(),
            write_to: None,
            batches: Vec::new(),
            used: 0,
            clock,
            watched: BTreeMap::new(),
            unreachable: Vec::new(),
            counters: IoCounters::default(),
        }
    }

    /// Something came from this address.
    pub(super) fn heard(&mut self, from: &SocketAddr) {
        if let Some(unanswered) = self.watched.get_mut(from) {
            *unanswered = None;
        }
    }

    /// Room for one more datagram: the batch it belongs to, where its bytes are to be appended. `None`: all batches are in use.
    fn place(&mut self, from: PortId, to: SocketAddr, len: usize) -> Option<usize> {
        let (udp, _) = self.ports.get(from)?;
        let max_segments = udp.max_send_segments();
        // Only the last batch of a peer may take more: what comes later must not overtake.
        let last =
            self.batches.get_mut(..self.used)?.iter_mut().enumerate().rev().find(|(_, batch)| batch.is_for(from, to));
        if let Some((index, batch)) = last
            && batch.admit(from, to, len, max_segments)
        {
            return Some(index);
        }
        if self.used >= MAX_BATCHES {
            return None;
        }
        if self.used == self.batches.len() {
            self.batches.push(SendBatch::default());
        }
        self.used += 1;
        let batch = self.batches.get_mut(self.used - 1)?;
        // An empty batch takes anything.
        batch.admit(from, to, len, max_segments).then_some(self.used - 1)
    }

    /// Whether enough is queued to be worth a flush.
    pub(super) fn is_full(&self) -> bool {
        self.used >= MAX_BATCHES / 2
    }

    pub(super) async fn send(&mut self, from: PortId, to: SocketAddr, bytes: &[u8]) {
        if self.ports.get(from).is_none() {
            return;
        }
        if self.used >= MAX_BATCHES {
            self.flush_outside().await;
        }
        if let Some(buffer) = self.datagram(from, to, bytes.len()) {
            buffer.extend_from_slice(bytes);
        }
    }

    /// Sends what came in one receive call, from where it is. What the kernel has no room for is lost like on any link: a relay that waited
    /// for one member would stall the others.
    pub(super) fn send_run(&mut self, from: PortId, to: SocketAddr, run: &Run<'_>) {
        let Some((udp, _)) = self.ports.get(from) else { return };
        let count = run.bytes.len().div_ceil(run.stride);
        // A receive may have merged more than one send takes.
        let most = udp.max_send_segments().min(MAX_SEND_BATCH / run.stride).max(1);
        let mut lost = 0;
        for bytes in run.bytes.chunks(run.stride.saturating_mul(most)) {
            let segment_size = (bytes.len() > run.stride).then_some(run.stride);
            let sent = udp.try_send(&Outgoing { to, bytes, segment_size, from: None, ecn: None });
            if let Err(error) = sent {
                lost += bytes.len().div_ceil(run.stride);
                note_refused(&mut self.unreachable, (from, to), &error);
            }
        }
        self.counters.tx_dropped += u64::try_from(lost.min(count)).unwrap_or(u64::MAX);
        self.asked(&to);
    }

    /// Something goes to this address and an answer would show that it is there.
    fn asked(&mut self, to: &SocketAddr) {
        if let Some(unanswered) = self.watched.get_mut(to) {
            *unanswered = unanswered.or(Some(self.clock.mono_us()));
        }
    }

    pub(super) fn send_ttl(&mut self, from: PortId, to: SocketAddr, ttl: u8, bytes: &[u8]) {
        let Some((udp, _)) = self.ports.get(from) else { return };
        if let Err(error) = udp.try_send_ttl(to, ttl, bytes) {
            self.counters.tx_dropped += 1;
            tracing::trace!(%error, %to, "send");
        }
    }

    pub(super) fn deliver(&mut self, network: NetworkId, packet: &[u8]) {
        if self.write_to != Some(network) {
            self.flush_inside();
            self.write_to = Some(network);
        }
        let Some(merges) = self.tuns.get(&network).map(Tun::merges) else { return };
        if !self.write.push(packet, merges) {
            self.flush_inside();
            self.write_to = Some(network);
            let _ = self.write.push(packet, merges);
        }
    }

    pub(super) async fn flush(&mut self) {
        self.flush_inside();
        self.flush_outside().await;
    }

    fn flush_inside(&mut self) {
        if self.write.is_empty() {
            return;
        }
        let Some(tun) = self.write_to.take().and_then(|network| self.tuns.get(&network)) else {
            self.write = WriteBatch::default();
            return;
        };
        if let Err(error) = tun.write(&mut self.write) {
            self.counters.inside_dropped += 1;
            tracing::debug!(%error, interface = tun.name(), "write");
        }
    }

    pub(super) async fn flush_outside(&mut self) {
        for batch in self.batches.iter_mut().take(std::mem::take(&mut self.used)) {
            let Some((from, outgoing)) = batch.outgoing() else { continue };
            let Some((udp, _)) = self.ports.get(from) else {
                batch.clear();
                continue;
            };
            let mut sent = udp.try_send(&outgoing);
            if sent.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock) {
                // Whether there is room now or not: one more try, then it is lost like on any link.
                let _ = tokio::time::timeout(SEND_PATIENCE, udp.writable()).await;
                sent = udp.try_send(&outgoing);
            }
            if let Some(unanswered) = self.watched.get_mut(&outgoing.to) {
                *unanswered = unanswered.or(Some(self.clock.mono_us()));
            }
            if let Err(error) = sent {
                self.counters.tx_dropped += batch.count();
                note_refused(&mut self.unreachable, (from, outgoing.to), &error);
            }
            batch.clear();
        }
    }
}

/// A send failed: the node hears of destinations nothing can go to.
fn note_refused(unreachable: &mut Vec<(PortId, SocketAddr)>, refused: (PortId, SocketAddr), error: &std::io::Error) {
    tracing::trace!(%error, to = %refused.1, "send");
    if is_unreachable(error) && unreachable.len() < MAX_UNREACHABLE && !unreachable.contains(&refused) {
        unreachable.push(refused);
    }
}
