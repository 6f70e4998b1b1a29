//! The NAT matrix: every kind of box against every other, two nodes at a time, in one network with two relays.
//!
//! A cell is measured as a user meets it: the kernel's first ping (through a relay, it must be answered), then `netctl ping
//! --until-direct`. The two cells of a random box against a port-restricted one need a patient search and have a run of their own
//! (`netflow-lab patient`), many pairs at a time.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::boxes::NatBox;
use crate::cmd::Cmd;
use crate::lab::{Family, Host, Lab};
use crate::nat::NatKind;
use crate::node::{Node, NodeSpec};
use crate::paths::target_dir;
use crate::tools;
use crate::wait;
use crate::wire::WireSpec;
use crate::world::{join_as, overlay_v4};

/// The four kinds of the matrix: a public host, and the boxes of RFC 4787 by mapping/filtering.
pub const KINDS: [(&str, Option<NatKind>); 4] = [
    ("none", None),
    ("EIM/EIF", Some(NatKind::EndpointIndependent)),
    ("EIM/APDF", Some(NatKind::PortRestricted)),
    ("random", Some(NatKind::Symmetric)),
];

/// Local ports hole punching may hold (overlay.md), and the node's own sockets beside them: the main port for each family, QUIC and
/// the kernel's ping are on the main one.
pub const PORT_BUDGET: usize = 64;
/// Connections hole punching may keep alive at a box (pitfall 15).
pub const TRACKED_BUDGET: u32 = 300;
/// Seconds a pair may take: two searches of 240 s, which give up by themselves, and the pause of a minute and an eighth between them. One
/// search finds nothing in one of ten cases, two in one of a hundred.
pub const PATIENCE_S: u32 = 560;

/// What a cell of the matrix turns out to be.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// Kind of the box of the node that speaks first.
    pub from: &'static str,
    /// Kind of the other one's box.
    pub to: &'static str,
    /// Round trip of the very first packet, ms: through a relay, handshake included.
    pub first_ms: f64,
    /// From the first packet to the first answer over a direct path, ms; `None` when it stayed relayed.
    pub direct_ms: Option<u64>,
}

/// A node and the box it is behind, if any.
#[derive(Debug)]
pub struct Home {
    /// The node.
    pub node: Node,
    /// Its box.
    pub nat: Option<NatBox>,
    /// Kind of the box in words.
    pub kind: &'static str,
}

/// An internet with two relays, and homes that come one by one into one network.
#[derive(Debug)]
pub struct Matrix {
    /// The homes, in the order of their coming.
    pub homes: Vec<Home>,
    /// The two relays, 10 and 16 ms of round trip away.
    pub relays: Vec<Node>,
    names: Vec<String>,
    extra: String,
    /// What they live in.
    pub lab: Lab,
}

impl Matrix {
    /// Two relays, nobody else yet. Relays have one name with an address of each family, the way relays are published.
    ///
    /// # Errors
    /// One line: what could not be made or started.
    pub fn build() -> Result<Self> {
        let mut lab = Lab::new()?;
        let mut relays = Vec::new();
        for (name, one_way_ms) in [("cn1", 5), ("cn2", 8)] {
            let host = lab.public_host(name, Family::Dual, WireSpec::delay_ms(one_way_ms))?;
            relays.push(Node::run(&lab, &host, name, &NodeSpec { tier: "cn", ..NodeSpec::default() })?);
        }
        let named = |relay: &Node| -> Result<String> {
            Ok(format!("{}@{}.lab:{}", relay.id()?, relay.host.name, crate::node::PORT))
        };
        let names = relays.iter().map(named).collect::<Result<_>>()?;
        Ok(Self { homes: Vec::new(), relays, names, extra: String::new(), lab })
    }

    /// Further lines for the configuration of homes that come from now on.
    pub fn configure(&mut self, extra: &str) {
        extra.clone_into(&mut self.extra);
    }

    /// A home behind a box of this kind, or a public host.
    ///
    /// # Errors
    /// One line: what could not be made or started, or why it cannot join.
    pub fn add(&mut self, name: &str, kind: &'static str, nat: Option<NatKind>) -> Result<usize> {
        let plain = WireSpec::default();
        let nat = nat.map(|nat| self.lab.nat_box(&format!("nat-{name}"), nat, Family::V4, plain)).transpose()?;
        let host = match &nat {
            Some(nat) => self.lab.home_host(name, nat, plain)?,
            None => self.lab.public_host(name, Family::V4, plain)?,
        };
        self.join(&host, name, kind, nat)
    }

    /// A node on a host that is there already; it creates the network when it is the first.
    ///
    /// # Errors
    /// One line: why it does not start or cannot join.
    pub fn join(&mut self, host: &Host, name: &str, kind: &'static str, nat: Option<NatBox>) -> Result<usize> {
        let hosts: String = self
            .relays
            .iter()
            .flat_map(|relay| {
                relay.addresses().into_iter().map(|address| format!("{} {}.lab\n", address.ip(), relay.host.name))
            })
            .collect();
        host.ns.set_hosts(&hosts)?;
        let spec = NodeSpec { tier: "en", relays: self.names.clone(), extra: self.extra.clone() };
        let node = Node::run(&self.lab, host, name, &spec)?;
        match self.homes.first() {
            None => {
                drop(node.json(&["create-network", "matrix", "--as", name])?);
            }
            Some(first) => drop(join_as(&node, &first.node.invite()?, name)?),
        }
        self.homes.push(Home { node, nat, kind });
        Ok(self.homes.len() - 1)
    }

    /// The home with this number.
    ///
    /// # Errors
    /// When there is none.
    pub fn home(&self, number: usize) -> Result<&Home> {
        self.homes.get(number).with_context(|| format!("no home {number}"))
    }

    /// The first packet from one home to another, then up to `limit_s` seconds until a direct path answers.
    ///
    /// # Errors
    /// When the first packet is not answered within five seconds: through the relay it must be.
    pub fn cell(&self, from: usize, to: usize, limit_s: u32) -> Result<Cell> {
        let (from, to) = (self.home(from)?, self.home(to)?);
        let start = Instant::now();
        let first_ms = tools::ping(&from.node.host.ns, overlay_v4(&to.node)?.into(), 5)
            .with_context(|| format!("the first packet from {} to {}", from.kind, to.kind))?;
        let direct = until_direct(&from.node, &to.node, limit_s)?;
        let direct_ms = direct.then(|| u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
        Ok(Cell { from: from.kind, to: to.kind, first_ms, direct_ms })
    }
}

/// `netctl ping --until-direct` by the address of the peer, ten times a second; whether it became direct within `limit_s` seconds.
///
/// # Errors
/// When netctl fails for another reason than the path.
pub fn until_direct(from: &Node, to: &Node, limit_s: u32) -> Result<bool> {
    let (address, probes) = (overlay_v4(to)?.to_string(), (limit_s * 10).to_string());
    let words = ["--json", "ping", &address, "--until-direct", "-i", "100", "-W", "1000", "-c", &probes];
    let done = from.netctl(&words)?;
    ensure!(matches!(done.code, 0 | 9), "netctl ping ended with exit code {}: {}", done.code, done.stderr.trim());
    Ok(done.code == 0)
}

/// UDP sockets the daemon of a node has open.
///
/// # Errors
/// When the node does not run.
pub fn udp_ports(node: &Node) -> Result<usize> {
    let listing = Cmd::new(["ss", "-uanpH"]).within(&node.host.ns).run()?;
    let pid = format!("pid={},", node.pid().context("the node does not run")?);
    Ok(listing.lines().filter(|line| line.contains(&pid)).count())
}

/// The most that a punch has cost so far.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Cost {
    /// Connections at a box beyond what it had before.
    pub tracked: u32,
    /// UDP sockets of a node.
    pub ports: usize,
}

impl Matrix {
    /// Updates `cost` by what the boxes and nodes of these homes hold now; `before` are the boxes' connections at rest.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn sample(&self, homes: &[usize], before: &[u32], cost: &mut Cost) -> Result<()> {
        for (number, before) in homes.iter().zip(before) {
            let home = self.home(*number)?;
            let tracked = home.nat.as_ref().map(NatBox::tracked).transpose()?.unwrap_or_default();
            cost.tracked = cost.tracked.max(tracked.saturating_sub(*before));
            cost.ports = cost.ports.max(udp_ports(&home.node)?);
        }
        Ok(())
    }

    /// Connections at the boxes of these homes now.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn at_rest(&self, homes: &[usize]) -> Result<Vec<u32>> {
        homes
            .iter()
            .map(|number| Ok(self.home(*number)?.nat.as_ref().map(NatBox::tracked).transpose()?.unwrap_or(0)))
            .collect()
    }
}

/// The result of the patient runs of one cell.
#[derive(Debug, Serialize)]
struct Patient {
    from: &'static str,
    to: &'static str,
    runs: usize,
    direct: usize,
    /// Seconds, sorted; only of those that became direct.
    seconds: Vec<u64>,
    worst: Cost,
}

/// `netflow-lab patient`: both cells of a random box against a port-restricted one, `runs` pairs each, all at the same time; the
/// distribution of the times and what the punching cost at worst. Also in `target/patient/report.json`.
///
/// # Errors
/// A pair that is not connected through the relay from the first packet, or a budget that was exceeded.
#[allow(clippy::print_stdout, reason = "the table is the product")]
pub fn patient(runs: usize) -> Result<()> {
    let mut reports = Vec::new();
    for (from, to) in [(3, 2), (2, 3)] {
        let report = patient_cell(from, to, runs)?;
        let at = |part: usize| {
            let place = (report.seconds.len() * part / 100).min(report.seconds.len().saturating_sub(1));
            report.seconds.get(place).map_or_else(|| "-".to_owned(), ToString::to_string)
        };
        println!(
            "{:>8} -> {:<8} {} of {} direct; 25 % {} s, half {} s, 90 % {} s, last {} s; at most {} connections at a box, {} UDP sockets",
            report.from,
            report.to,
            report.direct,
            report.runs,
            at(25),
            at(50),
            at(90),
            at(100),
            report.worst.tracked,
            report.worst.ports
        );
        reports.push(report);
    }
    let dir = target_dir()?.join("patient");
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join("report.json"), serde_json::to_string_pretty(&reports)? + "\n")?;
    for report in &reports {
        ensure!(
            report.worst.tracked <= TRACKED_BUDGET,
            "{} connections at a box, budget {TRACKED_BUDGET}",
            report.worst.tracked
        );
        ensure!(report.direct * 10 >= report.runs * 9, "only {} of {} pairs became direct", report.direct, report.runs);
    }
    Ok(())
}

fn patient_cell(from: usize, to: usize, runs: usize) -> Result<Patient> {
    let mut matrix = Matrix::build()?;
    let kinds = [KINDS.get(from).context("no such kind")?, KINDS.get(to).context("no such kind")?];
    for run in 0..runs {
        for ((name, nat), side) in kinds.into_iter().zip(["f", "t"]) {
            matrix.add(&format!("{side}{run}"), name, *nat)?;
        }
    }
    let all: Vec<usize> = (0..2 * runs).collect();
    let before = matrix.at_rest(&all)?;
    let mut worst = Cost::default();
    let mut seconds = std::thread::scope(|scope| -> Result<Vec<u64>> {
        let cell = |run: usize| matrix.cell(2 * run, 2 * run + 1, PATIENCE_S);
        let searches: Vec<_> = (0..runs).map(|run| scope.spawn(move || cell(run))).collect();
        while searches.iter().any(|search| !search.is_finished()) {
            matrix.sample(&all, &before, &mut worst)?;
            std::thread::sleep(Duration::from_millis(500));
        }
        let cells =
            searches.into_iter().map(|search| search.join().map_err(|_| anyhow::anyhow!("a search panicked"))?);
        let cells: Vec<Cell> = cells.collect::<Result<_>>()?;
        Ok(cells.iter().filter_map(|cell| Some(cell.direct_ms? / 1000)).collect())
    })?;
    seconds.sort_unstable();
    Ok(Patient { from: kinds[0].0, to: kinds[1].0, runs, direct: seconds.len(), seconds, worst })
}

/// Waits until a node says that it has reached at least one relay over any carrier.
///
/// # Errors
/// When it has not within `limit_ms`.
pub fn attached(node: &Node, limit_ms: u64) -> Result<Duration> {
    let linked = || {
        let status = node.json(&["status"]).ok()?;
        let relays = status.pointer("/relays")?.as_array()?;
        Some(relays.iter().any(|relay| relay.pointer("/connected") == Some(&Value::Bool(true))))
    };
    wait::until(&format!("{} reaches a relay", node.host.name), limit_ms, || linked().unwrap_or(false))
}
