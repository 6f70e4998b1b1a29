//! `make measure`: size, memory, idle traffic and join time against their budgets, as one table.

use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::boxes::NatBox;
use crate::lab::{Family, Lab};
use crate::nat::NatKind;
use crate::node::{Node, NodeSpec};
use crate::paths::{built_program, target_dir};
use crate::tools;
use crate::wait;
use crate::wire::WireSpec;
use crate::world::{join_as, overlay_v4};

/// Members of the crowd beside the one that is measured.
const PEERS: usize = 100;
/// Seconds in a day.
const DAY_S: u64 = 86_400;
/// Time after which sessions without traffic have gone quiet (keepalives end after 180 s), before idle traffic is counted.
const QUIET_S: u64 = 200;

#[derive(Serialize)]
struct Row {
    what: &'static str,
    measured: f64,
    unit: &'static str,
    budget: Option<f64>,
}

/// Measures everything and prints the table; also in `target/measure/report.json`.
///
/// Idle traffic is counted for `idle_s` seconds and made a day's; it is left out without.
///
/// # Errors
/// One line: what could not be set up.
#[allow(clippy::print_stdout, reason = "the table is the product")]
pub fn run(idle_s: Option<u64>) -> Result<()> {
    let mut rows = Vec::new();
    let mut row = |what, measured, unit, budget| rows.push(Row { what, measured, unit, budget });
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let program = built_program("netflowd", "NETFLOWD_BIN")?;
    row("netflowd, stripped", mib(fs::metadata(&program)?.len()), "MiB", Some(6.0));

    let mut crowd = Crowd::build()?;
    row("EN resident, started, in no network", mib(resident(&crowd.a)?), "MiB", Some(16.0));
    crowd.a.json(&["create-network", "home"])?;
    row("EN resident, alone in one network", mib(resident(&crowd.a)?), "MiB", Some(16.0));
    println!("joining {PEERS} members ...");
    let mut joins = crowd.join_all()?;
    joins.sort_by(f64::total_cmp);
    row("join, median", middle(&joins), "ms", None);
    row("join, slowest", joins.last().copied().unwrap_or_default(), "ms", None);
    println!("opening a session with each ...");
    crowd.ping_all()?;
    row("EN resident, 100 peers with sessions", mib(resident(&crowd.a)?), "MiB", Some(32.0));
    row("CN resident, relay of 101 members", mib(resident(&crowd.cn)?), "MiB", None);
    if let Some(idle_s) = idle_s {
        println!("waiting {QUIET_S} s for sessions to go quiet, then counting for {idle_s} s ...");
        std::thread::sleep(Duration::from_secs(QUIET_S));
        let before = crowd.counted()?;
        // The measuring window itself: nothing is waited for.
        std::thread::sleep(Duration::from_secs(idle_s));
        let day = (crowd.counted()? - before) * DAY_S / idle_s;
        row("idle EN, 101 members: control traffic", day as f64 / 1e6, "MB/day", Some(2.0));
    }
    print!("{}", table(&rows));
    let dir = target_dir()?.join("measure");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("report.json"), serde_json::to_string_pretty(&rows)? + "\n")?;
    Ok(())
}

fn table(rows: &[Row]) -> String {
    let mut text = format!("\n{:<40} {:>10} {:<7} {:>8}\n", "what", "measured", "unit", "budget");
    for row in rows {
        let budget = row.budget.map_or_else(String::new, |b| format!("<= {b}"));
        let verdict = if row.budget.is_some_and(|b| row.measured > b) { "  OVER" } else { "" };
        text += &format!("{:<40} {:>10.2} {:<7} {budget:>8}{verdict}\n", row.what, row.measured, row.unit);
    }
    text
}

fn middle(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Resident memory of a node's daemon in bytes.
fn resident(node: &Node) -> Result<u64> {
    let pid = node.pid().context("a node is not running")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.split_whitespace().nth(1).context("no VmRSS")?.parse()?;
    Ok(kib << 10)
}

/// One owner behind a NAT, one relay, and a hundred members behind another NAT.
struct Crowd {
    a: Node,
    cn: Node,
    others: Vec<Node>,
    relay: String,
    home: NatBox,
    lab: Lab,
}

impl Crowd {
    fn build() -> Result<Self> {
        let plain = WireSpec::default();
        let mut lab = Lab::new()?;
        let host = lab.public_host("cn", Family::Dual, plain)?;
        let cn = Node::run(&lab, &host, "cn", &NodeSpec { tier: "cn", ..NodeSpec::default() })?;
        let relay = cn.relay_name()?;
        let nat = lab.nat_box("nat-a", NatKind::PortRestricted, Family::V4, plain)?;
        let host = lab.home_host("a", &nat, plain)?;
        let spec = NodeSpec { tier: "en", relays: vec![relay.clone()], extra: String::new() };
        let a = Node::run(&lab, &host, "a", &spec)?;
        let home = lab.nat_box("nat-crowd", NatKind::PortRestricted, Family::V4, plain)?;
        a.host.ns.nft(
            "table inet nfl_count {
 chain in {
  type filter hook input priority -300
  iifname \"eth0\" counter
 }
 chain out {
  type filter hook postrouting priority 300
  oifname \"eth0\" counter
 }
}
",
        )?;
        Ok(Self { a, cn, others: Vec::new(), relay, home, lab })
    }

    /// Starts and joins the others one after the other; how long each `netctl join` took, ms.
    fn join_all(&mut self) -> Result<Vec<f64>> {
        let mut times = Vec::new();
        for number in 1..=PEERS {
            let name = format!("m{number}");
            let host = self.lab.home_host(&name, &self.home, WireSpec::default())?;
            let spec = NodeSpec { tier: "en", relays: vec![self.relay.clone()], extra: String::new() };
            let node = Node::run(&self.lab, &host, &name, &spec)?;
            let token = self.a.invite()?;
            let start = Instant::now();
            join_as(&node, &token, &name)?;
            times.push(start.elapsed().as_secs_f64() * 1000.0);
            self.others.push(node);
        }
        Ok(times)
    }

    fn ping_all(&self) -> Result<()> {
        for node in &self.others {
            let address = IpAddr::from(overlay_v4(node)?);
            let reached = || tools::ping(&self.a.host.ns, address, 2).is_ok();
            wait::until(&format!("a reaches {}", node.host.name), 20_000, reached)?;
        }
        Ok(())
    }

    /// IP bytes the owner has sent and received on its uplink.
    fn counted(&self) -> Result<u64> {
        let text = self.a.host.ns.run(&["nft", "list", "table", "inet", "nfl_count"])?;
        let numbers =
            text.split("bytes ").skip(1).filter_map(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        Ok(numbers.sum())
    }
}
