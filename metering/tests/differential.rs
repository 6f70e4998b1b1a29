//! Random cases of the Python reference, extremes included; `POVF_RANDOM` names a larger file made by `random_ref.py`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]

use netflow_metering::algo::reward::{NodeDue, Tier, fair_reward};
use netflow_metering::algo::{curve, discount, exchange, hedge, logm};
use netflow_metering::amount::Amount;
use netflow_metering::ids::PerDirection;
use netflow_metering::params::ETA_PPM;
use netflow_metering::sample::Level;
use netflow_metering::settle::flow::FlowAccount;
use netflow_metering::verdict::{Flags, HopReport, judge};
use netflow_metering::wire::{Counts, Record};
use serde_json::Value;

fn cases(section: &str) -> Vec<Value> {
    let text = match std::env::var("POVF_RANDOM") {
        Ok(path) => std::fs::read_to_string(path).unwrap(),
        Err(_) => include_str!("../vectors/random_vectors.json").to_owned(),
    };
    let all: Value = serde_json::from_str(&text).unwrap();
    let cases = all[section].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn list(v: &Value) -> &[Value] {
    v.as_array().unwrap()
}

fn num(v: &Value) -> u64 {
    v.as_u64().unwrap()
}

fn big(v: &Value) -> Amount {
    v.as_str().unwrap().parse().unwrap()
}

fn wide(v: &Value) -> u128 {
    big(v).to()
}

#[test]
fn settlements_agree_with_the_reference() {
    for case in cases("settle") {
        let counts =
            |v: &[Value]| Counts { pkts: num(&v[0]), bytes: num(&v[1]), dups: u32::try_from(num(&v[2])).unwrap() };
        let claim = |c: &Value| PerDirection { up: counts(&list(c)[..3]), down: counts(&list(c)[3..]) };
        let claims: Vec<_> = list(&case["claims"]).iter().map(claim).collect();
        let prices: Vec<u64> = list(&case["prices"]).iter().map(num).collect();
        let flags: Vec<Flags> =
            list(&case["flags"]).iter().map(|f| Flags::from_bits(u8::try_from(num(f)).unwrap())).collect();
        let account = FlowAccount {
            price_provider: num(&case["price_provider"]),
            relay_prices: &prices,
            claims: &claims,
            acked: PerDirection { up: num(&case["acked"][0]), down: num(&case["acked"][1]) },
            promo: case["promo"].as_bool().unwrap(),
            flags: &flags,
        };
        let out = account.settle().unwrap();
        assert_eq!((out.provider_bytes, out.initiator_bytes), (num(&case["v"][0]), num(&case["v"][1])), "{case}");
        assert_eq!(out.burn, big(&case["burn"]), "{case}");
        assert_eq!(
            (out.effective_bytes, out.counted_bytes),
            (wide(&case["effective"]), wide(&case["counted"])),
            "{case}"
        );
        for (part, want) in out.parts.iter().zip(list(&case["parts"])) {
            let ours = (part.hop as u64, part.bytes, part.fee, part.coefficient, part.weight);
            assert_eq!(ours, (num(&want[0]), wide(&want[1]), big(&want[2]), num(&want[3]), big(&want[4])), "{case}");
        }
    }
}

#[test]
fn rewards_agree_with_the_reference() {
    for case in cases("reward") {
        let tier = |v: &Value| match v.as_str().unwrap() {
            "EN" => Tier::Edge,
            "CN" => Tier::Central,
            _ => Tier::Root,
        };
        let due = |d: &Value| NodeDue { tier: tier(&d[0]), fee: big(&d[1]), weight: big(&d[2]), pledge: big(&d[3]) };
        let dues: Vec<NodeDue> = list(&case["dues"]).iter().map(due).collect();
        let out = fair_reward(&dues, wide(&case["price"]), wide(&case["allow"])).unwrap();
        for (ours, want) in out.rewards.iter().zip(list(&case["rewards"])) {
            let want: Vec<Amount> = list(want).iter().map(big).collect();
            assert_eq!(vec![ours.gross, ours.pool, ours.service, ours.net], want, "{case}");
        }
        let want: Vec<Amount> = list(&case["totals"]).iter().map(big).collect();
        assert_eq!(vec![out.minted, out.pool, out.service, out.unminted_carry, out.cut_by_pledge], want, "{case}");
    }
}

#[test]
fn verdicts_agree_with_the_reference() {
    for case in cases("verdict") {
        let rows: Vec<(u64, u64, Vec<Record>)> = list(&case["hops"])
            .iter()
            .map(|h| (num(&h[0]), num(&h[1]), list(&h[2]).iter().map(|r| Record(num(r))).collect()))
            .collect();
        let hops: Vec<HopReport<'_>> =
            rows.iter().map(|(pkts, bytes, samples)| HopReport { pkts: *pkts, bytes: *bytes, samples }).collect();
        let out = judge(&hops, Level::from_byte(u8::try_from(num(&case["level"])).unwrap()).unwrap());
        assert_eq!(Value::from(out.flags.iter().map(|f| f.bits()).collect::<Vec<_>>()), case["flags"], "{case}");
        assert_eq!(Value::from(out.fabricated), case["fab"], "{case}");
        assert_eq!(Value::from(out.lost), case["lost"], "{case}");
    }
}

#[test]
fn numbers_agree_with_the_reference() {
    for case in cases("numbers") {
        let (a, b) = (num(&case["a"]), num(&case["b"]));
        let d = logm::distance(a, b);
        let ours = [logm::lg(a).into(), d.into(), logm::byte_distance(a, b).into(), exchange::average(a, b)];
        let want = ["lg", "ld", "ldb", "aae"].map(|name| num(&case[name]));
        assert_eq!(ours, want, "{case}");
        let ours = [exchange::average_bytes(a, b), discount::of_over(d), discount::of_step(d)];
        assert_eq!(ours, ["aae_b", "over", "step"].map(|name| num(&case[name])), "{case}");
        assert_eq!(discount::of_duplicates(a.into(), b.into()), num(&case["dup"]), "{case}");
        assert_eq!(hedge::net(a, b, ETA_PPM), (num(&case["twh"][0]), num(&case["twh"][1])), "{case}");
        assert_eq!(u64::from(Level::of(a).get()), num(&case["level"]), "{case}");
        assert_eq!(curve::released(wide(&case["curve"][0])), wide(&case["curve"][1]), "{case}");
    }
}
