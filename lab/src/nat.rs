//! The rules of a NAT box, one class of RFC 4787 each, in nftables.
//!
//! A box has its uplink on `wan` and its customers on `lan0`. Connection tracking alone is a port-restricted NAT: the port is
//! kept where it is free and only the exact remote endpoint may answer. The two wider filtering classes add what consumer
//! boxes have: a table of mappings learnt from outbound packets, which inbound packets are checked against.

use std::fmt::Write;
use std::net::Ipv4Addr;

use crate::probe::{Behaviour, NatClass};

/// What kind of box it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatKind {
    /// Endpoint-independent mapping, address-and-port-dependent filtering: most home routers (`masquerade`).
    PortRestricted,
    /// A fresh random port for every remote endpoint (`masquerade random,fully-random`): mobile carriers, many firewalls.
    Symmetric,
    /// Endpoint-independent mapping, address-dependent filtering ("restricted cone").
    AddressDependent,
    /// Endpoint-independent mapping and filtering ("full cone").
    EndpointIndependent,
    /// Masquerades TCP and drops every UDP datagram: strict company networks.
    UdpBlocked,
    /// Masquerades, and lets UDP out to port 443 alone: networks that know HTTP/3 and nothing else.
    Udp443Only,
}

impl NatKind {
    /// The class a probe must find behind this box; `None` where UDP does not pass at all.
    #[must_use]
    pub fn expected(self) -> Option<NatClass> {
        let eim = |filtering| Some(NatClass { mapping: Behaviour::EndpointIndependent, filtering });
        match self {
            Self::PortRestricted => eim(Behaviour::AddressAndPortDependent),
            Self::AddressDependent => eim(Behaviour::AddressDependent),
            Self::EndpointIndependent => eim(Behaviour::EndpointIndependent),
            Self::Symmetric => Some(NatClass {
                mapping: Behaviour::AddressAndPortDependent,
                filtering: Behaviour::AddressAndPortDependent,
            }),
            // A probe asks at other ports.
            Self::UdpBlocked | Self::Udp443Only => None,
        }
    }
}

/// Mappings one box remembers. A home router holds a few thousand; more would hide a client that opens too many (pitfall 15).
const MAPPINGS: u32 = 4096;

/// The nft script of a box whose uplink address is `wan`. With `hairpin` (the /24 of the customers), a customer reaches another
/// one by the outside address and port of its mapping (RFC 4787, section 6); that needs the learnt table, so only the two wider kinds can.
///
/// Unwanted packets from outside are dropped in `input` as well: without that, connection tracking would remember the
/// stranger's packet as a flow to the box itself and give the later outbound packet of a hole punch another port.
///
/// Protocols are numbers (1 ICMP, 17 UDP, 58 ICMPv6): their names are in /etc/protocols, which a small Debian does not have.
#[must_use]
pub fn script(kind: NatKind, wan: Ipv4Addr, hairpin: Option<Ipv4Addr>) -> String {
    let mut out = String::new();
    let (snat, learnt) = match kind {
        NatKind::PortRestricted | NatKind::UdpBlocked | NatKind::Udp443Only => ("masquerade".to_owned(), None),
        NatKind::Symmetric => ("masquerade random,fully-random".to_owned(), None),
        NatKind::AddressDependent | NatKind::EndpointIndependent => {
            let reuse = format!("meta l4proto 17 snat ip to {wan} : ip saddr . udp sport map @out");
            (format!("{reuse}\n  oifname \"wan\" masquerade"), Some(kind == NatKind::AddressDependent))
        }
    };
    out.push_str("table ip nat {\n");
    if let Some(by_address) = learnt {
        out.push_str(&mapping_tables(by_address));
        if let Some(customers) = hairpin {
            out.push_str(&hairpin_rules(wan, customers));
        }
    }
    let _ =
        write!(out, " chain post {{\n  type nat hook postrouting priority srcnat\n  oifname \"wan\" {snat}\n }}\n}}\n");
    let udp = match kind {
        NatKind::UdpBlocked => "  meta l4proto 17 drop\n",
        NatKind::Udp443Only => "  iifname \"lan0\" udp dport != 443 drop\n",
        NatKind::PortRestricted | NatKind::Symmetric | NatKind::AddressDependent | NatKind::EndpointIndependent => "",
    };
    let _ = write!(
        out,
        "table inet filter {{
 chain input {{
  type filter hook input priority filter; policy accept
  iifname != \"wan\" accept
  ct state established,related accept
  meta l4proto {{ 1, 58 }} accept
  drop
 }}
 chain forward {{
  type filter hook forward priority filter; policy drop
{udp}  ct state established,related accept
  meta l4proto 58 accept
  iifname \"lan0\" accept
  ct status dnat accept
 }}
}}
"
    );
    out
}

/// Tables that remember which inside endpoint owns which outside port, and (`by_address`) which remote hosts it has talked to.
fn mapping_tables(by_address: bool) -> String {
    let limits = format!("size {MAPPINGS}; flags dynamic,timeout; timeout 300s");
    let admit = if by_address { "ip saddr . udp dport @seen " } else { "" };
    format!(
        " map back {{ type inet_service : ipv4_addr . inet_service; {limits}; }}
 map out {{ type ipv4_addr . inet_service : inet_service; {limits}; }}
 set seen {{ type ipv4_addr . inet_service; {limits}; }}
 chain pre {{
  type nat hook prerouting priority dstnat
  iifname \"wan\" meta l4proto 17 {admit}dnat ip to udp dport map @back
 }}
 chain learn {{
  type filter hook postrouting priority srcnat + 10
  oifname \"wan\" meta l4proto 17 update @back {{ udp sport : ct original ip saddr . ct original proto-src }}
  oifname \"wan\" meta l4proto 17 update @out {{ ct original ip saddr . ct original proto-src : udp sport }}
  oifname \"wan\" meta l4proto 17 update @seen {{ ip daddr . udp sport }}
 }}
"
    )
}

/// Customer to customer by the outside address: the destination is looked up among the mappings, the source becomes the sender's own
/// mapping (or, the first time, its own port at the outside address), which is what the other one sees and answers to. The sender is told
/// by its address: the device it came in by is not known any more where the source changes.
fn hairpin_rules(wan: Ipv4Addr, customers: Ipv4Addr) -> String {
    format!(
        " chain turn {{
  type nat hook prerouting priority dstnat - 1
  iifname \"lan0\" ip daddr {wan} meta l4proto 17 dnat ip to udp dport map @back
 }}
 chain turned {{
  type nat hook postrouting priority srcnat - 1
  ip saddr {customers}/24 oifname \"lan0\" ct status dnat meta l4proto 17 snat ip to {wan} : ip saddr . udp sport map @out
  ip saddr {customers}/24 oifname \"lan0\" ct status dnat meta l4proto 17 snat ip to {wan}
 }}
 chain learn_turned {{
  type filter hook postrouting priority srcnat + 11
  oifname \"lan0\" ip saddr {wan} meta l4proto 17 update @back {{ udp sport : ct original ip saddr . ct original proto-src }}
  oifname \"lan0\" ip saddr {wan} meta l4proto 17 update @out {{ ct original ip saddr . ct original proto-src : udp sport }}
 }}
"
    )
}
