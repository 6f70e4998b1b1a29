//! Every vector of `vectors/povf_vectors.json`, which the Python reference beside it writes and re-checks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]

use ed25519_dalek::SigningKey;
use netflow_metering::algo::reward::{NodeDue, Tier, fair_reward};
use netflow_metering::algo::{curve, discount, exchange, hedge, logm};
use netflow_metering::amount::Amount;
use netflow_metering::hash::{Hash, SampleKey, tagged};
use netflow_metering::ids::{Direction, Epoch, FlowId, PartyKey, PerDirection, Slot};
use netflow_metering::merkle;
use netflow_metering::params;
use netflow_metering::sample::{self, Level};
use netflow_metering::settle::flow::FlowAccount;
use netflow_metering::verdict::{Flags, HopReport, judge};
use netflow_metering::wire::{
    Contract, ContractFlags, Counts, DigestAlg, HopClaim, Object, Record, Relay, Role, Signed, SlotLeaf, SlotRoot,
    View, Voucher, record_root,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/povf_vectors.json")).unwrap()
}

fn bytes(v: &Value) -> Vec<u8> {
    hex::decode(v.as_str().unwrap()).unwrap()
}

fn fixed<const N: usize>(v: &Value) -> [u8; N] {
    bytes(v).try_into().unwrap()
}

/// A number given as a JSON number or a decimal string.
fn big(v: &Value) -> Amount {
    match v {
        Value::String(s) => s.parse().unwrap(),
        other => Amount::from(other.as_u64().unwrap()),
    }
}

fn num(v: &Value) -> u64 {
    big(v).to()
}

fn wide(v: &Value) -> u128 {
    big(v).to()
}

fn list(v: &Value) -> &[Value] {
    v.as_array().unwrap()
}

/// The generator of the reference: `H("povf/test-drbg", seed padded to 32, i, block)`.
fn drbg<const N: usize>(seed: &str, i: u64) -> [u8; N] {
    let mut padded = [0u8; 32];
    padded[..seed.len()].copy_from_slice(seed.as_bytes());
    let mut out = Vec::new();
    for block in 0u32.. {
        if out.len() >= N {
            break;
        }
        out.extend(tagged("povf/test-drbg", &[&padded, &i.to_le_bytes(), &block.to_le_bytes()]));
    }
    out[..N].try_into().unwrap()
}

fn records(seed: &str, n: u64) -> Vec<Record> {
    (0..n)
        .map(|i| {
            let t: [u8; 8] = drbg(seed, i);
            let length = if t[6] < 192 { 1400 } else { 64 + u16::from(t[7]) * 4 };
            Record::new(t[..6].try_into().unwrap(), length)
        })
        .collect()
}

fn lose(records: &[Record], per_mille: u64) -> Vec<Record> {
    let kept = |j: u64| j * 2_654_435_761 % 1_000 >= per_mille;
    records.iter().enumerate().filter(|(j, _)| kept(*j as u64)).map(|(_, r)| *r).collect()
}

fn total(records: &[Record]) -> u64 {
    records.iter().map(|r| u64::from(r.length())).sum()
}

fn key(v: &Value, name: &str) -> SigningKey {
    let key = SigningKey::from_bytes(&fixed(&v["keys"][name]["seed"]));
    assert_eq!(key.verifying_key().to_bytes().to_vec(), bytes(&v["keys"][name]["pk"]));
    key
}

fn party(v: &Value, name: &str) -> PartyKey {
    PartyKey(fixed(&v["keys"][name]["pk"]))
}

fn contract(v: &Value) -> Contract {
    let relay = |name| Relay { node: party(v, name), price: 2_000_000 };
    Contract {
        digest_alg: DigestAlg::AeadTag,
        flags: ContractFlags::default(),
        epoch_start: Epoch(4_242),
        credit_window: params::CREDIT_WINDOW,
        price_provider: 10_000_000,
        nonce: drbg("nonce", 0),
        channel: drbg("chan", 0),
        initiator: party(v, "initiator"),
        provider: party(v, "provider"),
        relays: vec![relay("relay1"), relay("relay2")],
    }
}

/// The four hops of the reference slot: provider, relay 2, relay 1, initiator.
fn hops() -> [Vec<Record>; 4] {
    let s0 = records("slot", 3_000);
    let s1 = lose(&s0, 4);
    let s2 = lose(&s1, 6);
    let s3 = lose(&s2, 3);
    [s0, s1, s2, s3]
}

fn flow_key(v: &Value) -> SampleKey {
    SampleKey::from_bytes(fixed(&v["sampling"]["flow_key"]))
}

#[test]
fn parameters() {
    let v = &vectors()["params"];
    let ours: &[(&str, u128)] = &[
        ("SLOT_SECONDS", params::SLOT_SECONDS.into()),
        ("EPOCH_SECONDS", params::EPOCH_SECONDS.into()),
        ("LEAF_RECORDS", params::LEAF_RECORDS as u128),
        ("SAMPLE_EXP", params::SAMPLE_EXP.into()),
        ("B_REF", params::AUDIT_BYTES.into()),
        ("Z_BOUND", params::Z_BOUND.into()),
        ("TAU0_Q16", params::TAU0_Q16.into()),
        ("TAU1_Q16", params::TAU1_Q16.into()),
        ("TAU2_Q16", params::TAU2_Q16.into()),
        ("SLACK_BYTES", params::SLACK_BYTES.into()),
        ("DUP_FREE_PPM", params::DUP_FREE_PPM.into()),
        ("LOSS_SHARE_PPM", params::LOSS_SHARE_PPM.into()),
        ("RETX_MAX_PPM", params::RETX_MAX_PPM.into()),
        ("ETA_PPM", params::ETA_PPM.into()),
        ("ALPHA_PPM", params::ALPHA_PPM.into()),
        ("KAPPA_EPOCH_PPM", params::KAPPA_EPOCH_PPM.into()),
        ("POOL_PPM", params::POOL_PPM.into()),
        ("SERVICE_PPM", params::SERVICE_PPM.into()),
        ("Y_MAX_PPM", params::Y_MAX_PPM.into()),
        ("PRICE_FLOOR", params::PRICE_FLOOR.into()),
        ("P_FLOW", params::TRAFFIC_VAULT),
        ("RHO", params::RHO),
    ];
    assert_eq!(v.as_object().unwrap().len(), ours.len(), "a parameter of the reference is not compared");
    for (name, value) in ours {
        assert_eq!(wide(&v[*name]), *value, "{name}");
    }
}

#[test]
fn every_section_of_the_vectors_is_tested_here() {
    let v = vectors();
    let mut sections: Vec<&str> = v.as_object().unwrap().keys().map(String::as_str).collect();
    sections.sort_unstable();
    // `stats` are floating-point tables of the design, not consensus; `note` and `protocol` are text.
    let tested = [
        "contract",
        "curve",
        "dc_dup",
        "fair_reward",
        "hedge_pair",
        "keys",
        "ld_aae_dc",
        "lg_q16",
        "merkle",
        "merkle_path",
        "messages",
        "note",
        "params",
        "protocol",
        "sampling",
        "settle",
        "siphash24",
        "stats",
        "twh",
        "verdicts",
    ];
    assert_eq!(sections, tested);
}

#[test]
fn siphash() {
    for case in list(&vectors()["siphash24"]) {
        let out = SampleKey::from_bytes(fixed(&case["key"])).mac(&bytes(&case["msg"]));
        assert_eq!(format!("{out:016x}"), case["out"].as_str().unwrap());
    }
}

#[test]
fn logarithms_distances_averages_and_coefficients() {
    let v = vectors();
    for case in list(&v["lg_q16"]) {
        assert_eq!(u64::from(logm::lg(num(&case[0]))), num(&case[1]), "{case}");
    }
    for case in list(&v["ld_aae_dc"]) {
        let (s, r) = (num(&case["s"]), num(&case["r"]));
        let d = logm::distance(s, r);
        assert_eq!(u64::from(d), num(&case["ld"]), "{case}");
        assert_eq!(exchange::average(s, r), num(&case["aae"]), "{case}");
        assert_eq!(discount::of_over(d), num(&case["dc_over_ppm"]), "{case}");
        assert_eq!(discount::of_step(d), num(&case["dc_step_ppm"]), "{case}");
    }
    for case in list(&v["dc_dup"]) {
        assert_eq!(discount::of_duplicates(num(&case[0]).into(), num(&case[1]).into()), num(&case[2]), "{case}");
    }
}

#[test]
fn hedging() {
    let v = vectors();
    for case in list(&v["twh"]) {
        let out = hedge::net(num(&case["a"]), num(&case["b"]), num(&case["eta_ppm"]));
        assert_eq!(out, (num(&case["out"][0]), num(&case["out"][1])), "{case}");
    }
    for case in list(&v["hedge_pair"]) {
        let h = hedge::pair(big(&case["x"]), big(&case["y"]));
        let want: Vec<Amount> = list(&case["out"]).iter().map(big).collect();
        assert_eq!(vec![h.net_x, h.net_y, h.bartered], want);
    }
}

#[test]
fn merkle_roots_and_path() {
    let v = vectors();
    for case in list(&v["merkle"]) {
        let recs = records(case["seed"].as_str().unwrap(), num(&case["n_records"]));
        if let Some(first) = case["first"].as_str() {
            assert_eq!(format!("{:016x}", recs[0].0), first);
        }
        assert_eq!(record_root(&recs).to_vec(), bytes(&case["root"]));
    }
    let case = &v["merkle_path"];
    let recs = records("m", num(&case["n_records"]));
    let leaves: Vec<Hash> = recs.chunks(params::LEAF_RECORDS).map(record_root).collect();
    let index = num(&case["leaf_index"]);
    assert_eq!(leaves.len() as u64, num(&case["n_leaves"]));
    let shown: Vec<String> = recs[80..96].iter().map(|r| format!("{:016x}", r.0)).collect();
    assert_eq!(Value::from(shown), case["leaf_records"]);
    let path = merkle::path(&leaves, 5).unwrap();
    assert_eq!(Value::from(path.iter().map(hex::encode).collect::<Vec<_>>()), case["path"]);
    assert!(merkle::verify(&leaves[5], index, leaves.len() as u64, &path, &fixed(&case["root"])));
}

#[test]
fn contract_and_flow_id() {
    let v = vectors();
    let case = &v["contract"];
    let c = contract(&v);
    assert_eq!(c.to_bytes(), bytes(&case["bytes"]));
    assert_eq!(Contract::from_bytes(&bytes(&case["bytes"])).unwrap(), c);
    let flow = c.flow_id(&fixed(&case["flow_secret"]), Epoch(4_242));
    assert_eq!(flow.0.to_vec(), bytes(&case["flow_id"]));
    for (name, field) in [("initiator", "sig_initiator"), ("provider", "sig_provider")] {
        let signed = Signed::sign(c.clone(), &key(&v, name));
        assert_eq!(signed.signature().to_vec(), bytes(&case[field]));
        assert!(View::<Contract>::new_checked(&signed.to_bytes()).unwrap().verify(&party(&v, name)).is_ok());
    }
}

#[test]
fn sampling() {
    let v = vectors();
    let case = &v["sampling"];
    let slot = Slot(u32::try_from(num(&case["slot"])).unwrap());
    let slot_key = SampleKey::of_slot(num(&case["chain_id"]), slot, &fixed(&case["beacon"]));
    assert_eq!(slot_key.to_bytes().to_vec(), bytes(&case["slot_key"]));
    let flow = FlowId(fixed(&v["contract"]["flow_id"]));
    let key = slot_key.of_flow(flow, Direction::Down);
    assert_eq!(key, flow_key(&v));
    assert_eq!(
        format!("{:016x}", sample::lottery(slot_key, flow, Direction::Down)),
        case["lottery_u64"].as_str().unwrap()
    );
    for (n, audited) in case["audited_if_bytes"].as_object().unwrap() {
        let drawn = sample::is_audited(slot_key, flow, Direction::Down, n.parse().unwrap());
        assert_eq!(drawn, audited.as_bool().unwrap(), "{n}");
    }
    for pair in list(&case["levels"]) {
        assert_eq!(u64::from(Level::of(num(&pair[0])).get()), num(&pair[1]), "{pair}");
    }
    let level = Level::of(num(&case["n_sender"]));
    assert_eq!(u64::from(level.get()), num(&case["level"]));
    let sampled = hops().map(|records| level.sample(key, records));
    let shown: Vec<String> = sampled[0].iter().take(24).map(|r| format!("{:016x}", r.0)).collect();
    assert_eq!(Value::from(shown), case["selected_sender"]);
    assert_eq!(Value::from(sampled.map(|s| s.len()).to_vec()), case["n_selected"]);
}

#[test]
fn verdicts() {
    let v = vectors();
    let level = Level::of(3_000);
    let key = flow_key(&v);
    let row = |records: &[Record]| (records.len() as u64, total(records), level.sample(key, records.iter().copied()));
    let [s0, s1, s2, s3] = hops();
    let [r0, r1, r2, r3] = [row(&s0), row(&s1), row(&s2), row(&s3)];
    let lying = [s1.clone(), records("fake", 300)].concat();
    let fifth = lose(&s1, 200);
    let cases = [
        ("honest_with_loss", [r0.clone(), r1.clone(), r2.clone(), r3.clone()]),
        ("relay_fabricates_10pct", [r0.clone(), row(&lying), r2.clone(), r3.clone()]),
        ("relay_doubles_count_only", [r0.clone(), (r1.0 * 2, r1.1, r1.2.clone()), r2.clone(), r3.clone()]),
        ("relay_inflates_bytes_10pct_only", [r0.clone(), (r1.0, r1.1 * 11 / 10, r1.2.clone()), r2.clone(), r3.clone()]),
        ("relay_drops_20pct_but_claims", [r0, r1, row(&fifth), row(&fifth)]),
    ];
    assert_eq!(v["verdicts"].as_object().unwrap().len(), cases.len());
    for (name, hops) in cases {
        let case = &v["verdicts"][name];
        assert_eq!(num(&case["level"]), u64::from(level.get()));
        for ((pkts, bytes, samples), want) in hops.iter().zip(list(&case["hops"])) {
            let digest = Sha256::digest(samples.iter().flat_map(|r| r.0.to_le_bytes()).collect::<Vec<u8>>());
            assert_eq!(
                (*pkts, *bytes, samples.len() as u64),
                (num(&want["pkts"]), num(&want["bytes"]), num(&want["samples"]))
            );
            assert_eq!(hex::encode(digest), want["samples_sha256"].as_str().unwrap(), "{name}");
        }
        let reports: Vec<HopReport<'_>> =
            hops.iter().map(|(pkts, bytes, samples)| HopReport { pkts: *pkts, bytes: *bytes, samples }).collect();
        let verdict = judge(&reports, level);
        let flags: Vec<u8> = verdict.flags.iter().map(|f| f.bits()).collect();
        assert_eq!(Value::from(flags), case["flags"], "{name}");
        assert_eq!(Value::from(verdict.fabricated), case["fab"], "{name}");
        assert_eq!(Value::from(verdict.lost), case["lost"], "{name}");
    }
}

#[test]
fn messages() {
    let v = vectors();
    let m = &v["messages"];
    let flow = FlowId(fixed(&v["contract"]["flow_id"]));
    let [_, s1, _, s3] = hops();
    let (relay, payer) = (key(&v, "relay2"), key(&v, "initiator"));
    let leaf = SlotLeaf {
        flow,
        direction: Direction::Down,
        hop: 2,
        slot: Slot(318_150),
        pkts: u32::try_from(s1.len()).unwrap(),
        bytes: total(&s1),
        dups: 0,
        record_root: record_root(&s1),
    };
    assert_eq!(leaf.to_bytes(), bytes(&m["slot_leaf"]));
    assert_eq!(leaf.to_bytes().len(), SlotLeaf::LEN);
    assert_eq!(SlotLeaf::from_bytes(&bytes(&m["slot_leaf"])).unwrap(), leaf);

    let root = SlotRoot::over(Slot(318_150), party(&v, "relay2"), &mut [leaf]);
    golden(root, &m["slot_root_msg"], &m["slot_root_sig"], &relay, &m["sizes_signed"]["slot_root"]);

    let claim = HopClaim {
        role: Role::Relay,
        hop: 2,
        epoch: Epoch(4_242),
        flow,
        counts: PerDirection {
            up: Counts { pkts: 900, bytes: 90_000, dups: 0 },
            down: Counts { pkts: s1.len() as u64, bytes: total(&s1), dups: 0 },
        },
        goodput: PerDirection::default(),
        slots_root: merkle::root(&[leaf.hash()]),
        node: party(&v, "relay2"),
    };
    golden(claim, &m["hop_claim"], &m["hop_claim_sig"], &relay, &m["sizes_signed"]["hop_claim"]);

    let voucher = Voucher {
        epoch: Epoch(4_242),
        flow,
        channel: contract(&v).channel,
        seq: 17,
        acked_down: total(&s3),
        acked_up: 88_000,
        cum_amount: 123_456_789_012_345_678_901,
    };
    golden(voucher, &m["voucher"], &m["voucher_sig"], &payer, &m["sizes_signed"]["voucher"]);
    assert_eq!(contract(&v).to_bytes().len() as u64 + 4 * 64, num(&m["sizes_signed"]["contract_2_relays_4_sigs"]));
}

/// Encoding, signature, size and both ways back of one signed object.
fn golden<T: Object + std::fmt::Debug>(object: T, body: &Value, signature: &Value, key: &SigningKey, size: &Value) {
    assert_eq!(object.to_bytes(), bytes(body));
    let signed = Signed::sign(object.clone(), key);
    assert_eq!(signed.signature().to_vec(), bytes(signature));
    let wire = signed.to_bytes();
    assert_eq!(wire.len() as u64, num(size));
    let view = View::<T>::new_checked(&wire).unwrap();
    assert_eq!(view.claimed(), &object);
    assert_eq!(view.verify(signed.signer()).unwrap(), signed);
}

fn counts(v: &Value) -> Counts {
    Counts { pkts: num(&v[0]), bytes: num(&v[1]), dups: u32::try_from(num(&v[2])).unwrap() }
}

#[test]
fn settlements() {
    let v = vectors();
    assert_eq!(list(&v["settle"]).len(), 12);
    for case in list(&v["settle"]) {
        let claims: Vec<PerDirection<Counts>> = list(&case["claims"])
            .iter()
            .map(|c| PerDirection { up: counts(&c["up"]), down: counts(&c["down"]) })
            .collect();
        let prices: Vec<u64> = list(&case["relay_prices"]).iter().map(num).collect();
        let flags: Vec<Flags> =
            list(&case["audit_flags"]).iter().map(|f| Flags::from_bits(u8::try_from(num(f)).unwrap())).collect();
        let account = FlowAccount {
            price_provider: num(&case["price_provider"]),
            relay_prices: &prices,
            claims: &claims,
            acked: PerDirection { up: num(&case["acked_up"]), down: num(&case["acked_down"]) },
            promo: case["promo"].as_bool().unwrap(),
            flags: &flags,
        };
        let out = account.settle().unwrap();
        let name = case["name"].as_str().unwrap();
        assert_eq!(u128::from(out.provider_bytes), wide(&case["v_provider"]), "{name}");
        assert_eq!(u128::from(out.initiator_bytes), wide(&case["v_initiator"]), "{name}");
        assert_eq!(out.burn, big(&case["burn"]), "{name}");
        assert_eq!(out.effective_bytes, wide(&case["effective_bytes"]), "{name}");
        assert_eq!(out.counted_bytes, wide(&case["counted_bytes"]), "{name}");
        assert_eq!(out.parts.len(), list(&case["parts"]).len());
        for (part, want) in out.parts.iter().zip(list(&case["parts"])) {
            assert_eq!(part.hop as u64, num(&want["hop"]), "{name}");
            assert_eq!(part.bytes, wide(&want["bytes"]), "{name}");
            assert_eq!(part.fee, big(&want["fee"]), "{name}");
            assert_eq!(part.coefficient, num(&want["coef"]), "{name}");
            assert_eq!(part.weight, big(&want["weight"]), "{name}");
        }
    }
}

#[test]
fn rewards() {
    for case in list(&vectors()["fair_reward"]) {
        let tier = |v: &Value| match v.as_str().unwrap() {
            "EN" => Tier::Edge,
            "CN" => Tier::Central,
            _ => Tier::Root,
        };
        let dues: Vec<NodeDue> = list(&case["dues"])
            .iter()
            .map(|d| NodeDue {
                tier: tier(&d["role"]),
                fee: big(&d["fee"]),
                weight: big(&d["weight"]),
                pledge: big(&d["pledge"]),
            })
            .collect();
        let out = fair_reward(&dues, wide(&case["price"]), wide(&case["curve_allowance"])).unwrap();
        for (ours, want) in out.rewards.iter().zip(list(&case["rewards"])) {
            assert_eq!(ours.gross, big(&want["gross"]));
            assert_eq!(ours.pool, big(&want["pool"]));
            assert_eq!(ours.service, big(&want["service"]));
            assert_eq!(ours.net, big(&want["net"]));
        }
        assert_eq!(out.minted, big(&case["minted"]));
        assert_eq!(out.pool, big(&case["pool"]));
        assert_eq!(out.service, big(&case["service"]));
        assert_eq!(out.unminted_carry, big(&case["unminted_carry"]));
        assert_eq!(out.cut_by_pledge, big(&case["cut_by_pledge"]));
    }
}

#[test]
fn decay_curve() {
    let v = &vectors()["curve"];
    for case in list(&v["T"]) {
        assert_eq!(curve::released_after(wide(&case[0])), wide(&case[1]), "{case}");
    }
    for case in list(&v["cumulative"]) {
        assert_eq!(curve::released(wide(&case[0])), wide(&case[1]), "{case}");
    }
    let (eb, tb) = (params::EXABYTE, 1_000_000_000_000);
    assert_eq!(curve::allowance(0, tb), wide(&v["allowance_1TB_at_0"]));
    assert_eq!(curve::allowance(eb - tb, eb + tb), wide(&v["allowance_across_boundary"]));
}
