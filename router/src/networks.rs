//! The machine's side of each network: its TUN, addresses, routes, rules and filter, made and unmade as a whole.
//!
//! Order up: search for clashes, note in the journal, TUN, filter, addresses and routes, up. A step that fails takes the earlier ones back,
//! so a network is either complete or absent. Order down is the reverse, and what survives a kill is in the journal.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use netflow_overlay::node::NetworkPlan;
use netflow_sys::netlink::{Attachment, Netlink, TABLE_BASE};
use netflow_sys::nft::{self, FilteredNetwork};
use netflow_sys::tun::{DEVICE_NODE, Tun};
use netflow_sys::undo::{Change, UndoJournal};
use netflow_wire::NetworkId;

/// Interface names are `nf0`, `nf1`, ..; more than the node's networks would never be needed.
const MAX_INTERFACES: u32 = 64;

/// Why a network could not be brought up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    /// A local address or route, or another of our networks, has its addresses.
    Clash(String),
    /// The kernel or a program refused.
    System(String),
}

impl Problem {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Clash(text) | Self::System(text) => text,
        }
    }
}

struct Attached {
    plan: NetworkPlan,
    interface: String,
    table: u32,
}

/// The networks the machine carries, and why it does not carry the others.
pub(crate) struct Networks {
    netlink: Netlink,
    journal: UndoJournal,
    attached: BTreeMap<NetworkId, Attached>,
    problems: BTreeMap<NetworkId, Problem>,
}

impl Networks {
    pub(crate) fn new(netlink: Netlink, journal: UndoJournal) -> Self {
        Self { netlink, journal, attached: BTreeMap::new(), problems: BTreeMap::new() }
    }

    pub(crate) fn netlink(&self) -> &Netlink {
        &self.netlink
    }

    pub(crate) fn problem(&self, network: &NetworkId) -> Option<&Problem> {
        self.problems.get(network)
    }

    pub(crate) fn is_up(&self, network: &NetworkId) -> bool {
        self.attached.contains_key(network)
    }

    /// Plans in force, for the search of clashes by `doctor`.
    pub(crate) fn prefixes(&self) -> Vec<IpNet> {
        self.attached.values().flat_map(|attached| prefixes(&attached.plan)).collect()
    }

    /// Whether the machine already carries exactly this plan.
    pub(crate) fn carries(&self, plan: &NetworkPlan) -> bool {
        self.attached.get(&plan.network).is_some_and(|attached| attached.plan == *plan)
    }

    /// Brings a network up and returns its device. On an error nothing of it is left, and the reason is kept for `status`.
    pub(crate) async fn up(&mut self, plan: &NetworkPlan) -> Result<Tun, Problem> {
        let result = self.try_up(plan).await;
        match &result {
            Ok(_) => self.problems.remove(&plan.network),
            Err(problem) => self.problems.insert(plan.network, problem.clone()),
        };
        result
    }

    async fn try_up(&mut self, plan: &NetworkPlan) -> Result<Tun, Problem> {
        self.check_clash(plan).await?;
        let table = self.free_table();
        let change = Change::RoutingTable(table);
        self.journal.note(change.clone()).map_err(system)?;
        self.journal.note(Change::PacketFilter).map_err(system)?;
        let tun = self.create_tun(plan.mtu)?;
        let attached = Attached { plan: plan.clone(), interface: tun.name().to_owned(), table };
        let attachment = attached.attachment();
        self.attached.insert(plan.network, attached);
        let made = match self.apply_filter().await {
            Ok(()) => self.netlink.attach(&attachment).await.map_err(system),
            Err(problem) => Err(problem),
        };
        if let Err(problem) = made {
            drop(tun);
            self.down(&plan.network).await;
            return Err(problem);
        }
        tracing::info!(network = plan.name, interface = attachment.interface, "network is up");
        Ok(tun)
    }

    async fn check_clash(&self, plan: &NetworkPlan) -> Result<(), Problem> {
        let wanted = prefixes(plan);
        let overlaps = |other: &&Attached| {
            prefixes(&other.plan)
                .iter()
                .any(|theirs| wanted.iter().any(|ours| ours.contains(theirs) || theirs.contains(ours)))
        };
        if let Some(other) = self.attached.values().find(overlaps) {
            let text =
                format!("its addresses {} are those of network {}, which is up", plan.ipv4_prefix, other.plan.name);
            return Err(Problem::Clash(text));
        }
        let ours = self.attached.values().map(|attached| attached.interface.as_str()).collect::<Vec<_>>();
        match self.netlink.find_clash(&wanted, &ours).await.map_err(system)? {
            Some(clash) => Err(Problem::Clash(format!("its addresses {} clash with {}", clash.prefix, clash.with))),
            None => Ok(()),
        }
    }

    fn free_table(&self) -> u32 {
        let taken = |table: &u32| self.attached.values().any(|attached| attached.table == *table);
        (TABLE_BASE..).find(|table| !taken(table)).unwrap_or(TABLE_BASE)
    }

    /// The first free name: another program, or another daemon in this namespace, may have some.
    fn create_tun(&self, mtu: u16) -> Result<Tun, Problem> {
        let mut last = None;
        for number in 0..MAX_INTERFACES {
            let name = format!("nf{number}");
            if self.attached.values().any(|attached| attached.interface == name) {
                continue;
            }
            match Tun::create(&name, mtu) {
                Ok(tun) => return Ok(tun),
                Err(error) if is_name_taken(&error) => last = Some(error),
                Err(error) => {
                    return Err(Problem::System(format!(
                        "cannot create a TUN device; {error}; is {DEVICE_NODE} there?"
                    )));
                }
            }
        }
        let why = last.map_or_else(String::new, |error| format!("; {error}"));
        Err(Problem::System(format!("every interface name from nf0 to nf{} is taken{why}", MAX_INTERFACES - 1)))
    }

    async fn apply_filter(&self) -> Result<(), Problem> {
        let filtered = self.attached.values().map(Attached::filtered).collect::<Vec<_>>();
        nft::apply(&filtered).await.map_err(|error| Problem::System(format!("cannot set the packet filter; {error}")))
    }

    /// Takes a network down. The caller has dropped the device.
    pub(crate) async fn down(&mut self, network: &NetworkId) {
        self.problems.remove(network);
        let Some(attached) = self.attached.remove(network) else { return };
        if let Err(error) = self.journal.undo(&self.netlink, &Change::RoutingTable(attached.table)).await {
            tracing::error!(%error, "cannot take back routes; the next stop or start tries again");
        }
        let filtered = if self.attached.is_empty() {
            self.journal.undo(&self.netlink, &Change::PacketFilter).await.map_err(system)
        } else {
            self.apply_filter().await
        };
        if let Err(problem) = filtered {
            tracing::error!(
                error = problem.text(),
                "cannot take back the packet filter; the next stop or start tries again"
            );
        }
        tracing::info!(network = attached.plan.name, interface = attached.interface, "network is down");
    }

    /// Takes everything back.
    pub(crate) async fn stop(&mut self) {
        self.attached.clear();
        // Each failure was logged, and stays in the journal for the next start.
        let _ = self.journal.undo_all(&self.netlink).await;
    }
}

impl Attached {
    fn attachment(&self) -> Attachment {
        let ipv4 = self.plan.ipv4.map(IpAddr::V4);
        Attachment {
            interface: self.interface.clone(),
            addresses: ipv4.into_iter().chain([IpAddr::V6(self.plan.ipv6)]).collect(),
            prefixes: prefixes(&self.plan),
            table: self.table,
        }
    }

    fn filtered(&self) -> FilteredNetwork {
        FilteredNetwork { interface: self.interface.clone(), prefixes: prefixes(&self.plan) }
    }
}

fn prefixes(plan: &NetworkPlan) -> Vec<IpNet> {
    vec![IpNet::V4(plan.ipv4_prefix), IpNet::V6(plan.ipv6_prefix)]
}

fn system(error: impl std::fmt::Display) -> Problem {
    Problem::System(error.to_string())
}

/// The kernel says EBUSY for a TUN of another process, EEXIST or EINVAL for an interface of another kind.
fn is_name_taken(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{AlreadyExists, InvalidInput, ResourceBusy};
    matches!(error.kind(), AlreadyExists | InvalidInput | ResourceBusy)
}
