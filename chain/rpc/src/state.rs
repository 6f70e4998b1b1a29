//! Accounts: balance, code, storage, nonce, proofs.

use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_rpc_types_eth::{EIP1186AccountProofResponse, EIP1186StorageProof};
use netchain_state::{EMPTY_ROOT_HASH, KECCAK_EMPTY, State};

use crate::RpcContext;
use crate::error::{LIMIT, RpcResult, error, invalid, state_error, store_error};
use crate::tags::is_pending;

/// Most slots of one proof: each is up to 64 trie nodes.
const MAX_PROOF_SLOTS: usize = 1_024;

impl RpcContext {
    pub(crate) fn balance(&self, address: &Address, id: Option<BlockId>) -> RpcResult<U256> {
        let account = self.state(id)?.account(address).map_err(state_error)?;
        Ok(account.map_or(U256::ZERO, |account| account.balance))
    }

    pub(crate) fn code(&self, address: &Address, id: Option<BlockId>) -> RpcResult<Bytes> {
        let state = self.state(id)?;
        let account = state.account(address).map_err(state_error)?;
        account.map_or(Ok(Bytes::new()), |account| state.code(&account.code_hash).map_err(state_error))
    }

    pub(crate) fn storage(&self, address: &Address, slot: U256, id: Option<BlockId>) -> RpcResult<B256> {
        self.state(id)?.storage(address, &slot).map(B256::from).map_err(state_error)
    }

    pub(crate) fn nonce(&self, address: &Address, id: Option<BlockId>) -> RpcResult<U64> {
        let account = self.state(id)?.account(address).map_err(state_error)?;
        let nonce = account.map_or(0, |account| account.nonce);
        let waiting = if is_pending(id.as_ref()) { self.pool.next_nonce(address) } else { None };
        Ok(U64::from(waiting.map_or(nonce, |next| next.max(nonce))))
    }

    pub(crate) fn proof(
        &self,
        address: Address,
        keys: &[String],
        id: Option<BlockId>,
    ) -> RpcResult<EIP1186AccountProofResponse> {
        if keys.len() > MAX_PROOF_SLOTS {
            return Err(error(LIMIT, format!("at most {MAX_PROOF_SLOTS} slots a request")));
        }
        // A key comes as 32 bytes or as a number, and goes back as it came.
        let (mut slots, mut echoes) = (Vec::new(), Vec::new());
        for key in keys {
            if let Ok(hash) = key.parse::<B256>() {
                slots.push(U256::from_be_bytes(hash.0));
                echoes.push(hash.into());
            } else {
                let slot: U256 = key.parse().map_err(|_| invalid(format!("{key:?} is no storage key")))?;
                slots.push(slot);
                echoes.push(slot.into());
            }
        }
        let proof = self.store.proof(self.height(id)?, &address, &slots).map_err(store_error)?;
        let (account, storage_hash) =
            proof.record.map_or((None, EMPTY_ROOT_HASH), |record| (Some(record.account), record.storage_root));
        let storage = proof.storage.into_iter().zip(echoes);
        Ok(EIP1186AccountProofResponse {
            address,
            balance: account.map_or(U256::ZERO, |account| account.balance),
            code_hash: account.map_or(KECCAK_EMPTY, |account| account.code_hash),
            nonce: account.map_or(0, |account| account.nonce),
            storage_hash,
            account_proof: proof.nodes,
            storage_proof: storage.map(|(it, key)| EIP1186StorageProof::new(key, it.value, it.nodes)).collect(),
        })
    }
}
