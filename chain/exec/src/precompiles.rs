//! Ethereum's precompiles of OSAKA and two of this chain, both read-only. Their input and gas are docs/spec/chain.md's.
//!
//! * [`SIGNATURES`]: first byte 0: ed25519, `key 32 | signature 64 | message`, verified strictly; returns 1 as a word, or
//!   nothing. First byte 1: a certificate, RLP `[chain id, genesis hash, witness set, certificate]` (set and certificate as
//!   byte strings); returns height, round, block hash and signer bitmap as words, or nothing. Gas: 4,000 a signature + 12 a
//!   word of input.
//! * [`TRIE_PROOF`]: `root 32 | key 32 | RLP list of nodes`; `key` is the path, that is the *hashed* address or slot. Returns
//!   a word that is 1 and the value, a word that is 0 when the proof shows the absence, or nothing when it shows neither.
//!   Gas: 1,000 + 30 a word.

use std::sync::OnceLock;

use alloy_primitives::{Address, B256, Bytes, U256, address};
use alloy_rlp::RlpDecodable;
use ed25519_dalek::{Signature, VerifyingKey};
use netchain_state::Nibbles;
use netchain_state::trie::walk_proof;
use netchain_types::{Certificate, ChainDomain, MAX_WITNESSES, WitnessSet};
use revm::handler::EthPrecompiles;
use revm::precompile::{
    EthPrecompileOutput, EthPrecompileResult, Precompile, PrecompileHalt, PrecompileId, PrecompileOutput,
    PrecompileResult, PrecompileSpecId, Precompiles, calc_linear_cost,
};

use crate::env::SPEC;

/// Address of the signature precompile.
pub const SIGNATURES: Address = address!("0000000000000000000000000000000000000801");
/// Address of the trie proof precompile.
pub const TRIE_PROOF: Address = address!("0000000000000000000000000000000000000802");

/// One ed25519 verification: what `ecrecover` (3,000) costs and the time it takes more.
const SIGNATURE_GAS: u64 = 4_000;
/// Hashing with SHA-512, as Ethereum's SHA-256.
const SIGNATURE_WORD_GAS: u64 = 12;
const PROOF_GAS: u64 = 1_000;
/// Each node is hashed with keccak (6 a word) and decoded.
const PROOF_WORD_GAS: u64 = 30;
/// Most nodes of a proof: 64 nibbles and the root.
const MAX_PROOF_NODES: usize = 65;

/// All precompiles of the chain.
pub(crate) fn precompiles() -> EthPrecompiles {
    static ALL: OnceLock<Precompiles> = OnceLock::new();
    let precompiles = ALL.get_or_init(|| {
        let mut all = Precompiles::new(PrecompileSpecId::from_spec_id(SPEC)).clone();
        all.extend([
            Precompile::new(PrecompileId::custom("nfc-signatures"), SIGNATURES, signatures_fn),
            Precompile::new(PrecompileId::custom("nfc-trie-proof"), TRIE_PROOF, trie_proof_fn),
        ]);
        all
    });
    EthPrecompiles { precompiles, spec: SPEC }
}

fn signatures_fn(input: &[u8], gas_limit: u64, reservoir: u64) -> PrecompileResult {
    Ok(PrecompileOutput::from_eth_result(signatures(input, gas_limit), reservoir))
}

fn trie_proof_fn(input: &[u8], gas_limit: u64, reservoir: u64) -> PrecompileResult {
    Ok(PrecompileOutput::from_eth_result(trie_proof(input, gas_limit), reservoir))
}

/// A certificate and what it is checked against.
#[derive(RlpDecodable)]
struct CertificateInput {
    chain_id: u64,
    genesis: B256,
    set: Bytes,
    certificate: Bytes,
}

fn signatures(input: &[u8], gas_limit: u64) -> EthPrecompileResult {
    let one = calc_linear_cost(input.len(), SIGNATURE_GAS, SIGNATURE_WORD_GAS);
    if one > gas_limit {
        return Err(PrecompileHalt::OutOfGas);
    }
    let nothing = || Ok(EthPrecompileOutput::new(one, Bytes::new()));
    match input.split_first() {
        Some((0, input)) => {
            let output = if ed25519(input) == Some(true) { word(U256::ONE) } else { Vec::new() };
            Ok(EthPrecompileOutput::new(one, output.into()))
        }
        Some((1, input)) => {
            let Ok(input) = alloy_rlp::decode_exact::<CertificateInput>(input) else { return nothing() };
            let Ok(certificate) = Certificate::decode(&input.certificate) else { return nothing() };
            let Ok(set) = WitnessSet::decode(&input.set) else { return nothing() };
            // Before any is verified: the decoder allows no more than a set has.
            let signatures = certificate.signatures.len().clamp(1, MAX_WITNESSES) as u64;
            let gas = one + (signatures - 1) * SIGNATURE_GAS;
            if gas > gas_limit {
                return Err(PrecompileHalt::OutOfGas);
            }
            let domain = ChainDomain { chain_id: input.chain_id, genesis: input.genesis };
            let mut output = Vec::new();
            if certificate.verify(&domain, &set).is_ok() {
                output.extend(word(U256::from(certificate.height)));
                output.extend(word(U256::from(certificate.round)));
                output.extend(certificate.block_hash);
                output.extend(word(U256::from(certificate.bitmap())));
            }
            Ok(EthPrecompileOutput::new(gas, output.into()))
        }
        _ => nothing(),
    }
}

fn ed25519(input: &[u8]) -> Option<bool> {
    let (key, rest) = input.split_at_checked(32)?;
    let (signature, message) = rest.split_at_checked(64)?;
    let key = VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
    let signature = Signature::from_bytes(signature.try_into().ok()?);
    Some(key.verify_strict(message, &signature).is_ok())
}

fn trie_proof(input: &[u8], gas_limit: u64) -> EthPrecompileResult {
    let gas = calc_linear_cost(input.len(), PROOF_GAS, PROOF_WORD_GAS);
    if gas > gas_limit {
        return Err(PrecompileHalt::OutOfGas);
    }
    Ok(EthPrecompileOutput::new(gas, proven(input).unwrap_or_default().into()))
}

fn proven(input: &[u8]) -> Option<Vec<u8>> {
    let (root, rest) = input.split_at_checked(32)?;
    let (key, nodes) = rest.split_at_checked(32)?;
    let nodes: Vec<Bytes> = alloy_rlp::decode_exact(nodes).ok()?;
    if nodes.len() > MAX_PROOF_NODES {
        return None;
    }
    match walk_proof(B256::from_slice(root), &Nibbles::unpack(key), &nodes).ok()? {
        Some(value) => Some([word(U256::ONE), value].concat()),
        None => Some(word(U256::ZERO)),
    }
}

fn word(value: U256) -> Vec<u8> {
    value.to_be_bytes::<32>().to_vec()
}
