//! What a transaction should pay.

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::U256;
use alloy_rpc_types_eth::FeeHistory;

use crate::RpcContext;
use crate::error::{INVALID_PARAMS, RpcResult, error};

/// Blocks that a suggested tip is taken from.
const TIP_BLOCKS: u64 = 20;
/// Tip suggested on an idle chain: any tip is in the next block.
const LEAST_TIP: u128 = 1;
/// Most percentiles of one request, as geth.
const MAX_PERCENTILES: usize = 100;

impl RpcContext {
    /// Median of the tips paid lately.
    pub(crate) fn tip_suggestion(&self) -> RpcResult<u128> {
        let tip = self.tip();
        let mut tips = Vec::new();
        for height in (tip.saturating_sub(TIP_BLOCKS - 1)..=tip).rev() {
            let Some(fees) = self.recent.fees(height, || self.read_stored(height))? else { break };
            tips.extend_from_slice(&fees.sample);
        }
        tips.sort_unstable();
        Ok(tips.get(tips.len() / 2).copied().unwrap_or(0).max(LEAST_TIP))
    }

    pub(crate) fn gas_price(&self) -> RpcResult<U256> {
        let next = self.executor.params().next_base_fee(&self.header(self.tip())?);
        Ok(U256::from(u128::from(next) + self.tip_suggestion()?))
    }

    pub(crate) fn fee_history(
        &self,
        count: u64,
        newest: BlockNumberOrTag,
        percentiles: Option<&[f64]>,
    ) -> RpcResult<FeeHistory> {
        let percentiles = percentiles.unwrap_or_default();
        let ascending = percentiles.windows(2).all(|pair| matches!(pair, [a, b] if a <= b));
        if !ascending || percentiles.iter().any(|p| !(0.0..=100.0).contains(p)) || percentiles.len() > MAX_PERCENTILES {
            return Err(error(INVALID_PARAMS, "percentiles must ascend from 0 to 100, at most 100 of them"));
        }
        let newest = self.height(Some(newest.into()))?;
        let base = self.height(Some(BlockNumberOrTag::Earliest.into()))?;
        let count = count.min(self.limits.fee_blocks).min(newest - base.min(newest) + 1);
        let mut history = FeeHistory { oldest_block: newest + 1 - count, ..FeeHistory::default() };
        let mut rewards = Vec::new();
        for height in history.oldest_block..=newest {
            let header = self.header(height)?;
            history.base_fee_per_gas.push(u128::from(header.base_fee_per_gas));
            #[allow(clippy::cast_precision_loss)] // a ratio for people
            history.gas_used_ratio.push(header.gas_used as f64 / header.gas_limit.max(1) as f64);
            history.base_fee_per_blob_gas.push(1);
            history.blob_gas_used_ratio.push(0.0);
            if !percentiles.is_empty() {
                rewards.push(self.rewards(height, percentiles)?);
            }
        }
        let next = self.executor.params().next_base_fee(&self.header(newest)?);
        history.base_fee_per_gas.push(u128::from(next));
        history.base_fee_per_blob_gas.push(1);
        history.reward = (!percentiles.is_empty()).then_some(rewards);
        Ok(history)
    }

    /// Tips of a block at percentiles of its gas, fractions of a percent rounded up.
    fn rewards(&self, height: u64, percentiles: &[f64]) -> RpcResult<Vec<u128>> {
        let Some(fees) = self.recent.fees(height, || self.read_stored(height))? else {
            return Ok(vec![0; percentiles.len()]);
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 0 to 100, checked
        let at = |percentile: &f64| fees.percentiles.get(percentile.ceil() as usize).copied().unwrap_or(0);
        Ok(percentiles.iter().map(at).collect())
    }
}
