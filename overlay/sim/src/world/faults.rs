//! What goes wrong, and how it is put right again.

use super::{Event, Tell, Undo, World};
use crate::net::{HostId, INTERNET};
use crate::scenario::{Fault, SECOND};

/// A shell renews port mappings; it finds a rebooted gateway within this time.
const REMAP_US: u64 = 30 * SECOND;

impl World {
    pub(super) fn fault(&mut self, index: usize) {
        let fault = self.scenario.faults[index].1.clone();
        self.diary.note(self.now_us, || format!("fault: {fault:?}"));
        match fault {
            Fault::Kill { host, down_us } => self.kill(host, down_us),
            Fault::KillAtWrite { host, writes, down_us } => {
                self.hosts[host].die_at = Some((self.hosts[host].disk.writes + writes, down_us));
            }
            Fault::Reboot { site, renumber } => self.reboot(site, renumber),
            Fault::Unplug { host, down_us } => {
                self.hosts[host].plugged = false;
                self.later(down_us, Event::Undo(Undo::Plug(host)));
                self.interfaces_changed(host);
            }
            Fault::Uplink { member, down_us } => {
                if let Some(first) = self.hosts[member].interfaces.first_mut() {
                    first.up = false;
                }
                self.later(down_us, Event::Undo(Undo::Uplink(member)));
                self.interfaces_changed(member);
            }
            Fault::Partition { from, to, for_us } => {
                self.partitions.insert(index, (from, to));
                self.later(for_us, Event::Undo(Undo::Partition(index)));
                self.recheck_links();
            }
            Fault::Clock { host, by_s } => self.hosts[host].skew_s += by_s,
            Fault::Revoke { network, member } => self.revoke(network, member),
        }
    }

    /// A way between a member and a relay, or two relays, is gone for good.
    pub(super) fn cut(&mut self, index: usize) {
        let (_, one, other) = self.scenario.cuts[index];
        self.diary.note(self.now_us, || format!("cut: host {one} from host {other}"));
        self.cuts.insert((one.min(other), one.max(other)));
        self.recheck_links();
    }

    /// From now on nothing new fails: whoever was to die at his next write lives.
    pub(super) fn heal(&mut self) {
        for host in &mut self.hosts {
            host.die_at = None;
        }
    }

    pub(super) fn undo(&mut self, undo: Undo) {
        self.diary.note(self.now_us, || format!("healed: {undo:?}"));
        match undo {
            Undo::Start(host) => {
                self.start(host);
                self.recheck_links();
            }
            Undo::Plug(host) => {
                self.hosts[host].plugged = true;
                self.interfaces_changed(host);
            }
            Undo::Uplink(host) => {
                if let Some(first) = self.hosts[host].interfaces.first_mut() {
                    first.up = true;
                }
                self.interfaces_changed(host);
            }
            Undo::Partition(index) => {
                self.partitions.remove(&index);
                self.recheck_links();
            }
        }
    }

    fn reboot(&mut self, site: usize, renumber: bool) {
        let (gateway, segment) = self.sites[site];
        let (outer, old) = (self.net.gateway(gateway).outer, self.net.gateway(gateway).nat.outer_ip);
        let outer_ip = if renumber && outer == INTERNET { self.fresh_outer(site, outer) } else { old };
        self.net.reboot(gateway, outer_ip);
        self.neighbours.clear();
        let inside = |host: &HostId| self.hosts[*host].interfaces.iter().any(|it| it.segment == segment);
        let hosts: Vec<HostId> = (0..self.hosts.len()).filter(inside).collect();
        for host in hosts.into_iter().filter(|host| self.hosts[*host].wants_mapping).collect::<Vec<_>>() {
            let wait = self.rng.below(REMAP_US);
            self.tell_later(wait, host, Tell::PortMap);
        }
        self.recheck_links();
    }
}
