//! A topology: one internet namespace with a bridge and a router in the middle, public hosts on it, NAT boxes with homes behind.
//!
//! ```text
//!   relay   cn1   cn2            203.0.113.0/24, 2001:db8::/64
//!     |      |     |
//!  ===+======+=====+=== br0 (namespace inet, .1, routes the prefixes of the homes)
//!        |         |
//!      nat-a     nat-b           every home is 192.168.1.0/24: real homes have the same addresses
//!        |         |
//!        a         b
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

use crate::cleanup::{run_dir, sweep};
use crate::cmd::{Cmd, Proc};
use crate::netns::Netns;
use crate::paths::{lab_binary, target_dir};
use crate::preflight;
use crate::wait;
use crate::wire::WireSpec;

/// Every namespace of every lab starts with this.
pub const PREFIX: &str = "nfl-";

/// Which address families a host or a box has towards the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
    /// Both.
    Dual,
}

impl Family {
    pub(crate) fn v4(self) -> bool {
        self != Self::V6
    }
    pub(crate) fn v6(self) -> bool {
        self != Self::V4
    }
}

/// A host: its namespace and its addresses on `eth0`.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its short name in the lab ("relay").
    pub name: String,
    /// Where it lives.
    pub ns: Netns,
    /// Its IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

/// One cable: the near end is in the host or box, the far end in the bridge it hangs on.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) near: (Netns, String),
    pub(crate) far: (Netns, String),
    _wire: Option<Proc>,
}

/// Labs made by this process so far: part of the namespace names, so that two labs never meet.
static LABS: AtomicU32 = AtomicU32::new(0);

/// A running topology.
#[derive(Debug)]
pub struct Lab {
    id: String,
    dir: PathBuf,
    inet: Netns,
    links: BTreeMap<String, Link>,
    ports: u32,
    watchdog: Proc,
    keep_dir: bool,
}

impl Lab {
    /// Checks the machine, removes what dead labs left behind, and makes an empty internet.
    ///
    /// # Errors
    /// One line: the missing kernel feature, or the command that failed.
    pub fn new() -> Result<Self> {
        sweep();
        preflight::check()?;
        let id = format!("{PREFIX}{}x{}", std::process::id(), LABS.fetch_add(1, Ordering::Relaxed));
        let dir = target_dir()?.join("lab").join(&id);
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        fs::create_dir(run_dir(&id)).context("cannot make a folder in /run")?;
        let exe = lab_binary()?;
        let watchdog = Cmd::new([exe.as_os_str(), "watchdog".as_ref(), id.as_ref()]).spawn_piped()?;
        let inet = Netns::create(&format!("{id}-inet"))?;
        let lab = Self { id, dir, inet, links: BTreeMap::new(), ports: 0, watchdog, keep_dir: false };
        lab.inet.ip("link add br0 type bridge
             link set br0 up
             addr add 203.0.113.1/24 dev br0
             addr add 2001:db8::1/64 dev br0")?;
        forwarding(&lab.inet)?;
        Ok(lab)
    }

    /// The lab's name, first part of all its namespaces.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where nodes keep state and logs; removed with the lab unless [`Lab::keep_files`] was called or the thread panics.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Keeps the files when the lab goes.
    pub fn keep_files(&mut self) {
        self.keep_dir = true;
    }

    /// Where the nodes' sockets are: short, because a unix socket path has 107 bytes.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        run_dir(&self.id)
    }

    /// Cables laid so far; the next one gets this number plus 2.
    pub(crate) fn ports(&self) -> u32 {
        self.ports
    }

    /// The middle of the internet, for captures and counters.
    #[must_use]
    pub fn inet(&self) -> &Netns {
        &self.inet
    }

    /// A host with public addresses.
    ///
    /// # Errors
    /// The command that failed, in one line.
    pub fn public_host(&mut self, name: &str, family: Family, wire: WireSpec) -> Result<Host> {
        let ns = self.namespace(name)?;
        let inet = self.inet.clone();
        let (v4, v6) = self.public_uplink(name, &ns, "eth0", &inet, family, wire)?;
        Ok(Host { name: name.to_owned(), ns, v4, v6 })
    }

    /// Pulls the cable of a host or box: both ends lose their carrier.
    ///
    /// # Errors
    /// When `name` has no cable or `ip` fails.
    pub fn cut(&self, name: &str) -> Result<()> {
        let (ns, device) = &self.link(name)?.far;
        ns.ip(&format!("link set {device} down"))
    }

    /// Puts the cable back.
    ///
    /// # Errors
    /// When `name` has no cable or `ip` fails.
    pub fn heal(&self, name: &str) -> Result<()> {
        let (ns, device) = &self.link(name)?.far;
        ns.ip(&format!("link set {device} up"))?;
        forwards(ns, device)
    }

    /// Cuts the direct way between two hosts or boxes of the internet, without a sign to either; all else still passes. `false` heals it.
    ///
    /// # Errors
    /// When one of them has no cable or no IPv4 address, or `nft` fails.
    pub fn separate(&self, a: &Host, b: &Host, cut: bool) -> Result<()> {
        for (from, to) in [(a, b), (b, a)] {
            let (ns, device) = &self.link(&from.name)?.far;
            let to = to.v4.with_context(|| format!("{} has no IPv4 address", to.name))?;
            // One for each pair: a host may be kept apart from many.
            let table = format!("netdev nfl_cut_{device}_{}", to.octets().map(|octet| octet.to_string()).join("_"));
            let mut script = format!("add table {table}\ndelete table {table}\n");
            if cut {
                script += &format!(
                    "table {table} {{\n chain in {{\n  type filter hook ingress device \"{device}\" priority 1\n  ip daddr {to} drop\n }}\n}}\n"
                );
            }
            ns.nft(&script)?;
        }
        Ok(())
    }

    /// Gives both ends of a cable, and the bridge at its far end, this MTU.
    ///
    /// # Errors
    /// When `name` has no cable or `ip` fails.
    pub fn set_mtu(&self, name: &str, mtu: u16) -> Result<()> {
        let link = self.link(name)?;
        for (ns, device) in [&link.near, &link.far] {
            ns.ip(&format!("link set {device} mtu {mtu}"))?;
        }
        let bridge = if link.far.0 == self.inet { "br0" } else { "lan0" };
        link.far.0.ip(&format!("link set {bridge} mtu {mtu}"))
    }

    /// Loses `permille` of the packets of this cable in each direction, without any sign to either end; 1000 is a black hole, 0 heals.
    ///
    /// # Errors
    /// When `name` has no cable or `nft` fails.
    pub fn set_loss(&self, name: &str, permille: u16) -> Result<()> {
        let link = self.link(name)?;
        for (ns, device) in [&link.near, &link.far] {
            // Adding first makes the delete succeed on the first call as well; all of it is one transaction.
            let table = format!("netdev nfl_loss_{device}");
            let mut script = format!("add table {table}\ndelete table {table}\n");
            if permille > 0 {
                let chance =
                    if permille < 1000 { format!("numgen random mod 1000 < {permille} ") } else { String::new() };
                script += &format!(
                    "table {table} {{\n chain in {{\n  type filter hook ingress device \"{device}\" priority 0\n  {chance}drop\n }}\n}}\n"
                );
            }
            ns.nft(&script)?;
        }
        Ok(())
    }

    pub(crate) fn link(&self, name: &str) -> Result<&Link> {
        self.links.get(name).with_context(|| format!("{name} has no cable in this lab"))
    }

    /// A namespace of this lab that hangs on nothing yet.
    ///
    /// # Errors
    /// When `ip netns add` fails.
    pub fn namespace(&mut self, name: &str) -> Result<Netns> {
        let ns = Netns::create(&format!("{}-{name}", self.id))?;
        // A redirect would teach hosts a shortcut past the router in the middle.
        ns.sysctl("ipv6/conf/all/accept_redirects", "0")?;
        ns.sysctl("ipv4/conf/all/accept_redirects", "0")?;
        Ok(ns)
    }

    /// Lays a cable from `near` to the bridge of `far`; the number of the port, 2..=254, also its last address byte.
    pub(crate) fn cable(
        &mut self,
        name: &str,
        near: &Netns,
        device: &str,
        far: &Netns,
        bridge: &str,
        wire: WireSpec,
    ) -> Result<u8> {
        self.ports += 1;
        let number = u8::try_from(self.ports + 1).ok().filter(|n| *n < 255).context("a lab has room for 253 cables")?;
        let port = format!("p{number}");
        let process = if wire == WireSpec::default() {
            let (far_name, near_name) = (far.name(), near.name());
            Cmd::new([
                "ip", "-netns", far_name, "link", "add", &port, "type", "veth", "peer", "name", device, "netns",
                near_name,
            ])
            .run()?;
            None
        } else {
            Some(wire.start((far, &port), (near, device))?)
        };
        far.ip(&format!("link set {port} master {bridge}\nlink set {port} up"))?;
        near.ip(&format!("link set {device} up"))?;
        forwards(far, &port)?;
        let link = Link { near: (near.clone(), device.to_owned()), far: (far.clone(), port), _wire: process };
        if self.links.insert(name.to_owned(), link).is_some() {
            bail!("two hosts of this lab are called {name}");
        }
        Ok(number)
    }

    pub(crate) fn public_uplink(
        &mut self,
        name: &str,
        ns: &Netns,
        device: &str,
        inet: &Netns,
        family: Family,
        wire: WireSpec,
    ) -> Result<(Option<Ipv4Addr>, Option<Ipv6Addr>)> {
        let number = self.cable(name, ns, device, inet, "br0", wire)?;
        let v4 = family.v4().then(|| Ipv4Addr::new(203, 0, 113, number));
        let v6 = family.v6().then(|| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(number)));
        if let Some(v4) = v4 {
            ns.ip(&format!("addr add {v4}/24 dev {device}\nroute add default via 203.0.113.1"))?;
        }
        if let Some(v6) = v6 {
            ns.ip(&format!("addr add {v6}/64 dev {device}\nroute add ::/0 via 2001:db8::1"))?;
        }
        Ok((v4, v6))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.links.clear();
        // One way to clean up for every kind of end: the watchdog sees its pipe close.
        drop(self.watchdog.child().stdin.take());
        let _ = self.watchdog.child().wait();
        if !self.keep_dir && !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Waits until the bridge passes packets of `port`: the kernel tells it about the carrier of a new cable up to a second later.
fn forwards(ns: &Netns, port: &str) -> Result<()> {
    let look = || {
        let shown = Cmd::new(["bridge", "-netns", ns.name(), "link", "show", "dev", port]).run();
        shown.is_ok_and(|text| text.contains("state forwarding"))
    };
    wait::until(&format!("the bridge port {port} of {} forwards", ns.name()), 5_000, look)?;
    Ok(())
}

pub(crate) fn forwarding(ns: &Netns) -> Result<()> {
    ns.sysctl("ipv4/ip_forward", "1")?;
    ns.sysctl("ipv4/conf/all/send_redirects", "0")?;
    ns.sysctl("ipv6/conf/all/forwarding", "1")
}
