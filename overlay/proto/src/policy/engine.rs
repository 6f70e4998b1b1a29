//! The decision about one packet.

use std::net::IpAddr;

use etherparse::IpNumber;
use netflow_wire::NodeId;

use super::flows::{Flows, Fragments};
use super::packet::{Packet, Role, Tuple};
use super::rules::{Action, Policy, Proto, Rule, Selector};
use crate::netlog::{Member, NetworkLog, NetworkState};
use crate::time::Now;

/// Why a packet was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Not an IP packet whose parts add up.
    #[error("not a well-formed IP packet")]
    Malformed,
    /// The source address does not belong to the sender.
    #[error("source address is not the sender's")]
    Source,
    /// The destination address belongs to no other member, or not to this node.
    #[error("destination address is no member's")]
    Destination,
    /// A rule, or no rule.
    #[error("denied by policy")]
    Policy,
    /// A fragment whose packet was not allowed, or that came before the first.
    #[error("fragment of a packet that was not allowed")]
    Fragment,
}

/// The member an address belongs to: the longest prefix that contains it wins. Members have host prefixes only, so this is a look-up.
pub fn owner_of(state: &NetworkState, address: IpAddr) -> Option<&Member> {
    state.member_by_ip(address)
}

/// The policy of one network as one node applies it. Remembers flows so that replies pass.
#[derive(Default)]
pub struct Engine {
    flows: Flows,
    fragments: Fragments,
}

impl Engine {
    /// Remembers nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Flows remembered: at most 65,536.
    pub fn flow_count(&self) -> usize {
        self.flows.len()
    }

    /// Forgets expired flows. Optional, for timers: memory is bounded without it.
    pub fn handle_timeout(&mut self, now: Now) {
        self.flows.sweep(now);
    }

    /// A packet from this node's TUN: to which peer may it go?
    ///
    /// # Errors
    /// [`Denied`]: drop it.
    pub fn outbound(&mut self, now: Now, log: &NetworkLog, own: &NodeId, bytes: &[u8]) -> Result<NodeId, Denied> {
        let packet = Packet::parse(bytes).ok_or(Denied::Malformed)?;
        let (source, dest) = packet.addresses();
        let from = owner_of(log.state(), source).filter(|member| member.node == *own).ok_or(Denied::Source)?;
        let to = owner_of(log.state(), dest).filter(|member| member.node != *own).ok_or(Denied::Destination)?;
        self.decide(now, log, from, to, to.node, &packet)?;
        Ok(to.node)
    }

    /// A packet that came out of the session with `sender`: may it enter this node's TUN?
    ///
    /// # Errors
    /// [`Denied`]: drop it.
    pub fn inbound(
        &mut self,
        now: Now,
        log: &NetworkLog,
        own: &NodeId,
        sender: &NodeId,
        bytes: &[u8],
    ) -> Result<(), Denied> {
        let packet = Packet::parse(bytes).ok_or(Denied::Malformed)?;
        let (source, dest) = packet.addresses();
        let from = owner_of(log.state(), source)
            .filter(|member| member.node == *sender && member.node != *own)
            .ok_or(Denied::Source)?;
        let to = owner_of(log.state(), dest).filter(|member| member.node == *own).ok_or(Denied::Destination)?;
        self.decide(now, log, from, to, *sender, &packet)
    }

    fn decide(
        &mut self,
        now: Now,
        log: &NetworkLog,
        from: &Member,
        to: &Member,
        peer: NodeId,
        packet: &Packet,
    ) -> Result<(), Denied> {
        match *packet {
            Packet::Tail { source, dest, id, offset } => {
                let passes = self.fragments.tail(&peer, source, dest, id, offset, now);
                if passes { Ok(()) } else { Err(Denied::Fragment) }
            }
            Packet::Head { tuple, role, fragment } => {
                let verdict = self.decide_head(now, log, from, to, peer, &tuple, role);
                if let Some(first) = fragment {
                    match verdict {
                        Ok(()) => self.fragments.pass(peer, tuple.source, tuple.dest, first, now),
                        Err(_) => self.fragments.deny(&peer, tuple.source, tuple.dest, first.id),
                    }
                }
                verdict
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one packet, both ends, one moment; a struct would only rename them")]
    fn decide_head(
        &mut self,
        now: Now,
        log: &NetworkLog,
        from: &Member,
        to: &Member,
        peer: NodeId,
        tuple: &Tuple,
        role: Role,
    ) -> Result<(), Denied> {
        let revision = log.revision();
        let (policy, opener) = (log.state().policy(), tuple.reversed());
        let forward = || allows(policy, from, to, tuple);
        let backward = || allows(policy, to, from, &opener);
        let known = match role {
            Role::Opener => {
                self.flows.touch(tuple, now, revision, forward) || self.flows.touch(&opener, now, revision, backward)
            }
            Role::OnlyOpener => self.flows.touch(tuple, now, revision, forward),
            Role::OnlyReply => self.flows.touch(&opener, now, revision, backward),
            Role::ErrorAbout(quoted) => self.is_error_of_flow(now, log, from, to, tuple, &quoted),
        };
        if known {
            return Ok(());
        }
        if !forward() {
            return Err(Denied::Policy);
        }
        if matches!(role, Role::Opener | Role::OnlyOpener) {
            self.flows.open(*tuple, peer, now, revision);
        }
        Ok(())
    }

    /// An error passes when it quotes a packet of an open flow which the receiver of the error had sent to the sender of the error.
    fn is_error_of_flow(
        &mut self,
        now: Now,
        log: &NetworkLog,
        from: &Member,
        to: &Member,
        error: &Tuple,
        quoted: &Tuple,
    ) -> bool {
        if quoted.source != error.dest || quoted.dest != error.source {
            return false;
        }
        let (policy, revision, opener) = (log.state().policy(), log.revision(), quoted.reversed());
        self.flows.touch(quoted, now, revision, || allows(policy, to, from, quoted))
            || self.flows.touch(&opener, now, revision, || allows(policy, from, to, &opener))
    }
}

/// Does the first rule that matches allow `from` to open this flow to `to`?
fn allows(policy: &Policy, from: &Member, to: &Member, tuple: &Tuple) -> bool {
    let matching = policy.rules.iter().find(|rule| matches_rule(rule, from, to, tuple));
    matching.is_some_and(|rule| rule.action == Action::Allow)
}

fn matches_rule(rule: &Rule, from: &Member, to: &Member, tuple: &Tuple) -> bool {
    let (tcp, udp) = (tuple.proto == IpNumber::TCP.0, tuple.proto == IpNumber::UDP.0);
    let icmp = if tuple.source.is_ipv4() { IpNumber::ICMP.0 } else { IpNumber::IPV6_ICMP.0 };
    let proto = match rule.proto {
        Proto::Any => true,
        Proto::Tcp => tcp,
        Proto::Udp => udp,
        Proto::Icmp => tuple.proto == icmp,
    };
    let in_range = |&(low, high): &(u16, u16)| (low..=high).contains(&tuple.dest_port);
    let ports = rule.ports.is_empty() || ((tcp || udp) && rule.ports.iter().any(in_range));
    proto && ports && selects(&rule.from, from) && selects(&rule.to, to)
}

fn selects(selector: &Selector, member: &Member) -> bool {
    match selector {
        Selector::Any => true,
        Selector::Tag(tag) => member.tags.binary_search(tag).is_ok(),
    }
}
