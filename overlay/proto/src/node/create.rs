//! Creating a network: all of it signed in memory, then written down with the part that makes it count last.

use ed25519_dalek::SigningKey;
use ipnet::Ipv4Net;
use netflow_wire::control::MAX_RELAYS;
use netflow_wire::{NetworkId, RelayInfo};

use super::api::{CommandError, CreateOptions, ErrorDetail, ErrorKind, Persist};
use super::network::{Network, Phase, owner_to_bytes};
use super::{MAX_NETWORKS, Node};
use crate::identity::Secret;
use crate::netlog::{EntryBody, GenesisParams, LogError, NetworkLog, network_id, valid_name};
use crate::policy::Policy;
use crate::time::Now;

/// Owner keys tried until the network's own choice of addresses clashes with nothing: 64 prefixes, so a few are enough
/// unless nearly all are taken.
const OWNER_TRIES: usize = 256;

impl Node {
    /// Creates a network owned by a fresh key kept on this node, with this node as its first member and admin, and hosts it
    /// at its relays. One explicit rule allows everything between members.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] name or prefix; [`ErrorKind::Conflict`] a network of that name, the limit of networks, no free prefix.
    pub fn create_network(&mut self, now: Now, name: &str, options: &CreateOptions) -> Result<NetworkId, CommandError> {
        if !valid_name(name) {
            let text = format!("\"{name}\" cannot name a network: 1 to 63 of a-z, 0-9 and -, not at an end");
            return Err(CommandError::new(ErrorKind::Invalid, text));
        }
        self.check_room()?;
        if self.networks.values().any(|network| network.name() == name) {
            let text = format!("this node has a network named {name} already");
            return Err(CommandError::new(ErrorKind::Conflict, text).next("netctl networks"));
        }
        let relays = self.relays_for(options)?;
        let (owner, prefix) = self.choose_prefix(options)?;
        let (log, raws) = self.found(&owner, name, prefix, relays, now).map_err(failed)?;
        let id = log.network();
        self.outbox.persist(Persist::NetworkSecret { network: id, bytes: owner_to_bytes(&owner) });
        for raw in raws {
            self.outbox.persist(Persist::LogAppend { network: id, raw });
        }
        let network = Network::new(log, Phase::Member { up: true }, Some(owner));
        // Last: a network without it was never promised to anybody and is removed at the next start.
        self.outbox.persist(Persist::NetworkMeta { network: id, bytes: network.meta() });
        self.networks.insert(id, network);
        self.bring_up(now, id);
        self.settle(now);
        Ok(id)
    }

    pub(super) fn check_room(&self) -> Result<(), CommandError> {
        if self.networks.len() < MAX_NETWORKS {
            return Ok(());
        }
        let text = format!("this node is in {MAX_NETWORKS} networks, which is the limit");
        Err(CommandError::new(ErrorKind::Conflict, text).next("netctl leave NETWORK"))
    }

    fn relays_for(&self, options: &CreateOptions) -> Result<Vec<RelayInfo>, CommandError> {
        let mut relays = if options.relays.is_empty() { self.default_relays.clone() } else { options.relays.clone() };
        if options.relays.is_empty()
            && let Some(own) = self.own_relay_info()
            && !relays.iter().any(|relay| relay.node == self.id)
        {
            relays.push(own);
        }
        if relays.len() > MAX_RELAYS {
            let text = format!("a network has at most {MAX_RELAYS} relays");
            return Err(CommandError::new(ErrorKind::Invalid, text));
        }
        Ok(relays)
    }

    /// This node as others name it in a network, when it relays and can be reached.
    pub(super) fn own_relay_info(&self) -> Option<RelayInfo> {
        let config = self.relay_config.as_ref().filter(|config| !config.public_addrs.is_empty())?;
        let addrs = config.public_addrs.iter().take(netflow_wire::control::MAX_RELAY_ADDRS).copied().collect();
        Some(RelayInfo { node: self.id, tier: self.tier, addrs })
    }

    /// An owner key and a prefix that clash with no network of this node and no route of this host.
    fn choose_prefix(&mut self, options: &CreateOptions) -> Result<(SigningKey, Ipv4Net), CommandError> {
        let mut taken = options.avoid.clone();
        taken.extend(self.networks.values().filter_map(|network| network.plan.as_ref().map(|plan| plan.ipv4_prefix)));
        let clashes = |prefix: &Ipv4Net| taken.iter().any(|other| other.contains(prefix) || prefix.contains(other));
        for _ in 0..OWNER_TRIES {
            let seed = Secret::<32>::generate(self.rng.as_mut());
            let owner = SigningKey::from_bytes(seed.expose());
            let derived = crate::netlog::default_ipv4_prefix(&network_id(&owner.verifying_key().to_bytes()));
            let prefix = options.ipv4_prefix.unwrap_or(derived);
            if !clashes(&prefix) {
                return Ok((owner, prefix));
            }
            if options.ipv4_prefix.is_some() {
                let text = format!("{prefix} is in use on this host or by another network of this node");
                return Err(clash(text).next("netctl networks"));
            }
        }
        Err(clash("no /16 of 100.64.0.0/10 is free on this host").next("netctl doctor"))
    }

    /// Genesis, first member, first admin, relays, policy: all by the owner's key, which is not needed every day after that.
    fn found(
        &self,
        owner: &SigningKey,
        name: &str,
        prefix: Ipv4Net,
        relays: Vec<RelayInfo>,
        now: Now,
    ) -> Result<(NetworkLog, Vec<Vec<u8>>), LogError> {
        let params = GenesisParams { name: name.to_owned(), ipv4: Some(prefix) };
        let mut log = NetworkLog::create(owner, params, now)?;
        let member = log.state().add_body(&self.record, &self.kem_key, &self.name, &[]);
        let member = member.ok_or(LogError::Void("no address for the first member"))?;
        for body in [
            member,
            EntryBody::AdminAdd { node: self.id },
            EntryBody::RelaySet { relays },
            EntryBody::PolicySet { policy: Policy::allow_all() },
        ] {
            log.author(owner, body, now)?;
        }
        let raws = log.entries().into_iter().map(<[u8]>::to_vec).collect();
        Ok((log, raws))
    }
}

/// A log that refuses an entry of ours, told to the user.
pub(super) fn failed(error: LogError) -> CommandError {
    let kind = match error {
        LogError::NotAuthorized => ErrorKind::Refused,
        LogError::Void(_) | LogError::Limit(_) => ErrorKind::Conflict,
        LogError::Entry(_) => ErrorKind::Invalid,
        LogError::OtherNetwork | LogError::BrokenChain | LogError::NoGenesis => ErrorKind::Failure,
    };
    let told = CommandError::new(kind, error.to_string());
    if error == LogError::NotAuthorized { told.detail(ErrorDetail::NotAdmin) } else { told }
}

fn clash(text: impl Into<String>) -> CommandError {
    CommandError::new(ErrorKind::Conflict, text).detail(ErrorDetail::Clash)
}
