//! What usually goes wrong on a machine, checked in the order in which to repair it.

use std::net::SocketAddr;

use ipnet::IpNet;
use netctl_api::{Check, CheckState, DoctorResult, NetworkInfo, RelayLinkInfo};
use netflow_overlay::node::PortMapping;
use netflow_sys::netlink::Netlink;
use netflow_sys::{clock, nft, privileges, tun};

use crate::config::Config;
use crate::link::WEB_PORT;

/// 2026-01-01: this program did not exist before, so a clock that says less is wrong.
const EARLIEST_UNIX_S: u64 = 1_767_225_600;

/// What the loop knows at the moment of asking.
pub(crate) struct Question {
    pub(crate) config: Config,
    pub(crate) listen: SocketAddr,
    pub(crate) networks: Vec<NetworkInfo>,
    pub(crate) relays: Vec<RelayLinkInfo>,
    pub(crate) netlink: Netlink,
    pub(crate) prefixes: Vec<IpNet>,
    pub(crate) interfaces: Vec<String>,
    /// Relays linked by TLS over TCP.
    pub(crate) by_stream: Vec<String>,
    /// UDP 443 is bound.
    pub(crate) has_web_port: bool,
    /// The uplink's IPv4 address is a private one.
    pub(crate) is_behind_gateway: bool,
    pub(crate) mapping: Option<PortMapping>,
}

/// Runs all checks.
pub(crate) async fn examine(question: Question) -> DoctorResult {
    let mut checks = vec![tun_device(), packet_filter().await, capabilities(), clock(), port(&question)];
    checks.extend(web_port(&question));
    checks.extend(port_mapping(&question));
    checks.push(clashes(&question).await);
    checks.extend(question.networks.iter().map(network));
    checks.extend(question.relays.iter().map(|link| relay(link, &question.by_stream)));
    if question.relays.is_empty() && question.config.relay.is_none() {
        let next = "add relays = [\"nf1...@host:port\"] to the configuration, or join a network";
        checks.push(check("relays", CheckState::Warn, "no relay is known: nobody can be reached", Some(next)));
    }
    DoctorResult { checks }
}

fn check(name: impl Into<String>, state: CheckState, text: impl Into<String>, next: Option<&str>) -> Check {
    Check { name: name.into(), state, text: text.into(), next: next.map(str::to_owned) }
}

fn tun_device() -> Check {
    match std::fs::OpenOptions::new().read(true).write(true).open(tun::DEVICE_NODE) {
        Ok(_) => check("tun", CheckState::Ok, format!("{} opens", tun::DEVICE_NODE), None),
        Err(error) => {
            let text = format!("{}: {error}; no network can come up", tun::DEVICE_NODE);
            let is_denied = error.kind() == std::io::ErrorKind::PermissionDenied;
            let next = if is_denied {
                "chmod 0666 /dev/net/tun, or remove user from the configuration"
            } else {
                "modprobe tun"
            };
            check("tun", CheckState::Fail, text, Some(next))
        }
    }
}

async fn packet_filter() -> Check {
    match nft::check().await {
        Ok(()) => check("packet filter", CheckState::Ok, "nft and nf_tables work", None),
        Err(error) => {
            let text = format!("{error}; without it no network is brought up");
            check("packet filter", CheckState::Fail, text, Some("apt-get install nftables"))
        }
    }
}

fn capabilities() -> Check {
    let names = privileges::effective();
    let text =
        format!("{}, no_new_privs {}", names.join(" "), if privileges::has_no_new_privs() { "on" } else { "off" });
    match names.as_slice() {
        [only] if only == "CAP_NET_ADMIN" => check("privileges", CheckState::Ok, text, None),
        names if names.iter().any(|name| name == "CAP_NET_ADMIN") => {
            check("privileges", CheckState::Warn, format!("more than needed: {text}"), Some("report this as a bug"))
        }
        _ => check(
            "privileges",
            CheckState::Fail,
            "CAP_NET_ADMIN is missing",
            Some("start netflowd as root or as a service"),
        ),
    }
}

fn clock() -> Check {
    let now = clock::unix_s();
    if now >= EARLIEST_UNIX_S {
        return check("clock", CheckState::Ok, "plausible; used for the expiry of invites only", None);
    }
    check(
        "clock",
        CheckState::Warn,
        "stands before 2026; invites made here look old to others",
        Some("timedatectl set-ntp true"),
    )
}

fn port(question: &Question) -> Check {
    let text = format!("listening on UDP {}", question.listen);
    if question.config.relay.as_ref().is_some_and(|relay| relay.public_addrs.is_empty()) {
        let next = "set public_addrs in [relay] of the configuration";
        return check(
            "port",
            CheckState::Warn,
            format!("{text}; the relay has no public address to give out"),
            Some(next),
        );
    }
    check("port", CheckState::Ok, text, None)
}

/// Only relays listen there.
fn web_port(question: &Question) -> Option<Check> {
    if !question.config.listen_443 || question.listen.port() == WEB_PORT {
        return None;
    }
    if question.has_web_port {
        return Some(check("port 443", CheckState::Ok, "reachable for members whose network blocks other ports", None));
    }
    let text = "UDP 443 is not bound; members whose network blocks other ports may not reach this relay";
    let next = "ss -ulpn 'sport = 443', or listen_443 = false in [relay]";
    Some(check("port 443", CheckState::Warn, text, Some(next)))
}

fn port_mapping(question: &Question) -> Option<Check> {
    if let Some(mapping) = question.mapping {
        let text = format!("the gateway maps {} to this node ({:?})", mapping.external, mapping.protocol);
        return Some(check("port mapping", CheckState::Ok, text, None));
    }
    let wanted = question.config.port_mapping && question.is_behind_gateway;
    wanted.then(|| check("port mapping", CheckState::Ok, "none from the gateway; direct paths are found without", None))
}

async fn clashes(question: &Question) -> Check {
    let ours = question.interfaces.iter().map(String::as_str).collect::<Vec<_>>();
    match question.netlink.find_clash(&question.prefixes, &ours).await {
        Ok(None) => check("addresses", CheckState::Ok, "no local address or route overlaps with a network", None),
        Ok(Some(clash)) => {
            let text = format!("{} of a network overlaps with {}", clash.prefix, clash.with);
            check("addresses", CheckState::Fail, text, Some("netctl down, or remove the local route"))
        }
        Err(error) => check("addresses", CheckState::Fail, error.to_string(), None),
    }
}

fn network(network: &NetworkInfo) -> Check {
    let name = format!("network {}", network.name);
    match &network.problem {
        None if network.up => {
            check(name, CheckState::Ok, format!("up on {}", network.interface.as_deref().unwrap_or("?")), None)
        }
        None => check(name, CheckState::Warn, "down by command", Some("netctl up")),
        Some(problem) if network.up => check(name, CheckState::Warn, problem.clone(), Some("netctl relay status")),
        Some(problem) => check(name, CheckState::Fail, problem.clone(), Some("netctl up")),
    }
}

fn relay(relay: &RelayLinkInfo, by_stream: &[String]) -> Check {
    let name = format!("relay {}", relay.node.chars().take(12).collect::<String>());
    let address = relay.address.map(|address| format!(" at {address}")).unwrap_or_default();
    if relay.connected && by_stream.contains(&relay.node) {
        let text = format!(
            "linked by TLS over TCP{address}: UDP does not get through, so everything is slower and nothing is direct"
        );
        let next = "allow UDP to this relay, port 443 or its own, in the firewall on the way";
        return check(name, CheckState::Warn, text, Some(next));
    }
    match (relay.connected, relay.bound) {
        (true, true) => check(name, CheckState::Ok, format!("linked and bound{address}"), None),
        (true, false) => check(
            name,
            CheckState::Warn,
            format!("linked{address}, but UDP frames do not get through"),
            Some("netctl doctor, in a minute"),
        ),
        (false, _) => {
            let why = relay.problem.as_deref().unwrap_or("no answer");
            check(
                name,
                CheckState::Fail,
                format!("not reached{address}; {why}"),
                Some("check that UDP to this address, or TCP to its port 443, is allowed"),
            )
        }
    }
}
