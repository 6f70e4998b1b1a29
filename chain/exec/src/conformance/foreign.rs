//! Blocks of an Ethereum chain, executed by the rules of their own forks: for suites whose questions are about a chain.
//!
//! Byzantium to Osaka: rewards of proof of work, withdrawals (EIP-4895), and the calls at the begin and the end of a block
//! (EIP-4788, 2935, 7002, 7251). The header's roots, gas and bloom are compared with what execution gives; the state root is
//! compared where it is computed, in the store.

use alloy_consensus::{Header, TxType};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Bloom, Bytes, U256, address};
use alloy_trie::root::ordered_trie_root_encoded;
use netchain_state::{State, StateChanges};
use revm::context::{BlockEnv, CfgEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::primitives::hardfork::SpecId;
use revm::{Context, ExecuteEvm, MainBuilder, SystemCallEvm};

use crate::overlay::Overlay;
use crate::transaction::SignedTransaction;

/// Contract of beacon roots (EIP-4788).
const BEACON_ROOTS: Address = address!("000F3df6D732807Ef1319fB7B8bB8522d0Beac02");
/// Contract of block hashes (EIP-2935).
const HISTORY: Address = address!("0000F90827F1C53a10cb7A02335B175320002935");
/// Contract of withdrawal requests (EIP-7002).
const WITHDRAWAL_REQUESTS: Address = address!("00000961Ef480Eb55e80D19ad83579A64c007002");
/// Contract of consolidation requests (EIP-7251).
const CONSOLIDATION_REQUESTS: Address = address!("0000BBdDc7CE488642fb579F8B00f3a590007251");
/// Withdrawals are in gwei.
const GWEI: u64 = 1_000_000_000;
/// 10^18.
const ETHER: u128 = 1_000_000_000_000_000_000;

/// When the forks of a chain begin: by number before the merge, by time after it. None: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forks {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Constantinople and Petersburg.
    pub petersburg_block: Option<u64>,
    /// Istanbul.
    pub istanbul_block: Option<u64>,
    /// Berlin.
    pub berlin_block: Option<u64>,
    /// London.
    pub london_block: Option<u64>,
    /// Shanghai.
    pub shanghai_time: Option<u64>,
    /// Cancun.
    pub cancun_time: Option<u64>,
    /// Prague.
    pub prague_time: Option<u64>,
    /// Osaka.
    pub osaka_time: Option<u64>,
}

impl Forks {
    /// The rules of a block. A block without difficulty is one of proof of stake, whatever its number.
    #[must_use]
    pub fn spec(&self, header: &Header) -> SpecId {
        let time = |fork: Option<u64>| fork.is_some_and(|begin| header.timestamp >= begin);
        let block = |fork: Option<u64>| fork.is_some_and(|begin| header.number >= begin);
        let merged = header.difficulty.is_zero();
        match () {
            () if merged && time(self.osaka_time) => SpecId::OSAKA,
            () if merged && time(self.prague_time) => SpecId::PRAGUE,
            () if merged && time(self.cancun_time) => SpecId::CANCUN,
            () if merged && time(self.shanghai_time) => SpecId::SHANGHAI,
            () if merged => SpecId::MERGE,
            () if block(self.london_block) => SpecId::LONDON,
            () if block(self.berlin_block) => SpecId::BERLIN,
            () if block(self.istanbul_block) => SpecId::ISTANBUL,
            () if block(self.petersburg_block) => SpecId::PETERSBURG,
            () => SpecId::BYZANTIUM,
        }
    }
}

/// A block of such a chain.
#[derive(Clone, Debug)]
pub struct ForeignBlock {
    /// Its header.
    pub header: Header,
    /// Its transactions.
    pub transactions: Vec<SignedTransaction>,
    /// Headers of its ommers.
    pub ommers: Vec<Header>,
    /// Its withdrawals, none before Shanghai.
    pub withdrawals: Vec<Withdrawal>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct ForeignOutcome {
    /// Changes of the state.
    pub changes: StateChanges,
    /// Receipts as EIP-2718 bytes.
    pub receipts: Vec<Bytes>,
}

impl ForeignBlock {
    /// Executes it on the state of its parent.
    ///
    /// # Errors
    /// A transaction is not valid, or the header says something else than execution: in words.
    pub fn execute<S: State>(&self, state: S, forks: &Forks) -> Result<ForeignOutcome, String> {
        let (header, spec) = (&self.header, forks.spec(&self.header));
        let mut run =
            Run { overlay: Overlay::new(state), block: block_env(header, spec), spec, chain_id: forks.chain_id };
        if spec.is_enabled_in(SpecId::CANCUN) {
            run.system_call(BEACON_ROOTS, header.parent_beacon_block_root.unwrap_or_default().to_vec())?;
        }
        if spec.is_enabled_in(SpecId::PRAGUE) {
            run.system_call(HISTORY, header.parent_hash.to_vec())?;
        }
        let (mut receipts, mut bloom, mut gas_used) = (Vec::new(), Bloom::ZERO, 0);
        for (index, transaction) in self.transactions.iter().enumerate() {
            let receipt =
                run.transact(transaction, &mut gas_used).map_err(|why| format!("transaction {index}: {why}"))?;
            bloom.accrue_bloom(receipt.logs_bloom());
            receipts.push(Bytes::from(receipt.encoded_2718()));
        }
        self.after(&mut run)?;
        let checks = [
            ("gasUsed", header.gas_used == gas_used),
            ("logsBloom", header.logs_bloom == bloom),
            ("receiptsRoot", header.receipts_root == ordered_trie_root_encoded(&receipts)),
            ("transactionsRoot", header.transactions_root == self.transactions_root()),
        ];
        if let Some((field, _)) = checks.iter().find(|(_, holds)| !holds) {
            return Err(format!("header field {field} is not what execution gives"));
        }
        Ok(ForeignOutcome { changes: run.overlay.into_changes(), receipts })
    }

    fn transactions_root(&self) -> B256 {
        let bytes: Vec<&Bytes> = self.transactions.iter().map(SignedTransaction::bytes).collect();
        ordered_trie_root_encoded(&bytes)
    }

    /// What a block does behind its transactions.
    fn after<S: State>(&self, run: &mut Run<S>) -> Result<(), String> {
        let mut pay = |account: &Address, wei: U256| {
            run.overlay
                .change_balance(account, |balance| balance.saturating_add(wei))
                .map_err(|error| error.to_string())
        };
        if !run.spec.is_enabled_in(SpecId::MERGE) {
            // 5 ether before Byzantium, which is not among the forks here, 3 before Constantinople, then 2.
            let reward = U256::from(if run.spec.is_enabled_in(SpecId::PETERSBURG) { 2 * ETHER } else { 3 * ETHER });
            for ommer in &self.ommers {
                let depth = self.header.number.saturating_sub(ommer.number);
                pay(&ommer.beneficiary, reward * U256::from(8_u64.saturating_sub(depth)) / U256::from(8))?;
            }
            pay(&self.header.beneficiary, reward + reward * U256::from(self.ommers.len()) / U256::from(32))?;
        }
        for withdrawal in &self.withdrawals {
            pay(&withdrawal.address, U256::from(withdrawal.amount) * U256::from(GWEI))?;
        }
        if run.spec.is_enabled_in(SpecId::PRAGUE) {
            run.system_call(WITHDRAWAL_REQUESTS, Vec::new())?;
            run.system_call(CONSOLIDATION_REQUESTS, Vec::new())?;
        }
        Ok(())
    }
}

/// A block being executed.
struct Run<S> {
    overlay: Overlay<S>,
    block: BlockEnv,
    spec: SpecId,
    chain_id: u64,
}

impl<S: State> Run<S> {
    fn cfg(&self) -> CfgEnv {
        let mut cfg = CfgEnv::new_with_spec(self.spec);
        cfg.chain_id = self.chain_id;
        cfg
    }

    /// A call of nobody that costs nothing. Where there is no contract, nothing happens.
    fn system_call(&mut self, contract: Address, input: Vec<u8>) -> Result<(), String> {
        let account = self.overlay.account(&contract).map_err(|error| error.to_string())?;
        if account.is_none_or(|account| account.code_hash == netchain_state::KECCAK_EMPTY) {
            return Ok(());
        }
        let (cfg, block) = (self.cfg(), self.block.clone());
        let context: crate::env::ChainContext<'_, S> = Context::new(&mut self.overlay, self.spec);
        let mut evm = context.with_cfg(cfg).with_block(block).build_mainnet();
        let done = evm.system_call(contract, input.into()).map_err(|error| error.to_string())?;
        drop(evm);
        self.overlay.keep(done.state);
        Ok(())
    }

    fn transact(
        &mut self,
        transaction: &SignedTransaction,
        gas_used: &mut u64,
    ) -> Result<alloy_consensus::ReceiptEnvelope, String> {
        let (cfg, block) = (self.cfg(), self.block.clone());
        let context: crate::env::ChainContext<'_, S> = Context::new(&mut self.overlay, self.spec);
        let mut evm = context.with_cfg(cfg).with_block(block).build_mainnet();
        let done = evm.transact(transaction.env()).map_err(|error| error.to_string())?;
        drop(evm);
        self.overlay.keep(done.state);
        *gas_used += done.result.tx_gas_used();
        let kind: TxType = transaction.envelope().tx_type();
        Ok(crate::block::receipt(kind, done.result, *gas_used))
    }
}

fn block_env(header: &Header, spec: SpecId) -> BlockEnv {
    BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        difficulty: header.difficulty,
        prevrandao: spec.is_enabled_in(SpecId::MERGE).then_some(header.mix_hash),
        blob_excess_gas_and_price: spec.is_enabled_in(SpecId::CANCUN).then(|| {
            BlobExcessGasAndPrice::new(header.excess_blob_gas.unwrap_or_default(), super::blob_fraction(spec))
        }),
        slot_num: 0,
    }
}
