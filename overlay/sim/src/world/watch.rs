//! What is looked at once in a while, and at the end.

use netflow_overlay::node::PathState;

use super::build::WATCH_US;
use super::{Event, World};
use crate::model::{self, Direct};
use crate::net::HostId;
use crate::scenario::SECOND;

/// After the last fault, everybody reaches everybody within this time: a dead control link is noticed within a minute,
/// dialled again within half a minute, and a peer that was asked for in vain is asked for again after one more.
const CONNECTED_US: u64 = 150 * SECOND;
/// A direct path must have been in use at some time this close to the end: boxes that drop flows interrupt it.
const DIRECT_US: u64 = 90 * SECOND;
/// A revoked member is out this long after the entry was signed and everything was healed (architecture: 10 s; logs have to
/// reach members whose links are only now coming back).
const REVOKED_US: u64 = 150 * SECOND;

impl World {
    pub(super) fn watch(&mut self) {
        self.later(WATCH_US, Event::Watch);
        let now_us = self.now_us;
        for index in 0..self.flows.len() {
            let flow = self.flows[index].flow;
            if flow.start_us > now_us || flow.end_us <= now_us {
                continue;
            }
            if self.is_direct(flow.network, flow.from, flow.to) == Some(true) {
                let talker = &mut self.flows[index];
                talker.direct_us.get_or_insert(now_us);
                talker.last_direct_us = Some(now_us);
                if model::direct(self, flow.from, flow.to) == Direct::Never && self.is_calm() {
                    self.oracle.violated(format!("m{} has a direct path to m{} and there is none", flow.from, flow.to));
                }
            }
        }
    }

    fn is_calm(&self) -> bool {
        self.now_us > self.scenario.heal_us + 120 * SECOND
    }

    /// Is there a direct path that works? It need not be the one in use: on a line that loses much, a relay may look better for
    /// a while. `None`: there is no path at all.
    pub(crate) fn is_direct(&self, network: usize, from: HostId, to: HostId) -> Option<bool> {
        let id = self.networks[network].id?;
        let whom = self.hosts[to].id;
        let node = self.hosts[from].node.as_ref()?;
        let paths = node.path_report(self.hosts[from].now(self.now_us), &id, &whom).ok()?;
        let works = |state: PathState| matches!(state, PathState::Used | PathState::Warm | PathState::Open);
        (!paths.is_empty()).then(|| paths.iter().any(|path| path.path.is_direct() && works(path.state)))
    }

    pub(super) fn watch_revoked(&mut self, network: usize, speaker: HostId, hearer: HostId) {
        let revoked = &self.networks[network].revoked;
        let since = [speaker, hearer].into_iter().filter_map(|host| revoked.get(&host)).max();
        let out = since.is_some_and(|since| self.now_us > self.scenario.heal_us.max(*since) + REVOKED_US);
        if out {
            self.oracle.violated(format!("a packet of a revoked member: m{speaker} to m{hearer} in net{network}"));
        }
    }

    /// At the end every pair with any possible path talks, and every pair that can be direct is.
    pub(super) fn judge_end(&mut self) {
        self.judge_members();
        for index in 0..self.flows.len() {
            let talker = &self.flows[index];
            let flow = talker.flow;
            let out = |host: HostId| self.networks[flow.network].revoked.contains_key(&host);
            if !talker.is_final || out(flow.from) || out(flow.to) {
                continue;
            }
            let pair = format!("m{} -> m{} in net{}", flow.from, flow.to, flow.network);
            let (first, last) = (talker.first_us, talker.last_us);
            let took = first.map(|first| first.saturating_sub(self.scenario.heal_us));
            if took.is_none_or(|took| took > CONNECTED_US) {
                let (from, to) = (self.standing(flow.from), self.standing(flow.to));
                self.oracle.violated(format!("{pair}: connected after {took:?} us; {from}; {to}"));
            } else if last.is_none_or(|last| last + 30 * SECOND < self.now_us) {
                self.oracle.violated(format!("{pair}: silent since {last:?}"));
            }
            self.report.pairs += 1;
            self.report.slowest_us = self.report.slowest_us.max(took.unwrap_or(0));
            let could = model::direct(self, flow.from, flow.to);
            let recent = talker.last_direct_us.is_some_and(|last| last + DIRECT_US >= self.now_us);
            let took = talker.direct_us.map(|at| at.saturating_sub(self.scenario.heal_us));
            self.report.direct(could, recent, took);
            if could == Direct::Must && !recent && self.demands_direct {
                self.oracle.violated(format!("{pair}: could be direct and is not"));
            }
        }
    }

    /// How a host and its links stand, for the message of a failure.
    fn standing(&self, host: HostId) -> String {
        let Some(node) = &self.hosts[host].node else { return format!("m{host} does not run") };
        let links = node.status(self.hosts[host].now(self.now_us)).links;
        let links = links.iter().filter(|link| link.outgoing).map(|link| {
            let name = self.by_id.get(&link.node).map_or("?", |relay| self.hosts[*relay].fixed.name.as_str());
            format!("{name} {}{}", if link.up { "up" } else { "down" }, if link.bound { " bound" } else { "" })
        });
        format!("m{host} {:?}: {}", self.scenario.members[host].plugs, links.collect::<Vec<_>>().join(", "))
    }

    /// Everybody who was to join is in.
    fn judge_members(&mut self) {
        for (network, member, _) in self.scenario.joins.clone() {
            let state = &self.networks[network];
            let is_up = state.id.is_some_and(|id| self.is_up(member, id));
            if !is_up && !state.revoked.contains_key(&member) {
                self.oracle.violated(format!("m{member} is not in net{network}"));
            }
        }
    }
}
