//! The order in which witnesses make blocks: Fisher-Yates over the seats, from a seed nobody can choose (white paper 3.3.4).

use alloy_primitives::{B256, keccak256};

const MIX_WORDS: usize = 4;

/// Folds a unique BLS reveal into the randomness: `keccak(mix | keccak(reveal))`.
#[must_use]
pub fn next_mix(mix: &B256, reveal: &[u8]) -> B256 {
    keccak256([mix.as_slice(), keccak256(reveal).as_slice()].concat())
}

/// Seed of shuffle round `k`: `keccak("NFC/SHUFFLE/v1" | k u64 BE | mix)`.
#[must_use]
pub fn shuffle_seed(mix: &B256, k: u64) -> B256 {
    keccak256([b"NFC/SHUFFLE/v1".as_slice(), &k.to_be_bytes(), mix.as_slice()].concat())
}

/// Unbiased Fisher-Yates permutation of `0..n` (n <= 255): for i = n-1..1, x = next word, redrawn while
/// x >= 2^64 - (2^64 mod (i+1)); j = x mod (i+1); swap i, j. Words: `keccak("NFC/FY/v1" | seed | counter u64 BE)`, read as
/// four big-endian u64.
#[must_use]
pub fn shuffle(seed: &B256, n: u8) -> Vec<u8> {
    let mut order: Vec<u8> = (0..n).collect();
    let mut words = Words { seed: *seed, counter: 0, block: [0; MIX_WORDS], next: MIX_WORDS };
    for i in (1..usize::from(n)).rev() {
        let bound = i as u64 + 1;
        // 2^64 mod bound, without 128-bit arithmetic.
        let rest = (u64::MAX % bound + 1) % bound;
        let x = loop {
            let x = words.draw();
            if rest == 0 || x < u64::MAX - rest + 1 {
                break x;
            }
        };
        #[allow(clippy::cast_possible_truncation)] // x % bound <= 254
        order.swap(i, (x % bound) as usize);
    }
    order
}

/// Who makes which block: the order of this shuffle round, of the next, and where the next height begins in it.
///
/// The order of round k+1 is fixed when round k begins, so whoever is last in round k cannot choose who follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposerOrder {
    /// Number of the shuffle round, from 0.
    pub shuffle_round: u64,
    /// Seats in the order of this shuffle round.
    pub current: Vec<u8>,
    /// Seats in the order of the next one.
    pub next: Vec<u8>,
    /// Place in `current` where the next height begins.
    pub slot: u32,
}

impl ProposerOrder {
    /// The first two shuffle rounds of `seats` witnesses from the genesis randomness.
    #[must_use]
    pub fn genesis(mix: &B256, seats: u8) -> Self {
        let order = |k| shuffle(&shuffle_seed(mix, k), seats);
        Self { shuffle_round: 0, current: order(0), next: order(1), slot: 0 }
    }

    /// Seat of the creator in a consensus round of the next height: a silent witness is skipped, the next in line follows.
    /// Beyond both known orders the second one repeats: rounds that far need more than 21 silent witnesses in a row.
    #[must_use]
    pub fn seat(&self, round: u32) -> u8 {
        let n = self.current.len().max(1);
        let place = (self.slot as usize).saturating_add(round as usize);
        let order = if place < n { &self.current } else { &self.next };
        order.get(place % n).copied().unwrap_or(0)
    }

    /// Moves past a block whose *header* names `round`, with the randomness after that block.
    pub fn advance(&mut self, round: u32, mix: &B256) {
        let n = u32::try_from(self.current.len()).unwrap_or(u32::MAX).max(1);
        let seats = u8::try_from(self.current.len()).unwrap_or(u8::MAX);
        self.slot = self.slot.saturating_add(round).saturating_add(1);
        while self.slot >= n {
            self.slot -= n;
            self.shuffle_round += 1;
            self.current =
                std::mem::replace(&mut self.next, shuffle(&shuffle_seed(mix, self.shuffle_round + 1), seats));
        }
    }
}

struct Words {
    seed: B256,
    counter: u64,
    block: [u64; MIX_WORDS],
    next: usize,
}

impl Words {
    fn draw(&mut self) -> u64 {
        if let Some(word) = self.block.get(self.next) {
            self.next += 1;
            return *word;
        }
        let hash = keccak256([b"NFC/FY/v1".as_slice(), self.seed.as_slice(), &self.counter.to_be_bytes()].concat());
        self.counter += 1;
        for (word, bytes) in self.block.iter_mut().zip(hash.as_slice().chunks_exact(8)) {
            *word = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        }
        self.next = 1;
        self.block[0]
    }
}
