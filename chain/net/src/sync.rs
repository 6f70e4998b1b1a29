//! Which blocks to ask of whom: a pure scheduler. Ranges go to several peers at once; blocks come out in order.
//!
//! Nothing is believed here: the consumer verifies certificates. When the tip does not follow what was delivered, everything
//! buffered is dropped and the peer that gave the next block rests. Only those that disappointed least often since they last helped are
//! asked: one honest peer is enough, however many others lie.

use std::collections::BTreeMap;

use netchain_consensus::CertifiedBlock;

/// Peers remembered.
const MAX_PEERS: usize = 64;
/// Blocks of one request.
const RANGE: u64 = 32;
/// How far ahead of the tip blocks are asked for: eight peers, two ranges each.
const WINDOW: u64 = 512;
/// Bytes kept out of order. Beyond, only the very next range is asked for.
const MAX_BUFFER_BYTES: usize = 64 << 20;
/// Requests under way.
const MAX_IN_FLIGHT: usize = 8;
/// After a failure or a block that led nowhere.
const REST_US: u64 = 30_000_000;
/// Before one block of difference is asked for: usually it is just being decided here.
const PATIENCE_US: u64 = 1_500_000;
/// For the tip to follow what was delivered.
const STUCK_US: u64 = 15_000_000;

#[derive(Debug, Default)]
struct PeerState {
    height: u64,
    asked: Option<(u64, u64)>,
    rests_until_us: u64,
    /// Failures, and blocks that led nowhere, since a block of its was good.
    strikes: u32,
}

#[derive(Debug)]
struct Waiting {
    peer: u64,
    block: CertifiedBlock,
    bytes: usize,
}

/// How far a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Height at which catching up began.
    pub starting: u64,
    /// Height of the tip.
    pub current: u64,
    /// Highest height a peer claims.
    pub highest: u64,
    /// Whether blocks are being fetched.
    pub active: bool,
}

/// The scheduler. Times are microseconds of a monotonic clock.
#[derive(Debug, Default)]
pub struct BlockSync {
    tip: u64,
    tip_since_us: u64,
    starting: u64,
    active: bool,
    delivered: u64,
    /// Heights handed out that the tip has not reached -> who gave the block. Within the window.
    given: BTreeMap<u64, u64>,
    peers: BTreeMap<u64, PeerState>,
    buffer: BTreeMap<u64, Waiting>,
    buffered: usize,
}

impl BlockSync {
    /// The node's tip is this.
    pub fn set_tip(&mut self, now_us: u64, height: u64) {
        if height == self.tip {
            return;
        }
        self.tip = height;
        self.tip_since_us = now_us;
        self.delivered = self.delivered.max(height);
        let later = self.given.split_off(&(height + 1));
        for peer in std::mem::replace(&mut self.given, later).values() {
            if let Some(state) = self.peers.get_mut(peer) {
                state.strikes = 0;
            }
        }
        self.buffer = self.buffer.split_off(&(height + 1));
        self.buffered = self.buffer.values().map(|waiting| waiting.bytes).sum();
    }

    /// A peer claims a height.
    pub fn set_peer(&mut self, peer: u64, height: u64) {
        if !self.peers.contains_key(&peer) && self.peers.len() >= MAX_PEERS {
            // Full of others, of which one only disappointed: it makes room.
            let worst = self.peers.iter().filter(|(_, state)| state.strikes > 0).max_by_key(|(_, state)| state.strikes);
            let Some(worst) = worst.map(|(worst, _)| *worst) else { return };
            self.peers.remove(&worst);
        }
        self.peers.entry(peer).or_default().height = height;
    }

    /// Height a peer claims, 0 when it has not said.
    #[must_use]
    pub fn height_of(&self, peer: u64) -> u64 {
        self.peers.get(&peer).map_or(0, |state| state.height)
    }

    /// A peer is gone.
    pub fn remove_peer(&mut self, peer: u64) {
        self.peers.remove(&peer);
    }

    /// A request failed, or its answer was nonsense.
    pub fn failed(&mut self, now_us: u64, peer: u64) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.asked = None;
            state.rests_until_us = now_us + REST_US;
            state.strikes = state.strikes.saturating_add(1);
        }
    }

    /// An answer: blocks from the asked height on, ascending. False when they are something else: the peer rests.
    pub fn answered(&mut self, now_us: u64, peer: u64, blocks: Vec<(CertifiedBlock, usize)>) -> bool {
        let Some((from, count)) = self.peers.get_mut(&peer).and_then(|state| state.asked.take()) else { return false };
        let ascending = blocks.iter().zip(from..from + count).all(|((it, _), height)| {
            it.block.height() == height
                && it.certificate.height == height
                && it.certificate.block_hash == it.block.hash()
        });
        if blocks.is_empty() || blocks.len() as u64 > count || !ascending {
            self.failed(now_us, peer);
            return false;
        }
        for (block, bytes) in blocks {
            let height = block.block.height();
            if height > self.delivered && !self.buffer.contains_key(&height) {
                self.buffered += bytes;
                self.buffer.insert(height, Waiting { peer, block, bytes });
            }
        }
        true
    }

    /// The next request to make: peer, first height, number of blocks.
    pub fn poll_request(&mut self, now_us: u64) -> Option<(u64, u64, u64)> {
        self.reset_when_stuck(now_us);
        let highest = self.highest();
        let waited = now_us.saturating_sub(self.tip_since_us) >= PATIENCE_US;
        let behind = highest >= self.tip + 2 || (highest > self.tip && waited);
        if behind != self.active {
            self.active = behind;
            self.starting = self.tip;
        }
        let in_flight: Vec<(u64, u64)> = self.peers.values().filter_map(|state| state.asked).collect();
        if !behind || in_flight.len() >= MAX_IN_FLIGHT {
            return None;
        }
        let taken = |height: u64| {
            self.buffer.contains_key(&height)
                || in_flight.iter().any(|(from, count)| (*from..from + count).contains(&height))
        };
        let end = highest.min(self.tip + WINDOW);
        let from = (self.delivered + 1..=end).find(|height| !taken(*height))?;
        if self.buffered > MAX_BUFFER_BYTES && from > self.delivered + 1 {
            return None;
        }
        let count = (from..=end.min(from + RANGE - 1)).take_while(|height| !taken(*height)).count() as u64;
        // Busy and resting ones count too: who disappointed more often waits for them.
        let fewest = self.peers.values().filter(|state| state.height >= from).map(|state| state.strikes).min()?;
        let able = |state: &PeerState| {
            let free = state.asked.is_none() && state.rests_until_us <= now_us;
            free && state.height >= from && state.strikes == fewest
        };
        // Those that rested longest ago first, so that requests go round.
        let able = self.peers.iter_mut().filter(|(_, state)| able(state));
        let (peer, state) = able.min_by_key(|(_, state)| state.rests_until_us)?;
        let count = count.min(state.height - from + 1);
        state.asked = Some((from, count));
        state.rests_until_us = now_us;
        Some((*peer, from, count))
    }

    /// The next block in order, with the peer that gave it.
    pub fn poll_block(&mut self) -> Option<(u64, CertifiedBlock)> {
        let next = self.delivered + 1;
        let waiting = self.buffer.remove(&next)?;
        self.buffered = self.buffered.saturating_sub(waiting.bytes);
        self.delivered = next;
        self.given.insert(next, waiting.peer);
        Some((waiting.peer, waiting.block))
    }

    /// How far the node is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let highest = self.highest().max(self.tip);
        Progress { starting: self.starting, current: self.tip, highest, active: self.active }
    }

    fn highest(&self) -> u64 {
        self.peers.values().map(|state| state.height).max().unwrap_or(0)
    }

    fn reset_when_stuck(&mut self, now_us: u64) {
        if self.delivered == self.tip || now_us.saturating_sub(self.tip_since_us) < STUCK_US {
            return;
        }
        self.delivered = self.tip;
        self.tip_since_us = now_us;
        self.buffer.clear();
        self.buffered = 0;
        if let Some(peer) = std::mem::take(&mut self.given).remove(&(self.tip + 1)) {
            self.failed(now_us, peer);
        }
    }
}
