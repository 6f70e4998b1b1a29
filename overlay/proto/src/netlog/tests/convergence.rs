use proptest::prelude::*;

use super::*;
use crate::policy::Policy;

#[derive(Clone, Debug)]
struct Step {
    author: usize,
    kind: u8,
    target: usize,
    sync_to: usize,
}

fn step() -> impl Strategy<Value = Step> {
    (0..3usize, 0..15u8, 0..6usize, 0..3usize).prop_map(|(author, kind, target, sync_to)| Step {
        author,
        kind,
        target,
        sync_to,
    })
}

struct World {
    signers: [SigningKey; 3],
    nodes: Vec<NodeKeys>,
    /// One replica per author: owner, first admin, second admin.
    replicas: Vec<NetworkLog>,
    written: Vec<Vec<u8>>,
}

impl World {
    fn new() -> Self {
        let nodes: Vec<NodeKeys> = (10..16).map(keys).collect();
        let admins = [keys(1), keys(2)];
        let log = log_with_admins(&[&admins[0], &admins[1]]);
        let written = log.entries().into_iter().map(<[u8]>::to_vec).collect();
        let signers = [owner(), admins[0].node.clone(), admins[1].node.clone()];
        Self { signers, nodes, replicas: (0..3).map(|_| copy(&log)).collect(), written }
    }

    fn body(&self, step: &Step) -> EntryBody {
        let log = &self.replicas[step.author];
        let node = &self.nodes[step.target];
        let id = node.node_id();
        match step.kind {
            0..=2 => add(log, node, "box"),
            3 => EntryBody::MemberRevoke { node: id },
            4 => EntryBody::MemberTags { node: id, tags: vec![format!("t{}", step.author)] },
            5 => EntryBody::MemberAddress { node: id, ipv4: log.state().free_ipv4(&id).unwrap() },
            6 => invite_body(&token(log, 100 + step.target as u8, NOW.unix_s + 60)),
            7 => {
                let token = token(log, 100 + step.target as u8, NOW.unix_s + 60);
                admit(log, &self.signers[step.author], &token, node, NOW)
                    .unwrap_or(EntryBody::InviteCancel { invite: token.id() })
            }
            8 => EntryBody::MemberRename { node: id, name: format!("name{}", step.sync_to) },
            9 => EntryBody::PolicySet { policy: if step.target < 3 { Policy::allow_all() } else { Policy::default() } },
            10 => EntryBody::RelaySet { relays: vec![relay(step.target as u8)] },
            11 | 13 if step.author == 0 => {
                log.admin_remove_body(&NodeId(self.signers[1 + step.target % 2].verifying_key().to_bytes()))
            }
            _ => EntryBody::RecordUpdate {
                record: node.record(2 + step.sync_to as u64, [1; 20]).raw().to_vec(),
                kem_key: node.kem_public(),
            },
        }
    }

    fn run(&mut self, step: &Step) {
        let body = self.body(step);
        let key = &self.signers[step.author];
        if step.kind >= 12 && step.target < 3 {
            // Equivocation, at a place within the last three.
            let log = &self.replicas[step.author];
            let author = key.verifying_key().to_bytes();
            let head = log.heads().into_iter().find(|head| head.author == author).map_or(0, |head| head.seq);
            let seq = head.saturating_sub(step.sync_to as u32).max(1);
            self.written.push(forge(log, key, seq, body));
            return;
        }
        if let Ok(raw) = self.replicas[step.author].author(key, body, NOW) {
            self.written.push(raw);
        }
        if step.kind.is_multiple_of(3) && step.sync_to != step.author {
            let source = copy(&self.replicas[step.author]);
            push(&source, &mut self.replicas[step.sync_to]);
        }
    }
}

/// A few seconds in CI; set `PROPTEST_CASES` for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(48)
}

/// Offers everything in this order, again and again until nothing new is taken.
fn exhaust(log: &mut NetworkLog, raws: &[Vec<u8>]) {
    let mut progress = true;
    while std::mem::take(&mut progress) {
        for raw in raws {
            progress |= matches!(log.insert(raw), Ok(Inserted::New | Inserted::Fork));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn replicas_that_got_the_same_entries_in_any_order_agree(
        steps in prop::collection::vec(step(), 1..40),
        shuffle in any::<u64>(),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
        }
        let mut reference = NetworkLog::empty(world.replicas[0].network());
        exhaust(&mut reference, &world.written);
        let mut order = world.written.clone();
        for round in 0..3u64 {
            shuffled(&mut order, shuffle.wrapping_add(round));
            let mut replica = NetworkLog::empty(reference.network());
            exhaust(&mut replica, &order);
            prop_assert_eq!(replica.digest(), reference.digest());
            prop_assert_eq!(replica.state(), reference.state());
            let mut batch = NetworkLog::empty(reference.network());
            for _ in 0..4 {
                batch.insert_all(&order);
            }
            prop_assert_eq!(batch.digest(), reference.digest());
            prop_assert_eq!(batch.state(), reference.state());
        }
    }

    #[test]
    fn replicas_that_wrote_apart_agree_after_exchanging_what_differs(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
        }
        // Forged entries reach one replica only.
        for raw in world.written.clone() {
            let _ = world.replicas[2].insert(&raw);
        }
        settle(&mut world.replicas);
        for replica in &world.replicas {
            prop_assert_eq!(replica.digest(), world.replicas[0].digest());
            prop_assert_eq!(replica.state(), world.replicas[0].state());
            let reloaded = copy(replica);
            prop_assert_eq!(reloaded.digest(), replica.digest());
            prop_assert_eq!(reloaded.state(), replica.state());
        }
    }
}

fn shuffled(items: &mut [Vec<u8>], seed: u64) {
    use rand_core::Rng as _;
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    for i in (1..items.len()).rev() {
        items.swap(i, (rng.next_u32() as usize) % (i + 1));
    }
}

#[test]
fn entries_that_arrive_in_order_are_applied_without_a_replay() {
    let admins = [keys(1), keys(2)];
    let mut log = log_with_admins(&[&admins[0], &admins[1]]);
    for seed in 20..60 {
        let node = keys(seed);
        let body = add(&log, &node, "box");
        log.author(&admins[(seed % 2) as usize].node, body, NOW).unwrap();
    }
    assert_eq!(log.replays(), 0);
    let mut replica = NetworkLog::empty(log.network());
    for raw in log.entries() {
        assert_eq!(replica.insert(raw), Ok(Inserted::New));
    }
    assert_eq!(replica.replays(), 0);
    assert_eq!(replica.state(), log.state());
}

#[test]
fn a_batch_out_of_order_costs_one_replay() {
    let admins = [keys(1), keys(2)];
    let log = log_with_admins(&[&admins[0], &admins[1]]);
    let (mut a, mut b) = (copy(&log), copy(&log));
    for seed in 20..30 {
        let (left, right) = (add(&a, &keys(seed), "box"), add(&b, &keys(seed + 100), "box"));
        a.author(&admins[0].node, left, NOW).unwrap();
        b.author(&admins[1].node, right, NOW).unwrap();
    }
    let before = b.replays();
    push(&a, &mut b);
    assert_eq!(b.replays(), before + 1);
    assert_eq!(b.state().members().len(), 22);
}
