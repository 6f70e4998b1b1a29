//! What the node reports: networks that come and go, joins, pings.

use netflow_overlay::node::{DownReason, Event, NetworkPlan};
use netflow_wire::NetworkId;

use super::{Daemon, short};
use crate::networks::Problem;

impl Daemon {
    pub(super) async fn event(&mut self, event: Event) {
        self.waiting.event(&event);
        match event {
            Event::NetworkUp(plan) => {
                // The reason of a failure is kept for `status` and for whoever waits.
                let _ = self.bring_up(&plan).await;
            }
            Event::NetworkDown { network, reason } => self.bring_down(&network, reason).await,
            Event::MembershipChanged { .. }
            | Event::PingReply { .. }
            | Event::PingLost { .. }
            | Event::TraceDone { .. } => {}
            Event::RelayAttached { relay, .. } => {
                tracing::info!(relay = %short(&relay), "the relay serves the network")
            }
            Event::RelayRefused { relay, text, .. } => {
                tracing::warn!(relay = %short(&relay), text, "the relay refuses the network");
            }
            Event::JoinWaiting { relay, .. } => {
                tracing::info!(relay = %short(&relay), "the join waits for the issuer of the invite");
            }
            Event::JoinCompleted { network } => {
                tracing::info!("joined a network");
                if self.active.is_none() {
                    self.set_active(Some(network));
                }
            }
            Event::JoinFailed { error, .. } => tracing::warn!(%error, "the join failed"),
            Event::MemberAdmitted { node, .. } => tracing::info!(node = %short(&node), "admitted a member"),
            Event::PeerEstablished { node, .. } => tracing::debug!(node = %short(&node), "session established"),
            Event::PathChanged { node, class, path, voluntary, reason, .. } => {
                *(if voluntary { &mut self.path_changes.voluntary } else { &mut self.path_changes.forced }) += 1;
                let path = crate::api::view::path_line(&path);
                tracing::info!(node = %short(&node), class = class.name(), path, reason, "traffic takes another path");
            }
            Event::MemberRevoked { node, .. } => tracing::info!(node = %short(&node), "a member was revoked"),
            Event::ForkDetected { .. } => tracing::error!("an author signed two entries with one number and is frozen"),
        }
    }

    /// Makes the machine's side of a network; one that stands already with the same plan stays as it is.
    pub(super) async fn bring_up(&mut self, plan: &NetworkPlan) -> Result<(), Problem> {
        if self.networks.carries(plan) {
            return Ok(());
        }
        self.take_down(&plan.network).await;
        match self.networks.up(plan).await {
            Ok(tun) => {
                self.io.attach(plan.network, tun);
                Ok(())
            }
            Err(problem) => {
                tracing::error!(network = plan.name, problem = problem.text(), "the network stays down");
                Err(problem)
            }
        }
    }

    async fn take_down(&mut self, network: &NetworkId) {
        // The device first: its routes go with it, and nothing enters it any more.
        drop(self.io.detach(network));
        self.networks.down(network).await;
    }

    async fn bring_down(&mut self, network: &NetworkId, reason: DownReason) {
        self.take_down(network).await;
        if reason == DownReason::Left && self.active == Some(*network) {
            let next = self.node.networks().first().map(|network| network.network);
            self.set_active(next);
        }
    }

    /// Remembers which network commands mean. Not worth ending for: a wrong guess is corrected by `netctl switch`.
    pub(super) fn set_active(&mut self, network: Option<NetworkId>) {
        self.active = network;
        if let Err(error) = self.store.set_active(network) {
            tracing::warn!(%error, "cannot remember the active network");
        }
    }
}
