//! What the kernel and the machine must offer. A missing piece is named in one line; nothing is ever skipped silently.

use anyhow::{Context, Result, bail};

use crate::cmd::Cmd;
use crate::netns::{self, Netns};

/// Programs the lab starts, with the Debian package that brings each.
const PROGRAMS: [(&str, &str); 6] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("tcpdump", "tcpdump"),
    ("iperf3", "iperf3"),
    ("curl", "curl"),
    ("ping", "iputils-ping"),
];

/// Checks everything the lab needs, in a namespace of its own that is gone afterwards.
///
/// # Errors
/// One line naming the first missing feature and what to do about it.
pub fn check() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the lab needs root (network namespaces): run it with sudo");
    }
    for (program, package) in PROGRAMS {
        let found =
            std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(program).exists());
        if !found {
            bail!("`{program}` is missing: apt-get install {package}, or make setup");
        }
    }
    if !std::path::Path::new("/dev/net/tun").exists() {
        bail!("kernel feature missing: TUN (/dev/net/tun is not there; CONFIG_TUN, modprobe tun)");
    }
    let name = format!("nfl-{}-preflight", std::process::id());
    let checked = features(&name);
    netns::remove(&name);
    checked
}

fn features(name: &str) -> Result<()> {
    let ns = Netns::create(name).context("kernel feature missing: network namespaces (CONFIG_NET_NS)")?;
    // `ip link` words, then the option to switch on.
    let devices = [
        ("link add v0 type veth peer name v1", "veth pairs (CONFIG_VETH, modprobe veth)"),
        ("link add b0 type bridge", "bridges (CONFIG_BRIDGE, modprobe bridge)"),
        ("tuntap add dev t0 mode tun", "TUN (CONFIG_TUN, modprobe tun)"),
    ];
    for (words, feature) in devices {
        ns.ip(words).with_context(|| format!("kernel feature missing: {feature}"))?;
    }
    let scripts = [
        (
            "table ip n {\n chain c {\n type nat hook postrouting priority srcnat\n oifname \"v0\" masquerade random,fully-random\n }\n}\n",
            "nft masquerade (CONFIG_NFT_MASQ, CONFIG_NF_NAT_MASQUERADE)",
        ),
        (
            "table inet f {\n chain c {\n type filter hook forward priority filter\n ct state established accept\n }\n}\n",
            "nft connection tracking (CONFIG_NFT_CT, CONFIG_NF_TABLES_INET)",
        ),
        (
            "table netdev l {\n chain c {\n type filter hook ingress device \"v0\" priority 0\n numgen random mod 1000 < 5 drop\n }\n}\n",
            "nft packet loss (CONFIG_NF_TABLES_NETDEV, CONFIG_NFT_NUMGEN)",
        ),
    ];
    for (script, feature) in scripts {
        ns.nft(script).with_context(|| format!("kernel feature missing: {feature}"))?;
    }
    Cmd::new(["ip", "-netns", ns.name(), "-6", "addr", "add", "2001:db8::1/64", "dev", "v0"])
        .run()
        .context("kernel feature missing: IPv6 (CONFIG_IPV6, or ipv6.disable=1 on the kernel command line)")?;
    Ok(())
}
