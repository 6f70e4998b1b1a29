//! The session table: every peer, every session, one grammar.

use netflow_wire::NetworkId;
use rand_core::CryptoRng;

use super::types::{
    DropReason, FrameOutcome, LocalIdentity, PeerRef, RemoteKeys, SealOutcome, SealStatus, SessionEvent, SessionInfo, Source, UpsertError,
};
use crate::Now;

/// All sessions of this node.
pub struct SessionTable {
    _identity: LocalIdentity,
}

impl SessionTable {
    /// An empty table for this identity.
    #[must_use]
    pub fn new(identity: LocalIdentity) -> Self {
        Self { _identity: identity }
    }

    /// Starts answering in this network. False when 16 networks are active already (each costs a mac per forged initiation).
    pub fn add_network(&mut self, network: NetworkId) -> bool {
        let _ = network;
        false
    }

    /// Stops answering in this network; its peers and keys are gone at once.
    pub fn remove_network(&mut self, network: &NetworkId) {
        let _ = network;
    }

    /// Adds a peer or brings its keys up to date. A new static key ends the sessions made with the old one.
    ///
    /// # Errors
    /// See [`UpsertError`]; the table is unchanged then.
    pub fn upsert_peer(&mut self, peer: PeerRef, keys: RemoteKeys) -> Result<(), UpsertError> {
        let _ = (peer, keys);
        Err(UpsertError::UnknownNetwork)
    }

    /// Removes a peer: keys, queue, pending handshake gone at once; frames of it are dropped from now on. False when it was not there.
    pub fn remove_peer(&mut self, peer: &PeerRef) -> bool {
        let _ = peer;
        false
    }

    /// Seals an inside packet or inner message for a peer; starts a handshake when there is no session.
    pub fn seal(&mut self, now: Now, rng: &mut dyn CryptoRng, peer: &PeerRef, inner: &[u8]) -> SealOutcome {
        let _ = (now, rng, peer, inner);
        SealOutcome::NoPeer
    }

    /// Like `seal`, appending the frame to `out` (which may already hold a relay header). `out` is unchanged unless `Sealed`.
    pub fn seal_into(&mut self, now: Now, rng: &mut dyn CryptoRng, peer: &PeerRef, inner: &[u8], out: &mut Vec<u8>) -> SealStatus {
        let _ = (now, rng, peer, inner, out);
        SealStatus::NoPeer
    }

    /// Starts a handshake now unless one is pending (a path came up, the peer seems gone). The initiation comes out of `poll_transmit`.
    /// With one pending, its initiation is sent again as it is.
    pub fn initiate(&mut self, now: Now, rng: &mut dyn CryptoRng, peer: &PeerRef) -> SealStatus {
        let _ = (now, rng, peer);
        SealStatus::NoPeer
    }

    /// Takes a frame (first byte 0x10..=0x13) as received; decrypts in place.
    pub fn handle_frame(&mut self, now: Now, rng: &mut dyn CryptoRng, source: &Source, frame: &mut [u8]) -> FrameOutcome {
        let _ = (now, rng, source, frame);
        FrameOutcome::Drop(DropReason::Malformed)
    }

    /// Frames to send on a peer's path: initiations, flushed packets, keepalives. Poll until `None` after every call that takes `now`.
    pub fn poll_transmit(&mut self) -> Option<(PeerRef, Vec<u8>)> {
        None
    }

    /// What happened. Poll until `None` after every call that takes `now`.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        None
    }

    /// Runs what is due. Bounded work per call: `poll_timeout` may be in the past afterwards, then call again.
    pub fn handle_timeout(&mut self, now: Now, rng: &mut dyn CryptoRng) {
        let _ = (now, rng);
    }

    /// `mono_us` at which `handle_timeout` wants to run.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        None
    }

    /// The session used for sending to this peer; `None` while there is none.
    #[must_use]
    pub fn info(&self, peer: &PeerRef) -> Option<SessionInfo> {
        let _ = peer;
        None
    }

    /// How many frames were dropped for this reason since start.
    #[must_use]
    pub fn drops(&self, reason: DropReason) -> u64 {
        let _ = reason;
        0
    }
}
