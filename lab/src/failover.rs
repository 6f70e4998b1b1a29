//! `netflow-lab failover`: what a dead path, a dead relay and a new uplink cost under running traffic.
//!
//! Two homes with port-restricted boxes, a second uplink at `a`, two relays 10 and 16 ms of round trip away. A UDP stream runs in each
//! direction (one packet each 5 ms) and a TCP transfer from `a` to `b`. The figure is the longest time without a packet that arrived.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::boxes::NatBox;
use crate::lab::{Family, Lab};
use crate::nat::NatKind;
use crate::node::{Node, NodeSpec, text_at};
use crate::paths::target_dir;
use crate::stream::{Transfer, UdpStream};
use crate::tools;
use crate::wait;
use crate::wire::WireSpec;
use crate::world::{join_as, overlay_v4};

/// The goal of the project for each gap, ms; Tailscale needs 6,500, Firezone 2,000 to 5,000.
pub const GOAL_MS: u64 = 300;
/// No gap may be longer, ms.
pub const LIMIT_MS: u64 = 1_000;
/// How long the direct path may take to come up, ms.
const DIRECT_LIMIT_MS: u64 = 30_000;
/// Traffic must have been steady for this long before the next event, so that each gap belongs to one event.
const STEADY: Duration = Duration::from_secs(2);
/// How long after an event a gap still counts as its doing.
const WATCH: Duration = Duration::from_secs(8);

/// One event and what it cost.
#[derive(Debug, Clone, Serialize)]
pub struct Gap {
    /// What happened.
    pub event: &'static str,
    /// Longest time without a packet from `a` to `b`, ms.
    pub a_to_b_ms: u64,
    /// The same from `b` to `a`, ms.
    pub b_to_a_ms: u64,
    /// Longest time without a byte of the TCP transfer, ms: TCP waits for its own timer on top.
    pub tcp_ms: u64,
    /// The path before and after, as `a` tells it.
    pub paths: [String; 2],
}

/// The world of the events.
pub struct Failover {
    a: Node,
    b: Node,
    relays: Vec<Node>,
    box_a: NatBox,
    box_b: NatBox,
    lab: Lab,
}

/// What runs while things break.
struct Traffic {
    there: UdpStream,
    back: UdpStream,
    transfer: Transfer,
}

impl Failover {
    /// Builds the world and waits for the first packet over a relay.
    ///
    /// # Errors
    /// One line: what could not be made or started.
    pub fn build() -> Result<Self> {
        let plain = WireSpec::default();
        let mut lab = Lab::new()?;
        let mut relays = Vec::new();
        for (name, one_way_ms) in [("cn1", 5), ("cn2", 8)] {
            let host = lab.public_host(name, Family::V4, WireSpec::delay_ms(one_way_ms))?;
            relays.push(Node::run(&lab, &host, name, &NodeSpec { tier: "cn", ..NodeSpec::default() })?);
        }
        let names = relays.iter().map(Node::relay_name).collect::<Result<Vec<_>>>()?;
        let box_a = lab.nat_box("nat-a", NatKind::PortRestricted, Family::V4, plain)?;
        let second = lab.second_box("nat-a2", NatKind::PortRestricted, plain)?;
        let box_b = lab.nat_box("nat-b", NatKind::PortRestricted, Family::V4, plain)?;
        let host_a = lab.home_host("a", &box_a, plain)?;
        lab.second_uplink(&host_a, &second, plain)?;
        let host_b = lab.home_host("b", &box_b, plain)?;
        let spec = NodeSpec { tier: "en", relays: names, extra: String::new() };
        let a = Node::run(&lab, &host_a, "a", &spec)?;
        let b = Node::run(&lab, &host_b, "b", &spec)?;
        a.json(&["create-network", "home"])?;
        join_as(&b, &a.invite()?, "b")?;
        tools::ping(&b.host.ns, overlay_v4(&a)?.into(), 5)?;
        Ok(Self { a, b, relays, box_a, box_b, lab })
    }

    fn traffic(&self) -> Result<Traffic> {
        let (a, b): (IpAddr, IpAddr) = (overlay_v4(&self.a)?.into(), overlay_v4(&self.b)?.into());
        Ok(Traffic {
            there: UdpStream::start(&self.a.host.ns, &self.b.host.ns, b, 5001)?,
            back: UdpStream::start(&self.b.host.ns, &self.a.host.ns, a, 5001)?,
            transfer: Transfer::start(&self.a.host.ns, &self.b.host.ns, b, 5002)?,
        })
    }

    /// The direct path is cut, without a word to either end.
    ///
    /// # Errors
    /// When the path does not become direct, or the traffic does not go on.
    pub fn direct_cut(&mut self) -> Result<Gap> {
        let traffic = self.traffic()?;
        let direct = || path_of(&self.a).is_ok_and(|path| path.starts_with("direct"));
        wait::until("a reaches b directly", DIRECT_LIMIT_MS, direct)?;
        self.event(&traffic, "direct path cut", |world| world.lab.separate(&world.box_a.host, &world.box_b.host, true))
    }

    /// The relay in use is killed, where no direct path is possible.
    ///
    /// # Errors
    /// When the traffic does not go on.
    pub fn relay_killed(&mut self) -> Result<Gap> {
        self.lab.separate(&self.box_a.host, &self.box_b.host, true)?;
        let traffic = self.traffic()?;
        // Asked before one dies: a dead relay cannot say who it is.
        let ids = self.relays.iter().map(Node::id).collect::<Result<Vec<_>>>()?;
        self.event(&traffic, "relay in use killed (SIGKILL)", |world| {
            let used = relay_in_use(&world.a)?;
            let relay = world.relays.iter_mut().zip(&ids).find(|(_, id)| **id == used);
            let (relay, _) = relay.with_context(|| format!("the relay in use, {used}, is none of this world"))?;
            relay.kill9();
            Ok(())
        })
    }

    /// The first uplink of `a` goes down, the second takes over.
    ///
    /// # Errors
    /// When the traffic does not go on.
    pub fn uplink_switched(&mut self) -> Result<Gap> {
        let traffic = self.traffic()?;
        self.event(&traffic, "uplink switched", |world| world.lab.drop_first_uplink(&world.a.host))
    }

    fn event(
        &mut self,
        traffic: &Traffic,
        event: &'static str,
        happen: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<Gap> {
        let steady = || traffic.there.flows_for(STEADY) && traffic.back.flows_for(STEADY);
        wait::until(&format!("traffic is steady before: {event}"), 30_000, steady)?;
        let before = path_of(&self.a)?;
        let start = Instant::now();
        happen(self)?;
        let watched = || start.elapsed() > WATCH && steady();
        wait::until(&format!("traffic is steady after: {event}"), 60_000, watched)?;
        let ms = |gap: Duration| u64::try_from(gap.as_millis()).unwrap_or(u64::MAX);
        let bytes = traffic.transfer.bytes()?;
        ensure!(bytes > 1 << 20, "only {bytes} bytes of the transfer arrived");
        Ok(Gap {
            event,
            a_to_b_ms: ms(traffic.there.longest_gap(start)),
            b_to_a_ms: ms(traffic.back.longest_gap(start)),
            tcp_ms: ms(traffic.transfer.longest_gap(start)),
            paths: [before, path_of(&self.a)?],
        })
    }
}

/// The path in use from `node` to its only peer: `direct 203.0.113.7:4790` or `relay nf1...`.
fn path_of(node: &Node) -> Result<String> {
    let peers = node.json(&["peers"])?;
    let path = peers.pointer("/peers/0/path").context("no path")?;
    let part = |name: &str| path.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let relay: String = part("relay").chars().take(14).collect();
    Ok(format!("{} {}", part("kind"), if relay.is_empty() { part("address") } else { relay }))
}

fn relay_in_use(node: &Node) -> Result<String> {
    text_at(&node.json(&["peers"])?, "/peers/0/path/relay")
}

/// Runs the three events, each in a world of its own, and prints the gaps; also in `target/failover/report.json`.
///
/// # Errors
/// One line: what failed.
#[allow(clippy::print_stdout, reason = "the table is the product")]
pub fn run() -> Result<()> {
    let gaps =
        [Failover::build()?.direct_cut()?, Failover::build()?.relay_killed()?, Failover::build()?.uplink_switched()?];
    println!("{:<32} {:>9} {:>9} {:>9}  path", "event", "a -> b", "b -> a", "TCP");
    for gap in &gaps {
        let worst = gap.a_to_b_ms.max(gap.b_to_a_ms);
        let verdict = if worst > LIMIT_MS {
            "  OVER THE LIMIT"
        } else if worst > GOAL_MS {
            "  over the goal"
        } else {
            ""
        };
        println!(
            "{:<32} {:>6} ms {:>6} ms {:>6} ms  {} -> {}{verdict}",
            gap.event, gap.a_to_b_ms, gap.b_to_a_ms, gap.tcp_ms, gap.paths[0], gap.paths[1]
        );
    }
    println!("goal {GOAL_MS} ms, limit {LIMIT_MS} ms; TCP adds its own retransmission timer");
    let dir = target_dir()?.join("failover");
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join("report.json"), serde_json::to_string_pretty(&gaps)? + "\n")?;
    Ok(())
}
