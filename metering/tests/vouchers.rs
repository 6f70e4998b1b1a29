//! Payer and payees over a lossy line, with restarts: service never runs ahead of what the protocol allows.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use ed25519_dalek::SigningKey;
use netflow_metering::ids::{Epoch, FlowId, PartyKey};
use netflow_metering::ledger::{DepositError, Deposits, Payee, Payer, PayerError, VoucherError, VoucherOutcome};
use netflow_metering::params::CREDIT_WINDOW;
use netflow_metering::wire::{
    Contract, ContractFlags, DigestAlg, Relay, Reservation, Signed, View, Voucher, WireError,
};
use proptest::prelude::*;

const EPOCH: Epoch = Epoch(4_242);
const FLOW: FlowId = FlowId([3; 16]);
const W: u64 = CREDIT_WINDOW as u64;

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn party(n: u8) -> PartyKey {
    PartyKey(key(n).verifying_key().to_bytes())
}

fn contract() -> Contract {
    Contract {
        digest_alg: DigestAlg::AeadTag,
        flags: ContractFlags::default(),
        epoch_start: EPOCH,
        credit_window: CREDIT_WINDOW,
        price_provider: 10_000_000,
        nonce: [0; 16],
        channel: [9; 32],
        initiator: party(1),
        provider: party(2),
        relays: vec![Relay { node: party(3), price: 2_000_000 }],
    }
}

fn payer() -> Payer {
    Payer::new(contract(), EPOCH, FLOW, u128::MAX)
}

fn payee() -> Payee {
    let mut payee = Payee::new(contract(), EPOCH, FLOW, party(4));
    assert!(!payee.may_serve(), "nothing is served without a reservation");
    payee.handle_reservation(reservation(u128::MAX, 4)).unwrap();
    payee
}

fn reservation(amount: u128, signer: u8) -> View<Reservation> {
    let body = Reservation { epoch: EPOCH, flow: FLOW, channel: [9; 32], amount, home: party(signer) };
    View::new_checked(&Signed::sign(body, &key(signer)).to_bytes()).unwrap()
}

fn signed(seq: u64, down: u64) -> Signed<Voucher> {
    let cum_amount = contract().liability(0, down).unwrap();
    let voucher =
        Voucher { epoch: EPOCH, flow: FLOW, channel: [9; 32], seq, acked_down: down, acked_up: 0, cum_amount };
    Signed::sign(voucher, &key(1))
}

fn view(voucher: &Signed<Voucher>) -> View<Voucher> {
    View::new_checked(&voucher.to_bytes()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn vouchers_only_grow_and_service_stays_within_a_window_of_them(
        steps in proptest::collection::vec((0u64..1_200_000, 0u64..12, any::<u8>()), 1..120),
    ) {
        let (mut payer, mut payee) = (payer(), payee());
        let (mut stored, mut held): (Option<Signed<Voucher>>, Option<Signed<Voucher>>) = (None, None);
        let (mut carried, mut now) = (0u64, 0);
        for (bytes, loss, event) in steps {
            now += 250;
            if payee.may_serve() {
                let before = payee.acked();
                let limit = (before.up + before.down) * 115 / 100 + W;
                prop_assert!(carried <= limit, "carried beyond acked x 1.15 + W before this burst");
                carried += bytes;
                payee.note_carried(bytes);
                payer.note_received(bytes - bytes * loss / 100, now);
            }
            if let Some(new) = payer.poll_voucher(now, &key(1)).unwrap() {
                if let Some(old) = &stored {
                    let (old, new) = (old.body(), new.body());
                    prop_assert!(new.seq > old.seq && new.acked_down >= old.acked_down && new.cum_amount >= old.cum_amount);
                }
                stored = Some(new.clone());
                // One voucher in four is lost on the way; the next one covers it.
                if event % 4 != 0 && let VoucherOutcome::Accepted(v) = payee.handle_voucher(view(&new)).unwrap() {
                    held = Some(v);
                }
            }
            if event % 16 == 1 {
                payer = self::payer();
                if let Some(v) = &stored {
                    payer.restore(v.body()).unwrap();
                }
            }
            if event % 16 == 2 {
                payee = self::payee();
                payee.note_carried(carried);
                if let Some(v) = &held {
                    let again = payee.handle_voucher(view(v)).unwrap();
                    prop_assert_eq!(again, VoucherOutcome::Accepted(v.clone()));
                }
            }
        }
    }

    #[test]
    fn pitfall_25_a_payer_killed_at_any_step_never_signs_two_vouchers_with_one_number(
        sizes in proptest::collection::vec(1u64..4_000_000, 1..40), kills: u64,
    ) {
        let mut payer = payer();
        let mut durable: Vec<Signed<Voucher>> = Vec::new();
        let mut sent: Vec<Signed<Voucher>> = Vec::new();
        for (i, size) in sizes.into_iter().enumerate() {
            payer.note_received(size, i as u64 * 2_000);
            let voucher = payer.poll_voucher(EPOCH.end_ms(), &key(1)).unwrap();
            // Killed before the write, between write and send, or not at all.
            let killed = kills >> (i % 32 * 2) & 3;
            if let (Some(v), true) = (voucher, killed != 1) {
                durable.push(v.clone());
                if killed != 2 {
                    sent.push(v);
                }
            }
            if killed == 1 || killed == 2 {
                payer = self::payer();
                if let Some(last) = durable.last() {
                    payer.restore(last.body()).unwrap();
                }
            }
        }
        prop_assert!(sent.windows(2).all(|pair| pair[0].body().seq < pair[1].body().seq));
        let mut payee = payee();
        for v in &sent {
            prop_assert_eq!(payee.handle_voucher(view(v)), Ok(VoucherOutcome::Accepted(v.clone())));
        }
    }
}

proptest! {
    #[test]
    fn no_number_of_flows_reserves_more_than_the_deposit(
        steps in proptest::collection::vec((0u8..20, 0u128..1_000, any::<bool>()), 1..200), deposit in 0u128..5_000,
    ) {
        let mut deposits = Deposits::new(party(4), 1);
        deposits.set_deposit([9; 32], party(1), deposit).unwrap();
        let signed = Signed::sign(contract(), &key(1));
        let mut open = std::collections::BTreeMap::new();
        let mut burnt = 0;
        for (flow, amount, settle) in steps {
            let id = FlowId([flow; 16]);
            if settle {
                // Settlement burns at most what the vouchers state, which is at most what was reserved.
                let spent = open.remove(&flow).map_or(0, |reserved: u128| reserved.min(amount));
                burnt += spent;
                deposits.settle(&[9; 32], EPOCH, id, spent);
            } else if let Ok(r) = deposits.reserve(&signed, EPOCH, id, amount) {
                prop_assert!(r.amount >= amount && r.amount >= open.get(&flow).copied().unwrap_or(0));
                open.insert(flow, r.amount);
            }
            let reserved: u128 = open.values().sum();
            prop_assert!(reserved + burnt <= deposit);
            prop_assert_eq!(deposits.free(&[9; 32]), deposit - burnt - reserved);
        }
    }
}

#[test]
fn a_reservation_is_for_the_owner_of_a_known_channel_and_survives_a_restart() {
    let mut deposits = Deposits::new(party(4), 1);
    let signed = Signed::sign(contract(), &key(1));
    assert_eq!(deposits.reserve(&signed, EPOCH, FLOW, 1), Err(DepositError::UnknownChannel));
    deposits.set_deposit([9; 32], party(1), 100).unwrap();
    assert_eq!(deposits.set_deposit([8; 32], party(1), 100), Err(DepositError::Full));
    let stranger = Signed::sign(contract(), &key(2));
    assert_eq!(deposits.reserve(&stranger, EPOCH, FLOW, 1), Err(DepositError::NotOwner));
    let given = deposits.reserve(&signed, EPOCH, FLOW, 80).unwrap();
    assert_eq!(deposits.reserve(&signed, EPOCH, FlowId([4; 16]), 21), Err(DepositError::Insufficient(20)));
    let mut restarted = Deposits::new(party(4), 1);
    assert_eq!(restarted.restore(&given), Err(DepositError::UnknownChannel));
    restarted.set_deposit([9; 32], party(1), 100).unwrap();
    restarted.restore(&given).unwrap();
    assert_eq!(restarted.free(&[9; 32]), 20);
}

#[test]
fn a_voucher_beyond_the_reservation_or_a_reservation_of_a_stranger_is_refused() {
    let mut payee = Payee::new(contract(), EPOCH, FLOW, party(4));
    let stranger = payee.handle_reservation(reservation(u128::MAX, 5));
    assert_eq!(stranger, Err(VoucherError::Wire(WireError::Signature)));
    let enough = contract().liability(0, 1_000_000).unwrap();
    payee.handle_reservation(reservation(enough, 4)).unwrap();
    assert!(matches!(payee.handle_voucher(view(&signed(1, 1_000_000))), Ok(VoucherOutcome::Accepted(_))));
    assert_eq!(payee.handle_voucher(view(&signed(2, 1_000_001))), Err(VoucherError::Uncovered));
}

#[test]
fn pitfall_24_a_payee_that_is_not_acknowledged_stops_after_one_window() {
    let mut payee = payee();
    payee.note_carried(W - 1);
    assert!(payee.may_serve());
    payee.note_carried(1);
    assert!(!payee.may_serve());
    assert!(matches!(payee.handle_voucher(view(&signed(1, 1_000_000))), Ok(VoucherOutcome::Accepted(_))));
    assert_eq!(payee.headroom(), 1_150_000);
}

#[test]
fn a_slow_flow_is_acknowledged_when_its_epoch_ends() {
    let mut payer = payer();
    payer.note_received(100, 5_000);
    assert_eq!(payer.poll_voucher(EPOCH.end_ms() - 1, &key(1)), Ok(None));
    assert_eq!(payer.poll_timeout(), Some(EPOCH.end_ms()));
    assert_eq!(payer.poll_voucher(EPOCH.end_ms(), &key(1)).unwrap().unwrap().body().acked_down, 100);
    assert_eq!((payer.poll_timeout(), payer.poll_voucher(u64::MAX, &key(1))), (None, Ok(None)));
}

#[test]
fn a_flow_that_stopped_because_most_was_lost_is_started_again_after_two_seconds() {
    let (mut payer, mut payee) = (payer(), payee());
    payee.note_carried(W);
    payer.note_received(W / 4, 5_000);
    assert_eq!(payer.poll_timeout(), Some(7_000));
    let voucher = payer.poll_voucher(7_000, &key(1)).unwrap().unwrap();
    assert!(!payee.may_serve());
    payee.handle_voucher(view(&voucher)).unwrap();
    assert!(payee.may_serve());
}

#[test]
fn a_payer_states_no_more_than_its_reservation() {
    let mut payer = Payer::new(contract(), EPOCH, FLOW, contract().liability(0, 3_000_000).unwrap());
    payer.note_received(3_000_000, 0);
    assert!(payer.poll_voucher(0, &key(1)).unwrap().is_some());
    payer.note_received(3_000_000, 0);
    assert_eq!(payer.poll_voucher(0, &key(1)), Err(PayerError::Exhausted));
    payer.reserve(u128::MAX);
    assert_eq!(payer.poll_voucher(0, &key(1)).unwrap().unwrap().body().seq, 2);
}

#[test]
fn a_voucher_that_is_foreign_forged_lower_or_underpaid_changes_nothing() {
    let mut payee = payee();
    let good = signed(5, 1_000_000);
    assert!(matches!(payee.handle_voucher(view(&good)), Ok(VoucherOutcome::Accepted(_))));
    let change = |f: &dyn Fn(&mut Voucher), signer: u8| {
        let mut body = *signed(6, 2_000_000).body();
        f(&mut body);
        view(&Signed::sign(body, &key(signer)))
    };
    let mut refused = |v, why| assert_eq!(payee.handle_voucher(v), Err(why));
    refused(change(&|v| v.flow = FlowId([4; 16]), 1), VoucherError::OtherFlow);
    refused(change(&|v| v.epoch = Epoch(1), 1), VoucherError::OtherFlow);
    refused(change(&|v| v.channel = [8; 32], 1), VoucherError::OtherFlow);
    refused(change(&|_| (), 2), VoucherError::Wire(WireError::Signature));
    refused(change(&|v| v.acked_down = 1, 1), VoucherError::NotMonotone);
    refused(change(&|v| v.cum_amount = 1, 1), VoucherError::NotMonotone);
    refused(change(&|v| v.cum_amount -= 1, 1), VoucherError::TooLow);
    refused(change(&|v| v.acked_down = u64::MAX, 1), VoucherError::TooLow);
    assert_eq!(payee.handle_voucher(view(&good)), Ok(VoucherOutcome::Known));
    assert_eq!(payee.handle_voucher(view(&signed(4, 900_000))), Ok(VoucherOutcome::Stale));
    assert_eq!(payee.last(), Some(&good));
    match payee.handle_voucher(view(&signed(5, 2_000_000))).unwrap() {
        VoucherOutcome::Equivocation(proof) => assert_eq!(proof.culprit(), &party(1)),
        other @ (VoucherOutcome::Accepted(_) | VoucherOutcome::Known | VoucherOutcome::Stale) => {
            panic!("two vouchers with one number gave {other:?}")
        }
    }
}
