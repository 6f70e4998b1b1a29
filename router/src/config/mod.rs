//! The configuration file. Every key: `docs/spec/config.md`.

mod explain;
mod relays;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use netflow_overlay::identity::{parse_network_id, parse_node_id};
use netflow_overlay::node::{DEFAULT_MTU, Grant, MIN_MTU, Quota, RelayConfig, Transit};
use netflow_overlay::session::PqMode;
use netflow_wire::Tier;
use serde::Deserialize;

pub(crate) use relays::{RelayAddress, format_relay, resolve_all};

/// Port of the protocol when the configuration names none.
const DEFAULT_PORT: u16 = 4790;
/// Largest inner MTU: 64 KiB less every header, which only a loop-back underlay carries.
const MAX_MTU: u16 = 65_000;
/// Control links a relay accepts unless told otherwise: about 30 KiB each, so 128 MiB at the limit.
const DEFAULT_MAX_LINKS: usize = 4_096;
/// What a network without a grant gets at a relay that says nothing: enough to try it, too little to live on.
const DEFAULT_RATE_MBIT: u64 = 100;
const DEFAULT_QUOTA_GB_DAY: u64 = 100;

/// The file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    tier: TierName,
    name: Option<String>,
    state_dir: PathBuf,
    listen: SocketAddr,
    control_socket: PathBuf,
    user: Option<String>,
    log: String,
    metrics: String,
    relays: Vec<String>,
    pq: PqName,
    suite: SuiteName,
    mtu: u16,
    direct: bool,
    port_mapping: bool,
    relay: Option<RelaySection>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            tier: TierName::En,
            name: None,
            state_dir: "/var/lib/netflow".into(),
            listen: SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), DEFAULT_PORT),
            control_socket: netctl_api::DEFAULT_SOCKET.into(),
            user: None,
            log: "info".into(),
            metrics: "off".into(),
            relays: Vec::new(),
            pq: PqName::Prefer,
            suite: SuiteName::Auto,
            mtu: DEFAULT_MTU,
            direct: true,
            port_mapping: true,
            relay: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TierName {
    En,
    Cn,
    Rn,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PqName {
    Prefer,
    Strict,
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SuiteName {
    Auto,
    ChaCha20,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RelaySection {
    enabled: bool,
    public_addrs: Vec<SocketAddr>,
    default_rate_mbit: u64,
    default_quota_gb_day: u64,
    max_networks: usize,
    max_circuits: usize,
    max_links: usize,
    listen_443: bool,
    mesh: Vec<String>,
    uplink_mbit: u64,
    price: u32,
    grant: Vec<GrantSection>,
    transit: Vec<TransitSection>,
}

impl Default for RelaySection {
    fn default() -> Self {
        Self {
            enabled: true,
            public_addrs: Vec::new(),
            default_rate_mbit: DEFAULT_RATE_MBIT,
            default_quota_gb_day: DEFAULT_QUOTA_GB_DAY,
            max_networks: RelayConfig::MAX_NETWORKS,
            max_circuits: RelayConfig::MAX_CIRCUITS,
            max_links: DEFAULT_MAX_LINKS,
            listen_443: true,
            mesh: Vec::new(),
            uplink_mbit: 0,
            price: 0,
            grant: Vec::new(),
            transit: Vec::new(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantSection {
    network: String,
    rate_mbit: u64,
    quota_gb_day: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TransitSection {
    relay: String,
    rate_mbit: u64,
    quota_gb_day: u64,
}

/// The configuration, checked.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) tier: Tier,
    /// Name this node asks for in networks it joins; the host name when absent.
    pub(crate) name: Option<String>,
    pub(crate) state_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) control_socket: PathBuf,
    pub(crate) user: Option<String>,
    /// Filter of the log, in the syntax of `tracing`.
    pub(crate) log: String,
    /// Where metrics are served; `None` is off.
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) relays: Vec<RelayAddress>,
    pub(crate) pq: PqMode,
    /// Offer AES-256-GCM where the CPU has instructions for it.
    pub(crate) offer_aes: bool,
    pub(crate) mtu: u16,
    /// Look for direct paths to peers.
    pub(crate) direct: bool,
    /// Ask the gateway for a port.
    pub(crate) port_mapping: bool,
    /// Without the mesh, whose names are still to be looked up.
    pub(crate) relay: Option<RelayConfig>,
    pub(crate) mesh: Vec<RelayAddress>,
    /// Control links accepted at a time; zero on a node that does not relay.
    pub(crate) max_links: usize,
    /// Accept them on UDP and TCP 443 too.
    pub(crate) listen_443: bool,
}

impl Config {
    /// Reads and checks a file. The error is one line.
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{}: cannot read the configuration; {error}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("{}{error}", path.display()))
    }

    /// Checks a text. The error starts with `:LINE: ` or `: `.
    fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| explain::one_line(text, &error))?;
        file.check().map_err(|error| format!(": {error}"))
    }
}

impl File {
    fn check(self) -> Result<Config, String> {
        let metrics = match self.metrics.as_str() {
            "off" => None,
            address => Some(check_metrics(address)?),
        };
        if !(MIN_MTU..=MAX_MTU).contains(&self.mtu) {
            return Err(format!("key \"mtu\" is {}; it must be {MIN_MTU} to {MAX_MTU}", self.mtu));
        }
        for (key, path) in [("state_dir", &self.state_dir), ("control_socket", &self.control_socket)] {
            if !path.is_absolute() {
                return Err(format!("key \"{key}\" is \"{}\"; it must be an absolute path", path.display()));
            }
        }
        crate::logging::check(&self.log).map_err(|error| format!("key \"log\" is \"{}\"; {error}", self.log))?;
        let relays = self.relays.iter().map(|text| text.parse()).collect::<Result<Vec<_>, String>>();
        // A central or root node relays unless told not to; an edge node only when told to.
        let section = self.relay.or_else(|| (self.tier != TierName::En).then(RelaySection::default));
        let section = section.filter(|relay| relay.enabled);
        let max_links = section.as_ref().map_or(0, |relay| relay.max_links);
        let listen_443 = section.as_ref().is_some_and(|relay| relay.listen_443);
        let mesh = section.as_ref().map(RelaySection::mesh).transpose()?.unwrap_or_default();
        let relay = section.map(RelaySection::check).transpose()?;
        Ok(Config {
            tier: self.tier.into(),
            name: self.name,
            state_dir: self.state_dir,
            listen: self.listen,
            control_socket: self.control_socket,
            user: self.user,
            log: self.log,
            metrics,
            relays: relays.map_err(|error| format!("key \"relays\": {error}"))?,
            pq: self.pq.into(),
            offer_aes: self.suite == SuiteName::Auto,
            mtu: self.mtu,
            direct: self.direct,
            port_mapping: self.port_mapping,
            relay,
            mesh,
            max_links,
            listen_443,
        })
    }
}

/// Metrics tell who talks to whom and how much: they are served to this machine only.
fn check_metrics(text: &str) -> Result<SocketAddr, String> {
    let hint = "it must be \"off\" or a loopback address with a port such as \"127.0.0.1:9090\"";
    let address: SocketAddr = text.parse().map_err(|_| format!("key \"metrics\" is \"{text}\"; {hint}"))?;
    address.ip().is_loopback().then_some(address).ok_or_else(|| format!("key \"metrics\" is \"{text}\"; {hint}"))
}

impl RelaySection {
    fn mesh(&self) -> Result<Vec<RelayAddress>, String> {
        let mesh = self.mesh.iter().map(|text| text.parse()).collect::<Result<Vec<RelayAddress>, String>>();
        mesh.map_err(|error| format!("key \"relay.mesh\": {error}"))
    }

    fn check(self) -> Result<RelayConfig, String> {
        let grants = self.grant.iter().map(GrantSection::check).collect::<Result<_, _>>()?;
        let uplink_bps = self.uplink_mbit.checked_mul(1_000_000).ok_or("key \"relay.uplink_mbit\" is too large")?;
        let default_quota = quota(self.default_rate_mbit, self.default_quota_gb_day);
        Ok(RelayConfig {
            public_addrs: self.public_addrs,
            // Zero of either means that only granted networks are served.
            default_quota: default_quota.filter(|_| self.default_rate_mbit > 0 && self.default_quota_gb_day > 0),
            grants,
            max_networks: self.max_networks,
            max_circuits: self.max_circuits,
            mesh: Vec::new(),
            rate_bps: (self.uplink_mbit > 0).then_some(uplink_bps),
            price: self.price,
            transit: self.transit.iter().map(TransitSection::check).collect::<Result<_, _>>()?,
        })
    }
}

impl GrantSection {
    fn check(&self) -> Result<Grant, String> {
        let network = parse_network_id(&self.network)
            .map_err(|error| format!("key \"relay.grant.network\" is \"{}\"; {error}", self.network))?;
        let quota = quota(self.rate_mbit, self.quota_gb_day)
            .ok_or_else(|| "key \"relay.grant\": rate_mbit or quota_gb_day is too large".to_owned())?;
        Ok(Grant { network, quota })
    }
}

impl TransitSection {
    fn check(&self) -> Result<Transit, String> {
        let relay = parse_node_id(&self.relay)
            .map_err(|error| format!("key \"relay.transit.relay\" is \"{}\"; {error}", self.relay))?;
        let quota = quota(self.rate_mbit, self.quota_gb_day)
            .ok_or_else(|| "key \"relay.transit\": rate_mbit or quota_gb_day is too large".to_owned())?;
        Ok(Transit { relay, quota })
    }
}

/// Decimal units, as networks are sold.
fn quota(rate_mbit: u64, quota_gb_day: u64) -> Option<Quota> {
    let bytes_per_day = quota_gb_day.checked_mul(1_000_000_000)?;
    Some(Quota { bytes_per_day, rate_bps: rate_mbit.checked_mul(1_000_000)? })
}

impl From<TierName> for Tier {
    fn from(name: TierName) -> Self {
        match name {
            TierName::En => Self::Edge,
            TierName::Cn => Self::Central,
            TierName::Rn => Self::Root,
        }
    }
}

impl From<PqName> for PqMode {
    fn from(name: PqName) -> Self {
        match name {
            PqName::Prefer => Self::Prefer,
            PqName::Strict => Self::Strict,
            PqName::Off => Self::Off,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let error = Config::parse(text).unwrap_err();
        assert!(!error.contains('\n'), "one line: {error:?}");
        error
    }

    #[test]
    fn an_empty_file_is_an_edge_node() {
        let config = Config::parse("").unwrap();
        assert_eq!(config.listen.port(), DEFAULT_PORT);
        assert!(config.relay.is_none() && config.max_links == 0, "an edge node is nobody's relay");
        assert!(config.metrics.is_none() && !config.listen_443, "nothing listens that was not asked for");
        assert!(config.direct && config.port_mapping);
        assert!(config.offer_aes, "the suite follows the CPUs");
    }

    #[test]
    fn a_node_told_to_use_chacha20_never_offers_aes() {
        assert!(!Config::parse("suite = \"chacha20\"").unwrap().offer_aes);
    }

    #[test]
    fn a_central_node_relays_by_quota_only() {
        let config = Config::parse("tier = \"cn\"").unwrap();
        assert!(config.relay.unwrap().default_quota.is_some());
        let granted_only = Config::parse("tier = \"cn\"\n[relay]\ndefault_quota_gb_day = 0").unwrap();
        assert_eq!(granted_only.relay.unwrap().default_quota, None);
        let off = Config::parse("tier = \"cn\"\n[relay]\nenabled = false").unwrap();
        assert!(off.relay.is_none() && off.max_links == 0 && !off.listen_443);
        assert!(granted_only.listen_443, "for members whose network lets nothing else out");
        assert!(!Config::parse("tier = \"cn\"\n[relay]\nlisten_443 = false").unwrap().listen_443);
    }

    #[test]
    fn relays_that_work_together_are_named_and_an_uplink_without_a_limit_is_none() {
        let node = netflow_overlay::identity::format_node_id(&netflow_wire::NodeId([7; 32]));
        let text = format!(
            "tier = \"rn\"\n[relay]\nmesh = [\"{node}@192.0.2.9:4790\"]\nuplink_mbit = 50\nprice = 3\n\
             [[relay.transit]]\nrelay = \"{node}\"\nrate_mbit = 10\nquota_gb_day = 2\n"
        );
        let config = Config::parse(&text).unwrap();
        let relay = config.relay.unwrap();
        assert_eq!((config.mesh.len(), relay.rate_bps, relay.price), (1, Some(50_000_000), 3));
        let quota = Quota { rate_bps: 10_000_000, bytes_per_day: 2_000_000_000 };
        assert_eq!(relay.transit, [Transit { relay: netflow_wire::NodeId([7; 32]), quota }]);
        assert_eq!(Config::parse("tier = \"rn\"").unwrap().relay.unwrap().rate_bps, None);
        assert!(error("[relay]\nmesh = [\"nonsense\"]").contains("relay.mesh"));
    }

    #[test]
    fn a_wrong_key_is_named_with_its_line_and_the_nearest_right_key() {
        let line = error("tier = \"en\"\nlistn = \"[::]:1\"\n");
        assert!(line.starts_with(":2: ") && line.contains("\"listn\"") && line.contains("\"listen\""), "{line}");
        let line = error("[relay]\npublic_addr = []");
        assert!(line.starts_with(":2: ") && line.contains("\"public_addrs\""), "{line}");
    }

    #[test]
    fn wrong_values_name_their_key_and_what_is_right() {
        for (text, words) in [
            ("tier = \"xn\"", ["tier", "en"]),
            ("mtu = 1000", ["mtu", "1280"]),
            ("metrics = \"0.0.0.0:9090\"", ["metrics", "loopback"]),
            ("state_dir = \"here\"", ["state_dir", "absolute"]),
            ("relays = [\"nonsense\"]", ["relays", "nf1"]),
            ("log = \"a=b=c\"", ["log", "filter"]),
            ("listen = \"everywhere\"", ["listen", "address"]),
            ("suite = \"aes\"", ["suite", "chacha20"]),
            ("tier = en", ["2", ""]),
        ] {
            let line = error(&format!("\n{text}"));
            assert!(words.iter().all(|word| line.contains(word)), "{text}: {line}");
        }
    }
}
