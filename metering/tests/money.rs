//! Conservation and fairness of settlement, for random claims, prices and coalitions.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use netflow_metering::algo::reward::{NodeDue, RewardError, Tier, fair_reward};
use netflow_metering::amount::{Amount, share};
use netflow_metering::ids::{Epoch, PartyKey, PerDirection};
use netflow_metering::params::{ALPHA_PPM, ATTO, PPM};
use netflow_metering::settle::epoch::{EpochError, EpochLedger, EpochSettlement, Payee, Standing, Wallet};
use netflow_metering::settle::flow::{FlowAccount, FlowSettlement, SettleError};
use netflow_metering::verdict::Flags;
use netflow_metering::wire::{Contract, ContractFlags, Counts, DigestAlg, Relay};
use proptest::prelude::*;

type Claims = Vec<PerDirection<Counts>>;

fn counts(bytes: u64) -> Counts {
    Counts { pkts: bytes / 1_000, bytes, dups: 0 }
}

/// Claims of a path that lost nothing.
fn honest(relays: usize, up: u64, down: u64) -> Claims {
    vec![PerDirection { up: counts(up), down: counts(down) }; relays + 2]
}

fn settle(claims: &Claims, prices: &[u64], acked: (u64, u64)) -> FlowSettlement {
    account(claims, prices, acked).settle().unwrap()
}

fn account<'a>(claims: &'a Claims, prices: &'a [u64], (up, down): (u64, u64)) -> FlowAccount<'a> {
    let acked = PerDirection { up, down };
    FlowAccount { price_provider: 10_000_000, relay_prices: prices, claims, acked, promo: false, flags: &[] }
}

fn any_counts() -> impl Strategy<Value = Counts> {
    let size = prop_oneof![0u64..1 << 40, any::<u64>(), Just(u64::MAX)];
    (any::<u64>(), size, any::<u32>()).prop_map(|(pkts, bytes, dups)| Counts { pkts, bytes, dups })
}

prop_compose! {
    fn any_claims()(n in 2usize..=10)(
        claims in proptest::collection::vec((any_counts(), any_counts()), n),
        prices in proptest::collection::vec(prop_oneof![0u64..10_000_000, any::<u64>()], n - 2),
    ) -> (Claims, Vec<u64>) {
        (claims.into_iter().map(|(up, down)| PerDirection { up, down }).collect(), prices)
    }
}

/// Flows with plausible sizes between a dozen parties, each a node with a wallet of its own.
fn any_flow() -> impl Strategy<Value = (usize, Vec<usize>, Claims, (u64, u64))> {
    (0usize..12, proptest::collection::vec(0usize..12, 1..5), 0u64..1 << 36, 0u64..1 << 36).prop_flat_map(
        |(payer, payees, up, down)| {
            let claim = (0u64..=1_300_000, 0u64..=1_300_000).prop_map(move |(a, b)| PerDirection {
                up: counts(up / 1_000_000 * a),
                down: counts(down / 1_000_000 * b),
            });
            let n = payees.len() + 1;
            (Just(payer), Just(payees), proptest::collection::vec(claim, n), (Just(up), Just(down)))
        },
    )
}

fn node(i: usize) -> PartyKey {
    PartyKey([u8::try_from(i).unwrap(); 32])
}

fn wallet(i: usize) -> Wallet {
    Wallet([u8::try_from(i).unwrap(); 20])
}

fn tier(key: &PartyKey) -> Tier {
    [Tier::Edge, Tier::Central, Tier::Root][usize::from(key.0[0] % 3)]
}

type Flow = (usize, Vec<usize>, Claims, (u64, u64));

fn close(flows: &[&Flow], price: u128, pledge: u128, counter: u128) -> EpochSettlement {
    let mut ledger = EpochLedger::default();
    for (payer, payees, claims, acked) in flows {
        let prices = vec![2_000_000; payees.len() - 1];
        let settled = settle(claims, &prices, *acked);
        let payees: Vec<Payee> = payees.iter().map(|i| Payee { node: node(*i), wallet: wallet(*i) }).collect();
        ledger.add(wallet(*payer), &payees, &settled).unwrap();
    }
    let standing = |key: &PartyKey| Standing { tier: tier(key), pledge: Amount::from(pledge) };
    ledger.close(standing, price, counter).unwrap()
}

/// value minted <= alpha * value burnt, in integers.
fn is_covered(minted: Amount, burnt: Amount, price: u128) -> bool {
    minted * Amount::from(price) * Amount::from(PPM) <= Amount::from(ALPHA_PPM) * burnt * Amount::from(ATTO)
}

proptest! {
    #[test]
    fn no_coalition_mints_more_than_nine_tenths_of_what_was_burnt_for_it(
        dues in proptest::collection::vec((0u128..1 << 80, 0u64..=1_000_000, 0u128..1 << 90, any::<bool>()), 1..20),
        price in 1u128..20 * ATTO, allowance in 0u128..1 << 90,
    ) {
        let list: Vec<NodeDue> = dues.iter().map(|(fee, ppm, pledge, _)| NodeDue {
            tier: Tier::Edge,
            fee: Amount::from(*fee),
            weight: share(Amount::from(*fee), *ppm),
            pledge: Amount::from(*pledge),
        }).collect();
        let out = fair_reward(&list, price, allowance).unwrap();
        let (mut minted, mut burnt) = (Amount::ZERO, Amount::ZERO);
        for ((due, reward), (.., member)) in list.iter().zip(&out.rewards).zip(&dues) {
            prop_assert_eq!(reward.gross, reward.net + reward.pool + reward.service);
            prop_assert!(reward.gross <= share(due.pledge, 139));
            if *member {
                minted += reward.gross;
                burnt += due.fee;
            }
        }
        prop_assert!(is_covered(minted, burnt, price));
        prop_assert!(out.minted <= Amount::from(allowance));
        let net: Amount = out.rewards.iter().fold(Amount::ZERO, |sum, r| sum + r.net);
        prop_assert_eq!(out.minted, net + out.pool + out.service);
    }

    #[test]
    fn splitting_an_identity_never_gains_more_than_rounding(
        weight in 0u128..1 << 80, cut in 0u64..=1_000_000, others in proptest::collection::vec(0u128..1 << 80, 0..6),
        price in ATTO / 100..20 * ATTO, allowance in 0u128..1 << 90, pledge in 0u128..1 << 90,
    ) {
        let due = |weight: Amount, pledge: Amount| NodeDue { tier: Tier::Central, fee: weight, weight, pledge };
        let rest: Vec<NodeDue> = others.iter().map(|w| due(Amount::from(*w), Amount::from(pledge))).collect();
        let whole = [vec![due(Amount::from(weight), Amount::from(pledge))], rest.clone()].concat();
        let part = share(Amount::from(weight), cut);
        let pledges = share(Amount::from(pledge), cut);
        let halves = vec![due(part, pledges), due(Amount::from(weight) - part, Amount::from(pledge) - pledges)];
        let one = fair_reward(&whole, price, allowance).unwrap().rewards[0].gross;
        let two = fair_reward(&[halves, rest].concat(), price, allowance).unwrap().rewards;
        prop_assert!(two[0].gross + two[1].gross <= one + Amount::from(3));
    }

    #[test]
    fn an_epoch_of_random_flows_conserves_value_for_every_coalition(
        flows in proptest::collection::vec(any_flow(), 1..20), price in ATTO / 1_000..20 * ATTO,
        pledge in 0u128..1 << 90, counter in 0u128..1 << 65, members: [bool; 12],
    ) {
        let refs: Vec<&Flow> = flows.iter().collect();
        let out = close(&refs, price, pledge, counter);
        prop_assert!(is_covered(out.totals.minted, out.burnt, price));
        // Burnt for a coalition: every fee of every flow it took part in is an upper bound of what was burnt for it;
        // the tight bound holds per node and so for any set of them.
        let in_coalition = |key: &PartyKey| members[usize::from(key.0[0])];
        let mut minted = Amount::ZERO;
        for payout in out.payouts.iter().filter(|p| in_coalition(&p.node)) {
            minted += payout.reward.gross;
        }
        let mut fees = Amount::ZERO;
        for (_, payees, claims, acked) in &refs {
            let settled = settle(claims, &vec![2_000_000; payees.len() - 1], *acked);
            for (i, part) in payees.iter().zip(&settled.parts) {
                if in_coalition(&node(*i)) {
                    fees += part.fee;
                }
            }
        }
        prop_assert!(is_covered(minted, fees, price));
        prop_assert!(Amount::from(out.counted_bytes) * Amount::from(1_000_000) <= out.burnt);
    }

    #[test]
    fn the_settlement_of_an_epoch_does_not_depend_on_the_order_of_flows(
        flows in proptest::collection::vec(any_flow(), 1..12), turn in 0usize..12,
    ) {
        let refs: Vec<&Flow> = flows.iter().collect();
        let mut turned = refs.clone();
        turned.rotate_left(turn % refs.len());
        turned.reverse();
        prop_assert_eq!(close(&refs, ATTO, 1 << 90, 0), close(&turned, ATTO, 1 << 90, 0));
    }

    #[test]
    fn hostile_claims_settle_without_overflow_and_within_what_was_acknowledged(
        (claims, prices) in any_claims(), acked: (u64, u64), price_provider: u64,
    ) {
        let account = FlowAccount { price_provider, ..account(&claims, &prices, acked) };
        let out = account.settle().unwrap();
        let fees = out.parts.iter().fold(Amount::ZERO, |sum, part| sum + part.fee);
        prop_assert_eq!(out.burn, fees);
        for part in &out.parts {
            prop_assert!(part.weight <= part.fee && part.coefficient <= PPM);
        }
        if let Some(liability) = contract(&prices, price_provider).liability(acked.0, acked.1) {
            prop_assert!(out.burn <= Amount::from(liability), "more is burnt than the voucher stated");
        }
    }

    #[test]
    fn acknowledging_more_never_lowers_a_fee_of_a_relay((claims, prices) in any_claims(), acked: (u64, u64), more: (u64, u64)) {
        let higher = (acked.0.max(more.0), acked.1.max(more.1));
        let (low, high) = (settle(&claims, &prices, acked), settle(&claims, &prices, higher));
        for (a, b) in low.parts.iter().zip(&high.parts).skip(1) {
            prop_assert!(a.fee <= b.fee && a.weight <= b.weight);
        }
    }

    #[test]
    fn a_lone_lying_relay_gains_half_a_per_cent_at_most_and_changes_nobody_elses_pay(
        k in 1usize..6, up in 0u64..100_000_000, down in 1_000_000u64..10_000_000_000, liar in 0usize..6, f in 300_000u64..3_000_000,
    ) {
        let liar = 1 + liar % k;
        let prices = vec![2_000_000; k];
        let truth = honest(k, up, down);
        let mut lie = truth.clone();
        lie[liar].up.bytes = lie[liar].up.bytes * f / PPM;
        lie[liar].down.bytes = lie[liar].down.bytes * f / PPM;
        let (a, b) = (settle(&truth, &prices, (up, down)), settle(&lie, &prices, (up, down)));
        for (x, y) in a.parts.iter().zip(&b.parts) {
            if x.hop == liar {
                let slack = share(x.weight, 5_200) + Amount::from(65_536u64 * 2_000_000 + 1_000_000_000);
                prop_assert!(y.weight <= x.weight + slack);
            } else {
                prop_assert_eq!((x.weight, x.fee), (y.weight, y.fee));
            }
        }
    }

    #[test]
    fn relays_that_collude_between_honest_ends_are_never_billed_beyond_what_was_sent(
        k in 1usize..8, factors in proptest::collection::vec(1_000_000u64..3_000_000, 8), mask: u8,
    ) {
        let down = 1_000_000_000;
        let mut claims = honest(k, 0, down);
        for (i, claim) in claims.iter_mut().enumerate().skip(1).take(k) {
            if mask >> i & 1 == 1 {
                claim.down.bytes = claim.down.bytes * factors[i - 1] / PPM;
            }
        }
        let out = settle(&claims, &vec![1_000_000; k], (0, down));
        prop_assert!(out.parts.iter().all(|part| part.bytes <= u128::from(down)));
    }

    #[test]
    fn a_provider_is_never_paid_beyond_the_payers_admission(f in 1_000_000u64..4_000_000) {
        let mut claims = honest(1, 0, 1_000_000_000);
        claims[2].down.bytes = 1_000 * f;
        let out = settle(&claims, &[1], (0, 1_000_000_000));
        prop_assert!(out.provider_bytes <= 1_005_000_000);
    }

    #[test]
    fn inserting_hops_at_the_same_path_price_gains_nothing(j in 1usize..=8) {
        let claims = honest(j, 0, 1_000_000_000);
        let out = settle(&claims, &vec![4_000_000 / j as u64; j], (0, 1_000_000_000));
        let total = out.parts[1..].iter().fold(Amount::ZERO, |sum, part| sum + part.weight);
        prop_assert!(total <= Amount::from(4_000_000_000_000_000u64));
    }

    #[test]
    fn friends_who_call_each_other_mint_nothing(bytes in 1u64..1 << 40) {
        let call = |a: usize, b: usize| -> Flow { (a, vec![b], honest(0, 0, bytes), (0, bytes)) };
        let (there, back) = (call(1, 2), call(2, 1));
        let out = close(&[&there, &back], ATTO, 1 << 90, 0);
        prop_assert_eq!((out.totals.minted, out.burnt, out.counted_bytes), (Amount::ZERO, Amount::ZERO, 0));
        let alone = call(3, 3);
        prop_assert_eq!(close(&[&alone], ATTO, 1 << 90, 0).totals.minted, Amount::ZERO);
    }
}

fn contract(prices: &[u64], price_provider: u64) -> Contract {
    Contract {
        digest_alg: DigestAlg::AeadTag,
        flags: ContractFlags::default(),
        epoch_start: Epoch(0),
        credit_window: 0,
        price_provider,
        nonce: [0; 16],
        channel: [0; 32],
        initiator: node(0),
        provider: node(1),
        relays: prices.iter().map(|price| Relay { node: node(2), price: *price }).collect(),
    }
}

#[test]
fn traffic_that_nobody_pays_for_does_not_move_the_curve() {
    let claims = honest(1, 0, u64::MAX / 2);
    let account = FlowAccount { price_provider: 0, ..account(&claims, &[0], (0, u64::MAX / 2)) };
    assert_eq!(account.settle().unwrap().counted_bytes, 0);
}

#[test]
fn promotional_money_and_flags_leave_no_weight() {
    let claims = honest(1, 0, 1 << 30);
    let base = account(&claims, &[5], (0, 1 << 30));
    let promo = FlowAccount { promo: true, ..base }.settle().unwrap();
    assert!(promo.parts.iter().all(|part| part.weight.is_zero() && !part.fee.is_zero()));
    let flags = [Flags::NONE, Flags::OPENING, Flags::COUNT];
    let flagged = FlowAccount { flags: &flags, ..base }.settle().unwrap();
    assert!(flagged.parts.iter().all(|part| part.weight.is_zero()));
}

#[test]
fn an_account_that_does_not_fit_its_path_is_refused() {
    let claims = honest(1, 0, 1);
    assert_eq!(account(&claims, &[1, 2], (0, 0)).settle(), Err(SettleError::Claims { got: 3, want: 4 }));
    assert_eq!(account(&claims, &[1; 9], (0, 0)).settle(), Err(SettleError::TooManyRelays(9)));
    let flags = [Flags::NONE];
    let account = FlowAccount { flags: &flags, ..account(&claims, &[1], (0, 0)) };
    assert_eq!(account.settle(), Err(SettleError::Flags { got: 1, want: 3 }));
    let settled = settle(&claims, &[1], (0, 0));
    let refused = EpochLedger::default().add(wallet(0), &[], &settled);
    assert_eq!(refused, Err(EpochError::Payees { got: 0, want: 2 }));
}

#[test]
fn dues_that_would_mint_from_nothing_are_refused() {
    let due = |fee: Amount, weight: Amount| NodeDue { tier: Tier::Root, fee, weight, pledge: Amount::MAX };
    let one = Amount::from(1);
    assert_eq!(fair_reward(&[], 0, 5), Err(RewardError::NoPrice));
    assert_eq!(fair_reward(&[due(Amount::ZERO, one)], 1, 5), Err(RewardError::WeightAboveFee(0)));
    assert_eq!(fair_reward(&[due(Amount::MAX, one)], 1, 5), Err(RewardError::TooLarge(0)));
    let largest = (one << 160) - one;
    let all = vec![due(largest, largest); 1_000];
    let minted = fair_reward(&all, 1, u128::MAX).unwrap().minted;
    assert!(minted <= Amount::from(u128::MAX));
}
