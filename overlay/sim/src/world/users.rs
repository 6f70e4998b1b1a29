//! What people do: make networks, invite, join, revoke, and talk.

use std::net::IpAddr;

use netflow_overlay::NetworkId;
use netflow_overlay::node::{CreateOptions, InviteOptions, NetworkStateInfo};

use super::{Event, World};
use crate::net::HostId;
use crate::packet::{self, MIN_PAYLOAD, Tag};
use crate::scenario::{Flow, SECOND, Talk};

/// Somebody who did not get what he wants tries again.
const AGAIN_US: u64 = 5 * SECOND;
/// Packets of a burst of [`Talk::Bulk`].
const BURST: u32 = 10;
/// Payload of a full packet at the default inner MTU.
const FULL: usize = 1_280 - 28;

/// A flow and what became of it.
#[derive(Debug)]
pub(crate) struct Talker {
    pub(crate) flow: Flow,
    /// Must work in the end.
    pub(crate) is_final: bool,
    next_seq: u32,
    /// Largest payload the node let through.
    full: usize,
    /// First packet given to the node.
    pub(crate) began_us: Option<u64>,
    /// First arrival of an answer (of a packet, when it is one way).
    pub(crate) first_us: Option<u64>,
    pub(crate) last_us: Option<u64>,
    /// First time the sender's path was direct.
    pub(crate) direct_us: Option<u64>,
    pub(crate) last_direct_us: Option<u64>,
}

impl Talker {
    pub(crate) const fn new(flow: Flow, is_final: bool) -> Self {
        Self {
            flow,
            is_final,
            next_seq: 0,
            full: FULL,
            began_us: None,
            first_us: None,
            last_us: None,
            direct_us: None,
            last_direct_us: None,
        }
    }
}

impl World {
    pub(super) fn create(&mut self, network: usize) {
        let owner = self.scenario.networks[network].members[0];
        let private = &self.scenario.networks[network];
        // The willing one first: a node keeps links to the first four.
        let relays = private.willing.iter().map(|member| self.willing_info(*member));
        let relays = relays.chain(private.relays.iter().map(|relay| self.relay_info(*relay))).collect();
        let options = CreateOptions { relays, ..CreateOptions::default() };
        let name = format!("net{network}");
        let boot = self.hosts[owner].boot;
        let made = self.with_node(owner, |node, now| node.create_network(now, &name, &options));
        match made {
            Some(Ok(id)) if self.hosts[owner].node.is_some() && self.hosts[owner].boot == boot => {
                self.networks[network].id = Some(id);
                self.oracle.networks.insert(id, network);
            }
            Some(Err(error)) => self.oracle.violated(format!("net{network} cannot be made: {error}")),
            // It died over it: nobody was shown anything.
            _ => self.later(AGAIN_US, Event::Create { network }),
        }
    }

    /// Is this host a member that carries traffic, as its own node sees it?
    pub(crate) fn is_up(&self, host: HostId, id: NetworkId) -> bool {
        let Some(node) = &self.hosts[host].node else { return false };
        node.networks().iter().any(|info| info.network == id && info.state == NetworkStateInfo::Up)
    }

    pub(super) fn join(&mut self, network: usize, member: HostId) {
        let owner = self.scenario.networks[network].members[0];
        let is_up = self.networks[network].id.is_some_and(|id| self.is_up(member, id));
        if is_up || self.networks[network].revoked.contains_key(&member) {
            return;
        }
        self.later(AGAIN_US, Event::Join { network, member });
        let Some(id) = self.networks[network].id else { return };
        if !self.networks[network].tokens.contains_key(&member) {
            let boot = self.hosts[owner].boot;
            let made = self.with_node(owner, |node, now| node.create_invite(now, &id, &InviteOptions::default()));
            if let Some(Ok(invite)) = made
                && self.hosts[owner].boot == boot
                && self.hosts[owner].node.is_some()
            {
                self.networks[network].tokens.insert(member, invite.token);
            }
        }
        let Some(token) = self.networks[network].tokens.get(&member).cloned() else { return };
        let joining = self.hosts[member].node.as_ref().is_some_and(|node| {
            node.networks().iter().any(|info| info.network == id && info.state == NetworkStateInfo::Joining)
        });
        if !joining {
            self.diary.note(self.now_us, || format!("m{member} joins net{network}"));
            self.with_node(member, |node, now| drop(node.join(now, &token, None)));
        }
    }

    pub(super) fn revoke(&mut self, network: usize, member: HostId) {
        let owner = self.scenario.networks[network].members[0];
        let whom = self.hosts[member].id;
        let Some(id) = self.networks[network].id else { return };
        if member == owner || self.networks[network].revoked.contains_key(&member) {
            return;
        }
        let done = self.with_node(owner, |node, now| {
            let is_member = node.members(&id).is_ok_and(|members| members.iter().any(|member| member.node == whom));
            is_member && node.revoke(now, &id, &whom).is_ok()
        });
        let died = self.hosts[owner].node.is_none();
        if done == Some(true) && died {
            // It died over it: whether the entry was durable shows when it is back.
            self.networks[network].revoking.insert(member);
            self.later(AGAIN_US, Event::Revoke { network, member });
        } else if done == Some(true) || (done == Some(false) && self.networks[network].revoking.contains(&member)) {
            self.diary.note(self.now_us, || format!("m{member} is revoked in net{network}"));
            self.networks[network].revoked.insert(member, self.now_us);
        } else if done.is_none() && self.now_us < self.scenario.heal_us {
            // The owner's machine is off.
            self.later(AGAIN_US, Event::Revoke { network, member });
        }
    }

    // ---- talk

    pub(super) fn talk(&mut self, index: usize) {
        let flow = self.flows[index].flow;
        if self.now_us >= flow.end_us {
            return;
        }
        self.later(flow.every_us, Event::Talk { flow: index });
        let (burst, length) = match flow.talk {
            Talk::Ask => (1, MIN_PAYLOAD + self.rng.index(200)),
            Talk::OneWay => (1, 160),
            Talk::Bulk => (BURST, self.flows[index].full),
        };
        for _ in 0..burst {
            self.say(index, length);
        }
    }

    fn say(&mut self, index: usize, length: usize) {
        let Flow { network, from, to, .. } = self.flows[index].flow;
        let Some(id) = self.networks[network].id else { return };
        let (Some(source), Some(dest)) = (self.overlay_ip(from, id), self.overlay_ip_of(from, to, id)) else { return };
        let now_us = self.now_us;
        let talker = &mut self.flows[index];
        let seq = talker.next_seq;
        talker.next_seq += 1;
        talker.began_us.get_or_insert(now_us);
        let tag = Tag { flow: number(index), seq, network: number(network), answer: false };
        let Some(packet) = packet::build(source, dest, tag, length) else { return };
        self.report.said += 1;
        self.with_node(from, |node, now| node.handle_inside(now, &id, &packet));
    }

    /// The IPv6 address of a member never changes and never clashes.
    fn overlay_ip(&self, host: HostId, id: NetworkId) -> Option<IpAddr> {
        self.hosts[host].plans.get(&id).map(|plan| IpAddr::V6(plan.ipv6))
    }

    fn overlay_ip_of(&self, from: HostId, to: HostId, id: NetworkId) -> Option<IpAddr> {
        self.overlay_ip(to, id).or_else(|| {
            let whom = self.hosts[to].id;
            let members = self.hosts[from].node.as_ref()?.members(&id).ok()?;
            members.iter().find(|member| member.node == whom).map(|member| IpAddr::V6(member.ipv6))
        })
    }

    /// A packet comes out of a TUN.
    pub(super) fn inside(&mut self, host: HostId, id: NetworkId, packet: &[u8]) {
        let Some(tag) = packet::read(packet) else {
            match packet::too_big(packet) {
                Some(mtu) => self.shrink(host, id, mtu),
                None => self.oracle.violated(format!("m{host} got a packet that nobody sent")),
            }
            return;
        };
        let Some(flow) = self.flows.get(tag.flow as usize).map(|talker| talker.flow) else {
            self.oracle.violated(format!("m{host} got a packet of no flow"));
            return;
        };
        let (speaker, hearer) = if tag.answer { (flow.to, flow.from) } else { (flow.from, flow.to) };
        if self.oracle.networks.get(&id) != Some(&flow.network) || hearer != host {
            self.oracle.violated(format!("a packet of {flow:?} came out at m{host} in {id:?}"));
            return;
        }
        self.oracle.delivered(tag);
        self.watch_revoked(flow.network, speaker, hearer);
        self.report.heard += 1;
        if tag.answer || flow.talk == Talk::OneWay {
            let now_us = self.now_us;
            let talker = &mut self.flows[tag.flow as usize];
            talker.first_us.get_or_insert(now_us);
            talker.last_us = Some(now_us);
        }
        if !tag.answer && flow.talk != Talk::OneWay {
            let (Some(source), Some(dest)) = (self.overlay_ip(host, id), self.overlay_ip_of(host, speaker, id)) else {
                return;
            };
            let Some(answer) = packet::build(source, dest, Tag { answer: true, ..tag }, MIN_PAYLOAD) else { return };
            // Not within the outputs of this node: an application answers a moment later.
            self.later(1, Event::Say { host, network: id, packet: answer });
        }
    }

    /// "Packet too big": the sender sends smaller ones.
    fn shrink(&mut self, host: HostId, id: NetworkId, mtu: usize) {
        self.report.too_big_answers += 1;
        for talker in &mut self.flows {
            let ours = talker.flow.from == host && self.networks[talker.flow.network].id == Some(id);
            if ours && talker.full + 48 > mtu {
                talker.full = mtu.saturating_sub(48).max(MIN_PAYLOAD);
            }
        }
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
