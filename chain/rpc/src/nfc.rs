//! `nfc_*`: certificates and witnesses, which Ethereum has not; and `ots_*` for block explorers.

use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, FixedBytes, U64};
use netchain_exec::witness::read_witness_set;
use netchain_types::Certificate;
use serde::Serialize;
use serde_json::{Value, json};

use crate::RpcContext;
use crate::error::{INTERNAL, RpcResult, error, store_error};

/// A block's proof of finality, and what a light client needs with it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CertificateView {
    height: U64,
    round: U64,
    block_hash: B256,
    /// RLP of the header: the light client hashes it.
    header: Bytes,
    /// RLP of the certificate.
    certificate: Bytes,
    signers: Vec<SignerView>,
}

#[derive(Serialize)]
struct SignerView {
    seat: u8,
    /// None when this node never saw the set in office: it began with a later snapshot.
    account: Option<Address>,
    signature: FixedBytes<64>,
}

/// One seat.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WitnessView {
    seat: usize,
    account: Address,
    vote_key: B256,
    reveal_key: FixedBytes<48>,
}

impl RpcContext {
    pub(crate) fn certificate(&self, id: Option<BlockId>) -> RpcResult<Option<CertificateView>> {
        let height = self.height(id)?;
        let Some(bytes) = self.store.certificate(height).map_err(store_error)?.filter(|bytes| !bytes.is_empty()) else {
            return Ok(None);
        };
        let bad = |_| error(INTERNAL, "a stored certificate is not readable");
        let certificate = Certificate::decode(&bytes).map_err(bad)?;
        let header = self.header(height)?;
        let extra = header.check().map_err(|_| error(INTERNAL, "a stored header is not readable"))?;
        let set = self.store.witness_set(&extra.validators_hash).map_err(store_error)?;
        let seats = set.as_ref().map_or(&[][..], |set| set.seats());
        let signer = |it: &netchain_types::CommitSignature| SignerView {
            seat: it.seat,
            account: seats.get(usize::from(it.seat)).map(|seat| seat.account),
            signature: FixedBytes(it.signature),
        };
        Ok(Some(CertificateView {
            height: U64::from(height),
            round: U64::from(certificate.round),
            block_hash: certificate.block_hash,
            header: alloy_rlp::encode(&header).into(),
            signers: certificate.signatures.iter().map(signer).collect(),
            certificate: bytes,
        }))
    }

    /// The set that votes on the block after this one.
    pub(crate) fn witnesses(&self, id: Option<BlockId>) -> RpcResult<Vec<WitnessView>> {
        let header = self.header(self.height(id)?)?;
        let extra = header.check().map_err(|_| error(INTERNAL, "a stored header is not readable"))?;
        let set = match self.store.witness_set(&extra.next_validators_hash).map_err(store_error)? {
            Some(set) => set,
            // Of a chain that nobody runs: a test, a tool.
            None => read_witness_set(&self.state(id)?, &self.executor.params().witness_contract)
                .map_err(|failed| error(INTERNAL, failed.to_string()))?,
        };
        let view = |(seat, it): (usize, &netchain_types::Witness)| WitnessView {
            seat,
            account: it.account,
            vote_key: B256::from(it.vote_key),
            reveal_key: FixedBytes(it.reveal_key),
        };
        Ok(set.seats().iter().enumerate().map(view).collect())
    }

    /// `ots_getBlockDetails`: the block without transactions, and its fees.
    pub(crate) fn ots_block(&self, id: BlockId) -> RpcResult<Option<Value>> {
        let Some(read) = self.read_id(id)? else { return Ok(None) };
        let fees: u128 =
            read.receipts.iter().map(|it| it.effective_gas_price.saturating_mul(u128::from(it.gas_used))).sum();
        let mut block =
            serde_json::to_value(self.rpc_block(&read, false)).map_err(|failed| error(INTERNAL, failed.to_string()))?;
        if let Some(fields) = block.as_object_mut() {
            fields.remove("transactions");
            fields.insert("transactionCount".to_owned(), json!(U64::from(read.transactions.len())));
        }
        let zero = U64::ZERO;
        let issuance = json!({ "blockReward": zero, "uncleReward": zero, "issuance": zero });
        Ok(Some(json!({ "block": block, "issuance": issuance, "totalFees": format!("{fees:#x}") })))
    }

    /// `ots_hasCode`.
    pub(crate) fn has_code(&self, address: &Address, id: Option<BlockId>) -> RpcResult<bool> {
        Ok(!self.code(address, id)?.is_empty())
    }
}
