//! Building blocks and executing them.

use alloy_consensus::{Eip658Value, Receipt, ReceiptEnvelope, Transaction as _, TxType};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bloom, Bytes};
use alloy_trie::root::ordered_trie_root_encoded;
use netchain_state::{State, StateChanges};
use netchain_types::{ConsensusExtra, Header};
use revm::ExecuteEvm;
use revm::context_interface::result::{EVMError, ExecutionResult, InvalidTransaction};

use crate::Executor;
use crate::cost::{Paid, pay_out};
use crate::env::Mode;
use crate::overlay::{Overlay, ReadError};
use crate::system::{EndBlock, SYSTEM_GAS};
use crate::transaction::{SignedTransaction, TransactionError, encode_body};

/// What a block's transactions see of it, and what consensus says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockContext {
    /// Height.
    pub number: u64,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// Creator.
    pub beneficiary: Address,
    /// `PREVRANDAO`: randomness after this block, `header.mix_hash`.
    pub mix_hash: B256,
    /// Base fee per gas.
    pub base_fee: u64,
    /// `header.extra.round`.
    pub round: u32,
    /// Signers of the carried certificate of the parent, 0 in block 1.
    pub last_commit_bitmap: u32,
    /// RLP list of the block's evidence.
    pub evidence: Bytes,
}

impl BlockContext {
    /// The context of a block with this header; bitmap and evidence are those that the block carries.
    #[must_use]
    pub fn of(header: &Header, extra: &ConsensusExtra, last_commit_bitmap: u32, evidence: Bytes) -> Self {
        Self {
            number: header.number,
            timestamp: header.timestamp,
            beneficiary: header.beneficiary,
            mix_hash: header.mix_hash,
            base_fee: header.base_fee_per_gas,
            round: extra.round,
            last_commit_bitmap,
            evidence,
        }
    }

    fn end_block(&self) -> EndBlock {
        EndBlock {
            proposer: self.beneficiary,
            round: self.round,
            last_commit_bitmap: self.last_commit_bitmap,
            evidence: self.evidence.clone(),
        }
    }
}

/// Why a block is not executed to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// This node cannot read its state: says nothing of the block.
    #[error("the state cannot be read: {0}")]
    Read(#[from] ReadError),
    /// A transaction that may not be in a block here.
    #[error("transaction {index} is not valid here: {reason}")]
    Transaction {
        /// Place in the block.
        index: usize,
        /// revm's reason.
        reason: String,
    },
    /// A transaction that is none.
    #[error("a transaction is not valid: {0}")]
    Decode(#[from] TransactionError),
    /// The transactions want more gas than the block has beside the system transaction.
    #[error("transaction {0} exceeds the gas of the block")]
    Gas(usize),
    /// The last transaction is not the one that follows from the header and what the block carries.
    #[error("the block does not end with its system transaction")]
    System,
    /// The system transaction failed.
    #[error("the system transaction failed")]
    SystemFailed,
    /// revm stopped for a reason of its own.
    #[error("the EVM stopped: {0}")]
    Evm(String),
    /// A field of the header is not what execution gives.
    #[error("header field {0} is not what execution gives")]
    Header(&'static str),
}

/// What came of a block.
#[derive(Clone, Debug, Default)]
pub struct ExecutedBlock {
    /// Transactions, the system transaction last.
    pub transactions: Vec<SignedTransaction>,
    /// One receipt a transaction.
    pub receipts: Vec<ReceiptEnvelope>,
    /// What changed.
    pub changes: StateChanges,
    /// Gas used by all of them.
    pub gas_used: u64,
    /// Bloom over all logs.
    pub logs_bloom: Bloom,
}

impl ExecutedBlock {
    /// RLP list of the transactions: the block's body.
    #[must_use]
    pub fn body(&self) -> Bytes {
        encode_body(&self.transactions)
    }

    /// Receipts as EIP-2718 bytes.
    #[must_use]
    pub fn receipt_bytes(&self) -> Vec<Bytes> {
        self.receipts.iter().map(|receipt| receipt.encoded_2718().into()).collect()
    }

    /// Root of the trie of transactions.
    #[must_use]
    pub fn transactions_root(&self) -> B256 {
        let bytes: Vec<&Bytes> = self.transactions.iter().map(SignedTransaction::bytes).collect();
        ordered_trie_root_encoded(&bytes)
    }

    /// Root of the trie of receipts.
    #[must_use]
    pub fn receipts_root(&self) -> B256 {
        ordered_trie_root_encoded(&self.receipt_bytes())
    }

    /// Writes what execution gives into a header; the state root is the store's.
    pub fn fill(&self, header: &mut Header, gas_limit: u64, state_root: B256) {
        header.state_root = state_root;
        header.transactions_root = self.transactions_root();
        header.receipts_root = self.receipts_root();
        header.logs_bloom = self.logs_bloom;
        header.gas_limit = gas_limit;
        header.gas_used = self.gas_used;
    }
}

/// Root of the transactions of a body: what `header.transactions_root` commits to. None when it is no list of byte strings.
#[must_use]
pub fn roots_of_body(body: &[u8]) -> Option<B256> {
    let list: Vec<Bytes> = alloy_rlp::decode_exact(body).ok()?;
    Some(ordered_trie_root_encoded(&list))
}

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the block.
    Taken,
    /// It does not fit any more; a later block may take it.
    NoRoom,
    /// It is not valid on this state: leave out what depends on it too.
    Invalid(String),
}

/// Where a creator's transactions come from: the mempool, in its order.
pub trait Candidates {
    /// The next one, none when there is no more. `gas_left`: gas that is left for users' transactions.
    fn next(&mut self, gas_left: u64) -> Option<SignedTransaction>;
    /// What became of the one given last.
    fn done(&mut self, transaction: &SignedTransaction, verdict: &Verdict);
}

/// No transactions but the system's.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCandidates;

impl Candidates for NoCandidates {
    fn next(&mut self, _gas_left: u64) -> Option<SignedTransaction> {
        None
    }
    fn done(&mut self, _transaction: &SignedTransaction, _verdict: &Verdict) {}
}

/// A block being executed.
struct Run<'a, S> {
    executor: &'a Executor,
    context: &'a BlockContext,
    overlay: Overlay<S>,
    out: ExecutedBlock,
}

enum Step {
    Done(bool),
    Invalid(InvalidTransaction),
}

impl Executor {
    /// Executes a block and returns what came of it. The last transaction must be the system transaction that follows from
    /// `context`. Roots are not compared: see [`check`](Self::check).
    ///
    /// # Errors
    /// See [`ExecError`].
    pub fn execute<S: State>(
        &self,
        state: S,
        context: &BlockContext,
        transactions: &[SignedTransaction],
    ) -> Result<ExecutedBlock, ExecError> {
        let (system, users) = transactions.split_last().ok_or(ExecError::System)?;
        let expected = self.system_transaction(context)?;
        if *system != expected {
            return Err(ExecError::System);
        }
        let mut run = self.run(state, context);
        for (index, transaction) in users.iter().enumerate() {
            if transaction.envelope().gas_limit() > run.gas_left() {
                return Err(ExecError::Gas(index));
            }
            if transaction.sender() == expected.sender() {
                return Err(TransactionError::System.into());
            }
            if let Step::Invalid(reason) = run.step(transaction, Mode::User)? {
                return Err(ExecError::Transaction { index, reason: reason.to_string() });
            }
        }
        run.finish(&expected)
    }

    /// Builds a block out of candidates: as many as fit into the gas of the block and `max_bytes` of body.
    ///
    /// # Errors
    /// The state cannot be read, or the system transaction failed.
    pub fn build<S: State>(
        &self,
        state: S,
        context: &BlockContext,
        candidates: &mut dyn Candidates,
        max_bytes: usize,
    ) -> Result<ExecutedBlock, ExecError> {
        let system = self.system_transaction(context)?;
        let mut run = self.run(state, context);
        // Head of the list, and of each string at most 4 bytes.
        let mut bytes_left = max_bytes.saturating_sub(system.bytes().len() + 8);
        while let Some(transaction) = candidates.next(run.gas_left()) {
            let length = transaction.bytes().len() + 4;
            let verdict = if transaction.envelope().gas_limit() > run.gas_left() || length > bytes_left {
                Verdict::NoRoom
            } else if transaction.sender() == system.sender() {
                Verdict::Invalid(TransactionError::System.to_string())
            } else {
                match run.step(&transaction, Mode::User)? {
                    Step::Done(_) => {
                        bytes_left -= length;
                        Verdict::Taken
                    }
                    Step::Invalid(reason) => Verdict::Invalid(reason.to_string()),
                }
            };
            candidates.done(&transaction, &verdict);
        }
        run.finish(&system)
    }

    /// Compares a header with what execution gave. The state root is compared where it is computed, in the store.
    ///
    /// # Errors
    /// [`ExecError::Header`] names the field.
    pub fn check(&self, header: &Header, parent: &Header, executed: &ExecutedBlock) -> Result<(), ExecError> {
        let fields = [
            ("gasLimit", header.gas_limit == self.params.gas_limit),
            ("baseFeePerGas", header.base_fee_per_gas == self.params.next_base_fee(parent)),
            ("gasUsed", header.gas_used == executed.gas_used),
            ("logsBloom", header.logs_bloom == executed.logs_bloom),
            ("transactionsRoot", header.transactions_root == executed.transactions_root()),
            ("receiptsRoot", header.receipts_root == executed.receipts_root()),
        ];
        fields.iter().find(|(_, holds)| !holds).map_or(Ok(()), |(name, _)| Err(ExecError::Header(name)))
    }

    /// The system transaction of a block.
    ///
    /// # Errors
    /// Its evidence is longer than a transaction may be.
    pub fn system_transaction(&self, context: &BlockContext) -> Result<SignedTransaction, TransactionError> {
        context.end_block().transaction(self.params.chain_id, context.number, self.params.witness_contract)
    }

    fn run<'a, S: State>(&'a self, state: S, context: &'a BlockContext) -> Run<'a, S> {
        Run { executor: self, context, overlay: Overlay::new(state), out: ExecutedBlock::default() }
    }
}

impl<S: State> Run<'_, S> {
    fn gas_left(&self) -> u64 {
        self.executor.params.user_gas().saturating_sub(self.out.gas_used)
    }

    /// Executes one transaction; says whether it succeeded.
    fn step(&mut self, transaction: &SignedTransaction, mode: Mode) -> Result<Step, ExecError> {
        let mut evm = self.executor.evm(&mut self.overlay, self.executor.block_env(self.context), mode, ());
        let done = match evm.transact(transaction.env()) {
            Ok(done) => done,
            Err(EVMError::Transaction(reason)) => return Ok(Step::Invalid(reason)),
            Err(EVMError::Database(error)) => return Err(error.into()),
            Err(other @ (EVMError::Header(_) | EVMError::Custom(_) | EVMError::CustomAny(_))) => {
                return Err(ExecError::Evm(other.to_string()));
            }
        };
        drop(evm);
        self.overlay.keep(done.state);
        let gas_used = done.result.tx_gas_used();
        let base_fee = self.context.base_fee;
        if mode == Mode::User {
            let gas_price = transaction.effective_gas_price(base_fee);
            let paid = Paid { gas_used, gas_price, base_fee };
            pay_out(&mut self.overlay, &self.executor.params, &self.context.beneficiary, paid)?;
        }
        self.out.gas_used += gas_used;
        let success = done.result.is_success();
        let receipt = receipt(transaction.envelope().tx_type(), done.result, self.out.gas_used);
        self.out.logs_bloom.accrue_bloom(receipt.logs_bloom());
        self.out.receipts.push(receipt);
        self.out.transactions.push(transaction.clone());
        Ok(Step::Done(success))
    }

    fn finish(mut self, system: &SignedTransaction) -> Result<ExecutedBlock, ExecError> {
        debug_assert!(self.out.gas_used + SYSTEM_GAS <= self.executor.params.gas_limit.max(SYSTEM_GAS));
        match self.step(system, Mode::System)? {
            Step::Done(true) => {}
            Step::Done(false) => return Err(ExecError::SystemFailed),
            Step::Invalid(reason) => {
                return Err(ExecError::Transaction { index: self.out.transactions.len(), reason: reason.to_string() });
            }
        }
        self.out.changes = self.overlay.into_changes();
        Ok(self.out)
    }
}

pub(crate) fn receipt(kind: TxType, result: ExecutionResult, cumulative_gas_used: u64) -> ReceiptEnvelope {
    let status = Eip658Value::Eip658(result.is_success());
    // What a transaction logged before it failed is not in the chain.
    let logs = if result.is_success() { result.into_logs() } else { Vec::new() };
    ReceiptEnvelope::from_typed(kind, Receipt { status, cumulative_gas_used, logs })
}
