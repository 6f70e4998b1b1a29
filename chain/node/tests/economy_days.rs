//! Days of the preset `dev` on the executor: random votes, redemptions, registrations, resignations, misses, liars. A second
//! implementation of docs/spec/economy.md, section 10, in plain loops, says after each block who sits, what everybody's trust is and
//! who earned what. `DAYS=100` makes the long run (`make test`: 14 days, two counts).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]
#![allow(clippy::disallowed_methods)] // DAYS is read from the environment

#[path = "../examples/common/economy.rs"]
mod economy;

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use economy::{Ask, BALLOTS, VAULT, WITNESS, account, input, nfc, registration, seat, transaction};
use netchain_consensus::Evidence;
use netchain_consensus::evidence::Statement;
use netchain_exec::state::{MemoryState, State as _, StateChanges};
use netchain_exec::witness::read_witness_set;
use netchain_exec::{BlockContext, ExecutedBlock, Executor, SignedTransaction, order_after};
use netchain_types::header::with_extra;
use netchain_types::{ConsensusExtra, Header};

const CHAIN_ID: u64 = 7_301;
const SEATS: usize = 21;
const CANDIDATES: u32 = 40;
const HOLDERS: u32 = 1_000;
/// Blocks of a week of minutes.
const EPOCH: u64 = 420;
const START: i64 = 28_800;
const MIN_SEATS: usize = 4;

/// splitmix64: a run can be repeated by its seed.
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
enum Status {
    Candidate = 1,
    Removed,
    Resigned,
    Tombstoned,
}

/// A candidate as the specification has it.
#[derive(Clone, Debug)]
struct Candidate {
    account: Address,
    index: u32,
    status: Status,
    ballots: BTreeMap<u32, u64>,
    /// Ratio now, ratio after the count, epoch it was set in.
    bonus: (u64, u64, u32),
    removed_in: u32,
    earned: U256,
}

impl Candidate {
    fn votes(&self) -> u64 {
        self.ballots.values().sum()
    }
}

/// The rules, in loops over everybody.
struct Model {
    /// Candidate n has number n + 1.
    candidates: Vec<Candidate>,
    seats: Vec<usize>,
    trust: Vec<i64>,
    target: Vec<usize>,
    before: Vec<usize>,
    line: Vec<usize>,
    change_round: u64,
    changed_at: u64,
    epoch: u32,
    /// What a holder earned with a candidate, with 96 bits behind the point, and how often it was reckoned.
    due: BTreeMap<(u32, usize), (U256, u64)>,
    changed: bool,
    lined: bool,
}

impl Model {
    fn new() -> Self {
        let candidates = (0..SEATS as u32).map(|index| Candidate {
            account: account(index),
            index,
            status: Status::Candidate,
            ballots: BTreeMap::new(),
            bonus: (0, 0, 0),
            removed_in: 0,
            earned: U256::ZERO,
        });
        let seats: Vec<usize> = (0..SEATS).collect();
        Self {
            candidates: candidates.collect(),
            trust: vec![START; SEATS],
            target: seats.clone(),
            before: Vec::new(),
            line: Vec::new(),
            seats,
            change_round: 0,
            changed_at: 0,
            epoch: 0,
            due: BTreeMap::new(),
            changed: false,
            lined: false,
        }
    }

    /// Best first; trust as given.
    fn sorted(&self, trust: impl Fn(usize) -> i64, fits: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.candidates.len())
            .filter(|n| self.candidates[*n].status == Status::Candidate && fits(*n))
            .collect();
        all.sort_by_key(|n| {
            let it = &self.candidates[*n];
            (std::cmp::Reverse((it.votes(), trust(*n), it.ballots.len())), *n)
        });
        all
    }

    fn successor(&mut self) -> Option<usize> {
        loop {
            while !self.line.is_empty() {
                let next = self.line.remove(0);
                if self.candidates[next].status == Status::Candidate && !self.target.contains(&next) {
                    return Some(next);
                }
            }
            if std::mem::replace(&mut self.lined, true) {
                return None;
            }
            self.line = self.sorted(|_| START, |n| !self.target.contains(&n));
            self.line.truncate(SEATS);
        }
    }

    fn vacate(&mut self, leaving: usize) {
        let Some(place) = self.target.iter().position(|n| *n == leaving) else { return };
        match self.successor() {
            Some(next) => self.target[place] = next,
            None if self.target.len() > MIN_SEATS => _ = self.target.swap_remove(place),
            None => {}
        }
        self.changed = true;
    }

    fn count(&mut self) {
        let live = |n| self.seats.iter().position(|it| *it == n).map_or(START, |place| self.trust[place]);
        let mut all = self.sorted(live, |_| true);
        let rest = all.split_off(all.len().min(SEATS));
        self.epoch += 1;
        self.line = rest.into_iter().take(SEATS).collect();
        self.lined = true;
        if all.len() < self.seats.len().min(MIN_SEATS) {
            return;
        }
        let mut target: Vec<Option<usize>> = vec![None; all.len()];
        for (place, n) in self.seats.iter().enumerate().take(all.len()) {
            target[place] = all.contains(n).then_some(*n);
        }
        for n in all {
            if !target.contains(&Some(n)) {
                let free = target.iter().position(Option::is_none).unwrap();
                target[free] = Some(n);
            }
        }
        self.target = target.into_iter().flatten().collect();
        self.changed = true;
    }

    fn sit(&mut self, height: u64) {
        let trust =
            self.target.iter().map(|n| self.seats.iter().position(|it| it == n).map_or(START, |at| self.trust[at]));
        let trust = trust.collect();
        self.before = std::mem::replace(&mut self.seats, self.target.clone());
        self.trust = trust;
        (self.changed_at, self.change_round) = (height, 0);
    }

    fn gain(&mut self, n: usize, points: i64) {
        if let Some(place) = self.seats.iter().position(|it| *it == n)
            && self.trust[place] != 0
        {
            self.trust[place] += points;
        }
    }

    fn bonus(&self, n: usize) -> u64 {
        let (now, next, set) = self.candidates[n].bonus;
        if self.epoch > set { next } else { now }
    }
}

/// The executor with the headers that nodes would have.
struct Chain {
    executor: Executor,
    state: MemoryState,
    headers: Vec<Header>,
    model: Model,
    nonces: BTreeMap<u32, u64>,
    silent: Vec<usize>,
    random: Random,
    redeemed: U256,
}

impl Chain {
    fn new(seed: u64) -> Self {
        let holds = |index| if index < CANDIDATES { 1_100 } else { 60 };
        let genesis = economy::genesis(CHAIN_ID, SEATS as u32, CANDIDATES + HOLDERS, holds).block().unwrap();
        let mut state = MemoryState::default();
        state.commit(&genesis.changes).unwrap();
        Self {
            executor: Executor::new(genesis.params),
            state,
            headers: vec![genesis.header],
            model: Model::new(),
            nonces: BTreeMap::new(),
            silent: Vec::new(),
            random: Random(seed),
            redeemed: U256::ZERO,
        }
    }

    fn height(&self) -> u64 {
        self.headers.len() as u64 - 1
    }

    fn order(&self, tip: &Header, seats: usize) -> netchain_types::ProposerOrder {
        let older = |height: u64| self.headers.get(height as usize).cloned();
        order_after(tip, seats as u8, &older).unwrap()
    }

    fn ask(&mut self, index: u32, to: Address, value: U256, data: Vec<u8>) -> SignedTransaction {
        let nonce = self.nonces.entry(index).or_default();
        *nonce += 1;
        transaction(CHAIN_ID, index, *nonce - 1, Ask { to, value, input: data })
    }

    /// A random wish, told to the model as it is sent.
    fn wish(&mut self) -> Option<SignedTransaction> {
        let kind = self.random.below(100);
        let n = self.random.below(self.model.candidates.len() as u64) as usize;
        let holder = CANDIDATES + self.random.below(u64::from(HOLDERS)) as u32;
        let id = U256::from(n + 1);
        let Candidate { index, status, .. } = self.model.candidates[n];
        let have = self.model.candidates[n].ballots.get(&holder).copied().unwrap_or(0);
        match kind {
            0..45 if status == Status::Candidate && self.nonces.get(&holder).is_none_or(|nonce| *nonce < 6) => {
                let number = 1 + self.random.below(8);
                self.reckon(holder, n);
                *self.model.candidates[n].ballots.entry(holder).or_default() += number;
                Some(self.ask(holder, BALLOTS, nfc(number), input("vote(uint256)", &[id])))
            }
            45..70 => {
                let n = (0..self.model.candidates.len())
                    .find(|n| self.model.candidates[*n].ballots.contains_key(&holder))?;
                let all = self.model.candidates[n].ballots[&holder];
                let number = 1 + self.random.below(all);
                self.reckon(holder, n);
                let left = all - number;
                if left == 0 {
                    self.model.candidates[n].ballots.remove(&holder);
                } else {
                    self.model.candidates[n].ballots.insert(holder, left);
                }
                self.redeemed += nfc(number);
                let data = input("redeem(uint256,uint256)", &[U256::from(n + 1), U256::from(number)]);
                Some(self.ask(holder, BALLOTS, U256::ZERO, data))
            }
            70..74 if (self.model.candidates.len() as u32) < CANDIDATES => {
                let index = self.model.candidates.len() as u32;
                let bonus = self.random.below(9_001);
                self.model.candidates.push(Candidate {
                    account: account(index),
                    index,
                    status: Status::Candidate,
                    ballots: BTreeMap::new(),
                    bonus: (bonus, bonus, 0),
                    removed_in: 0,
                    earned: U256::ZERO,
                });
                let (seat, key) = seat(index);
                Some(self.ask(index, WITNESS, nfc(1_000), registration(CHAIN_ID, &seat, &key, bonus)))
            }
            74..84 => {
                let bonus = self.random.below(9_001);
                let now = self.model.bonus(n);
                self.model.candidates[n].bonus = (now, bonus, self.model.epoch);
                Some(self.ask(index, WITNESS, U256::ZERO, input("setBonus(uint256)", &[U256::from(bonus)])))
            }
            84 if status == Status::Candidate && self.random.below(20) == 0 => {
                self.model.candidates[n].status = Status::Resigned;
                self.model.vacate(n);
                self.plan(self.order(self.headers.last().unwrap(), self.model.seats.len()).shuffle_round);
                Some(self.ask(index, WITNESS, U256::ZERO, input("resign()", &[])))
            }
            85..90 if status == Status::Removed && self.model.epoch > self.model.candidates[n].removed_in => {
                self.model.candidates[n].status = Status::Candidate;
                Some(self.ask(index, WITNESS, U256::ZERO, input("rejoin()", &[])))
            }
            90..100 if have != 0 => {
                // Claims are paid: what stands afterwards is what the model subtracts.
                self.reckon(holder, n);
                Some(self.ask(holder, BALLOTS, U256::ZERO, input("withdraw(uint256)", &[U256::from(4)])))
            }
            _ => None,
        }
    }

    fn reckon(&mut self, holder: u32, n: usize) {
        self.model.due.entry((holder, n)).or_default().1 += 1;
    }

    fn plan(&mut self, round: u64) {
        self.model.lined = false;
        if std::mem::take(&mut self.model.changed) {
            self.model.change_round = round + 2;
        }
    }

    /// One block: transactions, its end, the model, the comparison.
    fn block(&mut self) {
        // Before the end of the first block nobody can register or vote.
        let wishes = if self.height() == 0 { 0 } else { self.random.below(4) };
        let wishes: Vec<SignedTransaction> = (0..wishes).filter_map(|_| self.wish()).collect();
        let height = self.height() + 1;
        let order = self.order(self.headers.last().unwrap(), self.model.seats.len());
        let mut round = 0;
        while self.silent.contains(&self.model.seats[usize::from(order.seat(round))]) && round < 30 {
            round += 1;
        }
        let creator = self.model.seats[usize::from(order.seat(round))];
        let voted =
            if self.model.changed_at == height - 1 && height > 1 { &self.model.before } else { &self.model.seats };
        let voted = voted.clone();
        let signs = |place: &usize| height > 1 && !self.silent.contains(&voted[*place]);
        let bitmap: u32 = (0..voted.len()).filter(signs).map(|place| 1 << place).sum();
        let liar = (self.random.below(2_500) == 0).then(|| self.model.seats[self.random.below(4) as usize]);
        let evidence: Vec<Evidence> = liar.iter().map(|n| lie(self.model.candidates[*n].account)).collect();
        let mix = keccak256([self.headers.last().unwrap().mix_hash.as_slice(), b"reveal"].concat());
        let extra = ConsensusExtra {
            round,
            shuffle_round: order.shuffle_round,
            slot: order.slot,
            reveal: vec![1; 96].into(),
            last_commit_hash: B256::repeat_byte(1),
            validators_hash: B256::repeat_byte(2),
            next_validators_hash: B256::repeat_byte(3),
        };
        let blank = Header {
            number: height,
            mix_hash: mix,
            timestamp: 1_700_000_000 + height,
            beneficiary: self.model.candidates[creator].account,
            ..Header::blank()
        };
        let header = with_extra(blank, &extra);
        let executed = self.execute(&header, &extra, bitmap, &evidence, wishes);
        assert_eq!(changed(&self.state, &executed.changes), (U256::ZERO, U256::ZERO), "supply, height {height}");
        self.state.commit(&executed.changes).unwrap();
        let skipped: Vec<usize> =
            (0..round.min(6)).map(|round| self.model.seats[usize::from(order.seat(round))]).collect();
        self.headers.push(header);
        self.end(height, creator, skipped, bitmap, &voted, liar);
        self.compare(height);
    }

    fn execute(
        &self,
        header: &Header,
        extra: &ConsensusExtra,
        bitmap: u32,
        evidence: &[Evidence],
        mut transactions: Vec<SignedTransaction>,
    ) -> ExecutedBlock {
        let mut bytes = Vec::new();
        alloy_rlp::encode_list(evidence, &mut bytes);
        let base_fee = self.executor.params().min_base_fee;
        let header = Header { base_fee_per_gas: base_fee, ..header.clone() };
        let context = BlockContext::of(&header, extra, bitmap, Bytes::from(bytes));
        transactions.push(self.executor.system_transaction(&context).unwrap());
        let executed = self.executor.execute(&self.state, &context, &transactions).unwrap();
        for (place, receipt) in executed.receipts.iter().enumerate() {
            assert!(receipt.is_success(), "transaction {place} of height {}", header.number);
        }
        executed
    }

    /// The end of a block, by the specification.
    fn end(
        &mut self,
        height: u64,
        creator: usize,
        mut skipped: Vec<usize>,
        bitmap: u32,
        voted: &[usize],
        liar: Option<usize>,
    ) {
        let tip = self.headers.last().unwrap().clone();
        let (old, round) = (self.model.seats.len(), self.order(&tip, self.model.seats.len()).shuffle_round);
        let model = &mut self.model;
        skipped.sort_unstable();
        skipped.dedup();
        for n in skipped {
            let place = model.seats.iter().position(|it| *it == n).unwrap();
            model.trust[place] = (model.trust[place] - 100).max(0);
        }
        model.gain(creator, 10);
        for (place, n) in voted.iter().enumerate() {
            if bitmap >> place & 1 == 1 {
                model.gain(*n, 1);
            }
        }
        if model.change_round != 0 && round >= model.change_round {
            model.sit(height);
        }
        if let Some(n) = liar.filter(|n| model.candidates[*n].status != Status::Tombstoned) {
            model.candidates[n].status = Status::Tombstoned;
            if let Some(place) = model.seats.iter().position(|it| *it == n) {
                model.trust[place] = 0;
            }
            model.vacate(n);
        }
        for place in 0..model.seats.len() {
            let n = model.seats[place];
            if model.trust[place] < 10_000 && model.candidates[n].status == Status::Candidate {
                model.candidates[n].status = Status::Removed;
                model.candidates[n].removed_in = model.epoch;
                model.vacate(n);
            }
        }
        if height.is_multiple_of(EPOCH) {
            model.count();
        }
        let round =
            if model.seats.len() == old { round } else { self.order(&tip, self.model.seats.len()).shuffle_round };
        self.plan(round);
        self.pay(height, creator);
    }

    fn pay(&mut self, height: u64, creator: usize) {
        let reward = reward(height);
        let rest = reward - reward / U256::from(10);
        let votes = self.model.candidates[creator].votes();
        let bonus = self.model.bonus(creator);
        let voters = if votes == 0 { U256::ZERO } else { rest * U256::from(bonus) / U256::from(10_000) };
        for (holder, have) in self.model.candidates[creator].ballots.clone() {
            let due = self.model.due.entry((holder, creator)).or_default();
            due.0 += (voters << 96) * U256::from(have) / U256::from(votes);
        }
        if self.model.candidates[creator].status != Status::Tombstoned {
            self.model.candidates[creator].earned += rest - voters;
        }
    }

    fn word(&self, contract: Address, slot: U256) -> U256 {
        self.state.storage(&contract, &slot).unwrap()
    }

    /// The contract's storage (docs/spec/economy.md, section 11) and what nodes read, against the model.
    fn compare(&self, height: u64) {
        let model = &self.model;
        let set = read_witness_set(&self.state, &WITNESS).unwrap();
        let sits: Vec<Address> = model.seats.iter().map(|n| model.candidates[*n].account).collect();
        assert_eq!(set.seats().iter().map(|it| it.account).collect::<Vec<_>>(), sits, "set, height {height}");
        let trust = U256::from_be_bytes(keccak256(U256::from(10).to_be_bytes::<32>()).0);
        for (place, points) in model.trust.iter().enumerate() {
            let word = self.word(WITNESS, trust + U256::from(place / 4)) >> (place % 4 * 64);
            assert_eq!(word & U256::from(u64::MAX), U256::from(*points), "trust of seat {place}, height {height}");
        }
        let planned = self.word(WITNESS, U256::from(8)) & U256::from(u64::MAX);
        assert_eq!(planned, U256::from(model.change_round), "change, height {height}");
    }

    /// Everybody's books.
    fn books(&self) -> (usize, U256) {
        let mut standing = U256::ZERO;
        for (n, it) in self.model.candidates.iter().enumerate() {
            let base = mapping(U256::from(n + 1), U256::from(14));
            let status = self.word(WITNESS, base) >> 160;
            assert_eq!(status & U256::from(0xff), U256::from(it.status as u8), "status of {n}");
            let votes = self.word(WITNESS, base + U256::from(1));
            assert_eq!(votes & mask(96), U256::from(it.votes()), "votes of {n}");
            assert_eq!(votes >> 96 & mask(64), U256::from(it.ballots.len()), "voters of {n}");
            assert_eq!(self.word(WITNESS, base + U256::from(3)) & mask(128), it.earned, "own rewards of {n}");
            standing += nfc(it.votes());
        }
        let mut owed = U256::ZERO;
        for ((holder, n), (due, reckoned)) in &self.model.due {
            let of = mapping(U256::from_be_bytes(account(*holder).into_word().0), U256::from(2));
            let position = mapping(U256::from(n + 1), of);
            let (word, paid) = (self.word(BALLOTS, position), self.word(BALLOTS, position + U256::from(1)));
            let acc = self.word(BALLOTS, mapping(U256::from(n + 1), U256::from(1)) + U256::from(1));
            let got = (word >> 96) + (((word & mask(96)) * (acc - paid)) >> 64);
            let want: U256 = *due >> 96;
            let off = U256::from(reckoned + 1);
            assert!(got <= want + U256::from(1) && want <= got + off, "holder {holder} with {n}: {got}, not {want}");
            owed += got;
        }
        let balance = |it: Address| self.state.account(&it).unwrap().map_or(U256::ZERO, |it| it.balance);
        assert!(balance(BALLOTS) >= standing + owed && balance(BALLOTS) <= standing + owed + self.redeemed + nfc(1));
        let paid: U256 = (1..=self.height()).map(reward).sum();
        assert_eq!(balance(VAULT), nfc(336_000_000) - paid, "the vault paid the curve");
        (self.model.due.len(), owed)
    }
}

fn mask(bits: usize) -> U256 {
    (U256::from(1) << bits) - U256::from(1)
}

fn mapping(key: U256, slot: U256) -> U256 {
    U256::from_be_bytes(keccak256([key.to_be_bytes::<32>(), slot.to_be_bytes::<32>()].concat()).0)
}

fn lie(account: Address) -> Evidence {
    let statement = |byte: u8| Statement { value: vec![B256::repeat_byte(byte)], pol_round: 0, signature: [byte; 64] };
    Evidence { kind: 1, account, height: 9, round: 0, first: statement(1), second: statement(2) }
}

/// Coins that a block made and destroyed.
fn changed(state: &MemoryState, changes: &StateChanges) -> (U256, U256) {
    let before: U256 =
        changes.accounts.keys().map(|it| state.account(it).unwrap().map_or(U256::ZERO, |it| it.balance)).sum();
    let after: U256 = changes.accounts.values().map(|it| it.account.map_or(U256::ZERO, |it| it.balance)).sum();
    (after.saturating_sub(before), before.saturating_sub(after))
}

/// Year 1: a straight line up to T(1) of the vectors.
fn reward(height: u64) -> U256 {
    static YEAR: std::sync::LazyLock<U256> = std::sync::LazyLock::new(|| {
        let vectors = include_str!("../../contracts/vectors/econ_vectors.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        assert_eq!(vectors["block_curve"][1]["year"], 1);
        vectors["block_curve"][1]["T_integer"].as_str().unwrap().parse().unwrap()
    });
    let year = *YEAR;
    let cumulative = |height: u64| year * U256::from(height) / U256::from(10_512_000);
    cumulative(height) - cumulative(height - 1)
}

#[test]
fn every_seat_every_point_of_trust_and_every_reward_is_what_a_plain_second_implementation_says() {
    let days: u64 = std::env::var("DAYS").ok().map_or(14, |text| text.parse().unwrap());
    let mut chain = Chain::new(std::env::var("SEED").ok().map_or(1, |text| text.parse().unwrap()));
    for height in 1..=days * 60 {
        // Now and then others are silent, three at most, so that some fall below 10,000 in the long run.
        if height % 97 == 1 {
            let seats = chain.model.seats.clone();
            let few = chain.random.below(4);
            chain.silent = (0..few).map(|_| seats[chain.random.below(seats.len() as u64) as usize]).collect();
            // One is dead from the beginning: it is removed after some 66 days.
            chain.silent.push(20);
        }
        chain.block();
        if height % 30 == 0 {
            chain.books();
        }
    }
    let (positions, owed) = chain.books();
    assert!(positions > 100 && owed > U256::ZERO, "something was earned by many");
    assert_eq!(u64::from(chain.model.epoch), days * 60 / EPOCH, "counts");
}
