//! The topology of the main job: one root node, two central nodes, three edge nodes behind three kinds of NAT.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::lab::{Family, Host, Lab};
use crate::nat::NatKind;
use crate::node::{Node, NodeSpec, text_at};
use crate::wire::WireSpec;

/// The running world. Nodes go before the lab.
#[derive(Debug)]
pub struct World {
    /// Root node, 10 ms away from everything.
    pub rn: Node,
    /// First central node, the nearest relay.
    pub cn1: Node,
    /// Second central node, 4 ms away.
    pub cn2: Node,
    /// Edge node behind a port-restricted NAT.
    pub a: Node,
    /// Edge node behind a symmetric NAT. Its box and that of `a` do not hear each other: these two stay relayed.
    pub b: Node,
    /// Edge node behind an address-restricted NAT; its home has the same addresses as the others.
    pub c: Node,
    relays: Vec<String>,
    /// What they live in.
    pub lab: Lab,
}

impl World {
    /// Builds the internet and starts all six daemons.
    ///
    /// # Errors
    /// One line: what could not be made or started.
    pub fn build() -> Result<Self> {
        let mut lab = Lab::new()?;
        let relay = |lab: &mut Lab, name, tier, ms| -> Result<Node> {
            let host = lab.public_host(name, Family::Dual, WireSpec::delay_ms(ms))?;
            let mut node = Node::prepare(lab, &host, name, &NodeSpec { tier, ..NodeSpec::default() })?;
            node.launch()?;
            Ok(node)
        };
        let mut rn = relay(&mut lab, "rn", "rn", 5)?;
        let mut cn1 = relay(&mut lab, "cn1", "cn", 0)?;
        let mut cn2 = relay(&mut lab, "cn2", "cn", 2)?;
        let mut relays = Vec::new();
        for node in [&mut cn1, &mut cn2, &mut rn] {
            node.wait_ready()?;
            relays.push(node.relay_name()?);
        }
        let home = |lab: &mut Lab, name: &str, kind| -> Result<(Node, Host)> {
            let plain = WireSpec::default();
            let nat = lab.nat_box(&format!("nat-{name}"), kind, Family::V4, plain)?;
            let host = lab.home_host(name, &nat, plain)?;
            let spec = NodeSpec { tier: "en", relays: relays.clone(), extra: String::new() };
            let mut node = Node::prepare(lab, &host, name, &spec)?;
            node.launch()?;
            Ok((node, nat.host))
        };
        let (mut a, box_a) = home(&mut lab, "a", NatKind::PortRestricted)?;
        let (mut b, box_b) = home(&mut lab, "b", NatKind::Symmetric)?;
        let (mut c, _) = home(&mut lab, "c", NatKind::AddressDependent)?;
        // A patient search would join these two after seconds or minutes; what is shown of relays needs a pair that stays with them.
        lab.separate(&box_a, &box_b, true)?;
        for node in [&mut a, &mut b, &mut c] {
            node.wait_ready()?;
        }
        Ok(Self { rn, cn1, cn2, a, b, c, relays, lab })
    }

    /// All six nodes.
    #[must_use]
    pub fn nodes(&self) -> [&Node; 6] {
        [&self.rn, &self.cn1, &self.cn2, &self.a, &self.b, &self.c]
    }

    /// One more edge node, `d`, of somebody who has nothing to do with the others, behind a port-restricted NAT.
    ///
    /// # Errors
    /// One line: what could not be made or started.
    pub fn stranger(&mut self) -> Result<Node> {
        let plain = WireSpec::default();
        let nat = self.lab.nat_box("nat-d", NatKind::PortRestricted, Family::V4, plain)?;
        let host = self.lab.home_host("d", &nat, plain)?;
        let spec = NodeSpec { tier: "en", relays: self.relays.clone(), extra: String::new() };
        Node::run(&self.lab, &host, "d", &spec)
    }

    /// A creates the network "home" and B joins it with an invite; the token, which is used then.
    ///
    /// # Errors
    /// netctl's complaint.
    pub fn connect_homes(&self) -> Result<String> {
        self.a.json(&["create-network", "home"])?;
        let token = self.a.invite()?;
        join_as(&self.b, &token, "b")?;
        Ok(token)
    }
}

/// `netctl join`, which must succeed.
///
/// # Errors
/// netctl's complaint in one line.
pub fn join_as(node: &Node, token: &str, name: &str) -> Result<Value> {
    let done = node.netctl_cmd(&["--json", "join", "--as", name])?.input(format!("{token}\n")).finish()?;
    if done.code != 0 {
        bail!("netctl join failed with exit code {}: {}", done.code, done.stderr.trim());
    }
    serde_json::from_str(done.stdout.lines().last().unwrap_or_default())
        .or_else(|_| serde_json::from_str(&done.stdout))
        .context("netctl join --json printed no JSON")
}

/// The IPv4 address a node has in its active network.
///
/// # Errors
/// When it is in none.
pub fn overlay_v4(node: &Node) -> Result<Ipv4Addr> {
    Ok(text_at(&active(node)?, "/ipv4")?.parse()?)
}

/// The IPv6 address a node has in its active network.
///
/// # Errors
/// When it is in none.
pub fn overlay_v6(node: &Node) -> Result<IpAddr> {
    Ok(text_at(&active(node)?, "/ipv6")?.parse()?)
}

/// The active network of a node, as `netctl status` shows it.
///
/// # Errors
/// When there is none.
pub fn active(node: &Node) -> Result<Value> {
    let status = node.json(&["status"])?;
    let networks = status.pointer("/networks").and_then(Value::as_array).cloned().unwrap_or_default();
    let found = networks.into_iter().find(|n| n.pointer("/active") == Some(&Value::Bool(true)));
    found.with_context(|| format!("{} is in no network", node.host.name))
}
