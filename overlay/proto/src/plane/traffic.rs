//! What node and data path count together.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::time::Now;

/// Times and numbers of one peer, over all its sessions.
///
/// Relaxed order is enough: each number stands for itself, and who reads them is content with a value a moment old.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    tx_bytes: AtomicU64,
    rx_bytes: AtomicU64,
    tx_packets: AtomicU64,
    rx_packets: AtomicU64,
    /// Last frame sent, last authentic frame received; 0: none.
    sent_us: AtomicU64,
    heard_us: AtomicU64,
    /// The same of packets the node did not see.
    said_us: AtomicU64,
    data_us: AtomicU64,
}

impl Traffic {
    /// The node sealed a frame.
    pub(crate) fn sent(&self, now: Now, bytes: usize) {
        self.tx_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.tx_packets.fetch_add(1, Ordering::Relaxed);
        self.sent_us.store(now.mono_us, Ordering::Relaxed);
    }

    /// The node opened a frame.
    pub(crate) fn heard(&self, now: Now, bytes: usize) {
        self.rx_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.rx_packets.fetch_add(1, Ordering::Relaxed);
        self.heard_us.store(now.mono_us, Ordering::Relaxed);
    }

    /// The data path sealed a packet by itself.
    pub(crate) fn sent_past_node(&self, now: Now, bytes: usize) {
        self.sent(now, bytes);
        self.said_us.store(now.mono_us, Ordering::Relaxed);
    }

    /// The data path opened a packet by itself.
    pub(crate) fn heard_past_node(&self, now: Now, bytes: usize) {
        self.heard(now, bytes);
        self.data_us.store(now.mono_us, Ordering::Relaxed);
    }

    /// When something was sent, was sent past the node, was heard, was heard past the node.
    pub(crate) fn times_us(&self) -> (u64, u64, u64, u64) {
        let load = |time: &AtomicU64| time.load(Ordering::Relaxed);
        (load(&self.sent_us), load(&self.said_us), load(&self.heard_us), load(&self.data_us))
    }

    pub(crate) fn tx_bytes(&self) -> u64 {
        self.tx_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn rx_bytes(&self) -> u64 {
        self.rx_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn tx_packets(&self) -> u64 {
        self.tx_packets.load(Ordering::Relaxed)
    }

    pub(crate) fn rx_packets(&self) -> u64 {
        self.rx_packets.load(Ordering::Relaxed)
    }

    /// When the last authentic frame came.
    pub(crate) fn heard_us(&self) -> Option<u64> {
        Some(self.heard_us.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }
}

/// Frames of one path: both ends compare them, and that is the measure of loss, so every frame counts.
#[derive(Debug, Default)]
pub(crate) struct PathTraffic {
    tx_packets: AtomicU32,
    rx_packets: AtomicU32,
    rx_bytes: AtomicU64,
    sent_us: AtomicU64,
    heard_us: AtomicU64,
}

impl PathTraffic {
    /// A data frame leaves on it. Wraps around.
    pub(crate) fn sent(&self, now: Now) {
        self.tx_packets.fetch_add(1, Ordering::Relaxed);
        self.sent_us.store(now.mono_us, Ordering::Relaxed);
    }

    /// An authentic data frame of this many bytes came over it.
    pub(crate) fn heard(&self, now: Now, bytes: usize) {
        self.rx_packets.fetch_add(1, Ordering::Relaxed);
        self.rx_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.heard_us.store(now.mono_us, Ordering::Relaxed);
    }

    pub(crate) fn tx_packets(&self) -> u32 {
        self.tx_packets.load(Ordering::Relaxed)
    }

    pub(crate) fn rx_packets(&self) -> u32 {
        self.rx_packets.load(Ordering::Relaxed)
    }

    pub(crate) fn rx_bytes(&self) -> u64 {
        self.rx_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn heard_us(&self) -> u64 {
        self.heard_us.load(Ordering::Relaxed)
    }

    /// When a frame passed last, in either direction.
    pub(crate) fn last_us(&self) -> u64 {
        self.heard_us().max(self.sent_us.load(Ordering::Relaxed))
    }
}
