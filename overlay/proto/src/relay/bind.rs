//! Bindings at the relay: which UDP address belongs to which node.
//!
//! The ticket (id and key) comes over the authenticated control link. The address is proved by a round trip: the relay
//! answers a correctly keyed bind with a cookie over the address it came from, and believes an address only when the cookie
//! comes back from it, correctly keyed, with a number never used before. Until then every answer is smaller than what it
//! answers (pitfall 13), and nothing but a cookie secret is remembered (pitfall 10).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use netflow_wire::NodeId;
use netflow_wire::bind::{BindFrame, CHALLENGE_LEN, ChallengeRepr, ConfirmFrame};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::auth;
use super::config::LinkId;
use crate::endpoint::{Endpoint, PortId};
use crate::time::{Now, SECOND_US};

/// Age at which the cookie secret is replaced; the previous one stays good for as long again.
const COOKIE_SECRET_US: u64 = 120 * SECOND_US;
/// Shortest time between two challenges nobody asked for, per binding.
const CHALLENGE_GAP_US: u64 = SECOND_US;
/// Smallest frame that may cause an unasked challenge: the challenge itself is no longer.
pub(super) const MIN_CHALLENGED_LEN: usize = CHALLENGE_LEN;
/// How long a binding outlives its control link. A control connection that breaks and comes back must not stop packets.
pub(super) const LINK_GRACE_US: u64 = 60 * SECOND_US;

/// One node's ticket and address.
pub(super) struct Binding {
    pub(super) id: u64,
    key: Zeroizing<[u8; 32]>,
    pub(super) addr: Option<Endpoint>,
    /// Highest number of a confirm: an old one, seen on the way, moves nothing back.
    last_nonce: u64,
    last_challenge_us: Option<u64>,
    /// Control link, `None` once lost.
    pub(super) link: Option<LinkId>,
    pub(super) lost_us: u64,
}

/// Keys the cookies; replaced by time, lazily.
struct CookieSecrets {
    current: Zeroizing<[u8; 32]>,
    previous: Zeroizing<[u8; 32]>,
    made_us: u64,
}

/// All bindings of a relay: one per node with a control link, or that had one a minute ago.
pub(super) struct Bindings {
    nodes: BTreeMap<NodeId, Binding>,
    ids: BTreeMap<u64, NodeId>,
    secrets: CookieSecrets,
    /// Bindings without a link: mostly none, and then no timer has to be looked for.
    lost: usize,
}

/// What a bind frame led to.
pub(super) enum BindOutcome {
    /// Send this back to where the frame came from.
    Reply(Vec<u8>),
    /// The address of a node is proved: send this back, then open what waited for it.
    Bound(NodeId, Vec<u8>),
    /// Nothing happened.
    Drop,
}

impl Bindings {
    pub(super) fn new(now: Now, rng: &mut dyn CryptoRng) -> Self {
        let mut secrets =
            CookieSecrets { current: Zeroizing::new([0; 32]), previous: Zeroizing::new([0; 32]), made_us: now.mono_us };
        rng.fill_bytes(secrets.current.as_mut());
        rng.fill_bytes(secrets.previous.as_mut());
        Self { nodes: BTreeMap::new(), ids: BTreeMap::new(), secrets, lost: 0 }
    }

    /// Nodes whose address is proved.
    pub(super) fn bound_count(&self) -> usize {
        self.nodes.values().filter(|binding| binding.addr.is_some()).count()
    }

    /// The proved address of a node.
    pub(super) fn address(&self, node: &NodeId) -> Option<Endpoint> {
        self.nodes.get(node)?.addr
    }

    /// A new ticket for the node at the end of `link`. The proved address stays until the new ticket proves one.
    pub(super) fn ticket(&mut self, node: NodeId, link: LinkId, rng: &mut dyn CryptoRng) -> (u64, [u8; 32]) {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(key.as_mut());
        let mut id = rng.next_u64();
        while id == 0 || self.ids.contains_key(&id) {
            id = rng.next_u64();
        }
        let addr = self.nodes.get(&node).and_then(|old| old.addr);
        let ticket = *key;
        let binding = Binding { id, key, addr, last_nonce: 0, last_challenge_us: None, link: Some(link), lost_us: 0 };
        if let Some(old) = self.nodes.insert(node, binding) {
            self.ids.remove(&old.id);
            self.lost -= usize::from(old.link.is_none());
        }
        self.ids.insert(id, node);
        (id, ticket)
    }

    /// A node without UDP: its frames come and go over its link, which proved whose they are.
    pub(super) fn bind_carrier(&mut self, node: &NodeId, link: LinkId) {
        if let Some(binding) = self.nodes.get_mut(node) {
            binding.addr = Some(Endpoint::Carrier(link));
        }
    }

    /// The control link of a node is gone.
    pub(super) fn link_lost(&mut self, now: Now, node: &NodeId, link: LinkId) {
        if let Some(binding) = self.nodes.get_mut(node)
            && binding.link == Some(link)
        {
            binding.link = None;
            binding.lost_us = now.mono_us;
            // Frames cannot go where the stream has ended; a UDP address outlives its link.
            binding.addr = binding.addr.filter(|addr| *addr != Endpoint::Carrier(link));
            self.lost += 1;
        }
    }

    pub(super) fn remove(&mut self, node: &NodeId) {
        if let Some(binding) = self.nodes.remove(node) {
            self.ids.remove(&binding.id);
            self.lost -= usize::from(binding.link.is_none());
        }
    }

    /// Nodes whose link is gone for longer than the grace.
    pub(super) fn expired(&self, now: Now) -> Vec<NodeId> {
        let lost = |binding: &Binding| binding.link.is_none() && now.since(binding.lost_us) >= LINK_GRACE_US;
        self.nodes.iter().filter(|(_, binding)| lost(binding)).map(|(node, _)| *node).collect()
    }

    /// When the next grace ends.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        if self.lost == 0 {
            return None;
        }
        let lost = self.nodes.values().filter(|binding| binding.link.is_none());
        lost.map(|binding| binding.lost_us.saturating_add(LINK_GRACE_US)).min()
    }

    /// Frame 0x19: answered with a cookie when its MAC holds.
    pub(super) fn handle_bind(
        &mut self,
        now: Now,
        from: SocketAddr,
        frame: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> BindOutcome {
        let Ok(bind) = BindFrame::new_checked(frame) else { return BindOutcome::Drop };
        let Some(binding) = self.binding(bind.bind_id()) else { return BindOutcome::Drop };
        if !auth::verify(&binding.key, bind.mac_input(), bind.mac()) {
            return BindOutcome::Drop;
        }
        BindOutcome::Reply(self.challenge_frame(now, from, bind.bind_id(), rng))
    }

    /// Frame 0x1B: the address is proved when MAC and cookie hold and the nonce is new.
    pub(super) fn handle_confirm(
        &mut self,
        now: Now,
        port: PortId,
        from: SocketAddr,
        frame: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> BindOutcome {
        let Ok(confirm) = ConfirmFrame::new_checked(frame) else { return BindOutcome::Drop };
        let Some(node) = self.ids.get(&confirm.bind_id()).copied() else { return BindOutcome::Drop };
        let Some(binding) = self.nodes.get_mut(&node) else { return BindOutcome::Drop };
        let fresh = confirm.nonce() > binding.last_nonce;
        if !fresh || !auth::verify(&binding.key, confirm.mac_input(), confirm.mac()) {
            return BindOutcome::Drop;
        }
        self.secrets.rotate(now, rng);
        if !self.secrets.accepts(from, confirm.bind_id(), confirm.cookie()) {
            return BindOutcome::Drop;
        }
        binding.last_nonce = confirm.nonce();
        binding.addr = Some(Endpoint::Udp { port, addr: from });
        BindOutcome::Bound(node, auth::bound_frame(&binding.key, confirm.bind_id(), confirm.nonce(), from))
    }

    /// A challenge for a node that seems to have a new address; at most one a second.
    pub(super) fn challenge(
        &mut self,
        now: Now,
        node: &NodeId,
        to: SocketAddr,
        rng: &mut dyn CryptoRng,
    ) -> Option<Vec<u8>> {
        let binding = self.nodes.get_mut(node)?;
        if binding.last_challenge_us.is_some_and(|last| now.since(last) < CHALLENGE_GAP_US) {
            return None;
        }
        binding.last_challenge_us = Some(now.mono_us);
        let id = binding.id;
        Some(self.challenge_frame(now, to, id, rng))
    }

    fn binding(&self, id: u64) -> Option<&Binding> {
        self.nodes.get(self.ids.get(&id)?)
    }

    fn challenge_frame(&mut self, now: Now, to: SocketAddr, bind_id: u64, rng: &mut dyn CryptoRng) -> Vec<u8> {
        self.secrets.rotate(now, rng);
        let cookie = auth::cookie(&self.secrets.current, to, bind_id);
        ChallengeRepr { bind_id, cookie }.to_bytes().to_vec()
    }
}

impl CookieSecrets {
    fn rotate(&mut self, now: Now, rng: &mut dyn CryptoRng) {
        let age = now.since(self.made_us);
        if age < COOKIE_SECRET_US {
            return;
        }
        if age < 2 * COOKIE_SECRET_US {
            self.previous = self.current.clone();
        } else {
            rng.fill_bytes(self.previous.as_mut());
        }
        rng.fill_bytes(self.current.as_mut());
        self.made_us = now.mono_us;
    }

    fn accepts(&self, from: SocketAddr, bind_id: u64, cookie: &[u8; 16]) -> bool {
        let current = auth::cookie(&self.current, from, bind_id).ct_eq(cookie);
        let previous = auth::cookie(&self.previous, from, bind_id).ct_eq(cookie);
        (current | previous).into()
    }
}
