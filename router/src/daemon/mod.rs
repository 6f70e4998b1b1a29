//! The event loop: everything that happens becomes a call of the node, and everything the node wants is done here, in its order.
//!
//! One task owns the node and every side effect. An iteration takes what is ready up to a budget, so that no source starves another, and
//! then drains the node's outputs: `Persist` before anything that comes after it.

mod commands;
mod events;
mod lookup;
mod outputs;
mod sockets;
mod start;
mod uplinks;
mod waiting;

use std::collections::BTreeMap;
use std::path::PathBuf;

use netflow_overlay::Now;
use netflow_overlay::PortId;
use netflow_overlay::node::{Carrier, LinkId, Node, Output, PortMapping};
use netflow_sys::clock::Clock;
use netflow_sys::files::InstanceLock;
use netflow_wire::control::ControlMessage;
use netflow_wire::{NetworkId, NodeId, RelayInfo};
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, oneshot};

use crate::api::ApiJob;
use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::io::{Io, Ready};
use crate::link::{LinkEvent, LinkManager};
use crate::logging::LogControl;
use crate::metrics::{self, PathChanges};
use crate::networks::Networks;
use crate::store::Store;
use lookup::Lookup;
use uplinks::{Mapping, Uplinks};
use waiting::Waiting;

pub(crate) use start::run;

/// Receive batches per iteration: at most 8 times 8 merged buffers, some 2 ms of work, before the timers get their turn.
const RECEIVE_BUDGET: usize = 8;
/// TUN reads per iteration, each up to one 64 KiB super-packet, and small packets one by one: as many as one send call takes.
const READ_BUDGET: usize = 64;
/// Link events per iteration.
const LINK_BUDGET: usize = 16;

/// What other tasks ask of the loop.
pub(crate) enum Job {
    /// A request on the control socket.
    Api(ApiJob),
    /// The text of `/metrics`.
    Metrics(oneshot::Sender<String>),
    /// Whether the daemon is ready, and why not.
    Ready(oneshot::Sender<Result<(), String>>),
    /// The relays of the configuration, looked up: those for new networks, and those this relay works together with.
    /// A line for each of the former that has no answer.
    Relays { relays: Vec<RelayInfo>, mesh: Vec<RelayInfo>, missing: Vec<String> },
    /// How the machine is connected now.
    Uplinks(Uplinks),
}

/// The daemon.
pub(crate) struct Daemon {
    node: Node,
    config: Config,
    config_path: PathBuf,
    clock: Clock,
    io: Io,
    store: Store,
    networks: Networks,
    links: LinkManager,
    link_events: mpsc::Receiver<LinkEvent>,
    jobs: mpsc::Receiver<Job>,
    job_sender: mpsc::Sender<Job>,
    waiting: Waiting,
    active: Option<NetworkId>,
    /// Last known remote address of each link, to notice when QUIC follows a peer to a new one.
    link_addresses: BTreeMap<LinkId, (NodeId, std::net::SocketAddr)>,
    path_changes: PathChanges,
    uplinks: Option<Uplinks>,
    lookup: Lookup,
    mapping: Mapping,
    log: LogControl,
    signals: Signals,
    _lock: InstanceLock,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// Why the loop woke up.
enum Wake {
    Packets(Ready),
    Link(LinkEvent),
    Job(Job),
    Mapped(Option<PortMapping>),
    Timer,
    Reload,
    Stop,
}

impl Daemon {
    fn now(&self) -> Now {
        Now { mono_us: self.clock.mono_us(), unix_s: self.clock.unix_s() }
    }

    /// For whoever asks what this machine's clock shows, and for whoever answered: both come over links.
    fn read_wall_clock(&mut self) {
        let now = self.now();
        self.node.handle_wall_clock(now, self.clock.unix_ms());
    }

    /// Runs until a signal, or until something cannot go on.
    async fn serve(&mut self) -> Result<(), Failure> {
        self.drain().await?;
        loop {
            match self.wake().await {
                Wake::Packets(Ready::Outside(port)) => self.receive(port).await?,
                Wake::Packets(Ready::Inside(network)) => self.read_inside(&network).await?,
                Wake::Link(event) => {
                    self.read_wall_clock();
                    self.link_events(event);
                }
                Wake::Job(job) => self.job(job).await?,
                Wake::Mapped(mapping) => self.port_mapped(mapping),
                Wake::Timer => {
                    self.node.handle_timeout(self.now());
                    self.ask_silent_relays();
                }
                Wake::Reload => self.reload(),
                Wake::Stop => return Ok(()),
            }
            self.drain().await?;
            self.create_waiting().await?;
            self.settle();
        }
    }

    async fn wake(&mut self) -> Wake {
        let deadline =
            self.node.poll_timeout().into_iter().chain(self.waiting.deadline()).chain(self.io.silence_deadline()).min();
        let timer = async {
            match deadline {
                Some(mono_us) => tokio::time::sleep_until(self.clock.instant_at(mono_us)).await,
                None => std::future::pending().await,
            }
        };
        // Not biased: tokio picks among the ready ones at random, which is the fairness between them.
        tokio::select! {
            ready = self.io.ready() => Wake::Packets(ready),
            Some(event) = self.link_events.recv() => Wake::Link(event),
            Some(job) = self.jobs.recv() => Wake::Job(job),
            mapping = self.mapping.mapper.changed() => Wake::Mapped(mapping),
            () = timer => Wake::Timer,
            _ = self.signals.hangup.recv() => Wake::Reload,
            _ = self.signals.terminate.recv() => Wake::Stop,
            _ = self.signals.interrupt.recv() => Wake::Stop,
        }
    }

    async fn receive(&mut self, port: PortId) -> Result<(), Failure> {
        for _ in 0..RECEIVE_BUDGET {
            let now = self.now();
            let node = &mut self.node;
            if !self.io.receive(port, now, node) {
                break;
            }
            self.drain().await?;
        }
        Ok(())
    }

    async fn read_inside(&mut self, network: &NetworkId) -> Result<(), Failure> {
        for _ in 0..READ_BUDGET {
            let now = self.now();
            let node = &mut self.node;
            if !self.io.read_inside(network, |packet, out| node.handle_inside_into(now, network, packet, out)) {
                break;
            }
            if self.io.is_full() {
                self.drain().await?;
            }
        }
        // `serve` drains what is left.
        Ok(())
    }

    fn link_events(&mut self, first: LinkEvent) {
        self.link_event(first);
        for _ in 1..LINK_BUDGET {
            let Ok(event) = self.link_events.try_recv() else { break };
            self.link_event(event);
        }
    }

    fn link_event(&mut self, event: LinkEvent) {
        if !self.links.note(&event) {
            return;
        }
        let now = self.now();
        match event {
            LinkEvent::Up { link, peer, remote, outgoing, carrier, .. } => {
                tracing::info!(peer = %short(&peer), %remote, outgoing, ?carrier, "control link is up");
                self.link_addresses.insert(link, (peer, remote));
                // Silence of a stream is TCP's to notice.
                if outgoing && carrier == Carrier::Quic {
                    self.io.watch(remote, true);
                }
                self.node.handle_link_up(now, link, peer, remote, outgoing, carrier);
            }
            LinkEvent::Failed { node, error } => {
                tracing::info!(peer = %short(&node), error, "cannot open a control link");
                self.node.handle_link_failed(now, &node, &error);
            }
            LinkEvent::Message { link, bytes, remote } => {
                if let Some((_, known)) = self.link_addresses.get_mut(&link)
                    && *known != remote
                {
                    *known = remote;
                    self.node.handle_link_address(now, link, remote);
                }
                self.node.handle_link_message(now, link, &bytes);
            }
            LinkEvent::Frames { link, frames } => {
                for mut frame in frames {
                    self.node.handle_link_frame(now, link, &mut frame);
                }
            }
            LinkEvent::Down { link, reason } => {
                let peer = self.forget_link(link).map(|peer| short(&peer));
                tracing::info!(peer = peer.unwrap_or_default(), reason, "control link is down");
                self.node.handle_link_down(now, link);
            }
        }
    }

    fn forget_link(&mut self, link: LinkId) -> Option<NodeId> {
        let (peer, remote) = self.link_addresses.remove(&link)?;
        self.io.watch(remote, false);
        Some(peer)
    }

    /// A relay that takes our datagrams and says nothing has to answer on its link, or the link ends.
    fn ask_silent_relays(&mut self) {
        // The answer is a Pong, which nobody needs: that something came back is enough.
        let Ok(question) = (ControlMessage::Ping { id: 0 }).encode() else { return };
        for remote in self.io.take_silent() {
            for (link, _) in self.link_addresses.iter().filter(|(_, (_, address))| *address == remote) {
                self.links.send(*link, question.clone());
            }
        }
    }

    /// Does what the node wants, in its order.
    async fn drain(&mut self) -> Result<(), Failure> {
        loop {
            while let Some(output) = self.node.poll_output() {
                self.perform(output).await?;
            }
            self.io.flush().await;
            let unreachable = self.io.take_unreachable();
            if unreachable.is_empty() {
                return Ok(());
            }
            let now = self.now();
            for (port, to) in unreachable {
                self.node.handle_unreachable(now, port, to);
            }
        }
    }

    async fn perform(&mut self, output: Output) -> Result<(), Failure> {
        match output {
            Output::Datagram { from, to, ttl: None, bytes } => self.io.send(from, to, &bytes).await,
            Output::Datagram { from, to, ttl: Some(ttl), bytes } => self.io.send_ttl(from, to, ttl, &bytes),
            Output::LinkFrame { link, bytes } => self.links.send_frame(link, bytes),
            Output::PortOpen { port } => {
                let opened = self.io.open_port(port).map_err(|error| error.to_string());
                let now = self.now();
                self.node.handle_port_open(now, port, opened);
            }
            Output::PortClose { port } => self.io.close_port(port).await,
            Output::MapPort { wanted } => self.map_port(wanted),
            Output::Inside { network, packet } => self.io.deliver(network, &packet),
            Output::Persist(change) => {
                // Going on without it could sign one number twice; the next start begins from what is stored.
                self.store.persist(&change).map_err(|error| {
                    Failure::new(
                        Code::Runtime,
                        format!("cannot store {change:?}; {error}; make room or give the state directory back, and start again"),
                    )
                })?;
            }
            Output::LinkSend { link, bytes } => self.links.send(link, bytes),
            Output::LinkConnect { node, addrs } => self.links.dial(node, &addrs),
            Output::LinkClose { link } => {
                self.forget_link(link);
                self.links.close(link);
            }
            Output::Event(event) => self.event(event).await,
        }
        Ok(())
    }

    async fn job(&mut self, job: Job) -> Result<(), Failure> {
        match job {
            Job::Api(job) => return self.call(job).await,
            Job::Metrics(reply) => {
                // The asker may be gone; then nobody needs the answer.
                let _ = reply.send(metrics::render(&self.metrics()));
            }
            Job::Ready(reply) => {
                let _ = reply.send(self.readiness());
            }
            Job::Relays { relays, mesh, missing } => {
                self.lookup.answered(!relays.is_empty(), &missing);
                self.node.set_default_relays(relays);
                self.set_mesh(mesh);
            }
            Job::Uplinks(uplinks) => self.set_uplinks(uplinks),
        }
        Ok(())
    }

    /// Puts the machine back.
    async fn stop(&mut self) {
        self.links.stop().await;
        self.mapping.mapper.stop().await;
        let networks = self.node.networks();
        for network in &networks {
            drop(self.io.detach(&network.network));
        }
        self.networks.stop().await;
    }
}

/// The beginning of a node id: enough to find it, short enough for a log line.
fn short(node: &NodeId) -> String {
    netflow_overlay::identity::format_node_id(node).chars().take(12).collect()
}
