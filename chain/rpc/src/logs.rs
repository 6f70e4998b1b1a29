//! `eth_getLogs`: blooms of headers first, receipts only where they may match.

use alloy_primitives::{B256, Bloom};
use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};

use crate::RpcContext;
use crate::convert::rpc_logs;
use crate::error::{LIMIT, RpcResult, SERVER, error, invalid, store_error};

/// Addresses and topics of one filter: more is a table scan by another name.
const MAX_FILTER_TERMS: usize = 1_024;

impl RpcContext {
    /// The heights of a filter, both inclusive; none when the range is empty.
    pub(crate) fn range(&self, filter: &Filter) -> RpcResult<Option<(u64, u64)>> {
        let (from, to) = match &filter.block_option {
            FilterBlockOption::AtBlockHash(hash) => {
                let height = self.height_of_hash(hash)?;
                let height = height.ok_or_else(|| error(SERVER, "unknown block"))?;
                (height, height)
            }
            FilterBlockOption::Range { from_block, to_block } => {
                let tip = self.tip();
                let from = from_block.map_or(Ok(tip), |tag| self.height_of_tag(tag))?;
                let to = to_block.map_or(Ok(tip), |tag| self.height_of_tag(tag))?;
                if from > to {
                    return Err(invalid("invalid block range params"));
                }
                (from, to.min(tip))
            }
        };
        if from > to {
            return Ok(None);
        }
        if to - from >= self.limits.log_blocks {
            return Err(error(LIMIT, format!("query exceeds max block range {}", self.limits.log_blocks)));
        }
        Ok(Some((from, to)))
    }

    pub(crate) fn logs(&self, filter: &Filter) -> RpcResult<Vec<Log>> {
        check_filter(filter)?;
        let Some((from, to)) = self.range(filter)? else { return Ok(Vec::new()) };
        self.logs_between(filter, from, to)
    }

    pub(crate) fn logs_between(&self, filter: &Filter, from: u64, to: u64) -> RpcResult<Vec<Log>> {
        let mut found = Vec::new();
        for height in from..=to {
            let Some(header) = self.store.header(height).map_err(store_error)? else { continue };
            if header.logs_bloom == Bloom::ZERO || !filter.matches_bloom(header.logs_bloom) {
                continue;
            }
            let Some(read) = self.read(height)? else { continue };
            for (index, (tx, receipt)) in read.transactions.iter().zip(&read.receipts).enumerate() {
                let logs = rpc_logs(receipt, tx.hash(), read.place(index));
                found.extend(logs.into_iter().filter(|log| matches(filter, log)));
            }
            if found.len() > self.limits.logs {
                let text = format!("query returned more than {} results; try a smaller range", self.limits.logs);
                return Err(error(LIMIT, text));
            }
        }
        Ok(found)
    }
}

pub(crate) fn check_filter(filter: &Filter) -> RpcResult<()> {
    let terms = filter.address.len() + filter.topics.iter().map(|topic| topic.len()).sum::<usize>();
    if terms > MAX_FILTER_TERMS {
        return Err(error(LIMIT, format!("a filter has at most {MAX_FILTER_TERMS} addresses and topics")));
    }
    Ok(())
}

fn matches(filter: &Filter, log: &Log) -> bool {
    let topics: &[B256] = log.inner.data.topics();
    filter.matches_address(log.inner.address) && filter.matches_topics(topics)
}
