//! Parsers: one encoding per value, every byte matters, nothing hostile panics.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use ed25519_dalek::SigningKey;
use netflow_metering::algo::reward::{Reward, Tier};
use netflow_metering::amount::Amount;
use netflow_metering::hash::{SampleKey, tagged};
use netflow_metering::ids::{Direction, Epoch, FlowId, PartyKey, PerDirection, Slot};
use netflow_metering::ledger::{ClaimBook, ClaimError, ClaimFault, Equivocation, check_claim};
use netflow_metering::sample::Level;
use netflow_metering::settle::epoch::Payout;
use netflow_metering::wire::{
    Contract, ContractFlags, Counts, DigestAlg, HopClaim, Object, Opening, Record, Relay, Reservation, Role, Signed,
    SlotLeaf, SlotRoot, View, Voucher, WireError,
};
use proptest::prelude::*;
use serde_json::Value;

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn party(n: u8) -> PartyKey {
    PartyKey(key(n).verifying_key().to_bytes())
}

prop_compose! {
    fn contract()(
        sha: bool, promo: bool, assigned: bool, epoch: u32, window: u32, price: u64, nonce: [u8; 16], channel: [u8; 32],
        relays in proptest::collection::vec((any::<[u8; 32]>(), any::<u64>()), 0..=8),
    ) -> Contract {
        Contract {
            digest_alg: if sha { DigestAlg::Sha256 } else { DigestAlg::AeadTag },
            flags: ContractFlags { promo, assigned },
            epoch_start: Epoch(epoch),
            credit_window: window,
            price_provider: price,
            nonce,
            channel,
            initiator: party(1),
            provider: party(2),
            relays: relays.into_iter().map(|(node, price)| Relay { node: PartyKey(node), price }).collect(),
        }
    }
}

prop_compose! {
    fn leaf()(flow: [u8; 16], down: bool, hop in 0u8..10, slot: u32, pkts: u32, bytes: u64, dups: u32, record_root: [u8; 32]) -> SlotLeaf {
        let direction = if down { Direction::Down } else { Direction::Up };
        SlotLeaf { flow: FlowId(flow), direction, hop, slot: Slot(slot), pkts, bytes, dups, record_root }
    }
}

prop_compose! {
    fn claim()(role in 0usize..3, hop in 0u8..10, epoch: u32, flow: [u8; 16], n: [u64; 6], d: [u32; 2], slots_root: [u8; 32]) -> HopClaim {
        HopClaim {
            role: [Role::Initiator, Role::Provider, Role::Relay][role],
            hop,
            epoch: Epoch(epoch),
            flow: FlowId(flow),
            counts: PerDirection {
                up: Counts { pkts: n[0], bytes: n[1], dups: d[0] },
                down: Counts { pkts: n[2], bytes: n[3], dups: d[1] },
            },
            goodput: PerDirection { up: n[4], down: n[5] },
            slots_root,
            node: party(1),
        }
    }
}

prop_compose! {
    fn reservation()(epoch: u32, flow: [u8; 16], channel: [u8; 32], amount: u128) -> Reservation {
        Reservation { epoch: Epoch(epoch), flow: FlowId(flow), channel, amount, home: party(1) }
    }
}

prop_compose! {
    fn voucher()(epoch: u32, flow: [u8; 16], channel: [u8; 32], seq: u64, acked_down: u64, acked_up: u64, cum_amount: u128) -> Voucher {
        Voucher { epoch: Epoch(epoch), flow: FlowId(flow), channel, seq, acked_down, acked_up, cum_amount }
    }
}

/// Round trip, every length but the right one, every single bit flip.
fn check<T: Object + std::fmt::Debug>(body: &T, bit: usize) -> Result<(), TestCaseError> {
    let bytes = body.to_bytes();
    prop_assert_eq!(&T::from_bytes(&bytes).unwrap(), body);
    for cut in 0..bytes.len() {
        prop_assert!(T::from_bytes(&bytes[..cut]).is_err());
    }
    prop_assert_eq!(T::from_bytes(&[&bytes[..], &[0]].concat()), Err(WireError::Trailing));
    let signed = Signed::sign(body.clone(), &key(1));
    let wire = signed.to_bytes();
    prop_assert!(View::<T>::new_checked(&wire[..wire.len() - 1]).is_err());
    let mut bad = wire.clone();
    let bit = bit % (8 * bad.len());
    bad[bit / 8] ^= 1 << (bit % 8);
    if let Ok(view) = View::<T>::new_checked(&bad) {
        // Whatever still parses re-encodes to the same bytes, and carries nobody's signature.
        prop_assert_eq!(view.claimed().to_bytes(), &bad[..bad.len() - 64]);
        prop_assert_eq!(view.verify(&party(1)), Err(WireError::Signature));
    }
    let view = View::<T>::new_checked(&wire).unwrap();
    prop_assert_eq!(view.clone().verify(&party(2)), Err(WireError::Signature));
    prop_assert_eq!(view.verify(&party(1)).unwrap(), signed);
    Ok(())
}

fn junk<T: Object>(bytes: &[u8]) {
    if let Ok(body) = T::from_bytes(bytes) {
        assert_eq!(body.to_bytes(), bytes, "a second encoding of one value");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_contract_has_one_encoding_and_every_bit_of_it_is_signed(c in contract(), bit: usize) {
        check(&c, bit)?;
    }

    #[test]
    fn a_slot_leaf_has_one_encoding(l in leaf(), bit: usize) {
        check(&l, bit)?;
    }

    #[test]
    fn a_slot_root_has_one_encoding_and_every_bit_of_it_is_signed(mut l in proptest::collection::vec(leaf(), 0..5), bit: usize) {
        check(&SlotRoot::over(Slot(5), party(3), &mut l), bit)?;
    }

    #[test]
    fn a_claim_has_one_encoding_and_every_bit_of_it_is_signed(c in claim(), bit: usize) {
        check(&c, bit)?;
    }

    #[test]
    fn a_voucher_has_one_encoding_and_every_bit_of_it_is_signed(v in voucher(), bit: usize) {
        check(&v, bit)?;
    }

    #[test]
    fn a_reservation_has_one_encoding_and_every_bit_of_it_is_signed(r in reservation(), bit: usize) {
        prop_assert_eq!(r.to_bytes().len() + 64, Reservation::SIGNED_LEN);
        check(&r, bit)?;
    }

    #[test]
    fn no_bytes_panic_a_parser(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), start in 0usize..5) {
        // Valid first bytes take the parser further than pure noise.
        for (to, from) in bytes.iter_mut().zip([[1, 1, 0, 0], [1, 2, 0, 0], [1, 3, 5, 2], [1, 1, 2, 3], [1, 4, 0, 0]][start]) {
            *to = from;
        }
        junk::<Contract>(&bytes);
        junk::<SlotLeaf>(&bytes);
        junk::<SlotRoot>(&bytes);
        junk::<HopClaim>(&bytes);
        junk::<Voucher>(&bytes);
        junk::<Reservation>(&bytes);
        if let Ok(opening) = Opening::from_bytes(&bytes) {
            prop_assert_eq!(opening.to_bytes(), bytes);
        }
    }

    #[test]
    fn a_damaged_opening_never_panics_and_never_passes(at: usize, value: u8, cut: usize) {
        let v = opening_vectors();
        let good = bytes(&v["opening"]);
        let root = SlotRoot::from_bytes(&bytes(&v["slot_root_msg"])).unwrap();
        let flow_key = SampleKey::from_bytes(bytes(&v["flow_key"]).try_into().unwrap());
        prop_assert!(Opening::from_bytes(&good[..cut % good.len()]).is_err());
        let mut bad = good.clone();
        let at = at % bad.len();
        bad[at] = value;
        if let Ok(opening) = Opening::from_bytes(&bad) {
            prop_assert_eq!(opening.to_bytes(), &bad[..]);
            // A sample nobody opened may be another record the key selects: the verdict compares it with the neighbours.
            let honest = Opening::from_bytes(&good).unwrap();
            let first = 4 + SlotLeaf::LEN + 8 + 32 * honest.path.len() + 2;
            let is_sample = at >= first && at < first + 8 * honest.samples.len();
            prop_assert!(bad == good || at == 2 || is_sample || opening.check(&root, flow_key).is_err());
        }
    }
}

fn opening_vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/opening_vectors.json")).unwrap()
}

fn bytes(v: &Value) -> Vec<u8> {
    hex::decode(v.as_str().unwrap()).unwrap()
}

fn number(v: &Value) -> u128 {
    v.as_str().unwrap().parse().unwrap()
}

#[test]
fn the_opening_of_the_reference_parses_checks_and_encodes_to_the_same_bytes() {
    let v = opening_vectors();
    let opening = Opening::from_bytes(&bytes(&v["opening"])).unwrap();
    assert_eq!(opening.to_bytes(), bytes(&v["opening"]));
    let flow_key = SampleKey::from_bytes(bytes(&v["flow_key"]).try_into().unwrap());
    let root = SlotRoot::from_bytes(&bytes(&v["slot_root_msg"])).unwrap();
    assert_eq!(opening.check(&root, flow_key), Ok(()));
    let chosen: Vec<String> =
        Opening::chosen(flow_key, &opening.samples).iter().map(|r| format!("{:016x}", r.0)).collect();
    assert_eq!(Value::from(chosen), v["chosen"]);
    assert_eq!(opening.level, Level::of(1_000));
}

#[test]
fn liabilities_and_payout_leaves_are_those_of_the_reference() {
    let v = opening_vectors();
    for case in v["liability"].as_array().unwrap() {
        let price = |p: &Value| u64::try_from(number(p)).unwrap();
        let relays = case[3].as_array().unwrap();
        let contract = Contract {
            digest_alg: DigestAlg::AeadTag,
            flags: ContractFlags::default(),
            epoch_start: Epoch(0),
            credit_window: 0,
            price_provider: price(&case[0]),
            nonce: [0; 16],
            channel: [0; 32],
            initiator: party(1),
            provider: party(2),
            relays: relays.iter().map(|p| Relay { node: party(3), price: price(p) }).collect(),
        };
        assert_eq!(contract.liability(price(&case[1]), price(&case[2])), Some(number(&case[4])));
    }
    for case in v["payout_leaf"].as_array().unwrap() {
        let tier = [Tier::Edge, Tier::Central, Tier::Root][usize::try_from(case[0].as_u64().unwrap()).unwrap()];
        let gross = Amount::from(number(&case[1]));
        let node = PartyKey(bytes(&v["node"]).try_into().unwrap());
        let payout = Payout { node, tier, reward: Reward { gross, ..Reward::default() } };
        assert_eq!(payout.leaf().to_vec(), bytes(&case[2]));
    }
}

#[test]
fn reserved_bytes_unknown_kinds_and_versions_are_refused() {
    let root = SlotRoot::over(Slot(1), party(1), &mut []).to_bytes();
    for (at, error) in [
        (0, WireError::Version(9)),
        (1, WireError::Field("kind")),
        (2, WireError::Field("reserved")),
        (3, WireError::Field("reserved")),
    ] {
        let mut bad = root.clone();
        bad[at] = 9;
        assert_eq!(SlotRoot::from_bytes(&bad), Err(error));
    }
}

#[test]
fn a_key_of_small_order_signs_nothing() {
    let voucher = Voucher {
        epoch: Epoch(1),
        flow: FlowId([0; 16]),
        channel: [0; 32],
        seq: 1,
        acked_down: 0,
        acked_up: 0,
        cum_amount: 0,
    };
    let mut identity = [0; 32];
    identity[0] = 1;
    // R = identity, s = 0 verifies under the identity key unless verification is strict.
    let forged = [voucher.to_bytes(), identity.to_vec(), vec![0; 32]].concat();
    let view = View::<Voucher>::new_checked(&forged).unwrap();
    assert_eq!(view.verify(&PartyKey(identity)), Err(WireError::Signature));
}

fn slot_leaf(slot: u32, direction: Direction, bytes: u64) -> SlotLeaf {
    let record_root = tagged("test/root", &[&bytes.to_le_bytes()]);
    SlotLeaf { flow: FlowId([5; 16]), direction, hop: 1, slot: Slot(slot), pkts: 3, bytes, dups: 1, record_root }
}

#[test]
fn a_claim_is_the_sum_of_its_committed_leaves_whatever_order_they_came_in() {
    let leaves = [
        slot_leaf(75, Direction::Up, 10),
        slot_leaf(75, Direction::Down, 1_000),
        slot_leaf(80, Direction::Down, 2_000),
        slot_leaf(149, Direction::Up, 30),
    ];
    let mut book = ClaimBook::new(party(1), 2);
    for leaf in leaves.iter().rev().chain(&leaves) {
        book.add(Role::Relay, *leaf).unwrap();
    }
    let (claim, ordered) = book.claims(Epoch(1)).next().unwrap();
    assert_eq!(ordered, leaves);
    assert_eq!(claim.counts.down, Counts { pkts: 6, bytes: 3_000, dups: 2 });
    assert_eq!(check_claim(&claim, &ordered), Ok(()));
    let mut inflated = claim;
    inflated.counts.up.bytes += 1;
    assert_eq!(check_claim(&inflated, &ordered), Err(ClaimFault::Sum));
    assert_eq!(check_claim(&claim, &ordered[1..]), Err(ClaimFault::Root));
    assert_eq!(check_claim(&claim, &[ordered[1], ordered[0]]), Err(ClaimFault::Leaf(1)));
    assert_eq!(book.add(Role::Relay, slot_leaf(75, Direction::Up, 11)), Err(ClaimError::Conflict(75)));
    book.add(Role::Relay, slot_leaf(150, Direction::Up, 1)).unwrap();
    assert_eq!(book.add(Role::Relay, slot_leaf(225, Direction::Up, 1)), Err(ClaimError::Full));
    book.expire(Epoch(2));
    assert_eq!((book.claims(Epoch(1)).count(), book.claims(Epoch(2)).count()), (0, 1));
}

#[test]
fn two_roots_for_one_slot_are_a_proof_and_two_slots_are_none() {
    let root = |slot, bytes| {
        Signed::sign(SlotRoot::over(Slot(slot), party(1), &mut [slot_leaf(slot, Direction::Up, bytes)]), &key(1))
    };
    let (a, b) = (root(75, 1), root(75, 2));
    let proof = Equivocation::new(a.clone(), b.clone()).unwrap();
    assert_eq!(proof.culprit(), &party(1));
    let [x, y] = proof.to_bytes();
    assert_eq!(Equivocation::<SlotRoot>::from_bytes([&x, &y], &party(1)), Ok(Some(proof)));
    assert_eq!(Equivocation::<SlotRoot>::from_bytes([&x, &y], &party(2)), Err(WireError::Signature));
    assert_eq!(Equivocation::<SlotRoot>::from_bytes([&x, &x], &party(1)), Ok(None));
    assert_eq!(Equivocation::new(a, root(76, 2)), None);
}

#[test]
fn a_record_keeps_digest_and_length() {
    let record = Record::new([1, 2, 3, 4, 5, 6], 0xabcd);
    assert_eq!((record.0, record.length()), (0x0605_0403_0201_abcd, 0xabcd));
}
