//! The whole node as a state machine: links, datagrams and packets in, [`Output`]s out (architecture.md, "The grammar of every core").

mod api;

use std::net::SocketAddr;

use netflow_wire::{InviteId, NetworkId, NodeId, RelayInfo};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

pub use api::*;

use crate::policy::Policy;
use crate::time::Now;

/// Surface first (bodies follow): signatures below are stable.
pub struct Node {
    outputs: std::collections::VecDeque<Output>,
}

#[allow(unused_variables, missing_docs, clippy::missing_errors_doc)]
impl Node {
    /// Starts a node on what the shell found on disk. Outputs are waiting afterwards (boot epoch, `NetworkUp`, links).
    pub fn new(config: NodeConfig, restored: Restored, now: Now, rng: Box<dyn CryptoRng + Send>) -> Self { loop {} }

    // ---- inputs; afterwards drain `poll_output`
    /// One datagram of ours (first byte 0x10..=0x1f); anything else is counted and dropped.
    pub fn handle_datagram(&mut self, now: Now, from: SocketAddr, datagram: &mut [u8]) { }
    /// One IP packet read from the TUN of `network`.
    pub fn handle_inside(&mut self, now: Now, network: &NetworkId, packet: &[u8]) { }
    /// A control link is up; `peer` is the key the other side proved. `outgoing`: this side dialled.
    pub fn handle_link_up(&mut self, now: Now, link: LinkId, peer: NodeId, remote: SocketAddr, outgoing: bool) { }
    /// A dial asked for by `Output::LinkConnect` failed; `error` is one line for people.
    pub fn handle_link_failed(&mut self, now: Now, node: &NodeId, error: &str) { }
    /// One control message (CBOR, without its length prefix).
    pub fn handle_link_message(&mut self, now: Now, link: LinkId, message: &[u8]) { }
    /// The remote address of a link changed (QUIC migration).
    pub fn handle_link_address(&mut self, now: Now, link: LinkId, remote: SocketAddr) { }
    /// A link is gone.
    pub fn handle_link_down(&mut self, now: Now, link: LinkId) { }
    /// Timers. Call when `poll_timeout` is reached; calling early is harmless.
    pub fn handle_timeout(&mut self, now: Now) { }
    /// When `handle_timeout` is due, in `Now::mono_us`.
    pub fn poll_timeout(&self) -> Option<u64> { None }
    /// The next side effect.
    pub fn poll_output(&mut self) -> Option<Output> { self.outputs.pop_front() }

    // ---- commands; perform the outputs before showing the answer
    pub fn create_network(&mut self, now: Now, name: &str, options: &CreateOptions) -> Result<NetworkId, CommandError> { loop {} }
    pub fn create_invite(&mut self, now: Now, network: &NetworkId, options: &InviteOptions) -> Result<IssuedInvite, CommandError> { loop {} }
    pub fn cancel_invite(&mut self, now: Now, network: &NetworkId, invite: &InviteId) -> Result<(), CommandError> { loop {} }
    /// Starts to join; `JoinCompleted` or `JoinFailed` follows. Running it again with the same token goes on with the same join.
    pub fn join(&mut self, now: Now, token: &str) -> Result<NetworkId, CommandError> { loop {} }
    /// Forgets a network. Refused with `Conflict` when the owner key is here and `force` is not set.
    pub fn leave(&mut self, now: Now, network: &NetworkId, force: bool) -> Result<(), CommandError> { loop {} }
    pub fn set_up(&mut self, now: Now, network: &NetworkId, up: bool) -> Result<(), CommandError> { loop {} }
    pub fn revoke(&mut self, now: Now, network: &NetworkId, node: &NodeId) -> Result<(), CommandError> { loop {} }
    pub fn set_tags(&mut self, now: Now, network: &NetworkId, node: &NodeId, tags: &[String]) -> Result<(), CommandError> { loop {} }
    pub fn rename_member(&mut self, now: Now, network: &NetworkId, node: &NodeId, name: &str) -> Result<(), CommandError> { loop {} }
    pub fn set_policy(&mut self, now: Now, network: &NetworkId, policy: &Policy) -> Result<(), CommandError> { loop {} }
    pub fn add_admin(&mut self, now: Now, network: &NetworkId, node: &NodeId) -> Result<(), CommandError> { loop {} }
    pub fn remove_admin(&mut self, now: Now, network: &NetworkId, node: &NodeId) -> Result<(), CommandError> { loop {} }
    pub fn set_relays(&mut self, now: Now, network: &NetworkId, relays: &[RelayInfo]) -> Result<(), CommandError> { loop {} }
    /// The owner's secret key (ed25519 seed), for a sealed backup.
    pub fn owner_key(&self, network: &NetworkId) -> Result<Zeroizing<[u8; 32]>, CommandError> { loop {} }
    /// Puts an owner key back on a node that is a member. Refused when it is not the owner of `network`.
    pub fn import_owner(&mut self, now: Now, network: &NetworkId, seed: &[u8; 32]) -> Result<(), CommandError> { loop {} }
    /// Starts `count` probes (1..=10,000) every `interval_us`; events `PingReply` / `PingLost` carry the returned number.
    pub fn ping(&mut self, now: Now, network: &NetworkId, node: &NodeId, count: u32, interval_us: u64) -> Result<u64, CommandError> { loop {} }
    /// Ends a ping early.
    pub fn stop_ping(&mut self, ping: u64) { }
    /// Reload of the configuration: relays for networks created later.
    pub fn set_default_relays(&mut self, relays: Vec<RelayInfo>) { }
    /// Reload of the configuration: grants and quotas; circuits of networks that lost theirs are closed.
    pub fn set_relay_config(&mut self, now: Now, relay: Option<RelayConfig>) { }

    // ---- queries
    pub fn node_id(&self) -> NodeId { loop {} }
    pub fn status(&self, now: Now) -> NodeStatus { loop {} }
    pub fn networks(&self) -> Vec<NetworkInfo> { loop {} }
    pub fn members(&self, network: &NetworkId) -> Result<Vec<MemberInfo>, CommandError> { loop {} }
    pub fn peers(&self, now: Now, network: &NetworkId) -> Result<Vec<PeerInfo>, CommandError> { loop {} }
    pub fn policy(&self, network: &NetworkId) -> Result<Policy, CommandError> { loop {} }
    /// `None` when this node does not relay.
    pub fn relay_status(&self) -> Option<RelayStatus> { None }
}
