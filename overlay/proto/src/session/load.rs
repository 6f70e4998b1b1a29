//! When to ask for cookies, and how much a verified source may ask of us.
//!
//! An initiation costs four X25519 and one ML-KEM operation, about a millisecond on a small router. The rate of initiations with a
//! correct mac is measured by a token bucket. While it is empty, a source must prove that it receives what is sent to its address
//! (a cookie: one BLAKE2s, no state here), and then has a bucket of its own. Time is an argument everywhere.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::types::Source;

/// Initiations a second answered without a cookie: a tenth of a small router's processor.
const FREE_RATE: u64 = 100;
/// Burst above it: a network of 200 nodes that comes back at once needs no cookies.
const FREE_BURST: u64 = 200;
/// Initiations a second of one verified source under load. Honest ones send at most one a second.
const SOURCE_RATE: u64 = 5;
/// Burst of one source: several nodes may share a home's address.
const SOURCE_BURST: u64 = 20;
/// Sources tracked, 64 bytes each. Idle ones are forgotten first; the rest share one bucket.
const MAX_SOURCES: usize = 4096;
/// Shared by all verified sources beyond `MAX_SOURCES`.
const OVERFLOW_RATE: u64 = 100;
/// A full sweep of the table at most this often: 4,096 entries a second cost nothing.
const SWEEP_EVERY_US: u64 = 1_000_000;

/// A token bucket in integer microseconds of credit.
#[derive(Clone, Copy)]
pub(super) struct TokenBucket {
    cost_us: u64,
    limit_us: u64,
    credit_us: u64,
    last_us: u64,
}

impl TokenBucket {
    /// A full bucket.
    pub(super) const fn new(rate_per_s: u64, burst: u64, now_us: u64) -> Self {
        let cost_us = 1_000_000 / rate_per_s;
        Self { cost_us, limit_us: cost_us * burst, credit_us: cost_us * burst, last_us: now_us }
    }

    /// Takes one token.
    pub(super) fn take(&mut self, now_us: u64) -> bool {
        self.credit_us = self.credit_at(now_us);
        self.last_us = self.last_us.max(now_us);
        let allowed = self.credit_us >= self.cost_us;
        if allowed {
            self.credit_us -= self.cost_us;
        }
        allowed
    }

    fn credit_at(&self, now_us: u64) -> u64 {
        self.credit_us.saturating_add(now_us.saturating_sub(self.last_us)).min(self.limit_us)
    }

    fn is_full(&self, now_us: u64) -> bool {
        self.credit_at(now_us) == self.limit_us
    }
}

/// Whoever can claim many addresses of these together is one source: an IPv4 address, an IPv6 /64, a circuit.
type SourceKey = (Ipv6Addr, u64);

/// Load measurement and per-source limits.
pub(super) struct Admission {
    free: TokenBucket,
    sources: BTreeMap<SourceKey, TokenBucket>,
    overflow: TokenBucket,
    swept_us: u64,
}

impl Admission {
    pub(super) const fn new() -> Self {
        Self {
            free: TokenBucket::new(FREE_RATE, FREE_BURST, 0),
            sources: BTreeMap::new(),
            overflow: TokenBucket::new(OVERFLOW_RATE, OVERFLOW_RATE, 0),
            swept_us: 0,
        }
    }

    /// Counts an initiation with a correct mac; true when we are under load.
    pub(super) fn count_initiation(&mut self, now_us: u64) -> bool {
        !self.free.take(now_us)
    }

    /// Whether a verified source may have one more initiation answered under load.
    pub(super) fn allow_source(&mut self, now_us: u64, source: &Source) -> bool {
        let key = source_key(source);
        if let Some(bucket) = self.sources.get_mut(&key) {
            return bucket.take(now_us);
        }
        if self.sources.len() >= MAX_SOURCES && now_us.saturating_sub(self.swept_us) >= SWEEP_EVERY_US {
            self.swept_us = now_us;
            self.sources.retain(|_, bucket| !bucket.is_full(now_us));
        }
        if self.sources.len() >= MAX_SOURCES {
            return self.overflow.take(now_us);
        }
        self.sources.entry(key).or_insert_with(|| TokenBucket::new(SOURCE_RATE, SOURCE_BURST, now_us)).take(now_us)
    }
}

fn source_key(source: &Source) -> SourceKey {
    match source {
        Source::Direct(address) => (prefix(address), 0),
        Source::Relayed { relay, label } => (prefix(relay), u64::from(*label) + 1),
    }
}

fn prefix(address: &SocketAddr) -> Ipv6Addr {
    match address.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(_) => v6,
            None => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    use super::{Admission, FREE_BURST, MAX_SOURCES, SOURCE_BURST, Source, TokenBucket};

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = TokenBucket::new(10, 3, 0);
        assert!(bucket.take(0) && bucket.take(0) && bucket.take(0) && !bucket.take(0));
        assert!(!bucket.take(99_999) && bucket.take(100_000) && !bucket.take(100_001));
        assert!(!bucket.take(50), "time that goes back gives nothing");
    }

    #[test]
    fn load_falls_as_fast_as_the_flood_stops() {
        let mut admission = Admission::new();
        assert_eq!((0..FREE_BURST + 1).filter(|_| admission.count_initiation(1)).count(), 1);
        assert!(!admission.count_initiation(1_000_000));
    }

    #[test]
    fn memory_for_sources_is_bounded_and_one_source_cannot_starve_another() {
        let mut admission = Admission::new();
        let source = |i: u32| Source::Direct(SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + i)), 1));
        let taken = (0..100).filter(|_| admission.allow_source(1, &source(0))).count();
        assert_eq!(taken as u64, SOURCE_BURST);
        for i in 0..20_000 {
            admission.allow_source(1, &source(i));
        }
        assert!(admission.sources.len() <= MAX_SOURCES);
        assert!(admission.allow_source(20_000_000, &source(1_000_000)), "idle sources make room");
        assert!(admission.sources.len() < MAX_SOURCES);
    }
}
