//! Control links: reliable and in order, over QUIC from the main port, or over TLS where UDP is blocked. A link lives through
//! a loss or a short cut, moves with its client's address when it is QUIC, and dies when nothing gets through for a minute.

use std::net::SocketAddr;

use netflow_overlay::NodeId;
use netflow_overlay::node::{Carrier, LinkId, Node};

use super::{Event, Link, Payload, Tell, World};
use crate::host::MAIN_PORT;
use crate::net::{DEFAULT_TTL, HostId};
use crate::scenario::{MS, SECOND};

/// `router/src/link/tls.rs`: the client pings this often, so that its NAT keeps the mapping.
const KEEPALIVE_US: u64 = 25 * SECOND;
/// `router/src/link/tls.rs`: the idle timeout. An unacknowledged TCP stream is given up at about the same time.
const IDLE_US: u64 = 60 * SECOND;
/// A dial that nobody answers fails after this time.
const DIAL_US: u64 = 10 * SECOND;
/// A client tries UDP for this long before it dials TCP.
const FALLBACK_US: u64 = 3 * SECOND;
/// A QUIC ping and its acknowledgement with IP and UDP headers.
const PING_BYTES: u64 = 2 * (28 + 38);
/// Headers of a message and of its acknowledgement: IP, UDP, QUIC short header, tag; twice.
const MESSAGE_BYTES: u64 = 2 * 64;

impl World {
    pub(super) fn connect(&mut self, host: HostId, node: NodeId, addrs: &[SocketAddr]) {
        let server = self.by_id.get(&node).copied();
        let found = server.and_then(|server| {
            let listens = |addr: &&SocketAddr| self.hosts[server].socket(**addr).is_some();
            let addr = addrs.iter().filter(listens).find(|addr| self.hosts[host].source(addr.ip()).is_some())?;
            Some((server, *addr))
        });
        let Some((server, addr)) = found.filter(|(server, _)| self.passes(host, *server)) else {
            self.tell_later(DIAL_US, host, Tell::LinkFailed { node });
            return;
        };
        let stream = self.is_udp_blocked(host, addr);
        let Some(seen) = self.seen_from(host, addr, stream) else {
            self.tell_later(DIAL_US, host, Tell::LinkFailed { node });
            return;
        };
        let link = self.next_link;
        self.next_link += 1;
        let end = |host: HostId, id: u64| (host, self.hosts[host].boot, LinkId(id));
        let ends = [end(host, 2 * link), end(server, 2 * link + 1)];
        let (last_us, backlog) = ([0, 0], Vec::new());
        let state = Link { ends, stream, addr, seen, last_us, stalled_us: None, moved: false, backlog };
        self.links.insert(link, state);
        let delay = 3 * self.host_delay(host, server) + if stream { FALLBACK_US } else { 0 };
        self.later(delay, Event::LinkUp { link });
    }

    pub(super) fn link_up(&mut self, link: u64) {
        let Some(state) = self.links.get(&link) else { return };
        let ([(client, _, at_client), (server, _, at_server)], addr, seen) = (state.ends, state.addr, state.seen);
        let carrier = if state.stream { Carrier::Stream } else { Carrier::Quic };
        let (client_id, server_id) = (self.hosts[client].id, self.hosts[server].id);
        self.report.links += 1;
        self.with_node(server, |node, now| node.handle_link_up(now, at_server, client_id, seen, false, carrier));
        if self.links.contains_key(&link) {
            self.with_node(client, |node, now| node.handle_link_up(now, at_client, server_id, addr, true, carrier));
            self.later(KEEPALIVE_US, Event::LinkTick { link });
        }
    }

    /// A message or frame of a node for one of its links.
    pub(super) fn link_send(&mut self, host: HostId, id: LinkId, payload: Payload) {
        let link = id.0 / 2;
        let Some(state) = self.links.get(&link) else { return };
        let Some(end) = state.ends.iter().position(|end| end.0 == host && end.2 == id) else { return };
        let (Payload::Message(bytes) | Payload::Frame(bytes, _)) = &payload;
        let length = bytes.len() as u64 + MESSAGE_BYTES;
        self.oracle.watch_clear(bytes, "a control link");
        let other = state.ends[1 - end].0;
        for host in [host, other] {
            self.hosts[host].bytes += length;
        }
        if end == 0 {
            self.refresh(link);
        }
        self.carry(link, 1 - end, payload);
    }

    fn carry(&mut self, link: u64, to: usize, payload: Payload) {
        let Some(state) = self.links.get_mut(&link) else { return };
        if state.stalled_us.is_some() || (to == 0 && state.moved) {
            // Frames are droppable; what queues up in a dead stream is at most a socket buffer.
            if matches!(payload, Payload::Message(_)) {
                state.backlog.push((to, payload));
            }
            return;
        }
        let [(client, ..), (server, ..)] = state.ends;
        let delay = self.host_delay(client, server);
        let lost = self.loss_ppm(client) + self.loss_ppm(server);
        let mut again = 0;
        while again < 6 && self.rng.below(1_000_000) < lost {
            again += 1;
        }
        let at_us = self.now_us + delay + again * (2 * delay + 25 * MS);
        let Some(state) = self.links.get_mut(&link) else { return };
        state.last_us[to] = state.last_us[to].max(at_us);
        self.queue.put(state.last_us[to], Event::LinkData { link, to, payload });
    }

    pub(super) fn link_data(&mut self, link: u64, to: usize, payload: Payload) {
        let Some(state) = self.links.get(&link) else { return };
        let (host, _, id) = state.ends[to];
        match payload {
            Payload::Message(bytes) => {
                self.with_node(host, |node, now| node.handle_link_message(now, id, &bytes));
            }
            Payload::Frame(mut bytes, trail) => {
                if self.enters_relay(host, &bytes, trail) {
                    self.with_node(host, |node, now| node.handle_link_frame(now, id, &mut bytes));
                }
            }
        }
    }

    /// The keepalive of the client.
    pub(super) fn link_tick(&mut self, link: u64) {
        let Some(state) = self.links.get(&link) else { return };
        for (host, ..) in state.ends {
            self.hosts[host].bytes += PING_BYTES;
        }
        self.refresh(link);
        self.later(KEEPALIVE_US, Event::LinkTick { link });
    }

    /// The client sends something: its boxes keep the mapping, and the server learns of a new address.
    fn refresh(&mut self, link: u64) {
        let Some(state) = self.links.get(&link).filter(|state| !state.stream && state.stalled_us.is_none()) else {
            return;
        };
        let [(client, ..), (server, _, at_server)] = state.ends;
        let (addr, seen) = (state.addr, state.seen);
        let Some(remote) = self.seen_from(client, addr, false) else { return };
        let delay = self.host_delay(client, server);
        if remote != seen {
            self.tell_later(delay, server, Tell::LinkAddress { link: at_server, remote });
        }
        let Some(state) = self.links.get_mut(&link) else { return };
        state.seen = remote;
        if std::mem::take(&mut state.moved) {
            self.flush(link);
        }
    }

    fn flush(&mut self, link: u64) {
        let backlog = self.links.get_mut(&link).map(|state| std::mem::take(&mut state.backlog));
        for (to, payload) in backlog.into_iter().flatten() {
            self.carry(link, to, payload);
        }
    }

    /// A node closes a link.
    pub(super) fn close_link(&mut self, host: HostId, id: LinkId) {
        let link = id.0 / 2;
        let Some(end) =
            self.links.get(&link).and_then(|state| state.ends.iter().position(|end| end.0 == host && end.2 == id))
        else {
            return;
        };
        let Some(state) = self.links.remove(&link) else { return };
        let (other, boot, other_link) = state.ends[1 - end];
        let delay = self.host_delay(host, other);
        self.later(delay, Event::Tell { host: other, boot, tell: Tell::LinkDown { link: other_link } });
    }

    /// The program of a host is gone: streams are reset by its kernel, QUIC just gets no answer.
    pub(super) fn break_links(&mut self, host: HostId) {
        let ours = |link: &Link| link.ends.iter().any(|(end, ..)| *end == host);
        let broken: Vec<u64> = self.links.iter().filter(|(_, link)| ours(link)).map(|(key, _)| *key).collect();
        for key in broken {
            let Some(link) = self.links.remove(&key) else { continue };
            let wait = if link.stream { 50 * MS } else { self.rng.between(SECOND / 2, IDLE_US) };
            for (end, boot, id) in link.ends.into_iter().filter(|(end, ..)| *end != host) {
                self.later(wait, Event::Tell { host: end, boot, tell: Tell::LinkDown { link: id } });
            }
        }
    }

    /// Something about who reaches whom has changed: links stall, go on, or move.
    pub(super) fn recheck_links(&mut self) {
        let keys: Vec<u64> = self.links.keys().copied().collect();
        for link in keys {
            let Some(state) = self.links.get(&link) else { continue };
            let [(client, ..), (server, ..)] = state.ends;
            let (addr, stream, seen, stalled) = (state.addr, state.stream, state.seen, state.stalled_us);
            let routed = self.hosts[client].source(addr.ip()).is_some() && self.hosts[server].socket(addr).is_some();
            let open = routed && self.passes(client, server) && (stream || !self.is_udp_blocked(client, addr));
            // A stream is bound to its addresses: with another one it is as good as cut.
            let moved = open && self.outer_ip(client, addr) != Some(seen.ip());
            let through = open && !(stream && moved);
            let now_us = self.now_us;
            let Some(state) = self.links.get_mut(&link) else { continue };
            // A stream does not move: it stalls away from its addresses, and goes on when they are back.
            state.moved |= open && !stream;
            if through && stalled.is_some() {
                state.stalled_us = None;
                if !state.moved {
                    self.flush(link);
                }
            } else if !through && stalled.is_none() {
                state.stalled_us = Some(now_us);
                self.later(IDLE_US, Event::LinkTimeout { link, since_us: now_us });
            }
        }
    }

    pub(super) fn link_timeout(&mut self, link: u64, since_us: u64) {
        if self.links.get(&link).is_none_or(|state| state.stalled_us != Some(since_us)) {
            return;
        }
        let Some(state) = self.links.remove(&link) else { return };
        for (host, boot, id) in state.ends {
            let wait = self.rng.below(SECOND);
            self.later(wait, Event::Tell { host, boot, tell: Tell::LinkDown { link: id } });
        }
    }

    /// Do packets get from one host to the other and back, as far as cables and cuts go?
    fn passes(&self, client: HostId, server: HostId) -> bool {
        let runs =
            |host: HostId| self.hosts[host].plugged && self.hosts[host].node.as_ref().map(Node::node_id).is_some();
        runs(client) && runs(server) && !self.is_cut(client, server) && !self.is_cut(server, client)
    }

    fn is_udp_blocked(&self, host: HostId, to: SocketAddr) -> bool {
        let Some((segment, _)) = self.hosts[host].source(to.ip()) else { return true };
        self.net.boxes(segment).into_iter().any(|gateway| self.net.gateway(gateway).blocks_udp)
    }

    /// The address a server sees a client at. Opens or refreshes the mapping of its main port, unless TCP does that by itself.
    fn seen_from(&mut self, host: HostId, to: SocketAddr, stream: bool) -> Option<SocketAddr> {
        let (segment, ip) = self.hosts[host].source(to.ip())?;
        if stream {
            return self.outer_ip(host, to).map(|ip| SocketAddr::new(ip, 50_000));
        }
        let wire = self.net.climb(self.now_us, segment, SocketAddr::new(ip, MAIN_PORT), to, DEFAULT_TTL);
        wire.ok().map(|wire| wire.from)
    }

    fn outer_ip(&self, host: HostId, to: SocketAddr) -> Option<std::net::IpAddr> {
        let (segment, ip) = self.hosts[host].source(to.ip())?;
        let outermost = self.net.boxes(segment).last().copied().filter(|_| to.is_ipv4());
        Some(outermost.map_or(ip, |gateway| self.net.gateway(gateway).nat.outer_ip))
    }
}
