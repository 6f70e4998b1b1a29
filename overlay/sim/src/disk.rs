//! What a program finds when it starts again: exactly what it made durable.

use std::collections::BTreeMap;

use netflow_overlay::NetworkId;
use netflow_overlay::node::{Persist, Restored, RestoredHosted, RestoredNetwork};

#[derive(Default)]
struct Own {
    log: Vec<Vec<u8>>,
    secret: Option<Vec<u8>>,
    meta: Option<Vec<u8>>,
    join: Option<Vec<u8>>,
}

#[derive(Default)]
struct Hosted {
    log: Vec<Vec<u8>>,
    meta: Option<Vec<u8>>,
}

/// A disk that syncs every write before the next output.
#[derive(Default)]
pub struct Disk {
    boot_epoch: u32,
    own: BTreeMap<NetworkId, Own>,
    hosted: BTreeMap<NetworkId, Hosted>,
    /// Writes so far.
    pub writes: u64,
}

impl Disk {
    /// Makes one change durable.
    pub fn write(&mut self, change: Persist) {
        self.writes += 1;
        match change {
            Persist::LogAppend { network, raw } => self.own.entry(network).or_default().log.push(raw),
            Persist::NetworkSecret { network, bytes } => {
                self.own.entry(network).or_default().secret = Some(bytes).filter(|bytes| !bytes.is_empty());
            }
            Persist::NetworkMeta { network, bytes } => self.own.entry(network).or_default().meta = Some(bytes),
            Persist::PendingJoin { network, bytes } => self.own.entry(network).or_default().join = bytes,
            Persist::NetworkRemove { network } => drop(self.own.remove(&network)),
            Persist::HostedAppend { network, raw } => self.hosted.entry(network).or_default().log.push(raw),
            Persist::HostedMeta { network, bytes } => self.hosted.entry(network).or_default().meta = Some(bytes),
            Persist::HostedRemove { network } => drop(self.hosted.remove(&network)),
            Persist::BootEpoch(epoch) => self.boot_epoch = epoch,
        }
    }

    /// What a start finds.
    #[must_use]
    pub fn read(&self) -> Restored {
        let own = self.own.iter().map(|(network, own)| RestoredNetwork {
            network: *network,
            log: own.log.clone(),
            secret: own.secret.clone(),
            meta: own.meta.clone(),
            pending_join: own.join.clone(),
        });
        let hosted = self.hosted.iter().map(|(network, hosted)| RestoredHosted {
            network: *network,
            log: hosted.log.clone(),
            meta: hosted.meta.clone(),
        });
        Restored { boot_epoch: self.boot_epoch, networks: own.collect(), hosted: hosted.collect() }
    }
}
