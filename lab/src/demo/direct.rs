//! The part of the demo about paths: a third home becomes direct with a file in flight, and a relay dies under a transfer.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Demo;
use crate::node::{Node, text_at};
use crate::stream::Transfer;
use crate::tools;
use crate::wait;
use crate::world::{World, join_as, overlay_v4};

/// Budget from the first packet between a and c to a direct path, seconds (issue 3).
const DIRECT_BUDGET_S: f64 = 5.0;
/// A transfer may stand still for this long, ms (issue 3).
const STALL_BUDGET_MS: u128 = 1_000;
/// How long a transfer is watched before and after an event.
const WATCH: Duration = Duration::from_secs(3);

impl Demo {
    /// c joins; while a transfer runs, its path goes from the relay to a direct one.
    pub(super) fn direct(&mut self, world: &World) -> Result<()> {
        self.step("c joins the same network: two NATs, and nobody forwards a port", |facts| {
            let joined = join_as(&world.c, &world.a.invite()?, "c")?;
            let took = joined.pointer("/elapsed_ms").and_then(Value::as_u64).unwrap_or_default();
            facts.push(format!("c$ netctl join                    -> c is {}, after {took} ms", overlay_v4(&world.c)?));
            Ok(())
        })?;
        let (direct_s, stall_ms) = self.step(
            "a sends a file to c: it begins through a relay, and goes on directly as soon as a way is found",
            |facts| {
                let start = Instant::now();
                let c: IpAddr = overlay_v4(&world.c)?.into();
                let transfer = Transfer::start(&world.a.host.ns, &world.c.host.ns, c, 9000)?;
                wait::until("a reaches c directly", 20_000, || {
                    path_to(&world.a, "c").is_ok_and(|p| p.starts_with("direct"))
                })?;
                let direct_s = start.elapsed().as_secs_f64();
                let bytes = transfer.bytes()?;
                wait::until("more of the file arrives", 5_000, || {
                    start.elapsed() > WATCH && transfer.bytes().is_ok_and(|now| now > bytes)
                })?;
                let stall = transfer.longest_gap(start).as_millis();
                let mib = transfer.bytes()? >> 20;
                facts.push(format!("a -> c: {} after {direct_s:.2} s", path_to(&world.a, "c")?));
                facts.push(format!("{mib} MiB have arrived, every byte right; the longest pause was {stall} ms"));
                ensure!(direct_s <= DIRECT_BUDGET_S, "it took {direct_s:.1} s, budget {DIRECT_BUDGET_S} s");
                ensure!(stall <= STALL_BUDGET_MS, "the file stood still for {stall} ms, budget {STALL_BUDGET_MS} ms");
                Ok((direct_s, stall))
            },
        )?;
        self.figure("direct_s", direct_s);
        self.figure("direct_stall_ms", u64::try_from(stall_ms)?);
        self.step("Why this path", |facts| {
            let shown = world.a.netctl(&["path", "c"])?;
            ensure!(shown.code == 0, "netctl path ended with exit code {}", shown.code);
            facts.push("a$ netctl path c".into());
            facts.extend(shown.stdout.lines().filter(|line| !line.is_empty()).map(|line| format!("   {line}")));
            Ok(())
        })
    }

    /// kill -9 of the central node that carries a transfer between a and b.
    pub(super) fn relay_dies(&mut self, world: &mut World) -> Result<()> {
        let (stall_ms, second) =
            self.step("kill -9 of the central node that carries a transfer from a to b", |facts| {
                let b: IpAddr = overlay_v4(&world.b)?.into();
                let transfer = Transfer::start(&world.a.host.ns, &world.b.host.ns, b, 9001)?;
                let started = Instant::now();
                let flows = |bytes: u64| transfer.bytes().is_ok_and(|now| now > bytes);
                wait::until("the transfer is on its way", 5_000, || started.elapsed() > WATCH / 3 && flows(1 << 20))?;
                let before = path_to(&world.a, "b")?;
                let used = relay_of(&world.a, "b")?;
                let event = Instant::now();
                let second = used == world.cn2.id()?;
                ensure!(second || used == world.cn1.id()?, "no central node carries the transfer, but {before}");
                let victim = if second { &mut world.cn2 } else { &mut world.cn1 };
                victim.kill9();
                let bytes = transfer.bytes()?;
                wait::until("the transfer goes on", 20_000, || event.elapsed() > WATCH && flows(bytes + (1 << 20)))?;
                let stall = transfer.longest_gap(event).as_millis();
                facts.push(format!("before: {before}; after: {}", path_to(&world.a, "b")?));
                facts.push(format!("the transfer paused for {stall} ms and went on, every byte right"));
                ensure!(
                    stall <= STALL_BUDGET_MS,
                    "the transfer stood still for {stall} ms, budget {STALL_BUDGET_MS} ms"
                );
                victim.start()?;
                Ok((stall, second))
            })?;
        self.figure("relay_killed_stall_ms", u64::try_from(stall_ms)?);
        self.step("The central node is started again, and everybody finds it", |facts| {
            // Asked at the relay that is new: a member may hold the link of before for alive still.
            let relay = if second { &world.cn2 } else { &world.cn1 };
            let bound = || -> Result<u64> {
                let status = relay.json(&["relay", "status"])?;
                status.pointer("/server/bindings").and_then(Value::as_u64).context("no bindings")
            };
            let took = wait::until("a, b and c are bound at it again", 60_000, || bound().is_ok_and(|all| all == 3))?;
            tools::ping(&world.a.host.ns, overlay_v4(&world.b)?.into(), 5)?;
            facts.push(format!("a, b and c are bound at it again after {:.1} s", took.as_secs_f64()));
            Ok(())
        })
    }
}

/// The path from `node` to the member of this name: `direct 203.0.113.7:4790`, or `relay` and which.
fn path_to(node: &Node, member: &str) -> Result<String> {
    let (_, path) = peer(node, member)?;
    let part = |name: &str| path.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let relay: String = part("relay").chars().take(14).collect();
    Ok(format!("{} {}", part("kind"), if relay.is_empty() { part("address") } else { relay }))
}

fn relay_of(node: &Node, member: &str) -> Result<String> {
    text_at(&peer(node, member)?.1, "/relay")
}

fn peer(node: &Node, member: &str) -> Result<(Value, Value)> {
    let all = node.json(&["peers"])?;
    let peers = all.pointer("/peers").and_then(Value::as_array).context("no peers")?;
    let named = |peer: &&Value| peer.pointer("/name").and_then(Value::as_str) == Some(member);
    let peer = peers.iter().find(named).with_context(|| format!("no session with {member}"))?;
    Ok((peer.clone(), peer.pointer("/path").cloned().with_context(|| format!("no path to {member}"))?))
}
