//! The vectors of a second light client (vectors/light.py, written from docs/spec/chain.md): both must say the same of each.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use alloy_primitives::{Address, B256, Bytes, U256};
use netchain_light::{AccountClaim, LightClient, LightError, Updated, verify_account, verify_storage};
use netchain_types::{
    CertificateError, ChainDomain, Header, VoteKind, WitnessSet, proposal_signing_bytes, vote_signing_bytes,
};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/light.json")).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn word(value: &Value) -> B256 {
    B256::from_slice(&bytes(value))
}

fn number(value: &Value) -> U256 {
    value.as_str().unwrap().parse().unwrap()
}

fn client(v: &Value) -> LightClient {
    let (header, _) = Header::decode_checked(&bytes(&v["genesis"])).unwrap();
    assert_eq!(header.hash(), word(&v["genesis_hash"]));
    let chain = ChainDomain { chain_id: v["chain_id"].as_u64().unwrap(), genesis: header.hash() };
    LightClient::new(chain, &header, WitnessSet::decode(&bytes(&v["first_set"])).unwrap()).unwrap()
}

/// The step of the specification ("Light client") in which an update was refused.
fn refused_in(error: &LightError) -> u8 {
    match error {
        LightError::Header(_) | LightError::OtherBlock | LightError::Certificate(CertificateError::Encoding) => 1,
        LightError::Old(_) | LightError::Expired | LightError::Time | LightError::Parent => 3,
        LightError::Set(_) | LightError::UnknownSet => 4,
        LightError::NextSet => 7,
        LightError::Certificate(_) => 5,
        LightError::Fork(_) => 6,
    }
}

fn run(client: &mut LightClient, v: &Value, step: &Value) -> String {
    let (set, next) = (step["set"].as_str().map(|_| bytes(&step["set"])), step["next_set"].as_str());
    let next = next.map(|_| bytes(&step["next_set"]));
    let now = v["start"].as_u64().unwrap() + step["t"].as_u64().unwrap();
    let before = client.clone();
    match client.update(now, &bytes(&step["header"]), &bytes(&step["certificate"]), set.as_deref(), next.as_deref()) {
        Ok(Updated::Advanced) => "advanced".to_owned(),
        Ok(Updated::Known) => "known".to_owned(),
        Err(error) => {
            assert_eq!(*client, before, "a refused update changes nothing");
            format!("refused in step {}", refused_in(&error))
        }
    }
}

#[test]
fn both_light_clients_say_the_same_of_every_update() {
    let v = vectors();
    let mut one = client(&v);
    for step in v["in_order"].as_array().unwrap() {
        assert_eq!(run(&mut one, &v, step), step["result"].as_str().unwrap(), "{}", step["what"]);
        // Kept on a disk between any two steps.
        one = LightClient::from_bytes(&one.to_bytes()).unwrap();
    }
    assert_eq!(one.trusted().number, 2_001);
    let refused = v["each_from_genesis"].as_array().unwrap();
    assert!(refused.len() > 15);
    for step in refused {
        assert_eq!(run(&mut client(&v), &v, step), step["result"].as_str().unwrap(), "{}", step["what"]);
    }
}

#[test]
fn both_light_clients_say_the_same_of_every_proof() {
    let v = vectors();
    let nodes =
        |of: &Value| -> Vec<Bytes> { of["proof"].as_array().unwrap().iter().map(|node| bytes(node).into()).collect() };
    for a in v["accounts"].as_array().unwrap() {
        let claim = AccountClaim {
            nonce: a["nonce"].as_u64().unwrap(),
            balance: number(&a["balance"]),
            storage_root: word(&a["storage_root"]),
            code_hash: word(&a["code_hash"]),
        };
        let address = Address::from_slice(&bytes(&a["address"]));
        let holds = verify_account(word(&a["state_root"]), &address, &claim, &nodes(a)).is_ok();
        assert_eq!(holds, a["holds"].as_bool().unwrap(), "{address} {claim:?}");
        let mut more = nodes(a);
        more.push(Bytes::from_static(&[0xc0]));
        assert!(verify_account(word(&a["state_root"]), &address, &claim, &more).is_err(), "a node too many");
    }
    for s in v["slots"].as_array().unwrap() {
        let holds = verify_storage(word(&s["storage_root"]), &word(&s["slot"]), number(&s["value"]), &nodes(s)).is_ok();
        assert_eq!(holds, s["holds"].as_bool().unwrap(), "{s}");
    }
}

#[test]
fn both_sign_the_same_texts() {
    let v = vectors();
    let chain = ChainDomain { chain_id: v["chain_id"].as_u64().unwrap(), genesis: word(&v["genesis_hash"]) };
    let block = B256::new(std::array::from_fn(|i| u8::try_from(i).unwrap()));
    let texts = &v["signing_texts"];
    let vote = |kind, block| vote_signing_bytes(&chain, kind, 5, 2, block);
    assert_eq!(vote(VoteKind::Prevote, None), bytes(&texts["prevote nil"]));
    assert_eq!(vote(VoteKind::Precommit, Some(&block)), bytes(&texts["precommit block"]));
    assert_eq!(proposal_signing_bytes(&chain, 5, 2, None, &block), bytes(&texts["proposal"]));
    assert_eq!(proposal_signing_bytes(&chain, 5, 2, Some(1), &block), bytes(&texts["proposal pol 1"]));
}
