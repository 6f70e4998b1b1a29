//! The relay as a switch: frames from label to label, charged to who pays for them, in turns when the uplink is full.

use netflow_wire::relay::RelayFrame;
use rand_core::CryptoRng;

use super::bind::MIN_CHALLENGED_LEN;
use super::circuits::{CircuitKey, Hop, Owner, Payer};
use super::quota::Denied;
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
        let meter = match hop.payer {
            Payer::Network => self.hosted.get_mut(&hop.network).map(|hosted| &mut hosted.meter),
            Payer::Transit(relay) => self.transit.get_mut(&relay),
        };
        let Some(meter) = meter else { return false };
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
        match frame.hop.payer {
            Payer::Network => {
                if let Some(hosted) = self.hosted.get_mut(&frame.hop.network) {
                    hosted.meter.give_back(bytes);
                }
            }
            Payer::Transit(relay) => {
                if let Some(meter) = self.transit.get_mut(&relay) {
                    meter.give_back(bytes);
                }
            }
        }
    }

    fn leave(&mut self, now: Now, frame: Waiting) {
        let Waiting { to, hop, bytes } = frame;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if let (Payer::Network, Some(hosted)) = (hop.payer, self.hosted.get_mut(&hop.network)) {
            hosted.forwarded_bytes = hosted.forwarded_bytes.saturating_add(length);
        }
        self.forwarded_frames = self.forwarded_frames.saturating_add(1);
        self.forwarded_bytes = self.forwarded_bytes.saturating_add(length);
        self.circuits.count(&hop, length);
        self.next_note_us.get_or_insert(now.after(NOTE_US));
        self.emit(RelayOutput::Datagram { to, bytes });
    }
}
