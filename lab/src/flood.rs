//! `netflow-lab flood`: forged handshake initiations at 100,000 a second against an edge node and against a relay (pitfall 9).

use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};

use crate::lab::{Family, Host, Lab};
use crate::nat::NatKind;
use crate::node::{Node, NodeSpec};
use crate::tools;
use crate::wire::WireSpec;
use crate::world::{join_as, overlay_v4};

/// A handshake initiation without KEM (docs/spec/wire.md): 132 bytes, frame type 0x10, suite 1, no flags.
const INIT_LEN: usize = 132;
/// Frames in one system call: a millisecond's worth at the rate of the test.
const BATCH: usize = 100;

/// What a flood must leave of the throughput, and how long an honest join may take under it (issue 3).
const LEFT_PERCENT: f64 = 50.0;
const JOIN_S: f64 = 5.0;

/// A running flood; dropping it ends it.
#[derive(Debug)]
pub struct Flood {
    sent: Arc<AtomicU64>,
    started: Instant,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// Sends `rate` forged initiations a second from `attacker` to `target`: well formed, with a key, a static and a mac that are noise,
    /// each one different.
    ///
    /// # Errors
    /// When the socket cannot be opened.
    pub fn start(attacker: &Host, target: SocketAddr, rate: u32) -> Result<Self> {
        let own: IpAddr = attacker.v4.context("the attacker needs IPv4")?.into();
        let socket = attacker.ns.within(|| UdpSocket::bind((own, 0)))?.context("cannot open the attacker's socket")?;
        socket.connect(target)?;
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ends, counts) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = Some(std::thread::spawn(move || pour(&socket, rate, &ends, &counts)));
        Ok(Self { sent, started: Instant::now(), stop, thread })
    }

    /// Initiations a second so far: fewer than asked for when the machine cannot make them.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.sent.load(Ordering::Relaxed) as f64 / self.started.elapsed().as_secs_f64()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn pour(socket: &UdpSocket, rate: u32, stop: &AtomicBool, sent: &AtomicU64) {
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let mut frames = vec![[0_u8; INIT_LEN]; BATCH];
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
    let pause = Duration::from_nanos(1_000_000_000 * BATCH as u64 / u64::from(rate.max(1)));
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        for frame in &mut frames {
            forge(frame, &mut noise);
        }
        let slices: Vec<[IoSlice<'_>; 1]> = frames.iter().map(|frame| [IoSlice::new(frame)]).collect();
        let to = vec![None; BATCH];
        if let Ok(done) = sendmmsg(socket.as_raw_fd(), &mut headers, &slices, to, [], MsgFlags::empty()) {
            sent.fetch_add(done.count() as u64, Ordering::Relaxed);
        }
        // What the machine could not send in time is not made up for: a burst would be another test.
        next = (next + pause).max(Instant::now());
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// One more initiation: type, suite, no flags, and 128 bytes of noise.
fn forge(frame: &mut [u8; INIT_LEN], noise: &mut u64) {
    for word in frame.chunks_exact_mut(8) {
        *noise ^= *noise << 13;
        *noise ^= *noise >> 7;
        *noise ^= *noise << 17;
        let bytes = noise.to_be_bytes();
        word.copy_from_slice(bytes.get(..word.len()).unwrap_or_default());
    }
    if let Some(head) = frame.first_chunk_mut::<4>() {
        *head = [0x10, 1, 0, 0];
    }
}

/// What a flood leaves of the traffic.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// iperf3 over TCP without the flood, Mbit/s.
    pub quiet_mbit: f64,
    /// The same under it.
    pub flooded_mbit: f64,
    /// Initiations a second that were really sent.
    pub rate: f64,
    /// How long `netctl join` of an honest node took under it, seconds.
    pub join_s: f64,
}

/// Two nodes with a session, an attacker, and a newcomer.
pub struct Scene {
    a: Node,
    b: Node,
    relay: Node,
    attacker: Host,
    relays: Vec<String>,
    newcomers: u32,
    lab: Lab,
}

impl Scene {
    /// Builds it; `direct` says whether the two homes may reach each other without the relay.
    ///
    /// # Errors
    /// One line: what could not be made or started.
    pub fn build(direct: bool) -> Result<Self> {
        let plain = WireSpec::default();
        let mut lab = Lab::new()?;
        let host = lab.public_host("cn", Family::V4, plain)?;
        let relay = Node::run(&lab, &host, "cn", &NodeSpec { tier: "cn", ..NodeSpec::default() })?;
        let relays = vec![relay.relay_name()?];
        let spec = NodeSpec { tier: "en", relays: relays.clone(), extra: String::new() };
        // Public, so that the flood reaches it without a NAT that would drop it first.
        let victim = lab.public_host("a", Family::V4, plain)?;
        let a = Node::run(&lab, &victim, "a", &spec)?;
        let nat = lab.nat_box("nat-b", NatKind::PortRestricted, Family::V4, plain)?;
        let host = lab.home_host("b", &nat, plain)?;
        let b = Node::run(&lab, &host, "b", &spec)?;
        let attacker = lab.public_host("attacker", Family::V4, plain)?;
        if !direct {
            lab.separate(&victim, &nat.host, true)?;
        }
        a.json(&["create-network", "home"])?;
        join_as(&b, &a.invite()?, "b")?;
        tools::ping(&b.host.ns, overlay_v4(&a)?.into(), 5)?;
        Ok(Self { a, b, relay, attacker, relays, newcomers: 0, lab })
    }

    /// Measures without, then with a flood of `rate` at `target`, with a join under the flood.
    ///
    /// # Errors
    /// When iperf3 or the join fails.
    pub fn measure(&mut self, target: SocketAddr, rate: u32, seconds: u32) -> Result<Outcome> {
        let log = self.lab.dir().join("iperf.log");
        let address = overlay_v4(&self.a)?;
        let iperf = |scene: &Self| tools::iperf(&scene.a.host.ns, &scene.b.host.ns, address, seconds, &log);
        let quiet_mbit = iperf(self)?;
        let flood = Flood::start(&self.attacker, target, rate)?;
        let flooded_mbit = iperf(self)?;
        self.newcomers += 1;
        let name = format!("new{}", self.newcomers);
        let host = self.lab.public_host(&name, Family::V4, WireSpec::default())?;
        let spec = NodeSpec { tier: "en", relays: self.relays.clone(), extra: String::new() };
        let newcomer = Node::run(&self.lab, &host, &name, &spec)?;
        let token = self.a.invite()?;
        let start = Instant::now();
        join_as(&newcomer, &token, &name)?;
        let join_s = start.elapsed().as_secs_f64();
        tools::ping(&newcomer.host.ns, address.into(), 5)?;
        Ok(Outcome { quiet_mbit, flooded_mbit, rate: flood.rate(), join_s })
    }

    /// Where the edge node listens.
    ///
    /// # Errors
    /// When it has no address.
    pub fn edge(&self) -> Result<SocketAddr> {
        self.a.addresses().first().copied().context("the edge node has no address")
    }

    /// Where the relay listens.
    ///
    /// # Errors
    /// When it has no address.
    pub fn relay(&self) -> Result<SocketAddr> {
        self.relay.addresses().first().copied().context("the relay has no address")
    }
}

/// Floods both and prints the table.
///
/// # Errors
/// One line: what failed, or what the flood left too little of.
#[allow(clippy::print_stdout, reason = "the table is the product")]
pub fn run(rate: u32) -> Result<()> {
    println!(
        "{:<26} {:>12} {:>14} {:>14} {:>7} {:>9}",
        "flooded", "forged/s", "quiet Mbit/s", "flood Mbit/s", "left", "join"
    );
    let mut missed = Vec::new();
    for (what, direct) in [("edge node, direct path", true), ("relay, relayed path", false)] {
        let mut scene = Scene::build(direct)?;
        let target = if direct { scene.edge()? } else { scene.relay()? };
        let found = scene.measure(target, rate, 5)?;
        let left = 100.0 * found.flooded_mbit / found.quiet_mbit;
        println!(
            "{what:<26} {:>12.0} {:>14.0} {:>14.0} {left:>6.0}% {:>7.2} s",
            found.rate, found.quiet_mbit, found.flooded_mbit, found.join_s
        );
        if left < LEFT_PERCENT || found.join_s > JOIN_S {
            missed.push(what);
        }
    }
    ensure!(
        missed.is_empty(),
        "less than {LEFT_PERCENT} % of the rate or a join over {JOIN_S} s: {}",
        missed.join(", ")
    );
    Ok(())
}
