//! Around a node: its timer, its outputs, its life. What `router/` does with an operating system.

use std::sync::Arc;

use netflow_overlay::node::{Event as NodeEvent, MapProtocol, Node, Output, PortMapping};
use netflow_overlay::{Now, PortId};

use super::{Event, Payload, Tell, Undo, World};
use crate::memo::Memo;
use crate::net::HostId;
use crate::scenario::MS;

/// Longest answer of a gateway to a request for a port mapping.
const MAP_US: u64 = 50 * MS;
/// Sockets of the node besides its main port (design/overlay.md: one budget of 64).
const MAX_PORTS: usize = 64;

impl World {
    /// Starts the program of a host.
    pub(super) fn start(&mut self, host: HostId) {
        if self.hosts[host].node.is_some() {
            return;
        }
        let now_us = self.now_us;
        let signatures = Arc::<Memo>::clone(&self.signatures);
        self.hosts[host].start(now_us, signatures);
        if self.hosts[host].fixed.relay.is_some() {
            self.hosts[host].bind(PortId::ALT_443, 443);
            self.hosts[host].open(PortId::STUN_ALT);
        }
        let (name, boot) = (&self.hosts[host].fixed.name, self.hosts[host].boot);
        self.diary.note(now_us, || format!("{name} starts ({boot})"));
        self.perform(host);
    }

    /// kill -9, and a start later.
    pub(super) fn kill(&mut self, host: HostId, down_us: u64) {
        if self.hosts[host].node.is_none() {
            return;
        }
        let name = &self.hosts[host].fixed.name;
        self.diary.note(self.now_us, || format!("{name} is killed"));
        self.hosts[host].stop();
        self.report.kills += 1;
        self.break_links(host);
        self.later(down_us, Event::Undo(Undo::Start(host)));
    }

    /// The timer of a host, unless it was set anew since.
    pub(super) fn wake(&mut self, host: HostId) {
        if self.hosts[host].wake_us.is_none_or(|due| due > self.now_us) {
            return;
        }
        self.hosts[host].wake_us = None;
        // The deadline may have moved on since the timer was set.
        let due = self.hosts[host].node.as_ref().and_then(Node::poll_timeout);
        if due.is_some_and(|due| due <= self.now_us) {
            self.with_node(host, |node, now| node.handle_timeout(now));
        } else {
            self.perform(host);
        }
    }

    /// Gives a running node an input, and performs what comes of it.
    pub(super) fn with_node<T>(&mut self, host: HostId, input: impl FnOnce(&mut Node, Now) -> T) -> Option<T> {
        let it = &mut self.hosts[host];
        let now = it.now(self.now_us);
        let answer = input(it.node.as_mut()?, now);
        self.perform(host);
        Some(answer)
    }

    /// Performs what a node wants, in order: a write is durable before anything after it.
    pub(super) fn perform(&mut self, host: HostId) {
        while let Some(output) = self.hosts[host].node.as_mut().and_then(Node::poll_output) {
            self.output(host, output);
        }
        let Some(node) = &self.hosts[host].node else { return };
        // A timer in the past is due now; the queue finds a node that always is.
        let Some(due) = node.poll_timeout().map(|due| due.max(self.now_us)) else { return };
        let set = self.hosts[host].wake_us;
        if set.is_none_or(|set| due < set || set < self.now_us) {
            self.hosts[host].wake_us = Some(due);
            self.queue.put(due, Event::Wake { host });
        }
    }

    fn output(&mut self, host: HostId, output: Output) {
        match output {
            Output::Persist(change) => {
                self.hosts[host].disk.write(change);
                if let Some((writes, down_us)) = self.hosts[host].die_at
                    && self.hosts[host].disk.writes >= writes
                {
                    // Whenever the write comes, everybody runs when the world is whole again.
                    self.kill(host, down_us.min(self.scenario.heal_us.saturating_sub(self.now_us)));
                }
            }
            Output::Datagram { from, to, ttl, bytes } => self.datagram(host, from, to, ttl, bytes),
            Output::LinkFrame { link, bytes } => {
                let trail = self.leaves_relay(host, &bytes);
                self.link_send(host, link, Payload::Frame(bytes, trail));
            }
            Output::LinkSend { link, bytes } => self.link_send(host, link, Payload::Message(bytes)),
            Output::LinkConnect { node, addrs } => self.connect(host, node, &addrs),
            Output::LinkClose { link } => self.close_link(host, link),
            Output::PortOpen { port } => {
                let local = self.hosts[host].open(port);
                let punching = self.hosts[host].ports.keys().filter(|port| port.is_punch()).count();
                self.report.most_ports = self.report.most_ports.max(punching);
                if punching > MAX_PORTS {
                    self.oracle.violated(format!("{} opened {punching} ports", self.hosts[host].fixed.name));
                }
                self.tell_later(0, host, Tell::PortOpen { port, local });
            }
            Output::PortClose { port } => self.hosts[host].close(port),
            Output::MapPort { wanted } => {
                self.hosts[host].wants_mapping = wanted;
                self.tell_later(MAP_US, host, Tell::PortMap);
            }
            Output::Inside { network, packet } => self.inside(host, network, &packet),
            Output::Event(event) => self.node_event(host, event),
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "a world looks at few of the things a node tells its user")]
    fn node_event(&mut self, host: HostId, event: NodeEvent) {
        let name = &self.hosts[host].fixed.name;
        self.diary.detail(self.now_us, || format!("{name}: {event:?}"));
        match event {
            NodeEvent::NetworkUp(plan) => drop(self.hosts[host].plans.insert(plan.network, plan)),
            NodeEvent::NetworkDown { network, .. } => drop(self.hosts[host].plans.remove(&network)),
            NodeEvent::PathChanged { network, node, class, reason, voluntary: true, .. } => {
                let boot = self.hosts[host].boot;
                self.report.switches += 1;
                self.oracle.switched(self.now_us, (host, boot, network, node, class.index()), &reason);
            }
            NodeEvent::ForkDetected { .. } => {
                self.oracle.violated(format!("{name}: a crash made somebody sign two entries with one number"));
            }
            _ => {}
        }
    }

    /// What the shell has to say to the start it is meant for.
    pub(super) fn tell(&mut self, host: HostId, boot: u32, tell: Tell) {
        if self.hosts[host].boot != boot || self.hosts[host].node.is_none() {
            return;
        }
        match tell {
            Tell::PortOpen { port, local } => {
                self.with_node(host, |node, now| node.handle_port_open(now, port, Ok(local)));
            }
            Tell::PortMap => {
                let mapping = self.mapping(host);
                self.with_node(host, |node, now| node.handle_port_map(now, mapping));
            }
            Tell::LinkFailed { node: other } => {
                self.with_node(host, |node, now| node.handle_link_failed(now, &other, "no answer"));
            }
            Tell::LinkDown { link } => {
                self.with_node(host, |node, now| node.handle_link_down(now, link));
            }
            Tell::LinkAddress { link, remote } => {
                self.with_node(host, |node, now| node.handle_link_address(now, link, remote));
            }
            Tell::Unreachable { port, to } => {
                self.with_node(host, |node, now| node.handle_unreachable(now, port, to));
            }
        }
    }

    /// Asks the gateway of the default route for a mapping of the main port, or gives it back.
    fn mapping(&mut self, host: HostId) -> Option<PortMapping> {
        let wanted = self.hosts[host].wants_mapping;
        let family = std::net::IpAddr::from([0, 0, 0, 0]);
        let interface = self.hosts[host].default_of(family)?;
        let inner = std::net::SocketAddr::new(interface.v4?, crate::host::MAIN_PORT);
        let gateway = self.net.gateway_of(interface.segment)?;
        let now_us = self.now_us;
        let nat = &mut self.net.gateway_mut(gateway).nat;
        if !wanted {
            nat.unmap_port(inner);
            return None;
        }
        let external = nat.map_port(now_us, inner)?;
        Some(PortMapping { external, protocol: MapProtocol::Pcp, lifetime_s: 7_200 })
    }

    /// The interfaces of a host changed.
    pub(super) fn interfaces_changed(&mut self, host: HostId) {
        let interfaces = self.hosts[host].local_interfaces();
        self.with_node(host, |node, now| node.handle_interfaces(now, interfaces));
        if self.hosts[host].wants_mapping {
            self.tell_later(MAP_US, host, Tell::PortMap);
        }
        self.recheck_links();
    }
}
