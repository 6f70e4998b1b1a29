//! Verdict over one audited flow, slot and direction: a pure function of what the hops committed and opened, so anyone
//! recomputes it and a lying auditor is caught by one honest challenger.

use crate::amount::U256;
use crate::params::Z_BOUND;
use crate::sample::Level;
use crate::wire::Record;

/// What an audit holds against a hop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags(u8);

impl Flags {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// A record appeared between this hop and its neighbour; both ends of the segment carry the flag.
    pub const FABRICATED: Self = Self(1);
    /// The number of samples does not fit the claimed packets.
    pub const COUNT: Self = Self(2);
    /// The sampled lengths do not fit the claimed bytes.
    pub const BYTES: Self = Self(4);
    /// A record appears twice.
    pub const DUPLICATE: Self = Self(8);
    /// The opening does not open what was committed.
    pub const OPENING: Self = Self(16);

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The flags of these bits; unknown bits are kept, for every one of them counts as a flag.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Both sets of flags.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any flag is set.
    #[must_use]
    pub const fn any(self) -> bool {
        self.0 != 0
    }
}

/// What one hop committed to and showed.
#[derive(Clone, Copy, Debug)]
pub struct HopReport<'a> {
    /// Packets of its slot leaf.
    pub pkts: u64,
    /// Bytes of its slot leaf.
    pub bytes: u64,
    /// Its sampled records, in any order.
    pub samples: &'a [Record],
}

/// The verdict; the vectors over hops are in path order, those over segments have one element less.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// Flags of each hop.
    pub flags: Vec<Flags>,
    /// Sampled records each segment added.
    pub fabricated: Vec<usize>,
    /// Sampled records each segment lost.
    pub lost: Vec<usize>,
}

/// Judges `hops`, sender first, whose samples were taken at `level`. Independent of the order of samples.
#[must_use]
pub fn judge(hops: &[HopReport<'_>], level: Level) -> Verdict {
    let mut out = Verdict::default();
    let mut upstream: Option<Vec<Record>> = None;
    for hop in hops {
        let mut set = hop.samples.to_vec();
        set.sort_unstable();
        set.dedup();
        let mut flags = Flags::NONE;
        if set.len() != hop.samples.len() {
            flags = flags.with(Flags::DUPLICATE);
        }
        if !count_fits(hop.samples.len(), hop.pkts, level) {
            flags = flags.with(Flags::COUNT);
        }
        if !bytes_fit(hop, level) {
            flags = flags.with(Flags::BYTES);
        }
        if let Some(up) = upstream {
            let common = common(&up, &set);
            let (added, lost) = (set.len() - common, up.len() - common);
            out.fabricated.push(added);
            out.lost.push(lost);
            if added > 0 {
                // One node's word against its neighbour's: nobody can tell who of the two invented it.
                flags = flags.with(Flags::FABRICATED);
                if let Some(previous) = out.flags.last_mut() {
                    *previous = previous.with(Flags::FABRICATED);
                }
            }
        }
        out.flags.push(flags);
        upstream = Some(set);
    }
    out
}

/// Elements two sorted sets share.
fn common(a: &[Record], b: &[Record]) -> usize {
    b.iter().filter(|record| a.binary_search(record).is_ok()).count()
}

/// `(s * 2^r - n)^2 <= z^2 * (n * 2^r + 2^(2r))`; at level 0 every record is shown, so `s = n`.
fn count_fits(samples: usize, pkts: u64, level: Level) -> bool {
    if level.get() == 0 {
        return samples as u64 == pkts;
    }
    // s < 2^64, n < 2^64, r <= 57: every term stays below 2^250.
    let r = usize::from(level.get());
    let (s, n) = (U256::from(samples), U256::from(pkts));
    let off = (s << r).abs_diff(n);
    off * off <= U256::from(Z_BOUND * Z_BOUND) * ((n << r) + (U256::from(1) << (2 * r)))
}

/// Ratio test of the sampled lengths against the claimed mean, with a floor of 256 bytes of spread:
/// `(n*SUM - b*s)^2 <= z^2 * (n^2*SUMSQ - 2*n*b*SUM + s*b^2 + n^2*256^2)`; exact at level 0.
fn bytes_fit(hop: &HopReport<'_>, level: Level) -> bool {
    // At most 2^32 samples of 16 bits fit in memory next to anything else: sum < 2^48, sum of squares < 2^64.
    let lengths = || hop.samples.iter().map(|record| u128::from(record.length()));
    let sum: u128 = lengths().sum();
    if level.get() == 0 {
        return sum == u128::from(hop.bytes);
    }
    if hop.pkts == 0 {
        return hop.bytes == 0 && hop.samples.is_empty();
    }
    let square_sum: u128 = lengths().map(|x| x * x).sum();
    let (n, b, s) = (U256::from(hop.pkts), U256::from(hop.bytes), U256::from(hop.samples.len()));
    let (sum, square_sum) = (U256::from(sum), U256::from(square_sum));
    let off = (n * sum).abs_diff(b * s);
    // The three terms of the spread are a sum of squares, so the difference is never negative.
    let positive = n * n * square_sum + s * b * b + n * n * U256::from(256 * 256);
    let spread = positive.saturating_sub(U256::from(2) * n * b * sum);
    off * off <= U256::from(Z_BOUND * Z_BOUND) * spread
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report(pkts: u64, bytes: u64, samples: &[Record]) -> HopReport<'_> {
        HopReport { pkts, bytes, samples }
    }

    proptest! {
        #[test]
        fn the_verdict_does_not_depend_on_the_order_of_samples(
            a in proptest::collection::vec(0u64..400, 0..80),
            b in proptest::collection::vec(0u64..400, 0..80),
            pkts: [u64; 2], bytes: [u64; 2], level in 0u8..57, turn in 0usize..80,
        ) {
            let (Ok(level), [n0, n1], [b0, b1]) = (Level::from_byte(level), pkts, bytes) else { return Ok(()) };
            let a: Vec<Record> = a.into_iter().map(Record).collect();
            let b: Vec<Record> = b.into_iter().map(Record).collect();
            let want = judge(&[report(n0, b0, &a), report(n1, b1, &b)], level);
            let (mut a2, mut b2) = (a.clone(), b.clone());
            a2.reverse();
            let turn = turn.min(b2.len());
            b2.rotate_left(turn);
            prop_assert_eq!(judge(&[report(n0, b0, &a2), report(n1, b1, &b2)], level), want);
        }

        #[test]
        fn loss_alone_is_never_fabrication(a in proptest::collection::btree_set(any::<u64>(), 0..120), keep: u64) {
            let a: Vec<Record> = a.into_iter().map(Record).collect();
            let b: Vec<Record> = a.iter().copied().filter(|r| r.0 & keep & 7 == 0).collect();
            let bytes = |r: &[Record]| r.iter().map(|r| u64::from(r.length())).sum();
            let hops = [report(a.len() as u64, bytes(&a), &a), report(b.len() as u64, bytes(&b), &b)];
            let v = judge(&hops, Level::of(0));
            prop_assert!(v.flags.iter().all(|f| !f.any()));
            prop_assert_eq!(v.lost, vec![a.len() - b.len()]);
        }
    }

    #[test]
    fn extreme_claims_are_flagged_and_never_overflow() {
        let samples = vec![Record(u64::MAX); 1_000];
        for level in [Level::of(0), Level::of(1 << 20), Level::MAX] {
            let v = judge(&[report(u64::MAX, u64::MAX, &samples), report(0, u64::MAX, &[])], level);
            assert!(v.flags.iter().all(|f| f.any()));
        }
        assert_eq!(judge(&[], Level::of(0)), Verdict::default());
    }
}
