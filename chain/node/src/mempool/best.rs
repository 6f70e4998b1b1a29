//! What a block is made of.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use alloy_primitives::Address;

use super::{Pool, PoolTx};

impl<T> Pool<T> {
    /// Ready transactions that pay the base fee, highest tip first, each sender's in nonce order, until their gas limits
    /// sum up to `gas` or their encodings to `bytes`. One that does not fit ends its sender's turn.
    #[must_use]
    pub fn best(&self, gas: u64, bytes: usize) -> Vec<Arc<PoolTx<T>>> {
        let tip = |tx: &PoolTx<T>| tx.tip_at(self.base_fee);
        let front = |address: &Address, nonce: u64| {
            let account = self.accounts.get(address)?;
            let tx = account.get(nonce).filter(|_| account.is_ready(nonce))?;
            Some((tip(tx)?, Reverse(tx.sequence), *address, nonce))
        };
        let mut heap: BinaryHeap<_> =
            self.accounts.iter().filter_map(|(address, account)| front(address, account.state().nonce)).collect();
        let (mut gas_left, mut bytes_left, mut chosen) = (gas, bytes, Vec::new());
        while let Some((_, _, sender, nonce)) = heap.pop() {
            let Some(tx) = self.accounts.get(&sender).and_then(|account| account.get(nonce)) else { continue };
            let (Some(gas), Some(bytes)) = (gas_left.checked_sub(tx.gas_limit), bytes_left.checked_sub(tx.raw.len()))
            else {
                continue;
            };
            (gas_left, bytes_left) = (gas, bytes);
            chosen.push(tx.clone());
            heap.extend(nonce.checked_add(1).and_then(|next| front(&sender, next)));
        }
        chosen
    }
}
