//! Starting on what the shell found on disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::api::{MIN_MTU, NodeConfig, Persist, Restored, RestoredNetwork};
use super::links::Links;
use super::network::{Meta, Network, Phase, owner_from_bytes};
use super::outbox::Outbox;
use super::peers::Peers;
use super::probes::Probes;
use super::{Counters, Node};
use crate::identity::{Signatures, Strict};
use crate::netlog::NetworkLog;
use crate::relay::RelayServer;
use crate::session::{LocalIdentity, SessionTable};
use crate::time::Now;

impl Node {
    /// Starts a node on what the shell found on disk. Outputs are waiting afterwards (boot epoch, `NetworkUp`, links).
    ///
    /// Nothing half-done survives: a network whose creation or join was cut short before its first promise to the user is
    /// removed, a join that was promised goes on.
    pub fn new(config: NodeConfig, restored: Restored, now: Now, rng: Box<dyn CryptoRng + Send>) -> Self {
        Self::with_signatures(config, restored, now, rng, Arc::new(Strict))
    }

    /// [`Node::new`], taking somebody else's word for the signatures of logs: see [`Signatures`].
    pub fn with_signatures(
        config: NodeConfig,
        restored: Restored,
        now: Now,
        mut rng: Box<dyn CryptoRng + Send>,
        signatures: Arc<dyn Signatures>,
    ) -> Self {
        let NodeConfig { keys, reward, record_seq, tier, name, software, default_relays, relay, pq, aes_hardware, mtu } =
            config;
        let wall = u32::try_from(now.unix_s).unwrap_or(u32::MAX);
        let boot_epoch = restored.boot_epoch.saturating_add(1).max(wall);
        let identity = LocalIdentity {
            static_secret: Zeroizing::new(*keys.statik.expose()),
            kem_seed: Zeroizing::new(*keys.kem_seed.expose()),
            boot_epoch,
            aes_hw: aes_hardware,
            pq,
        };
        let id = keys.node_id();
        let server = relay.clone().map(|relay| {
            let mut server = RelayServer::new(&keys.node, tier, software.clone(), relay, now, rng.as_mut());
            server.set_signatures(Arc::clone(&signatures));
            server
        });
        let sessions = SessionTable::new(identity);
        let mut node = Self {
            plane: super::plane::Plane::new(sessions.generation()),
            record: keys.record(record_seq, reward),
            kem_key: keys.kem_public(),
            id,
            keys,
            tier,
            name,
            software,
            default_relays,
            pq,
            mtu: mtu.max(MIN_MTU),
            boot_epoch,
            rng,
            outbox: Outbox::default(),
            networks: BTreeMap::new(),
            links: Links::default(),
            sessions,
            peers: Peers::new(mtu),
            knocks: super::measure::Knocks::default(),
            probes: Probes::default(),
            local: super::direct::Local::default(),
            routes: super::routes::Routes::default(),
            direct: super::direct::Direct::default(),
            gate: super::gate::InitGate::new(now),
            relay: server,
            relay_config: relay,
            signatures,
            counters: Counters::default(),
            wall: crate::time::WallClock::default(),
        };
        // Before anything that could be sent: handshake counters of this start must never come twice.
        node.outbox.persist(Persist::BootEpoch(boot_epoch));
        if !restored.networks.is_empty() {
            node.direct.budget.hold(now);
        }
        for network in restored.networks {
            node.restore_network(now, network);
        }
        for hosted in restored.hosted {
            // Without a relay service it stays on disk: the service may be switched on again.
            if let Some(relay) = &mut node.relay {
                relay.restore(now, hosted.network, hosted.log, hosted.meta.as_deref());
            }
        }
        node.open_relay_port();
        node.refresh_links(now);
        node.settle(now);
        node
    }

    fn restore_network(&mut self, now: Now, stored: RestoredNetwork) {
        let id = stored.network;
        let owner = stored.secret.as_deref().and_then(|bytes| owner_from_bytes(&id, bytes));
        let meta = stored.meta.as_deref().and_then(Meta::parse);
        let pending = stored.pending_join.as_deref().and_then(super::join::parse_pending);
        let log = NetworkLog::from_entries_with(id, stored.log, Arc::clone(&self.signatures));
        if self.networks.len() >= super::MAX_NETWORKS {
            return;
        }
        match (log, meta, pending) {
            (Ok(log), Some(meta), _) => {
                let phase = if log.state().is_revoked(&self.id) || !log.state().is_member(&self.id) {
                    Phase::Revoked
                } else {
                    Phase::Member { up: meta.up }
                };
                if stored.pending_join.is_some() {
                    self.outbox.persist(Persist::PendingJoin { network: id, bytes: None });
                }
                let network = Network::new(log, phase, owner);
                let up = network.is_up();
                self.networks.insert(id, network);
                if up {
                    self.bring_up(now, id);
                }
            }
            (log, None, Some((token, name))) => {
                let log = log.unwrap_or_else(|_| NetworkLog::empty_with(id, Arc::clone(&self.signatures)));
                let admitted = log.state().is_member(&self.id);
                let network = Network::new(log, Phase::Joining(super::join::joining(now, token, name)), None);
                self.networks.insert(id, network);
                if admitted {
                    self.join_completed(now, id);
                }
            }
            // Cut short before anybody was told of it, or damaged beyond use while holding no key that matters.
            (Err(_), Some(_), Some(_)) | (_, None, None) => self.outbox.persist(Persist::NetworkRemove { network: id }),
            // The log is gone but the network was promised: keep what is there for the owner to look at.
            (Err(_), Some(_), None) => {}
        }
    }
}
