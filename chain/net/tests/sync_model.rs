//! Catching up in virtual time, among peers that lose questions, give little, boast, leave, and lie.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use netchain_consensus::twin::MemoryChain;
use netchain_consensus::{Application, CertifiedBlock, Draft, Now};
use netchain_net::sync::BlockSync;
use netchain_types::{Certificate, Witness, WitnessSet};

/// Blocks there are when the node begins.
const BLOCKS: u64 = 400;
/// A step of the model.
const STEP_US: u64 = 100_000;
/// For a question that nobody answers, as the network's own limit.
const LOST_US: u64 = 20_000_000;

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Honest,
    /// A third of its answers never come.
    Lossy,
    /// One block an answer.
    Stingy,
    /// Says it has a million blocks, and has none of those that are asked for beyond the end.
    Boaster,
    /// Blocks that hang together and that no witness signed.
    Liar,
    /// Comes and goes.
    Guest,
}

fn chain(genesis: &[u8]) -> Vec<CertifiedBlock> {
    let seat = Witness { account: Address::repeat_byte(1), vote_key: [5; 32], reveal_key: [7; 48] };
    let set = WitnessSet::new(vec![seat]).unwrap();
    let mut chain = MemoryChain::genesis(set, B256::repeat_byte(9), genesis, 1_000);
    for height in 1..=BLOCKS {
        let last = chain.blocks().last().map(|it| it.certificate.clone());
        let now = Now { mono_us: 0, unix_s: 1_000 + height };
        let draft =
            Draft { now, round: 0, creator: Address::repeat_byte(1), last_commit: last.as_ref(), evidence: &[] };
        let block = chain.propose(&draft).unwrap();
        let certificate = Certificate { height, round: 0, block_hash: block.hash(), signatures: Vec::new() };
        chain.commit(&block, &certificate).unwrap();
    }
    chain.blocks().to_vec()
}

struct Model<'a> {
    good: &'a [CertifiedBlock],
    forged: &'a [CertifiedBlock],
    random: Random,
    peers: BTreeMap<u64, Kind>,
    /// Peer -> when its answer arrives, and what was asked.
    under_way: BTreeMap<u64, (u64, u64, u64)>,
    sync: BlockSync,
    tip: u64,
}

impl Model<'_> {
    /// Virtual seconds until the node has every block.
    fn run(mut self, most_s: u64) -> u64 {
        let mut now = 0;
        while self.tip < BLOCKS {
            now += STEP_US;
            assert!(now / 1_000_000 <= most_s, "height {} after {most_s} s among {:?}", self.tip, self.peers);
            self.come_and_go();
            while let Some((peer, from, count)) = self.sync.poll_request(now) {
                assert!(count > 0 && from > self.tip && from <= self.tip + 512, "{from} + {count} at {}", self.tip);
                assert!(self.under_way.insert(peer, (0, from, count)).is_none(), "one question a peer");
                assert!(self.under_way.len() <= 8);
                let lost = self.peers[&peer] == Kind::Lossy && self.random.below(3) == 0;
                let takes = if lost { LOST_US } else { 50_000 + self.random.below(2_000_000) };
                self.under_way.insert(peer, (now + takes, from, count));
            }
            let due: Vec<u64> = self.under_way.iter().filter(|(_, it)| it.0 <= now).map(|(peer, _)| *peer).collect();
            for peer in due {
                let (_, from, count) = self.under_way.remove(&peer).unwrap();
                self.answer(now, peer, from, count);
            }
            // The consumer takes what follows its tip and is signed.
            while let Some((_, block)) = self.sync.poll_block() {
                if self.good.get(usize::try_from(self.tip).unwrap()) == Some(&block) {
                    self.tip += 1;
                    self.sync.set_tip(now, self.tip);
                }
            }
        }
        now / 1_000_000
    }

    fn answer(&mut self, now: u64, peer: u64, from: u64, count: u64) {
        let kind = self.peers[&peer];
        let late = kind == Kind::Lossy && self.random.below(3) == 0;
        let blocks = if kind == Kind::Liar { self.forged } else { self.good };
        let count = if kind == Kind::Stingy { 1 } else { count };
        let first = usize::try_from(from - 1).unwrap();
        let last = blocks.len().min(first + usize::try_from(count).unwrap());
        if late || first >= last {
            return self.sync.failed(now, peer);
        }
        let answer = blocks[first..last].iter().map(|block| (block.clone(), 700)).collect();
        assert!(self.sync.answered(now, peer, answer));
    }

    fn come_and_go(&mut self) {
        for peer in 0..32 {
            if self.peers.get(&peer) != Some(&Kind::Guest) || self.random.below(50) > 0 {
                continue;
            }
            if self.under_way.remove(&peer).is_some() || self.sync.height_of(peer) > 0 {
                self.sync.remove_peer(peer);
            } else {
                self.sync.set_peer(peer, BLOCKS);
            }
        }
    }
}

fn model<'a>(good: &'a [CertifiedBlock], forged: &'a [CertifiedBlock], seed: u64, kinds: &[Kind]) -> Model<'a> {
    let peers: BTreeMap<u64, Kind> = (0..).zip(kinds.iter().copied()).collect();
    let mut sync = BlockSync::default();
    for (peer, kind) in &peers {
        sync.set_peer(*peer, if *kind == Kind::Boaster { 1_000_000 } else { BLOCKS });
    }
    Model { good, forged, random: Random(seed), peers, under_way: BTreeMap::new(), sync, tip: 0 }
}

#[test]
fn a_node_catches_up_among_peers_that_lose_give_little_boast_and_leave() {
    let (good, forged) = (chain(b"good"), chain(b"forged"));
    for seed in 0..200 {
        let mut random = Random(seed);
        let mut kinds = vec![Kind::Honest];
        for _ in 0..random.below(10) {
            let all = [Kind::Honest, Kind::Lossy, Kind::Stingy, Kind::Boaster, Kind::Guest];
            kinds.insert(usize::try_from(random.below(2)).unwrap(), all[usize::try_from(random.below(5)).unwrap()]);
        }
        // 400 blocks of one stingy peer at a second each; whatever else there is only helps.
        model(&good, &forged, seed, &kinds).run(600);
    }
}

#[test]
fn one_honest_peer_is_enough_however_many_others_lie() {
    let (good, forged) = (chain(b"good"), chain(b"forged"));
    for liars in [1, 3, 7, 15, 31] {
        for seed in 0..4 {
            // The liars came first.
            let mut kinds = vec![Kind::Liar; liars];
            kinds.push(Kind::Honest);
            // A lie costs 15 s, once a liar; then the honest one alone gives 400 blocks.
            let took = model(&good, &forged, seed, &kinds).run(15 * liars as u64 + 120);
            assert!(took > 0);
        }
    }
}
