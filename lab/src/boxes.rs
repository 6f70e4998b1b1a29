//! NAT boxes of a lab: on the internet, behind another box (double NAT), as a carrier's box with many homes behind (CGNAT); and how
//! such a box reboots.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};

use crate::conntrack;
use crate::lab::{Family, Host, Lab, forwarding};
use crate::nat::{self, NatKind};
use crate::wire::WireSpec;

/// A NAT box: `host` is its side towards the internet.
#[derive(Debug, Clone)]
pub struct NatBox {
    /// Its uplink.
    pub host: Host,
    /// Its class.
    pub kind: NatKind,
    hairpin: bool,
    lan_v4: Option<[u8; 3]>,
    lan_v6: Option<u16>,
}

/// The home addresses of nearly every box: real homes have the same ones.
const HOME: [u8; 3] = [192, 168, 1];
/// Addresses between a carrier's box and its customers (RFC 6598).
const CARRIER: [u8; 3] = [100, 64, 0];
/// Home addresses behind a second uplink of a host: one host cannot be in two networks of the same addresses.
const SECOND_HOME: [u8; 3] = [192, 168, 8];

impl Lab {
    /// A NAT box on the internet. IPv6 is routed with a stateful firewall, as homes have it, never translated.
    ///
    /// # Errors
    /// The command that failed, in one line.
    pub fn nat_box(&mut self, name: &str, kind: NatKind, family: Family, wire: WireSpec) -> Result<NatBox> {
        self.box_with(name, kind, family, wire, HOME)
    }

    /// A box that is the second uplink of a host in another home: its customers have other addresses (192.168.8.0/24).
    ///
    /// # Errors
    /// The command that failed, in one line.
    pub fn second_box(&mut self, name: &str, kind: NatKind, wire: WireSpec) -> Result<NatBox> {
        self.box_with(name, kind, Family::V4, wire, SECOND_HOME)
    }

    /// A carrier's box (CGNAT, RFC 6598 addresses behind it), which hairpins as RFC 6888 asks of it. Homes hang on it by
    /// [`Lab::nat_box_behind`].
    ///
    /// # Errors
    /// The command that failed, in one line.
    pub fn carrier_box(&mut self, name: &str, kind: NatKind, wire: WireSpec) -> Result<NatBox> {
        let mut carrier = self.box_with(name, kind, Family::V4, wire, CARRIER)?;
        carrier.hairpin = true;
        carrier.load_rules()?;
        Ok(carrier)
    }

    fn box_with(&mut self, name: &str, kind: NatKind, family: Family, wire: WireSpec, lan: [u8; 3]) -> Result<NatBox> {
        let ns = self.namespace(name)?;
        let inet = self.inet().clone();
        let (v4, v6) = self.public_uplink(name, &ns, "wan", &inet, family, wire)?;
        let lan_v6 = match v6 {
            Some(uplink) => {
                let number = u16::try_from(self.ports())?;
                self.inet().ip(&format!("route add 2001:db8:{number:x}::/64 via {uplink}"))?;
                Some(number)
            }
            None => None,
        };
        let host = Host { name: name.to_owned(), ns, v4, v6 };
        finish_box(NatBox { host, kind, hairpin: false, lan_v4: v4.map(|_| lan), lan_v6 })
    }

    /// A second NAT box in the home of the first one (IPv4 alone): double NAT.
    ///
    /// # Errors
    /// The command that failed, in one line; an outer box without IPv4.
    pub fn nat_box_behind(&mut self, outer: &NatBox, name: &str, kind: NatKind) -> Result<NatBox> {
        let ns = self.namespace(name)?;
        let [a, b, c] = outer.lan_v4.context("the outer box has no IPv4 home")?;
        let far = outer.host.ns.clone();
        let number = self.cable(name, &ns, "wan", &far, "lan0", WireSpec::default())?;
        let v4 = Ipv4Addr::new(a, b, c, number);
        ns.ip(&format!("addr add {v4}/24 dev wan\nroute add default via {a}.{b}.{c}.1"))?;
        let host = Host { name: name.to_owned(), ns, v4: Some(v4), v6: None };
        finish_box(NatBox { host, kind, hairpin: false, lan_v4: Some([192, 168, c + 1]), lan_v6: None })
    }

    /// A host in the home behind `home`.
    ///
    /// # Errors
    /// The command that failed, in one line.
    pub fn home_host(&mut self, name: &str, home: &NatBox, wire: WireSpec) -> Result<Host> {
        let ns = self.namespace(name)?;
        let far = home.host.ns.clone();
        let number = self.cable(name, &ns, "eth0", &far, "lan0", wire)?;
        let v4 = home.lan_v4.map(|[a, b, c]| Ipv4Addr::new(a, b, c, number));
        let v6 = home.lan_v6.map(|p| Ipv6Addr::new(0x2001, 0xdb8, p, 0, 0, 0, 0, u16::from(number)));
        if let (Some(v4), Some([a, b, c])) = (v4, home.lan_v4) {
            ns.ip(&format!("addr add {v4}/24 dev eth0\nroute add default via {a}.{b}.{c}.1"))?;
        }
        if let (Some(v6), Some(p)) = (v6, home.lan_v6) {
            ns.ip(&format!("addr add {v6}/64 dev eth0\nroute add ::/0 via 2001:db8:{p:x}::1"))?;
        }
        Ok(Host { name: name.to_owned(), ns, v4, v6 })
    }

    /// A second uplink of a host: device `eth1` into the home of `home`, used when `eth0` is gone (its default route is worse).
    ///
    /// # Errors
    /// The command that failed, in one line; a box without IPv4.
    pub fn second_uplink(&mut self, host: &Host, home: &NatBox, wire: WireSpec) -> Result<()> {
        let far = home.host.ns.clone();
        let number = self.cable(&format!("{}-second", host.name), &host.ns, "eth1", &far, "lan0", wire)?;
        let [a, b, c] = home.lan_v4.context("the second box has no IPv4 home")?;
        host.ns
            .ip(&format!("addr add {a}.{b}.{c}.{number}/24 dev eth1\nroute add default via {a}.{b}.{c}.1 metric 1000"))
    }

    /// The host's first uplink goes down, as when a cable is pulled and the network manager notices; `eth1` takes over.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn drop_first_uplink(&self, host: &Host) -> Result<()> {
        host.ns.ip("link set eth0 down")
    }

    /// The first uplink is back, with the route it had.
    ///
    /// # Errors
    /// When `ip` fails; a box without IPv4.
    pub fn restore_first_uplink(&self, host: &Host, home: &NatBox) -> Result<()> {
        let [a, b, c] = home.lan_v4.context("the box has no IPv4 home")?;
        host.ns.ip(&format!("link set eth0 up\nroute add default via {a}.{b}.{c}.1"))
    }

    /// The box loses power and comes back: every mapping and every tracked connection is gone, and the provider gives it another
    /// address.
    ///
    /// # Errors
    /// The command that failed, in one line; a box without IPv4 on the internet.
    pub fn reboot(&self, nat: &mut NatBox) -> Result<()> {
        let old = nat.host.v4.context("the box has no IPv4 address")?;
        let [a, b, c, d] = old.octets();
        // Cables have the numbers 2..=254 in order of their making: the upper half is free in every world of the tests.
        let new = Ipv4Addr::new(a, b, c, d ^ 0x80);
        let ns = &nat.host.ns;
        ns.ip("link set wan down")?;
        ns.ip(&format!(
            "addr del {old}/24 dev wan\naddr add {new}/24 dev wan\nlink set wan up\nroute add default via {a}.{b}.{c}.1"
        ))?;
        nat.host.v4 = Some(new);
        nat.load_rules()?;
        conntrack::flush(&nat.host.ns)
    }
}

impl NatBox {
    /// Where its customers' gateway is.
    #[must_use]
    pub fn inside(&self) -> Option<Ipv4Addr> {
        self.lan_v4.map(|[a, b, c]| Ipv4Addr::new(a, b, c, 1))
    }

    /// Connections the box tracks now: what hole punching costs it.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn tracked(&self) -> Result<u32> {
        conntrack::count(&self.host.ns)
    }

    /// Replaces all rules, and with them the learnt mappings.
    fn load_rules(&self) -> Result<()> {
        let wan = self.host.v4.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let customers = self.lan_v4.filter(|_| self.hairpin).map(|[a, b, c]| Ipv4Addr::new(a, b, c, 0));
        self.host.ns.nft(&format!("flush ruleset\n{}", nat::script(self.kind, wan, customers)))
    }
}

/// The home side of a box and its rules.
fn finish_box(nat: NatBox) -> Result<NatBox> {
    let ns = &nat.host.ns;
    ns.ip("link add lan0 type bridge\nlink set lan0 up")?;
    if let Some([a, b, c]) = nat.lan_v4 {
        ns.ip(&format!("addr add {a}.{b}.{c}.1/24 dev lan0"))?;
    }
    if let Some(p) = nat.lan_v6 {
        ns.ip(&format!("addr add 2001:db8:{p:x}::1/64 dev lan0"))?;
    }
    forwarding(ns)?;
    nat.load_rules()?;
    Ok(nat)
}
