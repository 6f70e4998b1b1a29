//! What a transaction should pay.

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::U256;
use alloy_rpc_types_eth::FeeHistory;

use crate::RpcContext;
use crate::error::{INVALID_PARAMS, RpcResult, error};

/// Blocks that a suggested tip is taken from.
const TIP_BLOCKS: u64 = 20;
/// Transactions looked at in each of them.
const TIP_SAMPLE: usize = 32;
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
            let Some(read) = self.read(height)? else { break };
            let base_fee = u128::from(read.header.base_fee_per_gas);
            // The system transaction, last, pays nothing.
            let users = read.transactions.len().saturating_sub(1);
            let paid = read.transactions.iter().take(users.min(TIP_SAMPLE));
            tips.extend(paid.map(|tx| tx.effective_gas_price(read.header.base_fee_per_gas).saturating_sub(base_fee)));
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

    /// Tips of a block at percentiles of its gas.
    fn rewards(&self, height: u64, percentiles: &[f64]) -> RpcResult<Vec<u128>> {
        let Some(read) = self.read(height)? else { return Ok(vec![0; percentiles.len()]) };
        let receipts = self.receipts(&read)?;
        let base_fee = u128::from(read.header.base_fee_per_gas);
        let users = read.transactions.len().saturating_sub(1);
        let mut tips: Vec<(u128, u64)> = receipts
            .iter()
            .take(users)
            .map(|receipt| (receipt.effective_gas_price.saturating_sub(base_fee), receipt.gas_used))
            .collect();
        tips.sort_unstable();
        let total: u64 = tips.iter().map(|(_, gas)| gas).sum();
        let at = |percentile: &f64| {
            #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let threshold = (total as f64 * percentile / 100.0) as u64;
            let mut sum = 0;
            let paid = tips.iter().find(|(_, gas)| {
                sum += gas;
                sum >= threshold
            });
            paid.or(tips.last()).map_or(0, |(tip, _)| *tip)
        };
        Ok(percentiles.iter().map(at).collect())
    }
}
