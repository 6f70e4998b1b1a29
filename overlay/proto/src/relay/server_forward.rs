//! The relay as a switch: frames from label to label, charged to who pays for them, in turns when the uplink is full.

use netflow_wire::relay::RelayFrame;
use rand_core::CryptoRng;

use super::bind::MIN_CHALLENGED_LEN;
use super::circuits::{CircuitKey, Hop, Owner, Payer};
use super::quota::{Denied, Meter};
use super::server::{RelayOutput, RelayServer};
use super::shaper::Verdict;
use crate::endpoint::Endpoint;
use crate::time::{Now, SECOND_US};

/// How often the volume used is written down: what a crash may forget.
const NOTE_US: u64 = 300 * SECOND_US;

/// A frame on its way out.
pub(super) struct Waiting {
    to: Endpoint,
    hop: Hop,
    bytes: Vec<u8>,
}

impl RelayServer {
    /// Where the frames of one side of a circuit come from and go to, now.
    pub(super) fn place(&self, owner: &Owner) -> Option<Endpoint> {
        match owner {
            Owner::Member(node) => self.binds.address(node),
            Owner::Relay(node) => self.mesh.endpoint(node),
        }
    }

    /// Frame 0x18: check, count, swap the label in place, send on.
    pub(super) fn forward(&mut self, now: Now, from: Endpoint, datagram: &mut [u8], rng: &mut dyn CryptoRng) -> bool {
        let length = datagram.len();
        let Ok(mut frame) = RelayFrame::new_checked(datagram) else { return false };
        if frame.epoch() != self.epoch {
            return false;
        }
        let Some(hop) = self.circuits.hop(frame.label()) else { return false };
        if self.place(&hop.from) != Some(from) {
            self.dropped_frames = self.dropped_frames.saturating_add(1);
            self.challenge(now, &hop.from, from, length, rng);
            return true;
        }
        let onward = hop.onward.zip(self.place(&hop.to));
        let Some(((label, epoch), to)) = onward.filter(|_| frame.take_hop()) else {
            self.dropped_frames = self.dropped_frames.saturating_add(1);
            return true;
        };
        if self.charge(now, &hop, length) {
            frame.set_label(label);
            frame.set_epoch(epoch);
            let bytes = frame.into_inner().to_vec();
            self.dispatch(now, Waiting { to, hop, bytes });
        }
        true
    }

    /// Frames that came in one receive call, `stride` bytes each, the last perhaps shorter: when all are of one circuit, one look decides for
    /// all, their headers are rewritten where they are, and they may leave in one send call to the answer. `None`: nothing was changed, and
    /// each has to be looked at by itself. That is so too where an uplink has a rate, because then networks take turns frame by frame.
    pub(crate) fn forward_run(&mut self, now: Now, from: Endpoint, run: &mut [u8], stride: usize) -> Option<Endpoint> {
        if self.shaper.is_some() || stride == 0 {
            return None;
        }
        let first = RelayFrame::new_checked(run.get(..stride.min(run.len()))?).ok()?;
        let (label, epoch) = (first.label(), first.epoch());
        let hop = self.circuits.hop(label).filter(|hop| epoch == self.epoch && self.place(&hop.from) == Some(from))?;
        let ((next_label, next_epoch), to) = hop.onward.zip(self.place(&hop.to))?;
        // Streams and our own member take frames one by one.
        to.addr().filter(|addr| !addr.ip().is_unspecified())?;
        // The last relay a frame may pass is no matter of many.
        let is_alike =
            |frame: RelayFrame<&[u8]>| (frame.label(), frame.epoch()) == (label, epoch) && frame.hop_limit() > 1;
        if !run.chunks(stride).all(|frame| RelayFrame::new_checked(frame).is_ok_and(is_alike)) {
            return None;
        }
        let bytes = u64::try_from(run.len()).ok()?;
        self.meter(&hop)?.take(now, bytes).ok()?;
        for frame in run.chunks_mut(stride) {
            let Ok(mut frame) = RelayFrame::new_checked(frame) else { continue };
            // Looked at above: none has passed its last relay.
            let _ = frame.take_hop();
            frame.set_label(next_label);
            frame.set_epoch(next_epoch);
        }
        let frames = u64::try_from(run.len().div_ceil(stride)).ok()?;
        self.note_left(now, &hop, frames, bytes);
        Some(to)
    }

    /// What pays for a circuit.
    fn meter(&mut self, hop: &Hop) -> Option<&mut Meter> {
        match hop.payer {
            Payer::Network => self.hosted.get_mut(&hop.network).map(|hosted| &mut hosted.meter),
            Payer::Transit(relay) => self.transit.get_mut(&relay),
        }
    }

    /// Perhaps the NAT of a member gave it another port: let it prove that. Smaller than the frame, and once a second.
    fn challenge(&mut self, now: Now, owner: &Owner, from: Endpoint, length: usize, rng: &mut dyn CryptoRng) {
        if let Owner::Member(node) = owner
            && length >= MIN_CHALLENGED_LEN
            && let Some(addr) = from.addr()
            && let Some(bytes) = self.binds.challenge(now, node, addr, rng)
        {
            self.emit(RelayOutput::Datagram { to: from, bytes });
        }
    }

    /// Takes the bytes of one frame from the quota of who pays. At the end of the volume its circuits close.
    pub(super) fn charge(&mut self, now: Now, hop: &Hop, length: usize) -> bool {
        let bytes = u64::try_from(length).unwrap_or(u64::MAX);
        let Some(meter) = self.meter(hop) else { return false };
        let Err(denied) = meter.take(now, bytes) else { return true };
        self.quota_dropped_frames = self.quota_dropped_frames.saturating_add(1);
        if let (Payer::Network, Some(hosted)) = (hop.payer, self.hosted.get_mut(&hop.network)) {
            hosted.quota_dropped_frames = hosted.quota_dropped_frames.saturating_add(1);
        }
        if denied == Denied::Volume {
            let keys: Vec<CircuitKey> = match hop.payer {
                Payer::Network => self.circuits.of_network(hop.network).collect(),
                Payer::Transit(relay) => self.circuits.paid_by(relay),
            };
            for key in keys {
                self.close_circuit(&key, netflow_wire::control::circuit_reason::QUOTA, None);
            }
        }
        false
    }

    fn dispatch(&mut self, now: Now, frame: Waiting) {
        let Some(shaper) = &mut self.shaper else {
            self.leave(now, frame);
            return;
        };
        let length = u64::try_from(frame.bytes.len()).unwrap_or(u64::MAX);
        match shaper.push(now, frame.hop.network, length, frame) {
            Verdict::Pass(frame) => self.leave(now, frame),
            Verdict::Queued => {}
            Verdict::Dropped(frame) => self.drop_waiting(&frame),
        }
    }

    /// Sends what waited for the uplink, as far as the rate allows.
    pub(super) fn send_waiting(&mut self, now: Now) {
        while let Some(verdict) = self.shaper.as_mut().and_then(|shaper| shaper.pop(now)) {
            match verdict {
                Verdict::Pass(frame) => self.leave(now, frame),
                Verdict::Dropped(frame) => self.drop_waiting(&frame),
                Verdict::Queued => {}
            }
        }
    }

    fn drop_waiting(&mut self, frame: &Waiting) {
        self.queue_dropped_frames = self.queue_dropped_frames.saturating_add(1);
        let bytes = u64::try_from(frame.bytes.len()).unwrap_or(u64::MAX);
        if let Some(meter) = self.meter(&frame.hop) {
            meter.give_back(bytes);
        }
    }

    fn leave(&mut self, now: Now, frame: Waiting) {
        let Waiting { to, hop, bytes } = frame;
        self.note_left(now, &hop, 1, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.emit(RelayOutput::Datagram { to, bytes });
    }

    fn note_left(&mut self, now: Now, hop: &Hop, frames: u64, bytes: u64) {
        if let (Payer::Network, Some(hosted)) = (hop.payer, self.hosted.get_mut(&hop.network)) {
            hosted.forwarded_bytes = hosted.forwarded_bytes.saturating_add(bytes);
        }
        self.forwarded_frames = self.forwarded_frames.saturating_add(frames);
        self.forwarded_bytes = self.forwarded_bytes.saturating_add(bytes);
        self.circuits.count(hop, frames, bytes);
        self.next_note_us.get_or_insert(now.after(NOTE_US));
    }
}
