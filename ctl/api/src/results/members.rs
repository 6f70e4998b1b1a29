//! Results of `members.*`, `admins.*` and `policy.*`.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::Role;

/// One member of a network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberInfo {
    /// `nf1...`.
    pub node: String,
    /// Name in this network.
    pub name: String,
    /// IPv4 address; absent while an address clash is unsettled.
    #[serde(default)]
    pub ipv4: Option<Ipv4Addr>,
    /// IPv6 address.
    pub ipv6: Ipv6Addr,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// What the member may do.
    pub role: Role,
    /// It is this node.
    #[serde(default)]
    pub this_node: bool,
    /// A session with it is up. Always true for this node.
    #[serde(default)]
    pub connected: bool,
    /// Since its last authenticated packet, seconds; absent if none since the daemon started.
    #[serde(default)]
    pub last_seen_s: Option<u64>,
}

/// Result of `members.list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MembersListResult {
    /// Name of the network.
    pub network: String,
    /// Its id.
    pub network_id: String,
    /// Members, sorted by name.
    pub members: Vec<MemberInfo>,
    /// Node ids that were revoked.
    #[serde(default)]
    pub revoked: Vec<String>,
}

/// Result of `members.revoke`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MembersRevokeResult {
    /// Name of the network.
    pub network: String,
    /// Node id of the revoked member.
    pub node: String,
    /// Its name.
    pub name: String,
    /// Nodes the entry went to at once: relays that serve the network and members with a session. The others learn it from them.
    pub told: u32,
}

/// Result of the methods that change one member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberChanged {
    /// Name of the network.
    pub network: String,
    /// The member after the change.
    pub member: MemberInfo,
}

/// Protocol a rule speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleProto {
    /// Every protocol.
    #[default]
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
}

/// What a rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleAction {
    /// Let it pass, and the replies of the flow too.
    Allow,
    /// Drop it.
    Deny,
}

/// One rule of a policy; the same shape in the file of `netctl policy set`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRule {
    /// What it decides.
    pub action: RuleAction,
    /// Who opens the flow: `*` or `tag:NAME`.
    pub from: String,
    /// Who is addressed: `*` or `tag:NAME`.
    pub to: String,
    /// Protocol; any if absent.
    #[serde(default)]
    pub proto: RuleProto,
    /// Destination ports, TCP and UDP only; all if empty.
    #[serde(default)]
    pub ports: Vec<PortRange>,
}

/// Ports `lo` to `hi`, both included. In JSON a string: `"443"` or `"8000-8100"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    /// First port.
    pub lo: u16,
    /// Last port, not below `lo`.
    pub hi: u16,
}

impl TryFrom<String> for PortRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (lo, hi) = text.split_once('-').unwrap_or((&text, &text));
        match (lo.trim().parse(), hi.trim().parse()) {
            (Ok(lo), Ok(hi)) if lo <= hi => Ok(Self { lo, hi }),
            _ => Err(format!(
                "{:?} is not a port or a range like \"8000-8100\"",
                text.chars().take(32).collect::<String>()
            )),
        }
    }
}

impl From<PortRange> for String {
    fn from(range: PortRange) -> Self {
        if range.lo == range.hi { range.lo.to_string() } else { format!("{}-{}", range.lo, range.hi) }
    }
}

/// Result of `policy.get` and `policy.set`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PolicyResult {
    /// Name of the network.
    pub network: String,
    /// Its id.
    pub network_id: String,
    /// Rules in force, in order.
    pub rules: Vec<PolicyRule>,
}
