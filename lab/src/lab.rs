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
use crate::nat::{self, NatKind};
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
    fn v4(self) -> bool {
        self != Self::V6
    }
    fn v6(self) -> bool {
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

/// A NAT box: `host` is its side towards the internet.
#[derive(Debug, Clone)]
pub struct NatBox {
    /// Its uplink.
    pub host: Host,
    /// Its class.
    pub kind: NatKind,
    lan_v4: Option<[u8; 3]>,
    lan_v6: Option<u16>,
}

/// One cable: the near end is in the host or box, the far end in the bridge it hangs on.
#[derive(Debug)]
struct Link {
    near: (Netns, String),
    far: (Netns, String),
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

    /// A NAT box on the internet. IPv6 is routed with a stateful firewall, as homes have it, never translated.
    ///
    /// # Errors
    /// The command that failed, in one line.
    pub fn nat_box(&mut self, name: &str, kind: NatKind, family: Family, wire: WireSpec) -> Result<NatBox> {
        let ns = self.namespace(name)?;
        let inet = self.inet.clone();
        let (v4, v6) = self.public_uplink(name, &ns, "wan", &inet, family, wire)?;
        let lan_v6 = match v6 {
            Some(uplink) => {
                let number = u16::try_from(self.ports)?;
                self.inet.ip(&format!("route add 2001:db8:{number:x}::/64 via {uplink}"))?;
                Some(number)
            }
            None => None,
        };
        let host = Host { name: name.to_owned(), ns, v4, v6 };
        finish_box(NatBox { host, kind, lan_v4: v4.map(|_| [192, 168, 1]), lan_v6 })
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
        finish_box(NatBox { host, kind, lan_v4: Some([192, 168, c + 1]), lan_v6: None })
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

    fn link(&self, name: &str) -> Result<&Link> {
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
    fn cable(
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

    fn public_uplink(
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
    ns.nft(&nat::script(nat.kind, nat.host.v4.unwrap_or(Ipv4Addr::UNSPECIFIED)))?;
    Ok(nat)
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

fn forwarding(ns: &Netns) -> Result<()> {
    ns.sysctl("ipv4/ip_forward", "1")?;
    ns.sysctl("ipv4/conf/all/send_redirects", "0")?;
    ns.sysctl("ipv6/conf/all/forwarding", "1")
}
