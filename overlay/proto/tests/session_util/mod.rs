//! Two nodes and a wire in one value: what the session tests share.

use netflow_overlay::session::{
    FrameOutcome, LocalIdentity, PeerRef, PqMode, RemoteKeys, SealOutcome, SessionEvent, SessionTable, Source,
    kem_public_key,
};
use netflow_overlay::{NetworkId, NodeId, Now};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zeroize::Zeroizing;

pub const NETWORK: NetworkId = NetworkId([7; 32]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    A,
    B,
}

impl Side {
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

#[derive(Clone, Copy)]
pub struct Profile {
    pub aes_hw: bool,
    pub pq: PqMode,
    pub has_kem: bool,
}

pub const DEFAULT: Profile = Profile { aes_hw: true, pq: PqMode::Prefer, has_kem: true };

pub fn table(byte: u8, profile: Profile, boot_epoch: u32) -> SessionTable {
    let mut table = SessionTable::new(LocalIdentity {
        static_secret: Zeroizing::new([byte; 32]),
        kem_seed: Zeroizing::new([byte; 64]),
        boot_epoch,
        aes_hw: profile.aes_hw,
        pq: profile.pq,
    });
    assert!(table.add_network(NETWORK));
    table
}

pub fn keys(byte: u8, profile: Profile) -> RemoteKeys {
    RemoteKeys {
        x25519: *table(byte, profile, 0).public_key(),
        kem: profile.has_kem.then(|| kem_public_key(&[byte; 64])),
    }
}

pub fn peer(byte: u8) -> PeerRef {
    PeerRef { network: NETWORK, node: NodeId([byte; 32]) }
}

pub fn source(host: u8) -> Source {
    Source::Direct(([203, 0, 113, host], 4790).into())
}

/// A frame on its way, and who sent it.
pub type Flight = (Side, Vec<u8>);

pub struct Pair {
    pub a: SessionTable,
    pub b: SessionTable,
    pub now: Now,
    pub rng: ChaCha20Rng,
    pub delivered: Vec<(Side, Vec<u8>)>,
    pub events: Vec<(Side, SessionEvent)>,
}

impl Pair {
    pub fn new(a: Profile, b: Profile) -> Self {
        let mut pair = Self {
            a: table(1, a, 1),
            b: table(2, b, 1),
            now: Now { mono_us: 1_000_000, unix_s: 1_800_000_000 },
            rng: ChaCha20Rng::from_seed([3; 32]),
            delivered: Vec::new(),
            events: Vec::new(),
        };
        pair.a.upsert_peer(peer(2), keys(2, b)).unwrap();
        pair.b.upsert_peer(peer(1), keys(1, a)).unwrap();
        pair
    }

    pub fn established(a: Profile, b: Profile) -> Self {
        let mut pair = Self::new(a, b);
        pair.send(Side::A, b"hello");
        pair.run();
        assert_eq!(pair.take_delivered(), [(Side::B, b"hello".to_vec())]);
        pair.send(Side::B, b"hello back");
        pair.run();
        assert_eq!(pair.take_delivered(), [(Side::A, b"hello back".to_vec())]);
        pair.events.clear();
        pair
    }

    pub fn end(&mut self, side: Side) -> &mut SessionTable {
        match side {
            Side::A => &mut self.a,
            Side::B => &mut self.b,
        }
    }

    /// The name under which `side` knows the other end.
    pub fn remote(side: Side) -> PeerRef {
        match side {
            Side::A => peer(2),
            Side::B => peer(1),
        }
    }

    /// Seals; a frame is delivered at once, a queued packet waits for `run`.
    pub fn send(&mut self, from: Side, inner: &[u8]) {
        match self.seal(from, inner) {
            SealOutcome::Frame(frame) => {
                self.deliver(from, frame);
            }
            SealOutcome::Queued => {}
            other => panic!("{other:?}"),
        }
    }

    pub fn seal(&mut self, from: Side, inner: &[u8]) -> SealOutcome {
        let now = self.now;
        let Self { a, b, rng, .. } = self;
        let table = if from == Side::A { a } else { b };
        table.seal(now, rng, &Self::remote(from), inner)
    }

    pub fn frame(&mut self, from: Side, inner: &[u8]) -> Vec<u8> {
        match self.seal(from, inner) {
            SealOutcome::Frame(frame) => frame,
            other => panic!("{other:?}"),
        }
    }

    /// Hands a frame over without following up.
    pub fn hand(&mut self, from: Side, frame: &mut [u8]) -> FrameOutcome {
        let now = self.now;
        let Self { a, b, rng, .. } = self;
        let (table, host) = if from == Side::A { (b, 1) } else { (a, 2) };
        table.handle_frame(now, rng, &source(host), frame)
    }

    /// Hands a frame over, records what came out, returns the reply to it.
    pub fn deliver(&mut self, from: Side, mut frame: Vec<u8>) -> Option<Flight> {
        let to = from.other();
        match self.hand(from, &mut frame) {
            FrameOutcome::Reply(reply) => Some((to, reply)),
            FrameOutcome::Inner { peer, plaintext } => {
                assert_eq!(peer, Self::remote(to));
                self.delivered.push((to, frame[plaintext].to_vec()));
                None
            }
            FrameOutcome::Established { .. }
            | FrameOutcome::Accepted { .. }
            | FrameOutcome::CookieTaken { .. }
            | FrameOutcome::Drop(_) => None,
        }
    }

    /// Everything both ends want to send now.
    pub fn flights(&mut self) -> Vec<Flight> {
        let mut flights = Vec::new();
        for side in [Side::A, Side::B] {
            while let Some((to, frame)) = self.end(side).poll_transmit() {
                assert_eq!(to, Self::remote(side));
                flights.push((side, frame));
            }
            while let Some(event) = self.end(side).poll_event() {
                self.events.push((side, event));
            }
        }
        flights
    }

    /// Delivers until nothing is on its way.
    pub fn run(&mut self) {
        let mut flights = self.flights();
        for _ in 0..1_000 {
            if flights.is_empty() {
                return;
            }
            let mut next = Vec::new();
            for (from, frame) in flights {
                next.extend(self.deliver(from, frame));
            }
            next.extend(self.flights());
            flights = next;
        }
        panic!("the exchange does not come to rest");
    }

    pub fn advance(&mut self, us: u64) {
        self.now = Now { mono_us: self.now.mono_us + us, unix_s: self.now.unix_s };
    }

    /// Runs the timers of both ends that are due.
    pub fn tick(&mut self) {
        let now = self.now;
        let Self { a, b, rng, .. } = self;
        for table in [a, b] {
            for _ in 0..100 {
                if table.poll_timeout().is_none_or(|at| at > now.mono_us) {
                    break;
                }
                table.handle_timeout(now, rng);
            }
            assert!(table.poll_timeout().is_none_or(|at| at > now.mono_us), "a deadline that never goes away");
        }
    }

    /// Lets virtual time pass in steps, delivering all.
    pub fn pass(&mut self, us: u64, step: u64) {
        let end = self.now.mono_us + us;
        while self.now.mono_us < end {
            self.advance(step);
            self.tick();
            self.run();
        }
    }

    pub fn take_delivered(&mut self) -> Vec<(Side, Vec<u8>)> {
        std::mem::take(&mut self.delivered)
    }

    /// Empties the bucket of answered-without-cookie initiations at `side`, with a stranger's initiation.
    pub fn put_under_load(&mut self, side: Side) {
        let target = if side == Side::A { 1 } else { 2 };
        let mut stranger = table(9, DEFAULT, 1);
        stranger.upsert_peer(peer(target), keys(target, DEFAULT)).unwrap();
        let now = self.now;
        let Self { a, b, rng, .. } = self;
        stranger.seal(now, rng, &peer(target), b"x");
        let (_, frame) = stranger.poll_transmit().unwrap();
        let table = if side == Side::A { a } else { b };
        for _ in 0..400 {
            if let FrameOutcome::Reply(reply) = table.handle_frame(now, rng, &source(99), &mut frame.clone()) {
                assert_eq!(reply.len(), 64);
                return;
            }
        }
        panic!("no cookie asked for");
    }
}
