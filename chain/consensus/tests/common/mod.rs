//! Witnesses, chains and a perfect network for tests.
#![allow(dead_code, unreachable_pub)] // shared by several test programs

use alloy_primitives::{B256, keccak256};
use ed25519_dalek::SigningKey;
use netchain_consensus::twin::{MemoryChain, account_of};
use netchain_consensus::{Config, Effect, Host, Message, Now, Timing};
use netchain_types::{ChainDomain, Witness, WitnessSet};

pub fn key(i: usize) -> SigningKey {
    SigningKey::from_bytes(&keccak256(format!("witness {i}")).0)
}

pub fn vote_key(i: usize) -> [u8; 32] {
    key(i).verifying_key().to_bytes()
}

pub fn set(n: usize) -> WitnessSet {
    let seat = |i: usize| Witness {
        account: account_of(&vote_key(i)),
        vote_key: vote_key(i),
        reveal_key: [u8::try_from(i).unwrap() + 1; 48],
    };
    WitnessSet::new((0..n).map(seat).collect()).unwrap()
}

pub fn chain(n: usize) -> MemoryChain {
    MemoryChain::genesis(set(n), B256::repeat_byte(7), b"test", 1_700_000_000)
}

pub fn domain(n: usize) -> ChainDomain {
    ChainDomain { chain_id: 7, genesis: chain(n).genesis_hash() }
}

pub fn now(us: u64) -> Now {
    Now { mono_us: us, unix_s: 1_700_000_010 + us / 1_000_000 }
}

pub fn start(n: usize, i: usize, app: MemoryChain, log: &[u8], us: u64) -> Host<MemoryChain> {
    let config = Config { chain: domain(n), account: account_of(&vote_key(i)), timing: Timing::default() };
    Host::start(config, Box::new(key(i)), app, log, now(us))
}

/// Everything the host wants done now.
pub fn drain(host: &mut Host<MemoryChain>) -> Vec<Effect> {
    std::iter::from_fn(|| host.poll_effect()).collect()
}

pub fn said(effects: &[Effect]) -> Vec<Message> {
    let message = |effect: &Effect| match effect {
        Effect::Broadcast(message) => Some(message.clone()),
        _ => None,
    };
    effects.iter().filter_map(message).collect()
}

/// Log and messages of each node, after running a perfect network until all have `height` blocks.
pub struct Net {
    pub hosts: Vec<Host<MemoryChain>>,
    pub logs: Vec<Vec<u8>>,
    pub said: Vec<Vec<Message>>,
    pub us: u64,
}

impl Net {
    pub fn new(n: usize) -> Self {
        let hosts = (0..n).map(|i| start(n, i, chain(n), &[], 0)).collect();
        Self { hosts, logs: vec![Vec::new(); n], said: vec![Vec::new(); n], us: 0 }
    }

    pub fn run(&mut self, height: u64, alive: &[usize]) {
        for _ in 0..100_000 {
            if alive.iter().all(|i| self.hosts[*i].app().blocks().len() as u64 >= height) {
                return;
            }
            if !self.exchange(alive) {
                self.us = alive.iter().filter_map(|i| self.hosts[*i].poll_timeout()).min().unwrap().max(self.us);
                for i in alive {
                    self.hosts[*i].handle_timeout(now(self.us));
                }
            }
        }
        panic!("height {height} was not reached");
    }

    /// Performs and delivers until nobody has anything to say; false when there was nothing.
    pub fn exchange(&mut self, alive: &[usize]) -> bool {
        let mut any = false;
        loop {
            let mut outbox = Vec::new();
            for i in alive {
                for effect in drain(&mut self.hosts[*i]) {
                    match effect {
                        Effect::WalReset(bytes) => self.logs[*i] = bytes,
                        Effect::WalAppend(bytes) => self.logs[*i].extend(bytes),
                        Effect::Broadcast(message) => {
                            self.said[*i].push(message.clone());
                            outbox.extend(alive.iter().filter(|to| *to != i).map(|to| (*i, *to, message.clone())));
                        }
                        Effect::Send(to, message) => outbox.push((*i, usize::try_from(to).unwrap(), message)),
                        _ => {}
                    }
                }
            }
            if outbox.is_empty() {
                return any;
            }
            any = true;
            for (from, to, message) in outbox {
                self.hosts[to].handle_message(now(self.us), from as u64, message);
            }
        }
    }
}
