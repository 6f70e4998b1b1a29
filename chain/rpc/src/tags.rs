//! From "latest" and friends to heights. With single-block finality `safe` and `finalized` are the tip, and there is no
//! pending block: `pending` is the tip with the waiting transactions' nonces.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::B256;
use netchain_store::StateAt;
use netchain_types::Header;

use crate::RpcContext;
use crate::error::{RpcResult, SERVER, error, store_error};

impl RpcContext {
    pub(crate) fn tip(&self) -> u64 {
        self.store.tip().map_or(0, |tip| tip.height)
    }

    /// Height of a number or tag; it may be above the tip.
    pub(crate) fn height_of_tag(&self, tag: BlockNumberOrTag) -> RpcResult<u64> {
        match tag {
            BlockNumberOrTag::Latest
            | BlockNumberOrTag::Safe
            | BlockNumberOrTag::Finalized
            | BlockNumberOrTag::Pending => Ok(self.tip()),
            BlockNumberOrTag::Earliest => self.store.base().map_err(store_error),
            BlockNumberOrTag::Number(number) => Ok(number),
        }
    }

    /// Height of an existing block.
    pub(crate) fn height(&self, id: Option<BlockId>) -> RpcResult<u64> {
        let height = match id.unwrap_or_default() {
            BlockId::Number(tag) => self.height_of_tag(tag)?,
            BlockId::Hash(hash) => {
                self.height_of_hash(&hash.block_hash)?.ok_or_else(|| error(SERVER, "header not found"))?
            }
        };
        if height > self.tip() { Err(error(SERVER, "header not found")) } else { Ok(height) }
    }

    /// Height of a block hash, none when there is no such block.
    pub(crate) fn height_of_hash(&self, hash: &B256) -> RpcResult<Option<u64>> {
        match &self.foreign {
            Some(chain) => Ok(chain.height_of(hash)),
            None => self.store.height_of(hash).map_err(store_error),
        }
    }

    pub(crate) fn header(&self, height: u64) -> RpcResult<Header> {
        let header = self.store.header(height).map_err(store_error)?;
        header.ok_or_else(|| error(SERVER, "header not found"))
    }

    pub(crate) fn state(&self, id: Option<BlockId>) -> RpcResult<StateAt> {
        self.store.state_at(self.height(id)?).map_err(store_error)
    }
}

/// Whether a request means the waiting transactions too.
pub(crate) fn is_pending(id: Option<&BlockId>) -> bool {
    matches!(id, Some(BlockId::Number(BlockNumberOrTag::Pending)))
}
