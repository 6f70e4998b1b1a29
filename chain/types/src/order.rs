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
