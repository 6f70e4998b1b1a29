//! What an operator looks at. Plain copies; nothing here changes anything.

use netflow_wire::{NetworkId, NodeId};

use super::config::{HostedInfo, LinkId, MeshInfo, RelayStatus};
use super::hosted::Hosted;
use super::server::RelayServer;
use super::shaper::Shaper;

impl RelayServer {
    /// For `netctl relay status`.
    pub fn status(&self) -> RelayStatus {
        let info = |(network, hosted): (&NetworkId, &Hosted)| HostedInfo {
            network: *network,
            name: hosted.log.state().name().to_owned(),
            members: hosted.log.state().members().len(),
            attached: hosted.attached.len(),
            circuits: self.circuits.of_network(*network).count(),
            pending_joins: hosted.waiting_count(),
            quota: hosted.meter.quota(),
            used_today: hosted.meter.used().1,
            forwarded_bytes: hosted.forwarded_bytes,
            quota_dropped_frames: hosted.quota_dropped_frames,
        };
        RelayStatus {
            bindings: self.binds.bound_count(),
            circuits: self.circuits.len(),
            max_circuits: self.config.max_circuits,
            wishes: self.wishes.len(),
            networks: self.hosted.iter().map(info).collect(),
            forwarded_frames: self.forwarded_frames,
            forwarded_bytes: self.forwarded_bytes,
            dropped_frames: self.dropped_frames,
            quota_dropped_frames: self.quota_dropped_frames,
            queued_frames: self.shaper.as_ref().map_or(0, Shaper::len),
            queue_dropped_frames: self.queue_dropped_frames,
            forged_adverts: self.forged_adverts,
            mesh: self.mesh_info(),
        }
    }

    fn mesh_info(&self) -> Vec<MeshInfo> {
        let info = |relay: NodeId| {
            let measured = self.mesh.measured(&relay);
            MeshInfo {
                relay,
                up: self.mesh.link(&relay).is_some(),
                rtt_us: measured.map(|(rtt_us, _)| rtt_us),
                loss_permille: measured.map_or(0, |(_, loss)| loss),
            }
        };
        self.mesh.neighbours.keys().copied().map(info).collect()
    }

    /// Accepted links: node, its link, whether its address is bound.
    pub fn links(&self) -> impl Iterator<Item = (NodeId, LinkId, bool)> {
        self.links.iter().map(|(link, state)| (state.node, *link, self.binds.address(&state.node).is_some()))
    }
}
