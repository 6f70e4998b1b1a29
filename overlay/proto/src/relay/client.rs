//! The client's half of binding its address at one relay.
//!
//! Ask for a ticket over the control link, then `bind -> challenge -> confirm -> bound` over UDP, each step repeated until
//! answered. A challenge may also come unasked, when the relay sees this node at another address: it is answered at most
//! every [`CONFIRM_GAP_US`], and only what carries the ticket's MAC changes anything.

use std::net::SocketAddr;

use netflow_wire::FrameKind;
use netflow_wire::bind::{BoundFrame, ChallengeFrame};
use zeroize::Zeroizing;

use super::auth;
use crate::time::{MILLI_US, Now, SECOND_US};

/// First repetition: a round trip round the world and some queue.
const RETRY_US: u64 = 500 * MILLI_US;
/// Longest pause between repetitions.
const MAX_RETRY_US: u64 = 8 * SECOND_US;
/// A bound address is confirmed again this often, in case a NAT changed it in silence: 40 KB a day.
const REFRESH_US: u64 = 600 * SECOND_US;
/// Unanswered repetitions after which a bound address no longer counts as bound.
const MAX_REFRESH_TRIES: u32 = 4;
/// Shortest time between two confirms for challenges nobody asked for.
const CONFIRM_GAP_US: u64 = 200 * MILLI_US;

struct Ticket {
    id: u64,
    key: Zeroizing<[u8; 32]>,
    /// Rises with every frame sent.
    nonce: u64,
    /// Number of the confirm whose answer is awaited.
    confirming: Option<u64>,
    last_confirm_us: Option<u64>,
}

/// The binding of this node at one relay.
#[derive(Default)]
pub(crate) struct BindClient {
    ticket: Option<Ticket>,
    observed: Option<SocketAddr>,
    /// The link itself carries the frames: there is no address to prove.
    by_carrier: bool,
    due_us: Option<u64>,
    tries: u32,
}

/// What a frame of the relay led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BindProgress {
    /// Send this to the relay.
    Send(Vec<u8>),
    /// Bound now; it was not before.
    Bound,
    /// Bound as before.
    Refreshed,
    /// Nothing happened.
    Drop,
}

impl BindClient {
    pub(crate) const fn is_bound(&self) -> bool {
        self.by_carrier || self.observed.is_some()
    }

    /// Own address as the relay sees it.
    pub(crate) const fn observed(&self) -> Option<SocketAddr> {
        self.observed
    }

    /// The link is gone: its ticket is worth nothing for a new one.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// A ticket came over a link that carries the frames as well: bound.
    pub(crate) fn bound_by_carrier(&mut self) {
        *self = Self { by_carrier: true, ..Self::default() };
    }

    /// A ticket came: start. Returns the first bind frame.
    pub(crate) fn start(&mut self, now: Now, id: u64, key: [u8; 32]) -> Vec<u8> {
        let key = Zeroizing::new(key);
        let frame = auth::bind_frame(&key, id, 1);
        self.ticket = Some(Ticket { id, key, nonce: 1, confirming: None, last_confirm_us: None });
        self.observed = None;
        self.tries = 0;
        self.due_us = Some(now.after(RETRY_US));
        frame
    }

    /// A frame 0x1A or 0x1C from the relay's address.
    pub(crate) fn handle_frame(&mut self, now: Now, kind: FrameKind, frame: &[u8]) -> BindProgress {
        if kind == FrameKind::RelayChallenge { self.challenged(now, frame) } else { self.bound(now, frame) }
    }

    fn challenged(&mut self, now: Now, frame: &[u8]) -> BindProgress {
        let Ok(challenge) = ChallengeFrame::new_checked(frame) else { return BindProgress::Drop };
        let Some(ticket) = self.ticket.as_mut().filter(|ticket| ticket.id == challenge.bind_id()) else {
            return BindProgress::Drop;
        };
        if ticket.last_confirm_us.is_some_and(|last| now.since(last) < CONFIRM_GAP_US) {
            return BindProgress::Drop;
        }
        ticket.nonce = ticket.nonce.saturating_add(1);
        ticket.confirming = Some(ticket.nonce);
        ticket.last_confirm_us = Some(now.mono_us);
        BindProgress::Send(auth::confirm_frame(&ticket.key, ticket.id, ticket.nonce, *challenge.cookie()))
    }

    fn bound(&mut self, now: Now, frame: &[u8]) -> BindProgress {
        let Ok(bound) = BoundFrame::new_checked(frame) else { return BindProgress::Drop };
        let Some(ticket) = self.ticket.as_mut() else { return BindProgress::Drop };
        let expected = ticket.id == bound.bind_id() && ticket.confirming == Some(bound.nonce());
        if !expected || !auth::verify(&ticket.key, bound.mac_input(), bound.mac()) {
            return BindProgress::Drop;
        }
        ticket.confirming = None;
        self.tries = 0;
        self.due_us = Some(now.after(REFRESH_US));
        match self.observed.replace(bound.address()) {
            None => BindProgress::Bound,
            Some(_) => BindProgress::Refreshed,
        }
    }

    /// Binds again as soon as timers run: the address of this node changed, most likely.
    pub(crate) fn again(&mut self, now: Now) {
        if self.ticket.is_some() {
            self.tries = 0;
            self.due_us = Some(now.mono_us);
        }
    }

    /// Repeats what was not answered, refreshes what is old.
    pub(crate) fn handle_timeout(&mut self, now: Now) -> Option<Vec<u8>> {
        if self.due_us.is_none_or(|due| due > now.mono_us) {
            return None;
        }
        let ticket = self.ticket.as_mut()?;
        self.tries = self.tries.saturating_add(1);
        if self.tries > MAX_REFRESH_TRIES {
            self.observed = None;
        }
        let pause = RETRY_US.saturating_mul(1 << self.tries.min(4)).min(MAX_RETRY_US);
        self.due_us = Some(now.after(pause));
        ticket.nonce = ticket.nonce.saturating_add(1);
        Some(auth::bind_frame(&ticket.key, ticket.id, ticket.nonce))
    }

    pub(crate) const fn poll_timeout(&self) -> Option<u64> {
        self.due_us
    }
}
