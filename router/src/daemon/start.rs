//! From nothing to the loop, in an order in which a failure leaves nothing behind: check, lock, take back a crash, open, drop privileges.

use std::io;
use std::net::TcpListener as StdTcpListener;
use std::path::{Path, PathBuf};

use netflow_overlay::NodeKeys;
use netflow_overlay::node::{Node, NodeConfig, RelayConfig};
use netflow_sys::clock::Clock;
use netflow_sys::files::{InstanceLock, create_private_dir};
use netflow_sys::netlink::Netlink;
use netflow_sys::tun::DEVICE_NODE;
use netflow_sys::undo::UndoJournal;
use netflow_sys::{nft, privileges};
use netflow_wire::{RelayInfo, Tier};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::lookup::Lookup;
use super::sockets::Sockets;
use super::uplinks::{self, Mapping};
use super::{Daemon, Job, Signals, Waiting};
use crate::api::{self, ControlSocket};
use crate::config::{Config, resolve_all};
use crate::exit::{Code, Failure};
use crate::http;
use crate::identity;
use crate::io::Io;
use crate::link::{LinkManager, LinkSettings};
use crate::logging::LogControl;
use crate::networks::Networks;
use crate::store::Store;

/// Requests waiting for the loop; a client whose request does not fit waits.
const JOB_QUEUE: usize = 32;
/// The kernel's own interface of the TUN driver and of routing tables; absent from some containers.
const UNDO_FILE: &str = "undo.json";
const LOCK_FILE: &str = "lock";

/// Runs the daemon until it is told to stop.
pub(crate) async fn run(config: Config, config_path: PathBuf, log: LogControl) -> Result<(), Failure> {
    let clock = Clock::start();
    // First of all: a service manager that asks for a reload during the start must not kill the daemon.
    let signals = signals()?;
    require_net_admin()?;
    require_features(&config).await?;
    let lock = lock_state_dir(&config)?;
    let (networks, store, restored) = restore(&config).await?;
    let keys = identity::load_or_create(&config.state_dir)?;
    let opened = Opened::open(&config)?;
    give_away(&config, opened.control.own_dir())?;
    privileges::drop_all_but_net_admin(config.user.as_deref())
        .map_err(|error| Failure::new(Code::Permission, error.to_string()))?;

    let (job_sender, jobs) = mpsc::channel(JOB_QUEUE);
    let (ports, listeners) = opened.sockets.into_parts();
    let settings = LinkSettings { keys: &keys, pq: config.pq, max_accepted: config.max_links };
    let (links, link_events) = LinkManager::start(ports.main_quic(), listeners, &settings)
        .map_err(|error| Failure::new(Code::Runtime, format!("cannot start control links; {error:#}")))?;
    let io = Io::new(ports, config.mtu, clock);
    let now = netflow_overlay::Now { mono_us: clock.mono_us(), unix_s: clock.unix_s() };
    let mut node = Node::new(node_config(&config, keys), restored, now, Box::new(identity::random()));
    node.set_direct(config.direct);
    let socket = opened.control.serve(job_sender.clone());
    if let Some(listener) = opened.metrics {
        tokio::spawn(http::serve(listener, job_sender.clone()));
    }
    let active = store.active();
    let mut daemon = Daemon {
        node,
        config,
        config_path,
        clock,
        io,
        store,
        networks,
        links,
        link_events,
        jobs,
        job_sender,
        waiting: Waiting::default(),
        active,
        link_addresses: Default::default(),
        path_changes: Default::default(),
        uplinks: None,
        lookup: Lookup::default(),
        mapping: Mapping::start(),
        log,
        signals,
        _lock: lock,
    };
    daemon.look_up_relays();
    tokio::spawn(uplinks::watch(daemon.networks.netlink().clone(), daemon.job_sender.clone()));
    daemon.announce_ports();
    tracing::info!(listen = %daemon.io.ports().local_addr(), version = env!("CARGO_PKG_VERSION"), "netflowd runs");
    let served = daemon.serve().await;
    tracing::info!("stopping");
    daemon.stop().await;
    socket.remove();
    served
}

fn require_net_admin() -> Result<(), Failure> {
    if privileges::has_net_admin() {
        return Ok(());
    }
    let why = if privileges::is_root() { "root here lacks CAP_NET_ADMIN" } else { "not root" };
    Err(Failure::new(
        Code::Permission,
        format!("netflowd needs CAP_NET_ADMIN; {why}; start it with sudo or as a service"),
    ))
}

/// An edge node is for carrying networks: without TUN or nf_tables it could only fail later. A relay needs neither until it joins one.
async fn require_features(config: &Config) -> Result<(), Failure> {
    if config.tier != Tier::Edge {
        return Ok(());
    }
    if let Err(error) = std::fs::OpenOptions::new().read(true).write(true).open(DEVICE_NODE) {
        let text = format!(
            "the kernel has no TUN device; {DEVICE_NODE}: {error}; try modprobe tun, or give the container the device"
        );
        return Err(Failure::new(Code::Feature, text));
    }
    nft::check().await.map_err(|error| {
        Failure::new(
            Code::Feature,
            format!("the packet filter does not work; {error}; install nftables on a kernel with nf_tables"),
        )
    })
}

fn lock_state_dir(config: &Config) -> Result<InstanceLock, Failure> {
    let dir = &config.state_dir;
    create_private_dir(dir).map_err(|error| {
        Failure::new(Code::State, format!("cannot use the state directory {}; {error}", dir.display()))
    })?;
    InstanceLock::acquire(&dir.join(LOCK_FILE)).map_err(|error| {
        let code = if error.kind() == io::ErrorKind::AddrInUse { Code::InUse } else { Code::State };
        Failure::new(code, format!("cannot lock {}; {error}", dir.display()))
    })
}

/// Takes back what a crashed run left on the machine, then reads the state.
async fn restore(config: &Config) -> Result<(Networks, Store, netflow_overlay::node::Restored), Failure> {
    let state = |error: &dyn std::fmt::Display| Failure::new(Code::State, error.to_string());
    let mut journal = UndoJournal::open(&config.state_dir.join(UNDO_FILE)).map_err(|error| state(&error))?;
    let netlink = Netlink::open()
        .map_err(|error| Failure::new(Code::Feature, format!("the kernel has no rtnetlink; {error}")))?;
    if journal.changes().next().is_some() {
        tracing::warn!("the last run did not stop cleanly; putting the machine back first");
        journal.undo_all(&netlink).await.map_err(|error| {
            Failure::new(Code::Feature, format!("cannot take back what the last run left; {error}"))
        })?;
    }
    let (store, restored) = Store::open(&config.state_dir)?;
    Ok((Networks::new(netlink, journal), store, restored))
}

/// Everything that may need more than CAP_NET_ADMIN.
struct Opened {
    sockets: Sockets,
    control: ControlSocket,
    metrics: Option<TcpListener>,
}

impl Opened {
    fn open(config: &Config) -> Result<Self, Failure> {
        let sockets = Sockets::open(config)?;
        let control = api::ControlSocket::bind(&config.control_socket)?;
        let metrics = config.metrics.map(|address| {
            let bind = || {
                let listener = StdTcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
            };
            bind().map_err(|error| in_use("TCP (metrics)", &address, &error))
        });
        Ok(Self { sockets, control, metrics: metrics.transpose()? })
    }
}

pub(super) fn in_use(protocol: &str, address: &std::net::SocketAddr, error: &io::Error) -> Failure {
    let kind = error.kind();
    let code = if matches!(kind, io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable) {
        Code::InUse
    } else if kind == io::ErrorKind::PermissionDenied {
        Code::Permission
    } else {
        Code::Runtime
    };
    Failure::new(
        code,
        format!("cannot listen on {protocol} {address}; {error}; stop the other program or change the configuration"),
    )
}

/// The state has to belong to the user the daemon will be, also when that was another one last time.
fn give_away(config: &Config, socket_dir: Option<&Path>) -> Result<(), Failure> {
    let user = config.user.as_deref();
    let give = |path: &Path| {
        privileges::give_to(path, user)
            .map_err(|error| Failure::new(Code::Permission, format!("{}: {error}", path.display())))
    };
    give_tree(&config.state_dir, &give)?;
    socket_dir.map_or(Ok(()), give)
}

fn give_tree(path: &Path, give: &impl Fn(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    give(path)?;
    let failed = |error: io::Error| Failure::new(Code::State, format!("{}: {error}", path.display()));
    if !path.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // A symbolic link inside the state directory is not ours, and must not give a system file away.
        if !entry.file_type().map_err(failed)?.is_symlink() {
            give_tree(&entry.path(), give)?;
        }
    }
    Ok(())
}

fn node_config(config: &Config, keys: NodeKeys) -> NodeConfig {
    NodeConfig {
        keys,
        reward: [0; 20],
        record_seq: 0,
        tier: config.tier,
        name: config.name.clone().unwrap_or_else(host_name),
        software: concat!("netflowd/", env!("CARGO_PKG_VERSION")).to_owned(),
        default_relays: Vec::new(),
        relay: config.relay.clone(),
        pq: config.pq,
        aes_hardware: config.offer_aes && has_aes(),
        mtu: config.mtu,
    }
}

/// The host name in the alphabet of member names.
pub(super) fn host_name() -> String {
    let raw = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = raw
        .trim()
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(32)
        .collect::<String>();
    let name = name.trim_matches('-');
    if name.is_empty() { "node".to_owned() } else { name.to_owned() }
}

fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

fn signals() -> Result<Signals, Failure> {
    let handle =
        |kind| signal(kind).map_err(|error| Failure::new(Code::Runtime, format!("cannot handle signals; {error}")));
    Ok(Signals {
        terminate: handle(SignalKind::terminate())?,
        interrupt: handle(SignalKind::interrupt())?,
        hangup: handle(SignalKind::hangup())?,
    })
}

impl Daemon {
    /// Reads the configuration again: log filter, relays, and what is relayed for others. The rest needs a restart, and is said so.
    pub(super) fn reload(&mut self) {
        let mut config = match Config::load(&self.config_path) {
            Ok(config) => config,
            Err(error) => {
                tracing::error!(error, "the configuration is not taken over");
                return;
            }
        };
        let fixed = |config: &Config| {
            let Config { tier, name, state_dir, listen, control_socket, user, metrics, .. } = config.clone();
            let Config { offer_aes, mtu, direct, max_links, listen_443, .. } = *config;
            (
                tier,
                name,
                state_dir,
                listen,
                control_socket,
                user,
                metrics,
                offer_aes,
                mtu,
                direct,
                max_links,
                listen_443,
            )
        };
        if fixed(&config) != fixed(&self.config) || config.pq != self.config.pq {
            tracing::warn!(
                "some changed keys need a restart; only log, relays, port_mapping and [relay] are taken over now"
            );
        }
        self.log.set(&config.log);
        // With the mesh of before until the new names are looked up: its links need not end for that.
        let mesh = self.config.relay.take().map(|relay| relay.mesh).unwrap_or_default();
        config.relay = config.relay.map(|relay| RelayConfig { mesh, ..relay });
        self.node.set_relay_config(self.now(), config.relay.clone());
        self.config.log = config.log;
        self.config.relays = config.relays;
        self.config.port_mapping = config.port_mapping;
        self.ask_for_a_port();
        self.config.relay = config.relay;
        self.config.mesh = config.mesh;
        self.look_up_relays();
        tracing::info!("configuration read again");
    }

    /// The relays this one works together with, looked up.
    pub(super) fn set_mesh(&mut self, mesh: Vec<RelayInfo>) {
        let Some(relay) = &mut self.config.relay else { return };
        if relay.mesh != mesh {
            relay.mesh = mesh;
            let config = relay.clone();
            self.node.set_relay_config(self.now(), Some(config));
        }
    }

    /// Names are looked up beside the loop; addresses are there at once.
    fn look_up_relays(&mut self) {
        let (relays, mesh) = (self.config.relays.clone(), self.config.mesh.clone());
        let jobs = self.job_sender.clone();
        self.lookup = Lookup::of(&relays);
        tokio::spawn(async move {
            let mut wait = std::time::Duration::from_secs(1);
            loop {
                let (relays, missing) = resolve_all(&relays).await;
                let (mesh, missing_mesh) = resolve_all(&mesh).await;
                let is_complete = missing.is_empty() && missing_mesh.is_empty();
                // A closed queue means that the daemon ends.
                if jobs.send(Job::Relays { relays, mesh, missing }).await.is_err() || is_complete {
                    return;
                }
                // DNS often comes up after us at boot; a minute is the longest a new network then lacks the relay.
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(std::time::Duration::from_secs(60));
            }
        });
    }
}
