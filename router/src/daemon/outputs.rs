//! What the daemon tells about itself: metrics and readiness.

use netflow_overlay::node::{Carrier, NetworkStateInfo, PathInfo};

use super::Daemon;
use crate::metrics::Snapshot;

impl Daemon {
    pub(super) fn metrics(&self) -> Snapshot {
        let networks = self.node.networks();
        let wanted = networks.iter().filter(|network| network.state == NetworkStateInfo::Up);
        let status = self.node.status(self.now());
        let (peers_direct, peers_relayed) = self.peers_by_path();
        Snapshot {
            peers_direct,
            peers_relayed,
            path_changes: self.path_changes,
            uptime_s: self.clock.mono_us() / 1_000_000,
            networks_wanted: wanted.count(),
            networks_up: networks.iter().filter(|network| self.networks.is_up(&network.network)).count(),
            links_up: self.links.handles().count(),
            links_by_stream: self.links.handles().filter(|handle| handle.carrier() == Carrier::Stream).count(),
            stream_frames_dropped: self.links.frames_dropped(),
            extra_ports: self.io.ports().extra().count(),
            port_mapped: self.mapping.current.is_some(),
            node: status.counters,
            io: self.io.counters(),
            quic_dropped: self.io.ports().quic_dropped(),
            relay: self.node.relay_status(),
        }
    }

    /// Peers that are sent to directly, and through relays.
    fn peers_by_path(&self) -> (usize, usize) {
        let networks = self.node.networks();
        let peers = networks.iter().filter_map(|network| self.node.peers(self.now(), &network.network).ok()).flatten();
        let paths = peers.filter_map(|peer| peer.path).collect::<Vec<_>>();
        let direct = paths.iter().filter(|path| matches!(path, PathInfo::Direct { .. })).count();
        (direct, paths.len() - direct)
    }

    /// Ready: every network that shall be up is up, and where relays are wanted at least one is linked.
    pub(super) fn readiness(&self) -> Result<(), String> {
        for network in self.node.networks() {
            if network.state == NetworkStateInfo::Up && !self.networks.is_up(&network.network) {
                let why =
                    self.networks.problem(&network.network).map_or("not configured yet", |problem| problem.text());
                return Err(format!("network {} is not up: {why}", network.name));
            }
        }
        let links = self.node.status(self.now()).links;
        let wanted = links.iter().filter(|link| link.outgoing).collect::<Vec<_>>();
        if wanted.is_empty() || wanted.iter().any(|link| link.up) {
            Ok(())
        } else {
            Err("no relay is reached".to_owned())
        }
    }
}
